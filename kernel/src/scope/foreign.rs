//! The two doors to futures that are not Curium's.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::core::cancel::ScopeResult;
use crate::error::TaskCancelled;
use crate::scope::bare::BareShield;
use crate::scope::lazy::LazyScope;
use crate::scope::timeout::{Timeout, timeout_after};
use crate::wait::point::CancelPoint;

/// Makes a foreign future cancellable: a cancellation that is due drops the future.
///
/// If `future` completes, its value is returned even if a cancellation is due.
///
/// # Which of the two doors
///
/// A future of another crate does not know Curium's cancellation. There are two ways to cancel it:
///
/// - `cancellable` drops it. Leaves of Curium inside it do not see the cancellation and do not
///   clean up, because it is dropped at once. Use it for a future that holds none of your code and
///   loses nothing when it is dropped: a channel of another crate, a `oneshot`, a `Shared`.
/// - [`cancellable_inside`] lets the leaves of Curium inside it return the error, so that your code
///   in it cleans up, and drops it only if no such leaf is parked. Use it for a foreign future that
///   runs your code: a stream adapter over your futures, a server of another crate that calls your
///   handler.
///
/// A future of your own that awaits only Curium's leaves needs neither.
///
/// ```
/// use std::time::Duration;
/// use curium::kernel::{self, TaskTimeout, cancellable, timeout_after};
///
/// kernel::run(async || {
///     let (sender, receiver) = std::sync::mpsc::channel::<()>();
///     let foreign = std::future::pending::<()>(); // for example a channel of another crate
///     let limit = Duration::from_millis(1);
///     let ended = timeout_after(limit, cancellable(async { drop(sender); foreign.await })).await;
///     assert!(matches!(ended, Err(TaskTimeout { .. })));
///     drop(receiver);
/// });
/// ```
///
/// # Errors
///
/// [`TaskCancelled`], and then `future` has been dropped.
///
/// # Cancellation
///
/// `future` is dropped before it completes. What is lost then depends on `future`.
#[track_caller]
pub fn cancellable<F: IntoFuture>(future: F) -> Cancellable<F::IntoFuture> {
    let point = CancelPoint::new("FOREIGN_WAIT");
    Cancellable { future: Some(future.into_future()), shield: BareShield::new(), point }
}

/// [`cancellable`] inside [`timeout_after`], in one call.
///
/// # Errors
///
/// The outer error: the time ran out, and `future` has been dropped. The inner error: a
/// cancellation from outside.
///
/// # Cancellation
///
/// As [`cancellable`].
///
/// # Panics
///
/// When polled outside a kernel.
#[track_caller]
pub fn cancellable_after<F: IntoFuture>(
    limit: Duration,
    future: F,
) -> Timeout<Cancellable<F::IntoFuture>> {
    timeout_after(limit, cancellable(future))
}

pin_project! {
    /// The future of [`cancellable`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Cancellable<F> {
        // Declared before the shield, so that it is dropped first.
        #[pin]
        future: Option<F>,
        // Leaves inside are shielded: the cancellation is for this future as a whole.
        shield: BareShield,
        point: CancelPoint,
    }
}

impl<F: Future> Future for Cancellable<F> {
    type Output = Result<F::Output, TaskCancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = this.point.poll(cx, |cx| {
            let Some(future) = this.future.as_mut().as_pin_mut() else { polled_again() };
            this.shield.poll(cx, |cx| future.poll(cx))
        });
        if polled.is_ready() {
            this.future.set(None);
            this.shield.close();
        }
        polled
    }
}

#[cold]
fn polled_again() -> ! {
    panic!("a future was polled after it had ended")
}

impl<F> fmt::Debug for Cancellable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellable").field("point", &self.point).finish_non_exhaustive()
    }
}

/// Makes a foreign future cancellable that runs code with leaves of Curium: they return the error,
/// and the code in them cleans up. See [`cancellable`] for the choice between the two.
///
/// If a cancellation is due and no leaf of Curium is parked inside, `future` is dropped.
///
/// # Errors
///
/// [`TaskCancelled`], and then `future` has been dropped. If a leaf inside has returned the
/// cancellation, the result is what `future` makes of it.
///
/// # Cancellation
///
/// Reaches the leaves inside. If there are none, `future` is dropped.
#[track_caller]
pub fn cancellable_inside<F: IntoFuture>(future: F) -> CancellableInside<F::IntoFuture> {
    let point = CancelPoint::new("FOREIGN_WAIT");
    let scope = DoorScope(LazyScope::new());
    CancellableInside { future: Some(future.into_future()), scope, point }
}

pin_project! {
    /// The future of [`cancellable_inside`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct CancellableInside<F> {
        // Declared before the scope, so that it is dropped first.
        #[pin]
        future: Option<F>,
        // It is never cancelled itself. It shows whether a leaf is parked inside.
        scope: DoorScope,
        point: CancelPoint,
    }
}

impl<F: Future> Future for CancellableInside<F> {
    type Output = Result<F::Output, TaskCancelled>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { polled_again() };
        let polled = match this.scope.0.poll_if_needed(cx, |cx| future.poll(cx)) {
            (Poll::Ready(value), _) => Poll::Ready(Ok(value)),
            // The leaves inside return the cancellation. The point must not return it once more
            // when the future parks without a leaf in its cleanup.
            (Poll::Pending, true) => {
                this.point.reset();
                Poll::Pending
            }
            (Poll::Pending, false) => this.point.park_unpaid(cx).map(Err),
        };
        if polled.is_ready() {
            this.future.set(None);
            this.scope.close();
            this.point.unpark();
        }
        polled
    }
}

/// The scope of [`CancellableInside`], which is opened if something inside needs it.
struct DoorScope(LazyScope);

impl DoorScope {
    #[inline]
    fn close(&mut self) {
        if let Some(scope) = self.0.guard() {
            scope.close(ScopeResult::Any);
        }
    }
}

impl Drop for DoorScope {
    #[inline]
    fn drop(&mut self) {
        self.close();
    }
}

impl<F> fmt::Debug for CancellableInside<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancellableInside").field("point", &self.point).finish_non_exhaustive()
    }
}
