//! `CancelScope`: a piece of code that can be cancelled on its own (C15).
//!
//! It is the scope of a timeout with other ways to be cancelled: a call of `cancel`, a deadline
//! that moves, a handle on another thread.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use pin_project_lite::pin_project;

use crate::core::cancel::ScopeResult;
use crate::core::current;
use crate::core::state::Core;
use crate::error::{CancelReason, ScopeCancelled, Unbound};
use crate::parts::clock::NEVER;
use crate::parts::scopes::ScopeKind;
use crate::parts::timers::{Action, TimerKey};
use crate::scope::guard::ScopeGuard;
use crate::scope::scope_handle::{Button, ScopeHandle};

/// A piece of code that can be cancelled on its own, from outside: a stop button.
///
/// [`run`](CancelScope::run) runs a body inside the scope. [`cancel`](CancelScope::cancel) cancels
/// it, from any task of the kernel, and [`handle`](CancelScope::handle) does so from other threads.
/// The await point where the body is parked returns a [`TaskCancelled`](crate::TaskCancelled), the
/// body cleans up, and `run` returns when it has ended, with an outer error that only the
/// cancellation of *this* scope gives. The task goes on.
///
/// A [`deadline`](CancelScope::deadline) that [moves](CancelScope::set_deadline) limits the time
/// since the last activity:
///
/// ```
/// use std::time::Duration;
/// use curium::kernel::{self, CancelScope, TaskCancelled, now, sleep, testing};
///
/// testing::run(async || {
///     let idle = Duration::from_secs(30);
///     let scope = CancelScope::new();
///     let ended = scope
///         .run(async {
///             for pause in [10, 20, 40] {
///                 scope.set_deadline(Some(now() + idle));
///                 sleep(Duration::from_secs(pause)).await?; // for example a read
///             }
///             Ok::<_, TaskCancelled>(())
///         })
///         .await;
///     assert!(ended.is_err(), "the third pause is too long");
/// });
/// ```
///
/// Once cancelled, a scope stays cancelled: a body that is run later is cancelled at its first
/// await point that would park. Clones are the same scope.
#[doc(alias = "CancellationToken")]
#[derive(Clone, Default)]
pub struct CancelScope {
    shared: Rc<Shared>,
}

/// What a scope, its clones, and its run share.
#[derive(Default)]
struct Shared {
    run: RefCell<Option<Running>>,
    cancelled: Cell<Option<CancelReason>>,
    deadline: Cell<Option<Instant>>,
    button: Arc<Button>,
}

/// The run of a scope.
struct Running {
    core: Rc<Core>,
    key: u32,
    /// The timer of the deadline.
    timer: Option<TimerKey>,
    site: &'static Location<'static>,
}

impl CancelScope {
    /// A scope without a deadline.
    pub fn new() -> Self {
        CancelScope::default()
    }

    /// A scope that is cancelled at `deadline`, with the reason `Timeout`.
    pub fn with_deadline(deadline: Instant) -> Self {
        let scope = CancelScope::default();
        scope.shared.deadline.set(Some(deadline));
        scope
    }

    /// Runs `body` inside the scope. It begins at the first poll.
    ///
    /// # Errors
    ///
    /// The outer error: this scope was cancelled, and the body ended because of it. The inner
    /// errors are the body's own, among them a cancellation from outside the scope. A body that
    /// returns a value although the scope was cancelled has succeeded. The error may have any type;
    /// one that does not keep the [`TaskCancelled`](crate::TaskCancelled) is a real error.
    ///
    /// # Cancellation
    ///
    /// A cancellation reaches the body as if this call were not there.
    ///
    /// # Panics
    ///
    /// When polled outside a kernel, and while another run of the same scope goes on.
    #[track_caller]
    pub fn run<F, T, E>(&self, body: F) -> RunScope<F::IntoFuture>
    where
        F: IntoFuture<Output = Result<T, E>>,
        E: 'static,
    {
        RunScope {
            body: body.into_future(),
            guard: None,
            scope: self.clone(),
            site: Location::caller(),
        }
    }

    /// Cancels the scope, and does not wait. A second call does nothing.
    pub fn cancel(&self) {
        self.cancel_because(CancelReason::Scope);
    }

    /// [`cancel`](CancelScope::cancel) with another reason, which the body and the error of `run`
    /// show.
    pub fn cancel_because(&self, reason: CancelReason) {
        if self.shared.cancelled.get().is_some() {
            return;
        }
        self.shared.cancelled.set(Some(reason));
        let run = self.shared.run.borrow().as_ref().map(|run| (run.core.clone(), run.key));
        if let Some((core, key)) = run {
            core.cancel_scope(key, reason);
        }
    }

    /// Whether it was cancelled by a call or through a handle. A deadline that has passed does not
    /// count.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.get().is_some() || self.shared.button.is_pressed()
    }

    /// When a run is cancelled, if that was set.
    pub fn deadline(&self) -> Option<Instant> {
        self.shared.deadline.get()
    }

    /// Moves the deadline, also while the body runs. `None` removes it. A run whose deadline has
    /// passed is cancelled all the same.
    pub fn set_deadline(&self, deadline: Option<Instant>) {
        self.shared.expire();
        self.shared.deadline.set(deadline);
        self.shared.arm();
        self.shared.expire();
    }

    /// A handle by which other threads cancel the scope.
    pub fn handle(&self) -> ScopeHandle {
        let handle = ScopeHandle::new(&self.shared.button);
        if handle.is_only_one() {
            // The run must be polled, so that it leaves its waker.
            let run = self.shared.run.borrow().as_ref().map(|run| (run.core.clone(), run.key));
            if let Some((core, key)) = run {
                core.wake_scope(key);
            }
        }
        handle
    }
}

impl Shared {
    /// Arms the timer of the deadline anew, if a body runs.
    fn arm(&self) {
        let mut run = self.run.borrow_mut();
        let Some(run) = &mut *run else { return };
        if let Some(timer) = run.timer.take() {
            run.core.disarm(timer);
        }
        let deadline = self.deadline.get().map_or(NEVER, |at| run.core.clock.at(at));
        if let Some(scope) = run.core.scopes.borrow_mut().scopes.get_mut(run.key as usize) {
            scope.deadline = deadline;
        }
        run.timer = (deadline != NEVER).then(|| run.core.arm(deadline, Action::Scope(run.key)));
    }

    /// Cancels the run if its deadline has passed.
    fn expire(&self) {
        let run = self.run.borrow().as_ref().map(|run| (run.core.clone(), run.key));
        let Some((core, key)) = run else { return };
        let deadline = self.deadline.get().map_or(NEVER, |at| core.clock.at(at));
        if deadline <= core.clock.now() {
            core.cancel_scope(key, CancelReason::Timeout);
        }
    }

    fn end(&self) {
        let run = self.run.borrow_mut().take();
        if let Some(Running { core, timer: Some(timer), .. }) = run {
            core.disarm(timer);
        }
        self.button.forget();
    }
}

impl fmt::Debug for CancelScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelScope")
            .field("cancelled", &self.is_cancelled())
            .field("running", &self.shared.run.borrow().is_some())
            .field("deadline", &self.deadline())
            .finish()
    }
}

pin_project! {
    /// The future of [`CancelScope::run`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct RunScope<F> {
        // Declared before the guard, so that it is dropped first.
        #[pin]
        body: F,
        guard: Option<Entered>,
        scope: CancelScope,
        site: &'static Location<'static>,
    }
}

/// The open scope of a run. `Drop` ends the run.
struct Entered {
    guard: ScopeGuard,
    shared: Rc<Shared>,
}

impl Entered {
    #[track_caller]
    fn new(scope: &CancelScope, site: &'static Location<'static>) -> Self {
        let shared = scope.shared.clone();
        if let Some(run) = &*shared.run.borrow() {
            panic!(
                "the run of a `CancelScope` at {site} begins while that at {} goes on; use a scope \
                 for each",
                run.site
            );
        }
        let core = current::try_with(Rc::clone);
        let guard = core.and_then(|core| ScopeGuard::open(&core, ScopeKind::Timeout, NEVER));
        let Some(guard) = guard else { current::outside_at("the run of a `CancelScope`", site) };
        let (core, key) = (guard.core().clone(), guard.key());
        *shared.run.borrow_mut() = Some(Running { core: core.clone(), key, timer: None, site });
        shared.arm();
        shared.expire();
        if let Some(reason) = shared.cancelled.get() {
            core.cancel_scope(key, reason);
        }
        Entered { guard, shared }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl<F, T, E> Future for RunScope<F>
where
    F: Future<Output = Result<T, E>>,
    E: 'static,
{
    type Output = Result<Result<T, E>, ScopeCancelled>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = match this.guard {
            Some(entered) => entered,
            None => this.guard.insert(Entered::new(this.scope, this.site)),
        };
        let shared = &this.scope.shared;
        shared.button.register(cx.waker());
        if shared.button.is_pressed() {
            this.scope.cancel();
        }
        let body = this.body;
        match entered.guard.poll(|| body.poll(cx)) {
            Poll::Pending => {
                entered.guard.watch_foreign();
                Poll::Pending
            }
            Poll::Ready(result) => {
                let mut entered = this.guard.take().expect("entered while it is polled");
                entered.shared.end();
                Poll::Ready(conclude(&mut entered.guard, result))
            }
        }
    }
}

/// Closes the scope with the result of the body, and decides whether the scope has ended it.
fn conclude<T, E: 'static>(
    guard: &mut ScopeGuard,
    result: Result<T, E>,
) -> Result<Result<T, E>, ScopeCancelled> {
    let error = match result {
        Ok(value) => {
            guard.close(ScopeResult::Any);
            return Ok(Ok(value));
        }
        Err(error) => Unbound(error),
    };
    match guard.close_failed(&error) {
        Some(reason) => Err(ScopeCancelled::new(reason)),
        None => Ok(Err(error.0)),
    }
}

impl<F> fmt::Debug for RunScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunScope").field("site", &self.site).finish_non_exhaustive()
    }
}
