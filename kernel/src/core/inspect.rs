//! Information about the tasks of a kernel, for programs, the monitor and reports.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::time::Instant;

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::id::TaskId;
pub(crate) use crate::insight::info::{ParkedAt, TaskInfo, TaskList, TaskState};
use crate::parts::clock::NEVER;
use crate::parts::list::NONE;
use crate::parts::reactor::Direction;
use crate::parts::scopes::{Parked, Record};
use crate::task::state::Flags;

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
    pub(super) fn limit_of_record(&self) -> u64 {
        let polled = self.core().running.get() == self.id() && current::is_limited();
        if polled || self.flags.any(Flags::LIMITED) { self.limit() } else { NEVER }
    }
}

/// The tasks that wait for a source, by the reactor. Made when the first task without a leaf is
/// shown, because it walks through all registrations.
#[derive(Default)]
pub(super) struct Seats(OnceCell<HashMap<TaskId, Direction>>);

impl Seats {
    /// As if no task waited for a source.
    pub(super) fn none() -> Self {
        Seats(HashMap::new().into())
    }

    fn of(&self, task: TaskId, core: &Core) -> Option<Direction> {
        let make = || core.seats().into_iter().collect();
        self.0.get_or_init(make).get(&task).copied()
    }
}

impl Core {
    pub(crate) fn state(&self, cell: &TaskRef) -> TaskState {
        self.state_at(cell, self.leaves(cell).first(), &Seats::default())
    }

    /// The state of a task of which that is the first leaf.
    fn state_at(&self, cell: &TaskRef, leaf: Option<&ParkedAt>, seats: &Seats) -> TaskState {
        if cell.flags.any(Flags::ENDED | Flags::FREE) {
            TaskState::Ended
        } else if cell.flags.any(Flags::RUNNING) {
            TaskState::Running
        } else if cell.flags.any(Flags::QUEUED) {
            TaskState::Ready
        } else {
            match leaf {
                Some(leaf) => TaskState::Parked(leaf.kind),
                None => match seats.of(cell.id(), self) {
                    Some(direction) => TaskState::Polling(direction),
                    None => TaskState::Foreign,
                },
            }
        }
    }

    pub(crate) fn leaves(&self, cell: &TaskRef) -> Vec<ParkedAt> {
        let mut leaves = Vec::new();
        self.each_leaf(cell, |leaf, _| leaves.push(leaf));
        leaves
    }

    /// Visits each leaf that a task is parked in, with its record if that is not in the slot of the
    /// task.
    pub(super) fn each_leaf(
        &self,
        cell: &TaskRef,
        mut visit: impl FnMut(ParkedAt, Option<&Record>),
    ) {
        let leaf = |kind, site, since| ParkedAt {
            kind,
            site,
            since: self.clock.instant(since).unwrap_or_else(|| self.origin()),
        };
        if cell.flags.any(Flags::ENDED | Flags::FREE) {
            return;
        }
        if let Some(parked) = cell.parked() {
            visit(leaf(parked.kind, parked.site, parked.since), None);
        }
        let (record, child) = cell.attached();
        if record != NONE || child != NONE {
            self.scopes.borrow().each_record(record, child, |record| {
                visit(leaf(record.kind, record.site, record.since), Some(record));
            });
        }
    }

    /// The time from which the clock of this kernel counts.
    pub(super) fn origin(&self) -> Instant {
        self.clock.instant(0).expect("the kernel's origin is an instant")
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
        let bare = self.bare_info(cell, parked.first(), seats);
        TaskInfo { name: self.name_of(cell), parked, ..bare }
    }

    /// `info` without the name and the leaves, of which that is the first. A task without a leaf is
    /// `Foreign` by empty `seats`, whether or not it polls a source.
    pub(super) fn bare_info(
        &self,
        cell: &TaskRef,
        leaf: Option<&ParkedAt>,
        seats: &Seats,
    ) -> TaskInfo {
        let deadline = match cell.attached().1 {
            NONE => NEVER,
            child => self.scopes.borrow().earliest_deadline(child),
        };
        let deadline = deadline.min(cell.limit_of_record());
        let now = self.clock.now();
        TaskInfo {
            id: cell.id(),
            parent: cell.origin().and_then(|origin| origin.parent.as_option()),
            name: String::new(),
            state: self.state_at(cell, leaf, seats),
            cycles: cell.cycles.get().into(),
            deadline: self.clock.instant(deadline),
            cancelled: cell.cancel_request().is_some(),
            waiting: leaf.and_then(|leaf| {
                self.clock.instant(now).map(|now| now.saturating_duration_since(leaf.since))
            }),
            parked: Vec::new(),
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
