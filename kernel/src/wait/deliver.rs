//! Where a leaf returns a cancellation: when it would park (C2), and when its budget is spent (K2).
//!
//! It is apart from `point.rs` because a task is rarely cancelled, and rarely completes so many
//! operations in one poll.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::Core;
use crate::error::TaskCancelled;
use crate::parts::list::NONE;
use crate::wait::point::{CancelPoint, SHIELDED};
use crate::wait::record::At;

/// What a leaf does when the budget is spent.
pub(crate) enum Pause {
    /// The operation is not tried: a cancellation is due.
    Cancelled(TaskCancelled),
    /// The operation may not complete in this poll of the task.
    Yield,
    /// No task is polled here, so there is no budget.
    GoOn,
}

impl CancelPoint {
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
    pub(super) fn park_anywhere(&mut self, cx: &Context<'_>, object: u64) -> Poll<TaskCancelled> {
        if current::is_cancelled() && self.since != SHIELDED {
            // Fast path: the task was cancelled, and the leaf is in no inner scope.
            if let Some(cancelled) = current::try_with(|core| self.interrupt(core)) {
                return Poll::Ready(cancelled);
            }
        }
        // The first leaf in its chunk of tasks finds no room for its record.
        let first = current::with_plain_task(cx.waker(), |cell| {
            cell.make_records() && self.record_in(cell, object)
        });
        if first == Some(true) {
            return Poll::Pending;
        }
        let Some(core) = current::try_with(Rc::clone) else {
            // Outside a kernel nothing is ever cancelled.
            return Poll::Pending;
        };
        if self.since != SHIELDED {
            if self.since != 0 && self.was_parked_elsewhere(&core) {
                // The leaf has moved to this task from another. It counts as never parked.
                self.since = 0;
            }
            if core.due(self.since) {
                let cancelled = core.deliver(self.since, Some(self.site));
                self.unpark();
                return Poll::Ready(cancelled);
            }
        }
        if self.since == 0 {
            self.since = core.cancel_seq();
        }
        let root = current::ambient().scope == NONE;
        if !(root && self.park_in_place(cx, object)) {
            self.park_in_arena(&core, cx, object);
        }
        Poll::Pending
    }

    fn was_parked_elsewhere(&self, core: &Rc<Core>) -> bool {
        match &self.at {
            At::Nowhere => false,
            At::TaskSlot(record) => core.with_running(|cell| record.is_of(cell)) != Some(true),
            At::Arena(owner, key) => {
                let task = owner.scopes.borrow().records[*key as usize].task;
                !Rc::ptr_eq(owner, core) || core.running_id() != Some(task)
            }
        }
    }

    /// The budget is spent: returns a cancellation that is due; otherwise the task must yield to
    /// the other tasks (K2).
    #[cold]
    pub(crate) fn pause(&mut self) -> Pause {
        if self.is_surveyed() {
            current::allow_one();
            return Pause::GoOn;
        }
        let cancelled = current::try_with(|core| {
            core.running_id()?;
            let due = self.since != SHIELDED && core.due(self.since);
            Some(due.then(|| core.deliver(self.since, Some(self.site))))
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
    fn is_surveyed(&self) -> bool {
        let tried = current::try_with(|core| {
            let probe = core.settings.probe.clone()?;
            core.with_polled_root(|task| probe.surveys(task)).filter(|surveyed| *surveyed)?;
            Some(probe.tries(self.kind, self.site))
        });
        tried.flatten() == Some(true)
    }

    /// Ends a poll whose budget is spent. The task is queued again, and the leaf is parked
    /// meanwhile, so that a cancellation reaches it (C2).
    #[cold]
    pub(crate) fn yield_turn(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        cx.waker().wake_by_ref();
        self.park_unpaid(cx)
    }
}
