//! A scope that other threads cancel: that of a future which a kernel runs for another one, or of
//! the main function of a core.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use crate::core::current;
use crate::error::TaskCancelled;
use crate::parts::clock::NEVER;
use crate::parts::scopes::ScopeKind;
use crate::scope::guard::ScopeGuard;
use crate::task::waker::{Message, Remote};

/// The scope, for those who cancel it.
///
/// A cancellation that comes before the scope is open, or while an earlier one is pending, waits.
/// So each is delivered, one after the other, or is found by
/// [`undelivered`](RemoteScope::undelivered).
#[derive(Default)]
pub(crate) struct RemoteScope(Mutex<State>);

#[derive(Default)]
struct State {
    /// The key of the scope in its kernel, while it is open.
    key: Option<u32>,
    /// The last cancellation that the scope got.
    last: Option<TaskCancelled>,
    waiting: VecDeque<TaskCancelled>,
}

impl RemoteScope {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancels the scope in the kernel with this mailbox, and does not wait. If the kernel is gone,
    /// so is the scope.
    pub(crate) fn request(self: &Arc<Self>, remote: &Remote, cancelled: TaskCancelled) {
        let scope = self.clone();
        // Not in the message: no copy of it may be left when the scope has ended.
        self.lock().waiting.push_back(cancelled);
        drop(remote.post(Message::Spawn(Box::new(move || scope.pass_next()))));
    }

    /// The same on the thread of the kernel.
    #[cfg(feature = "cores")]
    pub(crate) fn cancel(&self, cancelled: TaskCancelled) {
        self.lock().waiting.push_back(cancelled);
        self.pass_next();
    }

    /// Gives the scope the next cancellation, if none is pending there.
    fn pass_next(&self) {
        let mut state = self.lock();
        let (Some(key), false) = (state.key, state.waiting.is_empty()) else { return };
        drop(state);
        let pending =
            |key: u32| current::try_with(|core| core.scopes.borrow().scopes[key as usize].pending);
        if pending(key) != Some(false) {
            return;
        }
        state = self.lock();
        let next = state.waiting.pop_front();
        let last = mem::replace(&mut state.last, next.clone());
        drop(state);
        drop(last);
        if let Some(next) = next {
            current::try_with(|core| core.cancel_scope_by(key, next));
        }
    }

    /// The cancellations that no await point has returned. To be called once the scope is closed.
    pub(crate) fn undelivered(&self) -> Vec<TaskCancelled> {
        let mut state = self.lock();
        let last = state.last.take();
        last.into_iter().chain(mem::take(&mut state.waiting)).collect()
    }
}

/// A [`RemoteScope`] in its kernel. `Drop` closes it.
pub(crate) struct OpenScope {
    guard: Option<ScopeGuard>,
    scope: Arc<RemoteScope>,
}

impl OpenScope {
    pub(crate) fn new(scope: Arc<RemoteScope>) -> Self {
        OpenScope { guard: None, scope }
    }

    /// Runs `poll` inside the scope, which the first call opens. When `poll` is ready, the caller
    /// closes the scope.
    pub(crate) fn poll<R>(&mut self, poll: impl FnOnce() -> Poll<R>) -> Poll<R> {
        if self.guard.is_none() {
            let opened =
                current::try_with(|core| ScopeGuard::open(core, ScopeKind::Timeout, NEVER));
            self.guard = opened.flatten();
            self.scope.lock().key = self.guard.as_ref().map(ScopeGuard::key);
            self.scope.pass_next();
        }
        let Some(guard) = &self.guard else { return poll() };
        let polled = guard.poll(poll);
        if polled.is_pending() {
            self.scope.pass_next();
            guard.watch_foreign();
        }
        polled
    }

    /// Closes the scope, as `close` does, when its body has ended.
    pub(crate) fn close<R>(&mut self, close: impl FnOnce(&mut ScopeGuard) -> R) -> Option<R> {
        let guard = self.guard.take();
        let mut state = self.scope.lock();
        state.key = None;
        let delivered = guard
            .as_ref()
            .is_some_and(|guard| guard.with_scope(|scope| scope.delivered != 0 && !scope.pending));
        let last = if delivered { state.last.take() } else { None };
        drop(state);
        drop(last);
        guard.map(|mut guard| close(&mut guard))
    }
}

impl Drop for OpenScope {
    fn drop(&mut self) {
        self.close(|_| ());
    }
}
