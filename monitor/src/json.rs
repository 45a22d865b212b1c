//! The document with everything, version 1: by kernel the verdicts, the open groups, and the tasks
//! with what they are parked in.
//!
//! Times are milliseconds: `since_ms` is an age, `in_ms` what is left. Ids of tasks are strings, as
//! they are typed: `3`, or `1:3` of several cores.

use std::panic::Location;
use std::time::{Duration, Instant};

use kernel::TaskId;
use kernel::insight::{
    Edge, ScopeId, ScopeInfo, Snapshot, TaskDetails, ThreadInfo, Verdict, WaitsFor,
};

use crate::held::Held;
use crate::shot::short;
use crate::text::quoted;

/// An object, from names and values.
pub(crate) fn object<const N: usize>(named: [(&str, String); N]) -> String {
    format!("{{{}}}", fields(named))
}

/// The fields of an object.
pub(crate) fn fields<const N: usize>(named: [(&str, String); N]) -> String {
    named.map(|(name, value)| format!("\"{name}\":{value}")).join(",")
}

fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<String>>().join(","))
}

/// A value that may be missing.
pub(crate) fn or_null<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "null".to_owned(), show)
}

/// The age of what is known, in milliseconds.
pub(crate) fn age(age: Option<Duration>) -> String {
    or_null(age, |age| age.as_millis().to_string())
}

/// The task that holds a kernel, and the core of that.
pub(crate) fn held(held: Option<(Option<usize>, &Held)>) -> String {
    or_null(held, |(core, held)| {
        object([
            ("task", quoted(&short(core, held.task))),
            ("name", quoted(&held.name)),
            ("for_ms", held.seen_for.as_millis().to_string()),
            ("core", or_null(core, |core| core.to_string())),
        ])
    })
}

fn site(site: Option<&'static Location<'static>>) -> String {
    or_null(site, |site| quoted(&site.to_string()))
}

fn since(now: Instant, then: Instant) -> String {
    now.saturating_duration_since(then).as_millis().to_string()
}

fn left(now: Instant, until: Option<Instant>) -> String {
    or_null(until, |until| until.saturating_duration_since(now).as_millis().to_string())
}

/// The fields of a kernel that was never seen, or has ended.
pub(crate) fn unseen() -> String {
    fields([
        ("id", "null".into()),
        ("verdicts", "[]".into()),
        ("threads", "[]".into()),
        ("scopes", "[]".into()),
        ("tasks", "[]".into()),
    ])
}

/// The fields of one kernel.
pub(crate) fn kernel(seen: &Snapshot, verdicts: &[Verdict]) -> String {
    Kernel { core: seen.core, now: seen.taken_at }.fields(seen, verdicts)
}

/// What the values of one kernel need.
#[derive(Clone, Copy)]
struct Kernel {
    core: Option<usize>,
    now: Instant,
}

impl Kernel {
    fn fields(self, seen: &Snapshot, verdicts: &[Verdict]) -> String {
        let mut edges = seen.edges.iter().peekable();
        let tasks = seen.tasks.iter().map(|task_seen| {
            // The edges come in the order of the tasks.
            let mut own = Vec::new();
            while let Some(edge) = edges.next_if(|edge| edge.from == task_seen.info.id) {
                own.push(edge);
            }
            self.task(task_seen, &own)
        });
        let tasks = list(tasks);
        fields([
            ("id", seen.kernel.to_string()),
            ("turn", seen.turn.to_string()),
            ("ready", seen.ready.to_string()),
            ("shutting_down", seen.shutting_down.to_string()),
            ("jobs", seen.jobs.to_string()),
            ("verdicts", list(verdicts.iter().map(|it| self.verdict(it)))),
            ("threads", list(seen.threads.iter().map(|it| self.thread(it)))),
            ("scopes", list(seen.scopes.iter().map(|it| self.scope(it)))),
            ("tasks", tasks),
        ])
    }

    /// The id of a task.
    fn id(self, task: TaskId) -> String {
        quoted(&short(self.core, task))
    }

    fn ids(self, tasks: &[TaskId]) -> String {
        list(tasks.iter().map(|task| self.id(*task)))
    }

    /// A group or a borrowing scope by its number.
    fn scope_id(self, id: ScopeId) -> String {
        quoted(&self.core.map_or_else(|| id.to_string(), |core| format!("{core}:{id}")))
    }

    fn verdict(self, verdict: &Verdict) -> String {
        let kind = match verdict {
            Verdict::Cycle { .. } => "cycle",
            Verdict::Futurelock { .. } => "futurelock",
            Verdict::Orphan(_) => "orphan",
            Verdict::HoldsUpShutdown { .. } => "holds_up_shutdown",
            Verdict::AllStuck { .. } => "all_stuck",
            _ => "other",
        };
        object([
            ("kind", quoted(kind)),
            ("text", quoted(&verdict.to_string())),
            ("tasks", self.ids(&verdict.tasks())),
        ])
    }

    fn thread(self, thread: &ThreadInfo) -> String {
        object([
            ("name", quoted(&thread.name)),
            ("site", site(Some(thread.site))),
            ("since_ms", since(self.now, thread.since)),
        ])
    }

    fn scope(self, scope: &ScopeInfo) -> String {
        object([
            ("id", self.scope_id(scope.id)),
            ("owner", or_null(scope.owner, |id| self.id(id))),
            ("site", site(scope.site)),
            ("policy", quoted(scope.policy)),
            ("hosts", scope.hosts.to_string()),
            ("cancelled", or_null(scope.cancelled, |reason| quoted(&reason.to_string()))),
            ("members", self.ids(&scope.members)),
        ])
    }

    fn task(self, task: &TaskDetails, edges: &[&Edge]) -> String {
        let info = &task.info;
        let parked = edges.iter().enumerate().map(|(at, edge)| {
            // A wait in no leaf of Curium's has no record.
            let began = info.parked.get(at).map(|leaf| leaf.since);
            object([
                ("kind", quoted(edge.kind)),
                ("site", site(edge.site)),
                ("since_ms", or_null(began, |began| since(self.now, began))),
                ("deadline_in_ms", left(self.now, edge.deadline)),
                ("waits_for", self.waits_for(&edge.on)),
            ])
        });
        let timeouts = task.timeouts.iter().map(|timeout| {
            object([
                ("site", site(timeout.site)),
                ("in_ms", left(self.now, timeout.deadline)),
                ("cancelled", timeout.cancelled.to_string()),
            ])
        });
        let cancel = or_null(task.cancel.as_ref(), |cancel| {
            object([
                ("reason", quoted(&cancel.reason.to_string())),
                ("since_ms", or_null(cancel.since, |then| since(self.now, then))),
                ("delivered", cancel.delivered.to_string()),
                ("delivered_at", site(cancel.delivered_at)),
            ])
        });
        object([
            ("id", self.id(info.id)),
            ("name", quoted(&info.name)),
            ("parent", or_null(info.parent, |id| self.id(id))),
            ("scope", or_null(task.scope, |id| self.scope_id(id))),
            ("daemon", task.daemon.to_string()),
            ("state", quoted(&info.state.to_string())),
            ("cycles", info.cycles.to_string()),
            ("spawned_at", site(task.spawned_at)),
            ("deadline_in_ms", left(self.now, info.deadline)),
            ("timeouts", list(timeouts)),
            ("shields", task.shields.len().to_string()),
            ("parked", list(parked)),
            ("cancel", cancel),
        ])
    }

    fn waits_for(self, on: &WaitsFor) -> String {
        match on {
            WaitsFor::Task(task) => object([("task", self.id(*task))]),
            WaitsFor::Group { scope, members } => {
                object([("scope", self.scope_id(*scope)), ("members", self.ids(members))])
            }
            WaitsFor::Holders { object: number, tasks, .. } => {
                object([("object", number.to_string()), ("holders", self.ids(tasks))])
            }
            WaitsFor::Room { object: number, reader, has_ended } => object([
                ("object", number.to_string()),
                ("reader", self.id(*reader)),
                ("reader_has_ended", has_ended.to_string()),
            ]),
            WaitsFor::Waker { clones } => object([("waker_clones", clones.to_string())]),
            WaitsFor::Time(time) => object([("time_in_ms", left(self.now, Some(*time)))]),
            WaitsFor::Io(direction) => object([("io", quoted(&format!("{direction:?}")))]),
            WaitsFor::Thread => object([("thread", "true".into())]),
            WaitsFor::Unknown { object: number } => object([("object", number.to_string())]),
            _ => "null".to_owned(),
        }
    }
}
