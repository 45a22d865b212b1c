//! The cancel point: what every leaf is made of.
//!
//! A *leaf* is a future that parks by itself instead of polling another future. Every leaf of
//! Curium, and every leaf that others write, holds one [`CancelPoint`] and polls its operation
//! through it. The point spends the budget, tries the operation first (C1), returns the
//! cancellation when the operation would park (C2), and otherwise leaves the record that the
//! monitor reads: at the place of its task if it is the first one there in this poll, and with no
//! inner scope and no foreign waker between; else in the arena, on its scope, where a delivery
//! finds its waker.

use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::error::TaskCancelled;
use crate::parts::scopes::Parked;
use crate::wait::record::InPlace;

/// A place where a task may park and be cancelled.
///
/// Outside a kernel it is never cancelled and leaves no record, so a leaf that needs nothing else
/// of a kernel works under any executor.
///
/// ```
/// use std::pin::Pin;
/// use std::task::{Context, Poll};
/// use kernel::{CancelPoint, TaskCancelled};
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
    /// The kernel's counter when it first parked; 0 before. Or [`SHIELDED`].
    pub(super) since: u64,
    pub(super) at: At,
}

/// In place of a counter: it parks, but is never cancelled.
pub(super) const SHIELDED: u64 = u64::MAX;

/// Where the record of the parked leaf is.
pub(super) enum At {
    Nowhere,
    /// At the place of the task, until that is polled again.
    TakeCell(InPlace),
    /// In the arena.
    Arena(Rc<Core>, u32),
}

/// What follows from a spent budget.
pub(crate) enum Pause {
    /// The operation is not tried: a cancellation is due.
    Cancelled(TaskCancelled),
    /// The operation may not complete in this poll of the task.
    Yield,
    /// No task is polled here, so there is no budget.
    GoOn,
}

/// What a leaf came to that looked for its place by the task that polls it.
pub(crate) enum Quick<T> {
    /// It is done.
    Done(T),
    /// It has arranged its wake-up.
    Parked,
    /// That is not enough to go by.
    Unsure,
}

impl CancelPoint {
    /// A point that shows as `kind` (as in `"EVENT_WAIT"`) at the caller's file and line.
    #[track_caller]
    pub fn new(kind: &'static str) -> Self {
        CancelPoint { kind, site: Location::caller(), since: 0, at: At::Nowhere }
    }

    /// The same at another place, for futures that are made deeper down than where they are
    /// awaited.
    pub const fn at(kind: &'static str, site: &'static Location<'static>) -> Self {
        CancelPoint { kind, site, since: 0, at: At::Nowhere }
    }

    /// A point that parks but is never cancelled: the tear-down of a group.
    pub(crate) fn shielded(kind: &'static str, site: &'static Location<'static>) -> Self {
        CancelPoint { kind, site, since: SHIELDED, at: At::Nowhere }
    }

    /// Where it was made.
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// Polls `operation`; where that would park, returns a cancellation that is due, or parks.
    ///
    /// `operation` arranges its own wake-up when it returns `Pending`, as in any future. When the
    /// budget of this poll of the task is spent, it is not tried: the task yields, and a
    /// cancellation that is due comes first.
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
                Pause::GoOn => {}
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

    /// The rest of a poll whose operation was tried in vain, and for which one operation was spent:
    /// arranges the wake-up and parks.
    ///
    /// With one look at the door if the task polls its one leaf itself and nothing is or was
    /// cancelled: `quick` is kernel code that is given the task. All others, and `Unsure` ones, go
    /// by `slow`. Both are given `leaf`.
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

    /// Parks without an operation, or gives the cancellation that is due. One operation was spent
    /// for the attempt: it is given back, as only what completes costs anything.
    #[inline(always)]
    pub(crate) fn park(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        current::unspend();
        self.park_unpaid(cx)
    }

    /// The same for an attempt that was not paid for, as the budget is spent.
    #[inline(always)]
    pub(crate) fn park_unpaid(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        if cfg!(curium_no_records) {
            // A build for the benchmarks alone, to see what the lines below cost.
            return Poll::Pending;
        }
        // The short way: nothing is or was cancelled, and the task polls its one leaf itself.
        if current::with_plain_task(cx.waker(), |cell| self.record_in(cell)) == Some(true) {
            return Poll::Pending;
        }
        self.park_anywhere(cx)
    }

    /// Takes the record away: the leaf is done, one way or the other.
    #[inline]
    pub(crate) fn unpark(&mut self) {
        match self.at {
            At::Nowhere => {}
            // Left in an earlier poll, it is gone; or, if it was another task's, when that is
            // polled next.
            At::TakeCell(_) if !current::has_recorded() => self.at = At::Nowhere,
            _ => self.take_record(),
        }
    }

    /// The budget is spent: a checkpoint, and otherwise a turn for the other tasks (K2).
    #[cold]
    pub(crate) fn pause(&mut self) -> Pause {
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

    /// Ends a poll whose budget is spent: the task is queued again, and the leaf is parked
    /// meanwhile, so that a cancellation reaches it (C2).
    #[cold]
    pub(crate) fn yield_turn(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        cx.waker().wake_by_ref();
        self.park_unpaid(cx)
    }

    /// In no inner scope, polled by the task itself, and no other leaf parked: at its place.
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
            // By whom? By this one, if it is polled twice in one poll of the task.
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
        // Not `unpark`: it may be dropped where its task is not polled.
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
