//! Information about the tasks of a kernel, for programs, the monitor and reports.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::time::{Duration, Instant};

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::id::TaskId;
use crate::parts::clock::NEVER;
use crate::parts::list::NONE;
use crate::parts::reactor::Direction;
use crate::parts::scopes::Parked;
use crate::task::state::Flags;

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

impl TaskRef {
    /// The record in the slot of the task, if it is valid.
    pub(crate) fn parked(&self) -> Option<Parked> {
        let polled = self.core().running.get() == self.id() && current::has_recorded();
        let there = polled || self.flags.any(Flags::PARKED);
        if there { self.record() } else { None }
    }
}

impl TaskRef {
    /// The earliest deadline of the timeouts around that leaf that are not open.
    fn limit_of_record(&self) -> u64 {
        let polled = self.core().running.get() == self.id() && current::is_limited();
        if polled || self.flags.any(Flags::LIMITED) { self.limit() } else { NEVER }
    }
}

/// The tasks that wait for a source, by the reactor. Made when the first task without a leaf is
/// shown, because it walks through all registrations.
#[derive(Default)]
struct Seats(OnceCell<HashMap<TaskId, Direction>>);

impl Seats {
    fn of(&self, task: TaskId, core: &Core) -> Option<Direction> {
        let make = || core.with_reactor(|reactor| reactor.seats()).unwrap_or_default();
        self.0.get_or_init(make).get(&task).copied()
    }
}

impl Core {
    pub(crate) fn state(&self, cell: &TaskRef) -> TaskState {
        self.state_by(cell, &Seats::default())
    }

    fn state_by(&self, cell: &TaskRef, seats: &Seats) -> TaskState {
        if cell.flags.any(Flags::ENDED | Flags::FREE) {
            TaskState::Ended
        } else if cell.flags.any(Flags::RUNNING) {
            TaskState::Running
        } else if cell.flags.any(Flags::QUEUED) {
            TaskState::Ready
        } else {
            match self.leaves(cell).first() {
                Some(leaf) => TaskState::Parked(leaf.kind),
                None => match seats.of(cell.id(), self) {
                    Some(direction) => TaskState::Polling(direction),
                    None => TaskState::Foreign,
                },
            }
        }
    }

    pub(crate) fn leaves(&self, cell: &TaskRef) -> Vec<ParkedAt> {
        let origin = self.clock.instant(0).expect("the kernel's origin is an instant");
        let leaf = |kind, site, since| ParkedAt {
            kind,
            site,
            since: self.clock.instant(since).unwrap_or(origin),
        };
        let mut leaves = Vec::new();
        if cell.flags.any(Flags::ENDED | Flags::FREE) {
            return leaves;
        }
        if let Some(parked) = cell.parked() {
            leaves.push(leaf(parked.kind, parked.site, parked.since));
        }
        let (record, child) = cell.attached();
        if record != NONE || child != NONE {
            self.scopes.borrow().each_record(record, child, |record| {
                leaves.push(leaf(record.kind, record.site, record.since));
            });
        }
        leaves
    }

    /// Whether the task is parked in no leaf of Curium's.
    pub(crate) fn has_no_leaf(&self, cell: &TaskRef) -> bool {
        cell.parked().is_none() && self.leaves(cell).is_empty()
    }

    pub(crate) fn info(&self, cell: &TaskRef) -> TaskInfo {
        self.info_by(cell, &Seats::default())
    }

    fn info_by(&self, cell: &TaskRef, seats: &Seats) -> TaskInfo {
        let parked = self.leaves(cell);
        let deadline = match cell.attached().1 {
            NONE => NEVER,
            child => self.scopes.borrow().earliest_deadline(child),
        };
        let deadline = deadline.min(cell.limit_of_record());
        let now = self.clock.now();
        TaskInfo {
            id: cell.id(),
            parent: cell.origin().and_then(|origin| origin.parent.as_option()),
            name: self.name_of(cell),
            state: self.state_by(cell, seats),
            cycles: cell.cycles.get().into(),
            deadline: self.clock.instant(deadline),
            cancelled: cell.cancel_request().is_some(),
            waiting: parked.first().and_then(|leaf| {
                self.clock.instant(now).map(|now| now.saturating_duration_since(leaf.since))
            }),
            parked,
        }
    }

    /// All tasks that have not ended, in order of spawning.
    pub(crate) fn infos(&self) -> Vec<TaskInfo> {
        let seats = Seats::default();
        self.live_cells().iter().map(|cell| self.info_by(cell, &seats)).collect()
    }

    pub(crate) fn live_cells(&self) -> Vec<TaskRef> {
        if self.live() == 0 {
            // Skips a walk over the cells of ended tasks, of which there may be thousands.
            return Vec::new();
        }
        let mut cells: Vec<_> =
            self.tasks.borrow().occupied().filter(|cell| !cell.is_ended()).collect();
        cells.sort_unstable_by_key(|cell| cell.serial.get());
        cells
    }
}

/// All tasks of this kernel that have not ended, in order of spawning.
///
/// # Panics
///
/// Panics outside a kernel.
#[track_caller]
pub fn tasks() -> Vec<TaskInfo> {
    // Opens the scopes of the caller, whose deadlines are shown.
    current::ambient();
    current::with("kernel::tasks", |core| core.infos())
}

/// The id of the task that is being polled. `None` outside a kernel, and in a destructor that the
/// kernel itself runs between tasks.
pub fn current_task_id() -> Option<TaskId> {
    current::try_with(|core| core.running_id()).flatten()
}

/// The task that is being polled.
///
/// # Panics
///
/// Panics outside a kernel, and in a destructor that the kernel itself runs between tasks.
#[track_caller]
pub fn current_task() -> TaskInfo {
    current::ambient();
    let info =
        current::with("kernel::current_task", |core| core.with_running(|cell| core.info(cell)));
    match info {
        Some(info) => info,
        None => current::outside("kernel::current_task"),
    }
}
