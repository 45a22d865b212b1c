//! Shields, and the questions about a cancellation.
//!
//! A shield is a scope inside which the cancellation of outer scopes is not visible
//! (`core/cancel.rs`). When the outermost shield has ended, the cancellation that it held back is
//! delivered at the first leaf that would park (C7).

use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

use crate::core::cancel::ScopeResult;
use crate::core::current;
use crate::core::state::Core;
use crate::error::{HoldsCancellation, TaskCancelled};
use crate::parts::clock::NEVER;
use crate::parts::scopes::ScopeKind;
use crate::scope::guard::ScopeGuard;

/// Runs `body` to its end: no cancellation or timeout from outside is delivered inside.
///
/// Timeouts that begin inside still work. Shields nest. Tasks spawned inside do not inherit the
/// shield. Outside a kernel, where nothing is cancelled, it has no effect.
///
/// # Cancellation
///
/// Held back. When the outermost shield has ended, it is delivered at the first await point that
/// would park.
pub fn shield<F: Future>(body: F) -> Shield<F> {
    Shield { body, scope: None, limit: None }
}

/// The same as [`shield()`], under the name that it has in curio.
///
/// # Cancellation
///
/// As [`shield()`].
pub fn disable_cancellation<F: Future>(body: F) -> Shield<F> {
    shield(body)
}

/// Like [`shield()`], but with a time limit, counted from the first poll. After it, `body`
/// continues without the shield.
///
/// # Cancellation
///
/// Held back for `limit`; then it is delivered at the await point where `body` is parked.
pub fn shield_for<F: Future>(limit: Duration, body: F) -> Shield<F> {
    Shield { body, scope: None, limit: Some(limit) }
}

/// The cancellation that is pending for the running task, if any, even if a shield holds it back.
///
/// The cancellation stays pending: the next await point that would park, outside all shields, still
/// returns it. This neither awaits nor yields. Outside a kernel it returns `None`.
pub fn check_cancellation() -> Option<TaskCancelled> {
    current::try_with(|core| core.peek()).flatten()
}

/// Separates a cancellation of the caller from a real error, so that a loop that retries does not
/// swallow the cancellation. `?` on the outer result passes the cancellation on. The inner result
/// is `result` without the cancellation.
///
/// ```
/// use std::{io, time::Duration};
/// use curium::kernel::{self, sleep, unless_cancelled};
/// # async fn fetch(left: &mut u32) -> io::Result<&'static str> {
/// #     sleep(Duration::from_millis(1)).await?;
/// #     *left -= 1;
/// #     if *left > 0 { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok("page") }
/// # }
///
/// async fn fetch_at_last() -> io::Result<&'static str> {
///     # let mut left = 3;
///     loop {
///         match unless_cancelled(fetch(&mut left).await)? {
///             Ok(page) => return Ok(page),
///             Err(error) => eprintln!("trying again: {error}"),
///         }
///         sleep(Duration::from_millis(10)).await?;
///     }
/// }
/// # assert_eq!(kernel::run(fetch_at_last).unwrap(), "page");
/// ```
///
/// An error is the caller's cancellation if it passes on one that was delivered to the task that
/// runs, or to a timeout or a group's body around the call: it holds that very cancellation, or, if
/// the kernel cannot inspect its type, a copy of the cancellation is left. See [`TaskCancelled`]. A
/// cancellation that was delivered outside a shield does not count inside it.
///
/// So the cancellation of another task, returned by awaiting that task, is a real error, unless the
/// caller is being cancelled as well and has cancelled that task itself. Outside a kernel nothing
/// is cancelled.
///
/// # Errors
///
/// The cancellation.
pub fn unless_cancelled<T, E: HoldsCancellation>(
    result: Result<T, E>,
) -> Result<Result<T, E>, TaskCancelled> {
    let Err(error) = &result else { return Ok(result) };
    match echo_of(error) {
        Some(cancelled) => Err(cancelled),
        None => Ok(result),
    }
}

/// The cancellation of the running task that an error passes on. It runs conversions of the error.
pub(crate) fn echo_of<E: HoldsCancellation>(error: &E) -> Option<TaskCancelled> {
    current::try_with(Rc::clone)?.echo_around(error)
}

pin_project! {
    /// The future of [`shield()`] and [`shield_for`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Shield<F> {
        // Declared before the guard, so that it is dropped first.
        #[pin]
        body: F,
        scope: Option<ShieldScope>,
        limit: Option<Duration>,
    }
}

/// The scope of a shield that has been polled.
pub(super) struct ShieldScope(pub(super) ScopeGuard);

impl ShieldScope {
    pub(super) fn new(core: &Rc<Core>, limit: Option<Duration>) -> Option<Self> {
        let deadline = limit.map_or(NEVER, |limit| core.clock.after(limit));
        ScopeGuard::open(core, ScopeKind::Shield, deadline).map(ShieldScope)
    }
}

impl Drop for ShieldScope {
    fn drop(&mut self) {
        // No outer timeout becomes pending again. The cancellation of an outer scope is
        // delivered inside only after the time limit, and then belongs to the code around the
        // shield.
        self.0.close(ScopeResult::PassesOn);
    }
}

impl<F: Future> Future for Shield<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        if this.scope.is_none() {
            let core = current::try_with(Rc::clone);
            *this.scope = core.and_then(|core| ShieldScope::new(&core, *this.limit));
        }
        let body = this.body;
        let polled = match &*this.scope {
            Some(shield) => shield.0.poll(|| body.poll(cx)),
            None => body.poll(cx),
        };
        if polled.is_ready() {
            *this.scope = None;
        }
        polled
    }
}

impl<F> fmt::Debug for Shield<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shield").field("limit", &self.limit).finish_non_exhaustive()
    }
}
