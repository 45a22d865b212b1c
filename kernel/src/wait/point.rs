//! The cancel point: what every leaf is made of.
//!
//! A *leaf* is a future that parks by itself instead of polling another future. Every leaf, of
//! Curium or of another crate, holds one [`CancelPoint`], or its [`Spot`], and polls its operation
//! through it. The point spends the budget, tries the operation first (C1), and returns the
//! cancellation when the operation would park (C2, `deliver.rs`). Otherwise it leaves a record
//! (`record.rs`).

use std::marker::PhantomData;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::state::{Core, TaskRef};
use crate::error::TaskCancelled;
use crate::wait::deliver::Pause;
pub(crate) use crate::wait::spot::Quick;
use crate::wait::spot::Spot;

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
    kind: &'static str,
    spot: Spot,
    /// The record belongs to a kernel of this thread.
    stays: PhantomData<Rc<()>>,
}

impl CancelPoint {
    /// A point that shows as `kind` (as in `"EVENT_WAIT"`) at the caller's file and line.
    #[track_caller]
    pub fn new(kind: &'static str) -> Self {
        CancelPoint::at(kind, Location::caller())
    }

    /// Like [`new`](CancelPoint::new), with an explicit call site: for futures that are made deeper
    /// in the code than where they are awaited.
    pub const fn at(kind: &'static str, site: &'static Location<'static>) -> Self {
        CancelPoint { kind, spot: Spot::at(site), stays: PhantomData }
    }

    /// A point that parks but is never cancelled, for the tear-down of a group.
    pub(crate) fn shielded(kind: &'static str, site: &'static Location<'static>) -> Self {
        CancelPoint { kind, spot: Spot::shielded(site), stays: PhantomData }
    }

    /// The file and line that the point shows.
    pub fn site(&self) -> &'static Location<'static> {
        self.spot.site()
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
        self.spot.poll(self.kind, cx, operation)
    }

    /// See [`Spot::park_by`].
    #[inline(always)]
    pub(crate) fn park_by<L, T>(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut L,
        quick: impl FnOnce(&mut L, &TaskRef) -> Quick<T>,
        slow: impl FnOnce(&mut L, &mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TaskCancelled>> {
        self.spot.park_by(self.kind, cx, leaf, quick, slow)
    }

    /// See [`Spot::park_in_queue`].
    #[inline(always)]
    pub(crate) fn park_in_queue<L, T>(
        &mut self,
        cx: &mut Context<'_>,
        leaf: &mut L,
        quick: impl FnOnce(&mut L, &TaskRef) -> Quick<T>,
        slow: impl FnOnce(&mut L, &mut Context<'_>) -> Poll<T>,
        object: impl Fn() -> u64,
    ) -> Poll<Result<T, TaskCancelled>> {
        self.spot.park_in_queue(self.kind, cx, leaf, quick, slow, object)
    }

    /// Parks without an attempt, or returns the cancellation that is due.
    #[inline(always)]
    pub(crate) fn park_unpaid(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        self.spot.park_unpaid(self.kind, cx, 0)
    }

    /// The same in the wait queue with that number, 0 for none.
    #[inline(always)]
    pub(crate) fn park_unpaid_in(&mut self, cx: &Context<'_>, object: u64) -> Poll<TaskCancelled> {
        self.spot.park_unpaid(self.kind, cx, object)
    }

    /// See [`Spot::pause`].
    pub(crate) fn pause(&mut self) -> Pause {
        self.spot.pause(self.kind)
    }

    /// See [`Spot::yield_turn`].
    pub(crate) fn yield_turn(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        self.spot.yield_turn(self.kind, cx)
    }

    /// See [`Spot::interrupt`].
    #[inline]
    pub(super) fn interrupt(&mut self, core: &Core) -> TaskCancelled {
        self.spot.interrupt(core)
    }

    /// Removes the record: the leaf has completed or was cancelled.
    #[inline]
    pub(crate) fn unpark(&mut self) {
        self.spot.unpark();
    }

    /// Removes the record. The leaf counts as never parked before.
    pub(crate) fn reset(&mut self) {
        self.spot.reset();
    }
}

impl std::fmt::Debug for CancelPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("CancelPoint");
        debug.field("kind", &self.kind).field("site", &self.site()).finish()
    }
}
