//! The document with everything, version 1: by kernel the verdicts, the open groups, and the tasks
//! with what they are parked in.
//!
//! Times are milliseconds: `since_ms` is an age, `in_ms` what is left. Ids of tasks are strings, as
//! they are typed.

use std::panic::Location;
use std::time::Instant;

use kernel::TaskId;
use kernel::insight::{Edge, ScopeInfo, Snapshot, TaskDetails, ThreadInfo, Verdict, WaitsFor};

use crate::shot::short;
use crate::text::quoted;

/// An object, from names and values.
pub(crate) fn object<const N: usize>(fields: [(&str, String); N]) -> String {
    let fields = fields.map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", fields.join(","))
}

fn list(values: impl Iterator<Item = String>) -> String {
    format!("[{}]", values.collect::<Vec<String>>().join(","))
}

/// A value that may be missing.
pub(crate) fn or_null<T>(value: Option<T>, show: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| "null".to_owned(), show)
}

/// The id of a task.
pub(crate) fn id(task: TaskId) -> String {
    quoted(&short(task))
}

fn ids(tasks: &[TaskId]) -> String {
    list(tasks.iter().map(|task| id(*task)))
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

/// A group or a borrowing scope by its number.
fn scope_id(id: kernel::insight::ScopeId) -> String {
    quoted(&format!("{id}"))
}

/// One kernel.
pub(crate) fn kernel(seen: &Snapshot, verdicts: &[Verdict]) -> String {
    let mut edges = seen.edges.iter().peekable();
    let now = seen.taken_at;
    let tasks = seen.tasks.iter().map(|task_seen| {
        // The edges come in the order of the tasks.
        let mut own = Vec::new();
        while let Some(edge) = edges.next_if(|edge| edge.from == task_seen.info.id) {
            own.push(edge);
        }
        task(task_seen, &own, now)
    });
    let tasks = list(tasks);
    object([
        ("id", seen.kernel.to_string()),
        ("turn", seen.turn.to_string()),
        ("ready", seen.ready.to_string()),
        ("shutting_down", seen.shutting_down.to_string()),
        ("jobs", seen.jobs.to_string()),
        ("verdicts", list(verdicts.iter().map(verdict))),
        ("threads", list(seen.threads.iter().map(|it| thread(it, now)))),
        ("scopes", list(seen.scopes.iter().map(scope))),
        ("tasks", tasks),
    ])
}

fn verdict(verdict: &Verdict) -> String {
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
        ("tasks", ids(&verdict.tasks())),
    ])
}

fn thread(thread: &ThreadInfo, now: Instant) -> String {
    object([
        ("name", quoted(&thread.name)),
        ("site", site(Some(thread.site))),
        ("since_ms", since(now, thread.since)),
    ])
}

fn scope(scope: &ScopeInfo) -> String {
    object([
        ("id", scope_id(scope.id)),
        ("owner", or_null(scope.owner, id)),
        ("site", site(scope.site)),
        ("policy", quoted(scope.policy)),
        ("hosts", scope.hosts.to_string()),
        ("cancelled", or_null(scope.cancelled, |reason| quoted(&reason.to_string()))),
        ("members", ids(&scope.members)),
    ])
}

fn task(task: &TaskDetails, edges: &[&Edge], now: Instant) -> String {
    let info = &task.info;
    let parked = edges.iter().enumerate().map(|(at, edge)| {
        // A wait in no leaf of Curium's has no record.
        let began = info.parked.get(at).map(|leaf| leaf.since);
        object([
            ("kind", quoted(edge.kind)),
            ("site", site(edge.site)),
            ("since_ms", or_null(began, |began| since(now, began))),
            ("deadline_in_ms", left(now, edge.deadline)),
            ("waits_for", waits_for(&edge.on, now)),
        ])
    });
    let timeouts = task.timeouts.iter().map(|timeout| {
        object([
            ("site", site(timeout.site)),
            ("in_ms", left(now, timeout.deadline)),
            ("cancelled", timeout.cancelled.to_string()),
        ])
    });
    let cancel = or_null(task.cancel.as_ref(), |cancel| {
        object([
            ("reason", quoted(&cancel.reason.to_string())),
            ("since_ms", or_null(cancel.since, |then| since(now, then))),
            ("delivered", cancel.delivered.to_string()),
            ("delivered_at", site(cancel.delivered_at)),
        ])
    });
    object([
        ("id", id(info.id)),
        ("name", quoted(&info.name)),
        ("parent", or_null(info.parent, id)),
        ("scope", or_null(task.scope, scope_id)),
        ("daemon", task.daemon.to_string()),
        ("state", quoted(&info.state.to_string())),
        ("cycles", info.cycles.to_string()),
        ("spawned_at", site(task.spawned_at)),
        ("deadline_in_ms", left(now, info.deadline)),
        ("timeouts", list(timeouts)),
        ("shields", task.shields.len().to_string()),
        ("parked", list(parked)),
        ("cancel", cancel),
    ])
}

fn waits_for(on: &WaitsFor, now: Instant) -> String {
    match on {
        WaitsFor::Task(task) => object([("task", id(*task))]),
        WaitsFor::Group { scope, members } => {
            object([("scope", scope_id(*scope)), ("members", ids(members))])
        }
        WaitsFor::Holders { object: number, tasks, .. } => {
            object([("object", number.to_string()), ("holders", ids(tasks))])
        }
        WaitsFor::Room { object: number, reader, has_ended } => object([
            ("object", number.to_string()),
            ("reader", id(*reader)),
            ("reader_has_ended", has_ended.to_string()),
        ]),
        WaitsFor::Waker { clones } => object([("waker_clones", clones.to_string())]),
        WaitsFor::Time(time) => object([("time_in_ms", left(now, Some(*time)))]),
        WaitsFor::Io(direction) => object([("io", quoted(&format!("{direction:?}")))]),
        WaitsFor::Thread => object([("thread", "true".into())]),
        WaitsFor::Unknown { object: number } => object([("object", number.to_string())]),
        _ => "null".to_owned(),
    }
}
