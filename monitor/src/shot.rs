//! What was seen of a kernel at one moment, and the views of it.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use kernel::insight::{Snapshot, TaskDetails, Verdict, WaitGraph};
use kernel::{TaskId, TaskState};

use crate::json;
use crate::text::{clean, seconds};

/// The most verdicts before a text.
const SHOWN: usize = 8;

/// A snapshot, with the views that all clients share.
#[derive(Debug)]
pub(crate) struct Shot {
    /// Later ones have greater numbers.
    pub(crate) number: u64,
    /// When it came, on the clock of the system.
    pub(crate) at: Instant,
    pub(crate) graph: WaitGraph,
    verdicts: Vec<Verdict>,
    rows: OnceLock<Arc<str>>,
    json: OnceLock<Arc<str>>,
}

impl Shot {
    pub(crate) fn new(number: u64, at: Instant, graph: WaitGraph, verdicts: Vec<Verdict>) -> Self {
        let (rows, json) = Default::default();
        Shot { number, at, graph, verdicts, rows, json }
    }

    /// The kernel has not confirmed the verdicts.
    pub(crate) fn refute(&mut self) {
        self.graph.refute();
        self.verdicts.clear();
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.graph.snapshot()
    }

    /// The tree of the tasks, after the verdicts.
    pub(crate) fn tree(&self) -> String {
        format!("{}\n", self.snapshot().tree(&self.verdicts))
    }

    /// The tree alone.
    pub(crate) fn bare_tree(&self) -> String {
        format!("{}\n", self.snapshot().tree(&[]))
    }

    /// The verdicts, as lines of text.
    pub(crate) fn alarms(&self) -> String {
        let mut text = String::new();
        for verdict in self.verdicts.iter().take(SHOWN) {
            let _ = writeln!(text, "(!) {verdict}");
        }
        if self.verdicts.len() > SHOWN {
            let _ = writeln!(text, "(!) and {} more verdicts", self.verdicts.len() - SHOWN);
        }
        text
    }

    /// The number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.snapshot().tasks.len()
    }

    /// The id of a task, as it is typed.
    fn id(&self, task: TaskId) -> String {
        short(self.snapshot().core, task)
    }

    /// The rows of the tasks in a table as that of curio.
    pub(crate) fn rows(&self) -> Arc<str> {
        self.rows.get_or_init(|| self.make_rows().into()).clone()
    }

    fn make_rows(&self) -> String {
        let mut rows = String::new();
        for task in &self.snapshot().tasks {
            let is_asleep = matches!(task.info.state, TaskState::Parked("SLEEP" | "INTERVAL"));
            let cells = [
                &*self.id(task.info.id),
                &task.info.state.to_string(),
                &task.info.cycles.to_string(),
                &self.left(task.info.deadline),
                &self.left(task.wakes_at.filter(|_| is_asleep)),
                &clean(&task.info.name),
            ];
            row(&mut rows, cells);
        }
        rows
    }

    /// The seconds that are left until a time.
    fn left(&self, until: Option<Instant>) -> String {
        match until {
            Some(until) => {
                let left = until.saturating_duration_since(self.snapshot().taken_at);
                let mut left = format!("{:.5}", left.as_secs_f64());
                left.truncate(7);
                left
            }
            None => "None".to_owned(),
        }
    }

    /// Where a task is parked, in what timeouts, and whether it is being cancelled.
    pub(crate) fn place(&self, task: &TaskDetails) -> String {
        let info = &task.info;
        let mut text = format!("{} {} {}\n", self.id(info.id), info.state, clean(&info.name));
        let now = self.snapshot().taken_at;
        for leaf in &info.parked {
            let age = seconds(now.saturating_duration_since(leaf.since));
            let _ = writeln!(text, "  {} at {}, for {age}", leaf.kind, leaf.site);
        }
        for edge in self.graph.edges.iter().filter(|edge| edge.from == info.id) {
            let on: Vec<String> = edge.on.tasks().iter().map(|on| self.called(*on)).collect();
            if !on.is_empty() {
                let _ = writeln!(text, "  {} waits for {}", edge.kind, on.join(", "));
            }
        }
        for timeout in &task.timeouts {
            let site = timeout.site.map_or_else(String::new, |site| format!(" at {site}"));
            match timeout.deadline {
                Some(_) if timeout.cancelled => {
                    let _ = writeln!(text, "  timeout{site}, expired");
                }
                Some(deadline) => {
                    let left = seconds(deadline.saturating_duration_since(now));
                    let _ = writeln!(text, "  timeout{site}, in {left}");
                }
                None => {
                    let _ = writeln!(text, "  scope{site}");
                }
            }
        }
        for shield in &task.shields {
            let left = shield.until.map(|until| until.saturating_duration_since(now));
            let left = left.map_or_else(String::new, |left| format!(", for {}", seconds(left)));
            let _ = writeln!(text, "  shield{left}");
        }
        if let Some(cancel) = &task.cancel {
            let state = if cancel.delivered { "cleaning up" } else { "not delivered yet" };
            let at = cancel.delivered_at.map_or_else(String::new, |at| format!(" since {at}"));
            let _ = writeln!(text, "  cancelled ({}), {state}{at}", cancel.reason);
        }
        text
    }

    /// A task by its id and name.
    fn called(&self, id: TaskId) -> String {
        let name = self.snapshot().task(id).map(|task| clean(&task.info.name));
        format!("{} {}", self.id(id), name.unwrap_or_default())
    }

    /// A task, then the tasks that have spawned it, as far as they are alive.
    pub(crate) fn parents(&self, task: &TaskDetails) -> String {
        let mut text = String::new();
        let mut seen = HashSet::new();
        let mut next = Some(task);
        while let Some(task) = next.filter(|task| seen.insert(task.info.id)) {
            let info = &task.info;
            let (id, state, name) = (self.id(info.id), info.state.to_string(), clean(&info.name));
            let _ = writeln!(text, "{id:<6} {state:>12} {name}");
            next = info.parent.and_then(|parent| self.snapshot().task(parent));
        }
        text
    }

    /// Counts of what there is.
    pub(crate) fn stats(&self) -> String {
        let seen = self.snapshot();
        let polls: u64 = seen.tasks.iter().map(|task| task.info.cycles).sum();
        let mut states: BTreeMap<String, usize> = BTreeMap::new();
        for task in &seen.tasks {
            *states.entry(task.info.state.to_string()).or_default() += 1;
        }
        let core = seen.core.map_or_else(String::new, |core| format!("core     {core}\n"));
        let mut text = format!(
            "{core}tasks    {}, polled {polls} times\nready    {}\nturn     {}\ngroups   {}\n\
             jobs     {}\nthreads  {} abandoned\n",
            seen.tasks.len(),
            seen.ready,
            seen.turn,
            seen.scopes.len(),
            seen.jobs,
            seen.threads.len(),
        );
        for (state, count) in states {
            let _ = writeln!(text, "{count:>8} {state}");
        }
        text
    }

    /// The fields of the kernel in JSON.
    pub(crate) fn json(&self) -> Arc<str> {
        self.json.get_or_init(|| json::kernel(self.snapshot(), &self.verdicts).into()).clone()
    }
}

/// An id without its sign, as it is typed: with its core in front, if there are several.
pub(crate) fn short(core: Option<usize>, id: TaskId) -> String {
    let id = id.to_string();
    let id = id.trim_start_matches('#');
    core.map_or_else(|| id.to_owned(), |core| format!("{core}:{id}"))
}

/// The head of a table of tasks.
pub(crate) fn head() -> String {
    let mut head = String::new();
    row(&mut head, ["Task", "State", "Cycles", "Timeout", "Sleep", "Task"]);
    let line = "-".repeat(50);
    row(&mut head, [6, 12, 10, 7, 7, 50].map(|width| &line[..width]));
    head
}

fn row(text: &mut String, [id, state, cycles, timeout, sleep, name]: [&str; 6]) {
    let _ = writeln!(text, "{id:<6} {state:<12} {cycles:<10} {timeout:<7} {sleep:<7} {name}");
}
