//! A scope that other threads cancel: that of a future which a kernel runs for another one, or of
//! the main function of a core.
//!
//! Few are cancelled, so the scope is opened late (`scope/timed.rs`): when something inside needs
//! it, or for its first cancellation. That wakes the task, whose next poll gives it to the scope.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::core::current;
use crate::error::TaskCancelled;
use crate::id::TaskId;
use crate::parts::clock::NEVER;
use crate::scope::guard::ScopeGuard;
use crate::scope::timed::TimedScope;
use crate::task::waker::{Message, Remote};

/// The scope, for those who cancel it.
///
/// A cancellation that comes before the scope is polled, or while an earlier one is pending, waits.
/// So each is delivered, one after the other, or is found by
/// [`undelivered`](RemoteScope::undelivered).
#[derive(Default)]
pub(crate) struct RemoteScope {
    state: Mutex<State>,
    /// Whether a cancellation waits. Set under the lock.
    any_waits: AtomicBool,
}

#[derive(Default)]
struct State {
    /// The task that polls the scope, until it is closed.
    task: Option<TaskId>,
    /// The last cancellation that the scope got.
    last: Option<TaskCancelled>,
    waiting: VecDeque<TaskCancelled>,
}

/// What has a [`RemoteScope`], and is shared between threads.
pub(crate) trait InScope: Send + Sync {
    fn scope(&self) -> &RemoteScope;
}

impl InScope for RemoteScope {
    fn scope(&self) -> &RemoteScope {
        self
    }
}

/// Cancels a scope in the kernel with this mailbox, and does not wait. If the kernel is gone, so is
/// the scope.
pub(crate) fn request_cancel<S>(shared: &Arc<S>, remote: &Remote, cancelled: TaskCancelled)
where
    S: InScope + 'static,
{
    // Not in the message: no copy of it may be left when the scope has ended.
    shared.scope().add(cancelled);
    let shared = shared.clone();
    drop(remote.post(Message::Spawn(Box::new(move || shared.scope().wake()))));
}

impl RemoteScope {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, cancelled: TaskCancelled) {
        let mut state = self.lock();
        state.waiting.push_back(cancelled);
        self.any_waits.store(true, Ordering::Release);
    }

    /// Wakes the task that polls the scope. Called on the thread of its kernel.
    fn wake(&self) {
        let task = self.lock().task;
        if let Some(task) = task {
            current::try_with(|core| core.wake(task));
        }
    }

    /// Cancels the scope on the thread of its kernel.
    #[cfg(feature = "cores")]
    pub(crate) fn cancel(&self, cancelled: TaskCancelled) {
        self.add(cancelled);
        self.wake();
    }

    fn any_waits(&self) -> bool {
        self.any_waits.load(Ordering::Acquire)
    }

    /// Gives the open scope the next cancellation, if none is pending there.
    #[cold]
    fn pass_next(&self, guard: &ScopeGuard) {
        if guard.with_scope(|scope| scope.pending) {
            return;
        }
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        self.any_waits.store(!state.waiting.is_empty(), Ordering::Release);
        let last = mem::replace(&mut state.last, next.clone());
        drop(state);
        drop(last);
        if let Some(next) = next {
            guard.core().cancel_scope_by(guard.key(), next);
        }
    }

    /// The cancellations that no await point has returned. To be called once the scope is closed.
    pub(crate) fn undelivered(&self) -> Vec<TaskCancelled> {
        let mut state = self.lock();
        let last = state.last.take();
        last.into_iter().chain(mem::take(&mut state.waiting)).collect()
    }
}

/// A [`RemoteScope`] in its kernel, around the whole of a task. `Drop` closes it.
pub(crate) struct OpenScope<S: InScope> {
    lazy: TimedScope,
    shared: Arc<S>,
    /// Whether those who cancel it know its task.
    is_known: bool,
}

impl<S: InScope> OpenScope<S> {
    pub(crate) fn new(shared: Arc<S>) -> Self {
        OpenScope { lazy: TimedScope::new(), shared, is_known: false }
    }

    /// Runs `poll` inside the scope. When `poll` is ready, the caller closes the scope.
    pub(crate) fn poll<R>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let polled_by =
            current::try_with(|core| core.running_id().map(|task| (core.clone(), task)));
        let (core, task) = polled_by.flatten().expect("it is polled by its task");
        let scope = self.shared.scope();
        if scope.any_waits() {
            if let Some(guard) = self.lazy.open(&core, task) {
                scope.pass_next(guard);
            }
        }
        let polled = if self.lazy.is_new() {
            self.lazy.poll_first(task, (0, NEVER), cx, poll)
        } else {
            self.lazy.poll_again(cx, poll)
        };
        if polled.is_pending() {
            if !self.is_known {
                scope.lock().task = Some(task);
                self.is_known = true;
            }
            // One has come meanwhile, or has waited for the delivery of an earlier one.
            if scope.any_waits() && !self.lazy.is_pending() {
                core.wake(task);
            }
        }
        polled
    }

    /// Closes the scope, as `close` does if it is open, when its body has ended.
    pub(crate) fn close<R>(&mut self, close: impl FnOnce(&mut ScopeGuard) -> R) -> Option<R> {
        if mem::take(&mut self.is_known) {
            self.shared.scope().lock().task = None;
        }
        if self.lazy.is_new() {
            return None;
        }
        let mut guard = self.lazy.end();
        if !guard.is_open() {
            return None;
        }
        if guard.with_scope(|scope| scope.delivered != 0 && !scope.pending) {
            let last = self.shared.scope().lock().last.take();
            drop(last);
        }
        Some(close(&mut guard))
    }
}

impl<S: InScope> Drop for OpenScope<S> {
    fn drop(&mut self) {
        self.close(|_| ());
    }
}
