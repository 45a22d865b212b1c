//! What every leaf keeps of its wait, in as few bytes as possible, because a future is as large as
//! the leaves in it.
//!
//! The kind of the leaf is not part of it. A leaf of which there is one kind passes it at each
//! poll; any other keeps it in a [`CancelPoint`](super::point::CancelPoint).

use std::panic::Location;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::{Core, TaskRef};
use crate::error::TaskCancelled;
use crate::id::TaskId;
use crate::wait::deliver::Pause;
use crate::wait::record::{At, IN_ARENA};

/// The call site of a leaf, since when it is parked, and where its record is.
///
/// It is packed because nothing could use the four bytes at its end otherwise.
#[repr(Rust, packed(4))]
pub(crate) struct Spot {
    pub(super) site: &'static Location<'static>,
    /// The kernel's `cancel_seq` when the leaf first parked, 0 before that; with [`SHIELDED`]. It
    /// is of the kernel in which the record is, if there is a record.
    pub(super) since: u64,
    /// See [`At`].
    pub(super) at: TaskId,
    /// The value of `TaskCell::cycles` in the poll in which the record was left in the slot.
    pub(super) cycle: u32,
}

/// A bit of `since`: the leaf parks but is never cancelled.
const SHIELDED: u64 = 1 << 63;

/// The result of the quick attempt of a leaf that its task polls itself.
pub(crate) enum Quick<T> {
    /// The operation has completed.
    Done(T),
    /// The operation is pending, and its wake-up is arranged.
    Parked,
    /// The quick attempt cannot decide; the slow one must run.
    Unsure,
}

impl Spot {
    #[inline]
    pub(crate) const fn at(site: &'static Location<'static>) -> Self {
        Spot { site, since: 0, at: TaskId::NONE, cycle: 0 }
    }

    /// A spot that is never cancelled.
    pub(super) const fn shielded(site: &'static Location<'static>) -> Self {
        Spot { site, since: SHIELDED, at: TaskId::NONE, cycle: 0 }
    }

    #[inline]
    pub(crate) fn site(&self) -> &'static Location<'static> {
        self.site
    }

    #[inline]
    pub(super) fn is_shielded(&self) -> bool {
        self.since & SHIELDED != 0
    }

    /// The `cancel_seq` when the leaf first parked, 0 before that.
    #[inline]
    pub(super) fn seq(&self) -> u64 {
        self.since & !SHIELDED
    }

    /// The leaf is parked in that kernel from now on.
    #[inline]
    pub(super) fn park_since(&mut self, core: &Core) {
        self.since = self.since & SHIELDED | core.cancel_seq();
    }

    /// See [`CancelPoint::poll`](super::point::CancelPoint::poll).
    #[inline]
    pub(crate) fn poll<T>(
        &mut self,
        kind: &'static str,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TaskCancelled>> {
        if !current::spend() {
            if let Some(refused) = self.refused(kind, cx) {
                return refused.map(Err);
            }
        }
        match operation(cx) {
            Poll::Ready(value) => {
                self.unpark();
                Poll::Ready(Ok(value))
            }
            Poll::Pending => self.park(kind, cx).map(Err),
        }
    }

    /// The budget is spent: returns a cancellation that is due, or yields. `None`: the operation is
    /// tried all the same.
    #[cold]
    pub(super) fn refused(
        &mut self,
        kind: &'static str,
        cx: &Context<'_>,
    ) -> Option<Poll<TaskCancelled>> {
        match self.pause(kind) {
            Pause::Cancelled(cancelled) => Some(Poll::Ready(cancelled)),
            Pause::Yield => Some(self.yield_turn(kind, cx)),
            Pause::GoOn => {
                current::spend();
                None
            }
        }
    }

    /// Completes a poll whose operation would block: arranges the wake-up and parks. One unit of
    /// the budget was spent for the attempt.
    ///
    /// `quick` is kernel code that gets the task. It runs, with a single access to the thread's
    /// context, if the leaf is polled with the task's own waker and nothing is or was cancelled. In
    /// all other cases, and if `quick` returns `Unsure`, `slow` runs. Both get `leaf`.
    #[inline(always)]
    pub(crate) fn park_by<L, T>(
        &mut self,
        kind: &'static str,
        cx: &mut Context<'_>,
        leaf: &mut L,
        quick: impl FnOnce(&mut L, &TaskRef) -> Quick<T>,
        slow: impl FnOnce(&mut L, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TaskCancelled>> {
        self.park_in_queue(kind, cx, leaf, quick, slow, || 0)
    }

    /// The same for a leaf that waits in a wait queue, whose number `object` gives once the leaf
    /// is in it.
    #[inline(always)]
    pub(crate) fn park_in_queue<L, T>(
        &mut self,
        kind: &'static str,
        cx: &mut Context<'_>,
        leaf: &mut L,
        quick: impl FnOnce(&mut L, &TaskRef) -> Quick<T>,
        slow: impl FnOnce(&mut L, &mut Context<'_>) -> Poll<T>,
        object: impl Fn() -> u64,
    ) -> Poll<Result<T, TaskCancelled>> {
        let mut recorded = false;
        let found = current::with_plain_task(cx.waker(), |cell| {
            let found = quick(leaf, cell);
            recorded = matches!(found, Quick::Parked) && self.record_in(kind, cell, object());
            found
        });
        let done = match found {
            Some(Quick::Parked) if recorded => {
                current::unspend();
                return Poll::Pending;
            }
            Some(Quick::Parked) => Poll::Pending,
            Some(Quick::Done(value)) => Poll::Ready(value),
            Some(Quick::Unsure) | None => slow(leaf, cx),
        };
        match done {
            Poll::Ready(value) => {
                self.unpark();
                Poll::Ready(Ok(value))
            }
            Poll::Pending => {
                current::unspend();
                self.park_unpaid(kind, cx, object()).map(Err)
            }
        }
    }

    /// Parks without an operation, or returns the cancellation that is due. Gives back the unit of
    /// the budget that was spent for the attempt: only operations that complete use the budget.
    #[inline(always)]
    pub(super) fn park(&mut self, kind: &'static str, cx: &Context<'_>) -> Poll<TaskCancelled> {
        current::unspend();
        self.park_unpaid(kind, cx, 0)
    }

    /// Like [`park`](Spot::park), for an attempt that spent nothing because the budget was used up.
    /// `object` is the number of the wait queue in which the leaf waits, 0 for none.
    #[inline(always)]
    pub(super) fn park_unpaid(
        &mut self,
        kind: &'static str,
        cx: &Context<'_>,
        object: u64,
    ) -> Poll<TaskCancelled> {
        if cfg!(curium_no_records) {
            // Only benchmarks set this `cfg`, to measure the cost of the lines below.
            return Poll::Pending;
        }
        // The common case: nothing is or was cancelled, and the waker is the task's own.
        let record = |cell: &TaskRef| self.record_in(kind, cell, object);
        if current::with_plain_task(cx.waker(), record) == Some(true) {
            return Poll::Pending;
        }
        self.park_anywhere(kind, cx, object)
    }

    /// Removes the record: the leaf has completed or was cancelled.
    #[inline]
    pub(crate) fn unpark(&mut self) {
        if !self.has_record() {
            return;
        }
        // If this poll has recorded no leaf, a record in the slot is from an earlier poll. It ended
        // when this task was polled again. If it belongs to another task, it ends at the next poll
        // of that task.
        if current::has_recorded() || self.at.index() == IN_ARENA {
            self.take_record();
        } else {
            self.at = TaskId::NONE;
        }
    }

    /// Whether a record may be left.
    #[inline]
    pub(super) fn has_record(&self) -> bool {
        // A comparison would borrow the field, which is packed.
        let at = self.at;
        at != TaskId::NONE
    }

    /// Where the record is.
    #[inline]
    pub(super) fn place(&self) -> At {
        let at = self.at;
        match at.index() {
            _ if at == TaskId::NONE => At::Nowhere,
            IN_ARENA => At::Arena(at.generation()),
            _ => At::TaskSlot(at),
        }
    }
}

impl Drop for Spot {
    #[inline]
    fn drop(&mut self) {
        // Not `unpark`, which assumes that the leaf's task is being polled.
        if self.has_record() {
            self.take_record();
        }
    }
}
