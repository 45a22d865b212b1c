//! The cancel point: what every leaf is made of.
//!
//! A *leaf* is a future that parks by itself instead of polling another future. Every leaf, of
//! Curium or of another crate, holds one [`CancelPoint`] and polls its operation through it. The
//! point spends the budget, tries the operation first (C1), and returns the cancellation when the
//! operation would park (C2, `deliver.rs`). Otherwise it leaves a record (`record.rs`).

use std::panic::Location;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::TaskRef;
use crate::error::TaskCancelled;
use crate::wait::deliver::Pause;
use crate::wait::record::At;

/// A point where a task may park and be cancelled.
///
/// Outside a kernel it is never cancelled and leaves no record. So a leaf that needs nothing else
/// from a kernel works under any executor.
///
/// ```
/// use std::pin::Pin;
/// use std::task::{Context, Poll};
/// use curium::kernel::{self, CancelPoint, TaskCancelled};
///
/// /// Ready at the second poll.
/// struct Twice { polled: bool, point: CancelPoint }
///
/// impl Future for Twice {
///     type Output = Result<(), TaskCancelled>;
///
///     fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
///         let Twice { polled, point } = &mut *self;
///         point.poll(cx, |cx| {
///             if std::mem::replace(polled, true) {
///                 return Poll::Ready(());
///             }
///             cx.waker().wake_by_ref();
///             Poll::Pending
///         })
///     }
/// }
///
/// kernel::run(async || Twice { polled: false, point: CancelPoint::new("TWICE") }.await).unwrap();
/// ```
pub struct CancelPoint {
    pub(super) kind: &'static str,
    pub(super) site: &'static Location<'static>,
    /// The kernel's `cancel_seq` when the leaf first parked; 0 before that. Or [`SHIELDED`].
    pub(super) since: u64,
    pub(super) at: At,
}

/// A value of `since`: the leaf parks but is never cancelled.
pub(super) const SHIELDED: u64 = u64::MAX;

/// The result of the quick attempt of a leaf that its task polls itself.
pub(crate) enum Quick<T> {
    /// The operation has completed.
    Done(T),
    /// The operation is pending, and its wake-up is arranged.
    Parked,
    /// The quick attempt cannot decide; the slow one must run.
    Unsure,
}

impl CancelPoint {
    /// A point that shows as `kind` (as in `"EVENT_WAIT"`) at the caller's file and line.
    #[track_caller]
    pub fn new(kind: &'static str) -> Self {
        CancelPoint { kind, site: Location::caller(), since: 0, at: At::Nowhere }
    }

    /// Like [`new`](CancelPoint::new), with an explicit call site: for futures that are made deeper
    /// in the code than where they are awaited.
    pub const fn at(kind: &'static str, site: &'static Location<'static>) -> Self {
        CancelPoint { kind, site, since: 0, at: At::Nowhere }
    }

    /// A point that parks but is never cancelled, for the tear-down of a group.
    pub(crate) fn shielded(kind: &'static str, site: &'static Location<'static>) -> Self {
        CancelPoint { kind, site, since: SHIELDED, at: At::Nowhere }
    }

    /// The file and line that the point shows.
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// Polls `operation`. If that would park, returns a cancellation that is due, or parks.
    ///
    /// `operation` arranges its own wake-up when it returns `Pending`, as in any future. If the
    /// budget of this poll of the task is spent, `operation` is not tried: a cancellation that is
    /// due is returned, otherwise the task yields.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`], and then `operation` has not completed: undo what it arranged.
    #[inline]
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TaskCancelled>> {
        if !current::spend() {
            if let Some(refused) = self.refused(cx) {
                return refused.map(Err);
            }
        }
        match operation(cx) {
            Poll::Ready(value) => {
                self.unpark();
                Poll::Ready(Ok(value))
            }
            Poll::Pending => self.park(cx).map(Err),
        }
    }

    /// The budget is spent: returns a cancellation that is due, or yields. `None`: the operation is
    /// tried all the same.
    #[cold]
    pub(super) fn refused(&mut self, cx: &Context<'_>) -> Option<Poll<TaskCancelled>> {
        match self.pause() {
            Pause::Cancelled(cancelled) => Some(Poll::Ready(cancelled)),
            Pause::Yield => Some(self.yield_turn(cx)),
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
        cx: &mut Context<'_>,
        leaf: &mut L,
        quick: impl FnOnce(&mut L, &TaskRef) -> Quick<T>,
        slow: impl FnOnce(&mut L, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TaskCancelled>> {
        self.park_in_queue(cx, leaf, quick, slow, || 0)
    }

    /// The same for a leaf that waits in a wait queue, whose number `object` gives once the leaf
    /// is in it.
    #[inline(always)]
    pub(crate) fn park_in_queue<L, T>(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut L,
        quick: impl FnOnce(&mut L, &TaskRef) -> Quick<T>,
        slow: impl FnOnce(&mut L, &mut Context<'_>) -> Poll<T>,
        object: impl Fn() -> u64,
    ) -> Poll<Result<T, TaskCancelled>> {
        let mut recorded = false;
        let found = current::with_plain_task(cx.waker(), |cell| {
            let found = quick(leaf, cell);
            recorded = matches!(found, Quick::Parked) && self.record_in(cell, object());
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
                self.park_unpaid_in(cx, object()).map(Err)
            }
        }
    }

    /// Parks without an operation, or returns the cancellation that is due. Gives back the unit of
    /// the budget that was spent for the attempt: only operations that complete use the budget.
    #[inline(always)]
    pub(crate) fn park(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        current::unspend();
        self.park_unpaid(cx)
    }

    /// Like [`park`](CancelPoint::park), for an attempt that spent nothing because the budget was
    /// used up.
    #[inline(always)]
    pub(crate) fn park_unpaid(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        self.park_unpaid_in(cx, 0)
    }

    /// The same in the wait queue with that number, 0 for none.
    #[inline(always)]
    pub(crate) fn park_unpaid_in(&mut self, cx: &Context<'_>, object: u64) -> Poll<TaskCancelled> {
        if cfg!(curium_no_records) {
            // Only benchmarks set this `cfg`, to measure the cost of the lines below.
            return Poll::Pending;
        }
        // The common case: nothing is or was cancelled, and the waker is the task's own.
        if current::with_plain_task(cx.waker(), |cell| self.record_in(cell, object)) == Some(true) {
            return Poll::Pending;
        }
        self.park_anywhere(cx, object)
    }

    /// Removes the record: the leaf has completed or was cancelled.
    #[inline]
    pub(crate) fn unpark(&mut self) {
        match self.at {
            At::Nowhere => {}
            // This poll has recorded no leaf, so the record is from an earlier poll. It ended when
            // this task was polled again. If it belongs to another task, it ends at the next poll
            // of that task.
            At::TaskSlot(_) if !current::has_recorded() => self.at = At::Nowhere,
            _ => self.take_record(),
        }
    }
}

impl std::fmt::Debug for CancelPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelPoint").field("kind", &self.kind).field("site", &self.site).finish()
    }
}
