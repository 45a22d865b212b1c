//! The log of a schedule, printed as a table: one column a task, one row a poll or a cancellation.

use std::collections::HashMap;
use std::fmt::Write;
use std::panic::Location;

use crate::core::state::TaskRef;
use crate::task::state::Flags;

/// What a task did in a poll, or what was done to it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Did {
    /// It is parked now, in this leaf.
    Parked(Option<(&'static str, &'static Location<'static>)>),
    Ended,
    Panicked,
    /// The exploration has requested its cancellation.
    Cancelled,
}

struct Row {
    task: u64,
    /// The number of this poll, or of the last one before a cancellation.
    poll: usize,
    did: Did,
    /// It is ready again.
    again: bool,
    /// The tasks that became ready in this poll.
    woken: Vec<u64>,
}

/// The number of rows that are shown. Of more, the last ones.
const SHOWN: usize = 60;

#[derive(Default)]
pub(super) struct Log {
    rows: Vec<Row>,
    polls: usize,
    names: HashMap<u64, String>,
    /// The tasks that were ready before the poll.
    ready: Vec<u64>,
}

impl Log {
    /// Before a poll: the tasks that are `ready`, and all that there are. Their names are noted
    /// now, because a task that ends in its first poll has none after it.
    pub(super) fn set_ready(&mut self, ready: Vec<u64>, tasks: impl Iterator<Item = TaskRef>) {
        self.ready = ready;
        for task in tasks.filter(|task| self.ready.contains(&task.serial.get())) {
            self.names.entry(task.serial.get()).or_insert_with(|| name(&task));
        }
    }

    /// The number of polls so far. A cancellation is a row, but no poll.
    pub(super) fn polls(&self) -> usize {
        self.polls
    }

    /// Adds a row. `ready`: the tasks that are ready after the poll.
    pub(super) fn add(&mut self, task: &TaskRef, did: Did, ready: &[u64]) {
        let serial = task.serial.get();
        self.names.entry(serial).or_insert_with(|| name(task));
        let is_new = |other: &&u64| **other != serial && !self.ready.contains(other);
        let woken = ready.iter().filter(is_new).copied().collect();
        let again = ready.contains(&serial);
        if !matches!(did, Did::Cancelled) {
            self.polls += 1;
        }
        self.rows.push(Row { task: serial, poll: self.polls, did, again, woken });
    }

    fn name(&self, task: u64) -> String {
        self.names.get(&task).cloned().unwrap_or_else(|| format!("task {task}"))
    }

    fn cell(&self, row: &Row) -> String {
        let mut text = match row.did {
            Did::Parked(Some((kind, site))) => {
                let file = site.file().rsplit(['/', '\\']).next().unwrap_or_default();
                format!("{kind} {file}:{}", site.line())
            }
            Did::Parked(None) if row.again => "YIELD".to_owned(),
            Did::Parked(None) => "FOREIGN".to_owned(),
            Did::Ended => "ends".to_owned(),
            Did::Panicked => "panics".to_owned(),
            Did::Cancelled => "is cancelled".to_owned(),
        };
        let woken: Vec<String> = row.woken.iter().map(|task| self.name(*task)).collect();
        if !woken.is_empty() {
            text.push_str(&format!(", wakes {}", woken.join(" and ")));
        }
        text
    }

    pub(super) fn table(&self) -> String {
        let shown = &self.rows[self.rows.len().saturating_sub(SHOWN)..];
        let mut tasks: Vec<u64> = shown.iter().map(|row| row.task).collect();
        tasks.sort_unstable();
        tasks.dedup();
        let rows: Vec<_> = shown.iter().map(|row| (row.task, self.cell(row))).collect();
        let width = |task: u64| {
            let cells = rows.iter().filter(|(of, _)| *of == task).map(|(_, text)| text.len());
            cells.chain([self.name(task).len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = tasks.iter().map(|task| width(*task)).collect();
        let mut text = String::new();
        let mut line = |number: &str, cell: &dyn Fn(u64) -> String| {
            let mut whole = format!("{number:>5}");
            for (task, width) in tasks.iter().zip(&widths) {
                let _ = write!(whole, "  {:width$}", cell(*task));
            }
            text.push_str(whole.trim_end());
            text.push('\n');
        };
        line("poll", &|task| self.name(task));
        for (row, (of, cell)) in shown.iter().zip(&rows) {
            let number = match row.did {
                Did::Cancelled => String::new(),
                _ => row.poll.to_string(),
            };
            line(&number, &|task| if task == *of { cell.clone() } else { String::new() });
        }
        text
    }
}

/// The name that the program gave to the task, or its number.
fn name(task: &TaskRef) -> String {
    if task.flags.any(Flags::MAIN) {
        return "main".to_owned();
    }
    match task.flags.any(Flags::NAMED) {
        true => task.core().name_of(task),
        false => format!("task {}", task.serial.get()),
    }
}
