//! Timeouts: a scope with a deadline.
//!
//! On expiry the leaf where the body is parked returns the error, and the body is polled until it
//! ends (T1). Unlike in a `select`, the body is not dropped. The scope, not the clock, decides
//! which timeout expired: this call returns a [`TaskTimeout`] only if its own expiry was delivered
//! inside, and no cancellation of an outer scope was (T2, T3). Source: curio's `timeout_after`,
//! with the cancel scopes of trio.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pin_project_lite::pin_project;

use crate::core::cancel::ScopeResult;
use crate::core::current;
use crate::core::report::{Report, logs_overruns};
use crate::core::state::Core;
use crate::error::{HoldsCancellation, TaskTimeout};
use crate::id::TaskId;
use crate::parts::clock::Clock;
use crate::scope::timed::TimedScope;
use crate::task::bounds::TimeoutOutput;

/// Runs `body`, and cancels it when `limit` has passed, counted from the first poll.
///
/// When the time has run out, the await point where `body` is parked returns a
/// [`TaskCancelled`](crate::TaskCancelled). The body cleans up, and this call returns when the body
/// has ended.
///
/// # Errors
///
/// The outer error is [`TaskTimeout`]: the time of *this* call ran out, and the body ended in an
/// error because of it. The inner errors are the body's own, among them an outer timeout or a
/// cancellation of the task. If the body returns a value after its time has run out, this call
/// returns the value. If its cleanup fails with an error that does not pass the cancellation on,
/// that error is returned unchanged; see [`TaskCancelled`](crate::TaskCancelled).
///
/// `Duration::MAX` means no limit. A limit of zero expires at the first await point that would
/// park.
///
/// ```
/// use std::time::Duration;
/// use curium::kernel::{self, TaskCancelled, sleep, timeout_after};
///
/// kernel::run(async || {
///     let slow = timeout_after(Duration::from_millis(1), sleep(Duration::from_secs(60))).await;
///     assert!(slow.is_err());
///     timeout_after(Duration::from_secs(60), sleep(Duration::from_millis(1))).await.unwrap()
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// The value is inside two results, so it takes two `?`, and an error type that implements
/// `From<TaskTimeout>`. [`io::Error`](std::io::Error) does, and boxed errors do:
///
/// ```
/// # use std::{error::Error, io, time::Duration};
/// # use curium::kernel::timeout_after;
/// # async fn read() -> io::Result<usize> { Ok(1) }
/// # const LIMIT: Duration = Duration::from_secs(5);
/// async fn with_io_error() -> io::Result<usize> {
///     let n: usize = timeout_after(LIMIT, read()).await??;
///     Ok(n)
/// }
///
/// async fn with_boxed_error() -> Result<usize, Box<dyn Error>> {
///     let n: usize = timeout_after(LIMIT, read()).await??;
///     Ok(n)
/// }
/// ```
///
/// An error type of the program's own needs the conversion; `thiserror` derives it from `#[from]`:
///
/// ```
/// # use std::time::Duration;
/// # use curium::kernel::{TaskCancelled, TaskTimeout, sleep, timeout_after};
/// # const LIMIT: Duration = Duration::from_secs(5);
/// #[derive(Debug, thiserror::Error)]
/// enum Failure {
///     #[error(transparent)]
///     Cancelled(#[from] TaskCancelled),
///     #[error(transparent)]
///     Late(#[from] TaskTimeout),
/// }
///
/// async fn with_own_error() -> Result<(), Failure> {
///     timeout_after(LIMIT, sleep(Duration::from_secs(1))).await??;
///     Ok(())
/// }
/// ```
///
/// [`TaskCancelled`](crate::TaskCancelled) has no such conversion, because a timeout is not a
/// cancellation of the task. Handle the timeout in the code:
///
/// ```
/// # use std::time::Duration;
/// # use curium::kernel::{Result, ignore_after, timeout_after};
/// # async fn read() -> Result<usize> { Ok(1) }
/// # const LIMIT: Duration = Duration::from_secs(5);
/// async fn with_task_cancelled() -> Result<usize> {
///     match timeout_after(LIMIT, read()).await {
///         Ok(in_time) => in_time,
///         Err(_late) => Ok(0),
///     }
/// }
///
/// async fn the_same_in_short() -> Result<usize> {
///     let n: Option<usize> = ignore_after(LIMIT, read()).await?;
///     Ok(n.unwrap_or(0))
/// }
/// ```
///
/// # Cancellation
///
/// A cancellation reaches the body as if this call were not there.
///
/// # Panics
///
/// When polled outside a kernel.
#[doc(alias = "timeout")]
#[track_caller]
pub fn timeout_after<F, R>(limit: Duration, body: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture<Output = R>,
    R: TimeoutOutput<Error: HoldsCancellation>,
{
    Timeout::new(Limit::After(limit), body.into_future())
}

/// Like [`timeout_after`], but cancels `body` at `deadline`.
///
/// # Errors
///
/// As [`timeout_after`].
///
/// # Cancellation
///
/// A cancellation reaches the body as if this call were not there.
///
/// # Panics
///
/// When polled outside a kernel.
#[track_caller]
pub fn timeout_at<F, R>(deadline: Instant, body: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture<Output = R>,
    R: TimeoutOutput<Error: HoldsCancellation>,
{
    Timeout::new(Limit::At(deadline), body.into_future())
}

/// Like [`timeout_after`], but returns `None` if the time ran out.
///
/// # Errors
///
/// The body's own; an outer timeout or a cancellation of the task is among them.
///
/// # Cancellation
///
/// A cancellation reaches the body as if this call were not there.
///
/// # Panics
///
/// When polled outside a kernel.
#[track_caller]
pub fn ignore_after<F, R>(limit: Duration, body: F) -> IgnoreAfter<F::IntoFuture>
where
    F: IntoFuture<Output = R>,
    R: TimeoutOutput<Error: HoldsCancellation>,
{
    IgnoreAfter { timeout: timeout_after(limit, body) }
}

#[derive(Clone, Copy)]
enum Limit {
    After(Duration),
    At(Instant),
}

impl Limit {
    /// The deadline. `self` becomes the time that is left at `now`.
    #[inline]
    fn begin(&mut self, clock: &Clock, now: u64) -> u64 {
        match *self {
            Limit::After(limit) => Clock::later(now, limit),
            Limit::At(deadline) => {
                let deadline = clock.at(deadline);
                *self = Limit::After(Duration::from_nanos(deadline.saturating_sub(now)));
                deadline
            }
        }
    }

    /// The time that was left at the first poll.
    #[inline]
    fn left(&self) -> Duration {
        match *self {
            Limit::After(limit) => limit,
            Limit::At(_) => unreachable!("the timeout was polled"),
        }
    }
}

pin_project! {
    /// The future of [`timeout_after`] and [`timeout_at`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Timeout<F> {
        // Declared before the scope, so that it is dropped first.
        #[pin]
        body: F,
        scope: TimedScope,
        // From the first poll on, the time that there was then.
        limit: Limit,
        site: &'static Location<'static>,
    }
}

impl<F> Timeout<F> {
    #[track_caller]
    fn new(limit: Limit, body: F) -> Self {
        let scope = TimedScope::new();
        Timeout { body, scope, limit, site: Location::caller() }
    }
}

impl<F, T, E> Future for Timeout<F>
where
    F: Future<Output = Result<T, E>>,
    E: HoldsCancellation,
{
    type Output = Settled<T, E>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (body, scope) = (this.body, this.scope);
        if !scope.is_new() {
            return match scope.poll_again(cx, |cx| body.poll(cx)) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(result) => Poll::Ready(conclude(scope, this.limit, result)),
            };
        }
        let Some((task, now, deadline, has_sink)) = begin(this.limit) else {
            current::outside_at("a timeout", this.site);
        };
        let polled = scope.poll_first(task, (now, deadline), cx, |cx| body.poll(cx));
        let Poll::Ready(result) = polled else { return Poll::Pending };
        if !scope.is_new() {
            return Poll::Ready(conclude(scope, this.limit, result));
        }
        if result.is_ok() && (has_sink || logs_overruns()) {
            let core = current::try_with(Rc::clone);
            core.inspect(|core| note_overrun(core, task, this.limit, deadline, false));
        }
        Poll::Ready(Ok(result))
    }
}

/// Begins a timeout: the task that polls it, the time, the deadline, and whether the kernel has a
/// sink of reports. None outside a kernel.
#[inline]
fn begin(limit: &mut Limit) -> Option<(TaskId, u64, u64, bool)> {
    let begun = current::try_with(|core| {
        let task = core.running_id()?;
        let now = core.clock.now();
        Some((task, now, limit.begin(&core.clock, now), core.has_sink()))
    });
    begun.flatten()
}

/// Makes the result of a timeout from that of its body, which was polled more than once or has
/// opened the scope. Closes the scope.
fn conclude<T, E: HoldsCancellation>(
    scope: &mut TimedScope,
    limit: &Limit,
    result: Result<T, E>,
) -> Settled<T, E> {
    let mut guard = scope.end();
    let core = guard.core();
    if result.is_ok() && core.shows_overruns() {
        let (task, fired) = match guard.is_open() {
            true => guard.with_scope(|it| (it.task, it.cancel_seq != 0)),
            false => (scope.task(), false),
        };
        note_overrun(core, task, limit, scope.deadline(), fired);
    }
    if !guard.is_open() {
        guard.disarm();
        return Ok(result);
    }
    match result {
        Ok(value) => {
            guard.close(ScopeResult::Any);
            Ok(Ok(value))
        }
        Err(error) => match guard.close_failed(&error) {
            Some(_) => Err(TaskTimeout::new(limit.left())),
            None => Ok(Err(error)),
        },
    }
}

type Settled<T, E> = Result<Result<T, E>, TaskTimeout>;

/// Reports a body that has ended with a value after its deadline. One that never parked may be late
/// although no timer was checked. With a limit of zero, only a body that parks is late.
#[inline(never)]
fn note_overrun(core: &Core, task: TaskId, limit: &Limit, deadline: u64, fired: bool) {
    let by = core.clock.now().saturating_sub(deadline);
    if (fired || by > 0) && !limit.left().is_zero() {
        report_overrun(core, task, by);
    }
}

#[cold]
fn report_overrun(core: &Core, task: TaskId, by: u64) {
    core.report(&Report::Overran { by: Duration::from_nanos(by), task });
}

impl<F> fmt::Debug for Timeout<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout").field("site", &self.site).finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`ignore_after`].
    #[derive(Debug)]
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct IgnoreAfter<F> {
        #[pin]
        timeout: Timeout<F>,
    }
}

impl<F, T, E> Future for IgnoreAfter<F>
where
    F: Future<Output = Result<T, E>>,
    E: HoldsCancellation,
{
    type Output = Result<Option<T>, E>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().timeout.poll(cx).map(|settled| match settled {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(error)) => Err(error),
            Err(TaskTimeout { .. }) => Ok(None),
        })
    }
}
