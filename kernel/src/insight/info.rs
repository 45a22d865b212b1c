//! What is shown of one task.

use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::id::TaskId;
use crate::parts::reactor::Direction;

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskState {
    /// Queued to be polled.
    Ready,
    /// Being polled.
    Running,
    /// Parked in a leaf of this kind, as in `SLEEP` or `EVENT_WAIT`. If it is parked in several
    /// leaves, this is one of them.
    Parked(&'static str),
    /// Parked, but in no leaf of Curium's, so no cancellation can be delivered.
    Foreign,
    /// The same, and it has polled a source last, which was not ready: a poll function of
    /// [`Registration`](crate::io::Registration) waits for this direction.
    Polling(Direction),
    /// Ended; a handle still holds its outcome.
    Ended,
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TaskState::Ready => "READY",
            TaskState::Running => "RUNNING",
            TaskState::Parked(kind) => kind,
            TaskState::Foreign => "FOREIGN",
            TaskState::Polling(Direction::Read) => "POLL_READ",
            TaskState::Polling(Direction::Write) => "POLL_WRITE",
            TaskState::Ended => "ENDED",
        })
    }
}

impl TaskState {
    /// Whether the task is parked, and in no leaf of Curium's.
    pub(crate) fn has_no_leaf(self) -> bool {
        matches!(self, TaskState::Foreign | TaskState::Polling(_))
    }
}

/// A parked leaf.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ParkedAt {
    /// The kind of leaf, as in `SLEEP`.
    pub kind: &'static str,
    /// The file and line of the call that made the leaf.
    pub site: &'static Location<'static>,
    /// The time at which it parked. It may be slightly early, because the run loop does not read
    /// the clock for each task.
    pub since: Instant,
}

/// A task at the moment of the query.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskInfo {
    /// The id of the task, unique in its kernel.
    pub id: TaskId,
    /// The task that spawned it. That task may have ended since.
    pub parent: Option<TaskId>,
    /// The name given to `spawn_named`, otherwise the type of its future.
    pub name: String,
    /// What it is doing.
    pub state: TaskState,
    /// The number of polls. It starts again at 0 after 2^32.
    pub cycles: u64,
    /// All leaves that it is parked in. A task inside `join!` or `select!` has several.
    pub parked: Vec<ParkedAt>,
    /// The earliest deadline of the timeouts around it, if any.
    pub deadline: Option<Instant>,
    /// Whether a cancellation was requested.
    pub cancelled: bool,
    /// How long it has been parked.
    pub waiting: Option<Duration>,
}

impl TaskInfo {
    /// The source location where it is parked, if it is parked. Of several leaves, the first.
    pub fn site(&self) -> Option<&'static Location<'static>> {
        self.parked.first().map(|leaf| leaf.site)
    }
}

/// The id, the state, the name, and the leaves that it is parked in, up to a limit.
impl fmt::Display for TaskInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.state, self.name)?;
        for leaf in self.parked.iter().take(SHOWN_LEAVES) {
            write!(f, ", {} at {}", leaf.kind, leaf.site)?;
        }
        match self.parked.len().checked_sub(SHOWN_LEAVES) {
            Some(more) if more > 0 => write!(f, ", and {more} more leaves"),
            _ => Ok(()),
        }
    }
}

/// The name of the type of a future without the suffixes of the compiler.
pub(crate) fn short_type(name: &str) -> String {
    name.replace("::{{closure}}", "")
}

/// The number of leaves of a task that are shown. A `join_all` may have thousands.
const SHOWN_LEAVES: usize = 8;

/// The number of tasks that are shown in a report.
const SHOWN_TASKS: usize = 20;

/// One line for each task or thread, up to a limit.
pub(crate) struct TaskList<'a, T>(pub(crate) &'a [T]);

impl<T: fmt::Display> fmt::Display for TaskList<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(SHOWN_TASKS).try_for_each(|task| write!(f, "\n  {task}"))?;
        match self.0.len().checked_sub(SHOWN_TASKS) {
            Some(more) if more > 0 => write!(f, "\n  and {more} more"),
            _ => Ok(()),
        }
    }
}
