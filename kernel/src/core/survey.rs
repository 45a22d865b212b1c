//! The snapshot of a kernel: [`snapshot`].
//!
//! It is taken in parts ([`SnapshotParts`]), so that a kernel with many tasks runs on between them.
//! A part only copies. What belongs together is put together at the end, which needs no kernel and
//! may happen on another thread.

use std::rc::Rc;

use crate::core::current;
use crate::core::inspect::Seats;
use crate::core::state::{Core, Stage, TaskRef, Waiter};
use crate::id::TaskId;
use crate::insight::parts::{GROUPS, JOINS, LOCKS, Raw};
use crate::insight::slice::Slice;
use crate::insight::snapshot::{CancelInfo, ShieldInfo, Snapshot, ThreadInfo, TimeoutInfo};
use crate::insight::{TaskDetails, WaitGraph};
use crate::parts::list::NONE;
use crate::parts::reactor::Direction;
use crate::parts::scopes::ScopeKind;
use crate::task::chunk::CELLS;
use crate::task::state::Flags;

/// A snapshot that is not complete yet.
///
/// Each part is one moment. Between two of them tasks end and others begin, so the whole is not one
/// moment: a task may be missing for which another waits.
#[doc(hidden)]
#[derive(Debug)]
pub struct SnapshotParts {
    raw: Raw,
    /// The chunk of tasks that is taken next.
    chunk: Option<usize>,
    /// The place of the group that is taken next.
    owner: usize,
}

impl SnapshotParts {
    /// Begins a snapshot of the kernel of this thread.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn begin() -> Self {
        current::with("a snapshot", |core| SnapshotParts::of(core))
    }

    /// Takes about `most` further tasks or groups. True: all are taken.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn take(&mut self, most: usize) -> bool {
        current::with("a snapshot", |core| self.take_from(core, most))
    }

    /// Puts the parts together. This needs no kernel.
    pub fn finish(self) -> Snapshot {
        self.raw.finish()
    }

    /// Begins a snapshot of the tasks that can be in a verdict.
    pub(crate) fn for_verdicts(core: &Core) -> Self {
        let mut parts = SnapshotParts::of(core);
        // The shutdown may wait for any task.
        parts.raw.filtered = !parts.raw.shutting_down;
        parts
    }

    fn of(core: &Core) -> Self {
        let raw = Raw {
            kernel: core.number,
            core: core.settings.core,
            taken_at: core.now(),
            origin: core.origin(),
            turn: core.turns.get(),
            shutting_down: core.stage.get() != Stage::Open,
            jobs: core.jobs.out(),
            threads: core.abandoned_threads(),
            slices: Vec::new(),
            tasks: Vec::new(),
            scopes: Vec::new(),
            sleepers: core.timers.borrow().sleepers(),
            seats: core.seats(),
            timers: core.timers.borrow().len(),
            sources: core.with_reactor(|reactor| reactor.parked()).unwrap_or(0),
            filtered: false,
            posts: false,
            is_guest: core.is_guest.get(),
            is_alone: core.remote().handles() == 0 && core.next_of_extensions().is_none(),
        };
        SnapshotParts { raw, chunk: Some(0), owner: 0 }
    }

    pub(crate) fn take_from(&mut self, core: &Core, most: usize) -> bool {
        let mut left = most.max(1);
        let room = self.chunk.map_or(0, |_| core.live().min(left.saturating_add(CELLS)));
        let mut slice = Slice::with_room(room);
        let all = self.take_tasks(core, &mut slice, &mut left)
            && self.take_scopes(core, &mut slice, left);
        self.raw.slices.push(slice);
        // Read last: a waker posts before it is dropped.
        self.raw.posts |= core.has_messages();
        all
    }

    fn take_tasks(&mut self, core: &Core, slice: &mut Slice, left: &mut usize) -> bool {
        while let Some(chunk) = self.chunk.filter(|_| *left > 0) {
            let cells = core.tasks.borrow().occupied_in(chunk);
            self.chunk = cells.is_some().then_some(chunk + 1);
            for cell in cells.into_iter().flatten().filter(|cell| !cell.is_ended()) {
                if !self.raw.filtered || core.may_matter(&cell) {
                    core.survey(&cell, slice);
                }
                *left = left.saturating_sub(1);
            }
        }
        self.chunk.is_none()
    }

    fn take_scopes(&mut self, core: &Core, slice: &mut Slice, left: usize) -> bool {
        // Looking at a group borrows the owners no more: it is code of another room.
        let owners = core.owners.borrow().from(self.owner, left);
        self.owner = owners.last().map_or(self.owner, |(place, _)| place + 1);
        owners.iter().for_each(|(_, owner)| slice.push_scope(owner.info(core)));
        owners.len() < left
    }
}

impl Core {
    /// The tasks that are parked on sources.
    pub(super) fn seats(&self) -> Vec<(TaskId, Direction)> {
        self.with_reactor(|reactor| reactor.seats()).unwrap_or_default()
    }

    fn has_messages(&self) -> bool {
        self.post_left.get() || self.remote().has_post()
    }

    /// Whether none of these tasks was polled since their polls were counted, or is to be.
    pub(crate) fn are_unpolled(&self, evidence: &[(TaskId, u64)]) -> bool {
        let rests = |(id, cycles): &(TaskId, u64)| {
            self.find(*id).is_some_and(|cell| {
                let runs = Flags::RUNNING | Flags::ENDED | Flags::FREE;
                u64::from(cell.cycles.get()) == *cycles
                    && !cell.flags.any(runs)
                    && (!cell.flags.any(Flags::QUEUED) || self.is_left(&cell))
            })
        };
        evidence.iter().all(rests) && !self.has_messages()
    }

    /// Whether a task that is ready is polled by another task, which was polled since and has not
    /// polled it.
    fn is_left(&self, cell: &TaskRef) -> bool {
        if !cell.flags.any(Flags::HOSTED) {
            return false;
        }
        let owner = self.owners.borrow().get(cell.group()).cloned();
        let host = owner.and_then(|owner| owner.info(self).left_by).and_then(|id| self.find(id));
        host.is_some_and(|host| !host.flags.any(Flags::QUEUED | Flags::RUNNING))
    }

    /// A waiter as a task of this kernel.
    pub(crate) fn waiting_task(&self, waiter: &Waiter) -> Option<TaskId> {
        let task = waiter.task()?;
        std::ptr::eq(&**task.core(), self).then(|| task.id())
    }

    fn abandoned_threads(&self) -> Vec<ThreadInfo> {
        let threads = self.abandoned().into_iter();
        threads.map(|it| ThreadInfo { name: it.name, site: it.site, since: it.since }).collect()
    }

    /// Whether a task can be in a verdict, or has a deadline that keeps others out of one.
    fn may_matter(&self, cell: &TaskRef) -> bool {
        let waits = |kind| {
            [&JOINS, &GROUPS, &LOCKS].iter().any(|kinds| kinds.contains(&kind))
                || kind == "FOREIGN_WAIT"
        };
        cell.flags.any(Flags::LIMITED)
            || cell.attached().1 != NONE
            || !cell.flags.any(Flags::QUEUED | Flags::RUNNING)
                && cell.parked().is_none_or(|leaf| waits(leaf.kind))
            || self.is_left(cell)
    }

    /// What a snapshot copies of one task.
    fn survey(&self, cell: &TaskRef, slice: &mut Slice) {
        self.survey_leaves(cell, slice);
        self.survey_scopes(cell, slice);
        let mut joiners = |joiner| slice.ids.extend(joiner);
        joiners(cell.joiner());
        if let Some(cold) = cell.any_cold() {
            cold.joiners.each_waiter(|waiter| joiners(self.waiting_task(waiter)));
        }
        let owner = self.owners.borrow().get(cell.group()).is_some();
        let details = TaskDetails {
            info: self.bare_info(cell, slice.first_leaf(), &Seats::none()),
            spawned_at: None,
            scope: owner.then(|| cell.group()),
            daemon: cell.flags.any(Flags::DAEMON),
            hosted: cell.flags.any(Flags::HOSTED),
            waker_is_out: cell.is_waker_out(),
            wakes_at: None,
            timeouts: Vec::new(),
            shields: Vec::new(),
            seated: false,
            unrecorded: cell.flags.any(Flags::UNRECORDED),
            cancel: cell.cancel_request().map(|request| CancelInfo {
                reason: request.reason,
                since: self.clock.instant(request.since),
                delivered: cell.was_delivered(),
                delivered_at: cell.delivered_at(),
            }),
        };
        self.with_name(cell, |name| slice.push_task(cell.serial.get(), details, name));
    }

    fn survey_scopes(&self, cell: &TaskRef, slice: &mut Slice) {
        let unopened = self.clock.instant(cell.limit_of_record());
        slice.timeouts.extend(unopened.map(|deadline| TimeoutInfo {
            deadline: Some(deadline),
            site: None,
            cancelled: false,
        }));
        let child = cell.attached().1;
        if child == NONE {
            return;
        }
        self.scopes.borrow().each(child, |scope| match scope.kind {
            ScopeKind::Timeout => slice.timeouts.push(TimeoutInfo {
                deadline: self.clock.instant(scope.deadline),
                site: None,
                cancelled: scope.cancel_seq != 0,
            }),
            ScopeKind::Shield | ScopeKind::SpentShield => slice.shields.push(ShieldInfo {
                until: self.clock.instant(scope.deadline),
                over: scope.kind == ScopeKind::SpentShield,
            }),
            ScopeKind::Body => {}
        });
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut parts = SnapshotParts::of(self);
        while !parts.take_from(self, usize::MAX) {}
        parts.finish()
    }
}

/// The kernel of this thread at this moment: its tasks, groups and threads, and what each parked
/// leaf waits for.
///
/// It takes time in proportion to the number of tasks, about a millisecond for a thousand. Nothing
/// is polled or woken for it. See [`insight`](crate::insight).
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn snapshot() -> Snapshot {
    // Opens the scopes of the caller, whose deadlines are shown.
    current::ambient();
    current::with("kernel::snapshot", |core: &Rc<Core>| core.snapshot())
}

/// Whether none of these tasks was polled since [`WaitGraph::evidence`] was made, so that its
/// verdicts hold.
///
/// # Panics
///
/// Outside a kernel.
#[doc(hidden)]
#[track_caller]
pub fn are_unpolled(evidence: &[(TaskId, u64)]) -> bool {
    current::with("kernel::are_unpolled", |core| core.are_unpolled(evidence))
}

/// Which task waits for what: the [`wait_graph`](Snapshot::wait_graph) of a [`snapshot`].
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn wait_graph() -> WaitGraph {
    current::ambient();
    current::with("kernel::wait_graph", |core| core.snapshot()).into_wait_graph()
}
