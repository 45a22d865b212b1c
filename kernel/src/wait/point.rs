//! The cancel point: what every leaf is made of.
//!
//! A *leaf* is a future that parks by itself instead of polling another future. Every leaf, of
//! Curium or of another crate, holds one [`CancelPoint`] and polls its operation through it. The
//! point spends the budget, tries the operation first (C1), and returns the cancellation when the
//! operation would park (C2). Otherwise it leaves the record that the monitor reads.
//!
//! The first leaf that parks in a poll leaves its record in the cell of its task, provided that no
//! inner scope is open and the waker is the task's own. Any other leaf leaves its record in the
//! arena, attached to its scope, where a delivery finds its waker.

use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::error::TaskCancelled;
use crate::parts::scopes::Parked;
use crate::wait::record::InPlace;

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

/// Where the record of the parked leaf is.
pub(super) enum At {
    Nowhere,
    /// In the task's cell. Valid until the task is polled again.
    TakeCell(InPlace),
    /// In the arena of the scopes, under this key.
    Arena(Rc<Core>, u32),
}

/// What a leaf does when the budget is spent.
pub(crate) enum Pause {
    /// The operation is not tried: a cancellation is due.
    Cancelled(TaskCancelled),
    /// The operation may not complete in this poll of the task.
    Yield,
    /// No task is polled here, so there is no budget.
    GoOn,
}

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
            match self.pause() {
                Pause::Cancelled(cancelled) => return Poll::Ready(Err(cancelled)),
                Pause::Yield => return self.yield_turn(cx).map(Err),
                Pause::GoOn => {
                    current::spend();
                }
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

    /// Completes a poll whose operation would block: arranges the wake-up and parks. One unit of
    /// the budget was spent for the attempt.
    ///
    /// `quick` is kernel code that gets the task. It runs, with a single access to the thread's
    /// context, if the task polls this leaf itself and nothing is or was cancelled. In all other
    /// cases, and if `quick` returns `Unsure`, `slow` runs. Both get `leaf`.
    #[inline(always)]
    pub(crate) fn park_by<L, T>(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut L,
        quick: impl FnOnce(&mut L, &TaskRef) -> Quick<T>,
        slow: impl FnOnce(&mut L, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TaskCancelled>> {
        let mut recorded = false;
        let found = current::with_plain_task(cx.waker(), |cell| {
            let found = quick(leaf, cell);
            recorded = matches!(found, Quick::Parked) && self.record_in(cell);
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
            Poll::Pending => self.park(cx).map(Err),
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
        if cfg!(curium_no_records) {
            // Only benchmarks set this `cfg`, to measure the cost of the lines below.
            return Poll::Pending;
        }
        // The common case: nothing is or was cancelled, and the task polls this leaf itself.
        if current::with_plain_task(cx.waker(), |cell| self.record_in(cell)) == Some(true) {
            return Poll::Pending;
        }
        self.park_anywhere(cx)
    }

    /// Removes the record: the leaf has completed or was cancelled.
    #[inline]
    pub(crate) fn unpark(&mut self) {
        match self.at {
            At::Nowhere => {}
            // This poll has recorded no leaf, so the record is from an earlier poll. It ended when
            // this task was polled again. If it belongs to another task, it ends at the next poll
            // of that task.
            At::TakeCell(_) if !current::has_recorded() => self.at = At::Nowhere,
            _ => self.take_record(),
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
            Some(due.then(|| core.deliver(self.since)))
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
            core.with_running(|task| probe.surveys(task)).filter(|surveyed| *surveyed)?;
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

    /// Leaves the record in the task's cell. The caller has checked that no inner scope is open.
    /// False if the waker is not the task's own or another leaf has already recorded itself.
    #[inline(always)]
    pub(super) fn park_in_place(&mut self, cx: &Context<'_>) -> bool {
        current::with_own_task(cx.waker(), |cell| self.record_in(cell)) == Some(true)
    }

    #[inline(always)]
    pub(super) fn record_in(&mut self, cell: &TaskRef) -> bool {
        if cfg!(curium_no_records) {
            return true;
        }
        let mut since = None;
        match &self.at {
            At::Nowhere => {}
            At::TakeCell(record) if record.is_of(cell) => since = Some(record.since),
            _ => return false,
        }
        if current::has_recorded() {
            // A leaf has recorded itself in this poll. It is this leaf only if the record is of the
            // same cycle: the leaf is then polled twice in one poll of the task.
            let cycle = cell.cycles.get();
            return matches!(&self.at, At::TakeCell(record) if record.cycle == cycle);
        }
        if self.since == 0 {
            self.since = cell.core().cancel_seq();
        }
        let since = since.unwrap_or_else(|| cell.core().tick_now());
        cell.set_parked(Parked { kind: self.kind, site: self.site, since });
        current::set_recorded(true);
        self.at = At::TakeCell(InPlace {
            task: cell.id(),
            kernel: cell.core().number,
            cycle: cell.cycles.get(),
            since,
        });
        true
    }
}

impl Drop for CancelPoint {
    #[inline]
    fn drop(&mut self) {
        // Not `unpark`, which assumes that the leaf's task is being polled.
        if !matches!(self.at, At::Nowhere) {
            self.take_record();
        }
    }
}

impl std::fmt::Debug for CancelPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelPoint").field("kind", &self.kind).field("site", &self.site).finish()
    }
}
