//! Where a leaf returns a cancellation: when it would park (C2), and when its budget is spent (K2).
//!
//! It is apart from `spot.rs` because a task is rarely cancelled, and rarely completes so many
//! operations in one poll.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::Core;
use crate::error::TaskCancelled;
use crate::parts::list::NONE;
use crate::wait::record::At;
use crate::wait::spot::Spot;

/// What a leaf does when the budget is spent.
pub(crate) enum Pause {
    /// The operation is not tried: a cancellation is due.
    Cancelled(TaskCancelled),
    /// The operation may not complete in this poll of the task.
    Yield,
    /// No task is polled here, so there is no budget.
    GoOn,
}

impl Spot {
    /// Removes the record. The leaf counts as never parked before.
    pub(crate) fn reset(&mut self) {
        self.unpark();
        self.since = 0;
    }

    /// Returns the cancellation of the task for a leaf that would park, if that is due and no scope
    /// is between the task and the leaf ([`current::is_cancelled`]). `core` is the current kernel.
    #[inline]
    pub(super) fn interrupt(&mut self, core: &Core) -> TaskCancelled {
        let cancelled = core.deliver_of_task(Some(self.site));
        self.unpark();
        cancelled
    }

    /// Parks outside the common case, or returns the cancellation that is due.
    #[inline(never)]
    pub(super) fn park_anywhere(
        &mut self,
        kind: &'static str,
        cx: &Context<'_>,
        object: u64,
    ) -> Poll<TaskCancelled> {
        if current::is_cancelled() && !self.is_shielded() {
            // Fast path: the task was cancelled, and the leaf is in no inner scope.
            // A clone, because this may drop the waker of a program.
            if let Some(core) = current::try_with(Rc::clone) {
                return Poll::Ready(self.interrupt(&core));
            }
        }
        // The first leaf in its chunk of tasks finds no room for its record.
        let first = current::with_plain_task(cx.waker(), |cell| {
            cell.make_records() && self.record_in(kind, cell, object)
        });
        if first == Some(true) {
            return Poll::Pending;
        }
        let Some(core) = current::try_with(Rc::clone) else {
            // Outside a kernel nothing is ever cancelled.
            return Poll::Pending;
        };
        if !self.is_shielded() {
            if self.since != 0 && self.was_parked_elsewhere(&core) {
                // The leaf has moved to this task from another. It counts as never parked.
                self.take_record();
                self.since = 0;
            }
            if core.due(self.since) {
                let cancelled = core.deliver(self.since, Some(self.site));
                self.unpark();
                return Poll::Ready(cancelled);
            }
        }
        if self.since == 0 {
            self.park_since(&core);
        }
        let root = current::ambient().scope == NONE;
        if !(root && self.park_in_place(kind, cx, object)) {
            self.park_in_arena(kind, &core, cx, object);
        }
        Poll::Pending
    }

    fn was_parked_elsewhere(&self, core: &Core) -> bool {
        if !core.has_counted(self.since) {
            return true;
        }
        let task = match self.place() {
            At::Nowhere => return false,
            At::TaskSlot(task) => task,
            At::Arena(key) => core.scopes.borrow().records[key as usize].task,
        };
        core.running_id() != Some(task)
    }

    /// The budget is spent: returns a cancellation that is due; otherwise the task must yield to
    /// the other tasks (K2).
    #[cold]
    pub(crate) fn pause(&mut self, kind: &'static str) -> Pause {
        if self.is_surveyed(kind) {
            current::allow_one();
            return Pause::GoOn;
        }
        let cancelled = current::try_with(|core| {
            core.running_id()?;
            // A leaf that has moved from another kernel counts as never parked.
            let since = if core.has_counted(self.since) { self.since } else { 0 };
            let due = !self.is_shielded() && core.due(since);
            Some(due.then(|| core.deliver(since, Some(self.site))))
        });
        match cancelled.flatten() {
            None => {
                current::renew_budget();
                Pause::GoOn
            }
            Some(None) => {
                current::refuse();
                Pause::Yield
            }
            Some(Some(cancelled)) => {
                self.unpark();
                Pause::Cancelled(cancelled)
            }
        }
    }

    /// Shows the attempt to the test kit. True: the test kit spends the budget, and some is left.
    fn is_surveyed(&self, kind: &'static str) -> bool {
        let tried = current::try_with(|core| {
            let probe = core.settings.probe.clone()?;
            core.with_polled_root(|task| probe.surveys(task)).filter(|surveyed| *surveyed)?;
            Some(probe.tries(kind, self.site))
        });
        tried.flatten() == Some(true)
    }

    /// Ends a poll whose budget is spent. The task is queued again, and the leaf is parked
    /// meanwhile, so that a cancellation reaches it (C2).
    #[cold]
    pub(crate) fn yield_turn(
        &mut self,
        kind: &'static str,
        cx: &Context<'_>,
    ) -> Poll<TaskCancelled> {
        cx.waker().wake_by_ref();
        self.park_unpaid(kind, cx, 0)
    }
}
