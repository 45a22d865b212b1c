//! The scope that a combinator owns: opening the scope, polling a future in it, closing it.

use std::rc::Rc;

use crate::core::cancel::ScopeResult;
use crate::core::current;
use crate::core::state::Core;
use crate::error::{CancelReason, HoldsCancellation, TaskCancelled};
use crate::parts::clock::NEVER;
use crate::parts::list::NONE;
use crate::parts::scopes::Ambient;
use crate::parts::scopes::{Scope, ScopeKind};
use crate::parts::timers::{Action, TimerKey};

/// A scope that a combinator owns: opened at the first poll of the combinator, closed when dropped.
///
/// A struct declares it *after* the body, so that the body is dropped first.
pub(crate) struct ScopeGuard {
    core: Rc<Core>,
    key: u32,
    /// The timer that cancels the scope at its deadline. If the scope is a shield, the timer ends
    /// the effect of the shield.
    timer: Option<TimerKey>,
}

impl ScopeGuard {
    /// Opens a scope below the one that is being polled, and arms the timer of its deadline.
    pub(crate) fn open(core: &Rc<Core>, kind: ScopeKind, deadline: u64) -> Option<Self> {
        let parent = current::ambient().scope;
        let key = core.with_running(|cell| core.open_scope(cell, parent, kind, deadline))?;
        let timer = (deadline != NEVER).then(|| core.arm(deadline, Action::Scope(key)));
        Some(ScopeGuard { core: core.clone(), key, timer })
    }

    /// The guard of a scope that was opened otherwise, with the timer of its deadline.
    pub(super) fn opened(core: &Rc<Core>, key: u32, timer: Option<TimerKey>) -> Self {
        ScopeGuard { core: core.clone(), key, timer }
    }

    /// The guard of a scope that is not open, with a timer (`timed.rs`).
    #[inline]
    pub(super) fn unopened(core: &Rc<Core>, timer: Option<TimerKey>) -> Self {
        ScopeGuard::opened(core, NONE, timer)
    }

    /// The scope of an unopened guard was opened.
    pub(super) fn open_as(&mut self, key: u32, timer: Option<TimerKey>) {
        (self.key, self.timer) = (key, timer);
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.key != NONE
    }

    #[inline]
    pub(super) fn timer(&self) -> Option<TimerKey> {
        self.timer
    }

    /// Disarms the timer, which is all that an unopened guard has.
    #[inline]
    pub(super) fn disarm(&mut self) {
        if let Some(timer) = self.timer.take() {
            self.core.disarm(timer);
        }
    }

    pub(crate) fn key(&self) -> u32 {
        self.key
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Runs `poll` inside the scope. If the future has moved to another kernel, runs `poll` without
    /// the scope, because a scope exists only in its own kernel.
    pub(crate) fn poll<R>(&self, poll: impl FnOnce() -> R) -> R {
        let core = &*self.core;
        if !current::is_current(core) {
            return poll();
        }
        let inner = core.enter_scope(self.key);
        let _restore = Restore {
            outer: current::ambient(),
            ambient_version: core.ambient_version.get(),
            core,
        };
        current::set_ambient(inner);
        poll()
    }

    pub(crate) fn with_scope<R>(&self, look: impl FnOnce(&Scope) -> R) -> R {
        look(&self.core.scopes.borrow().scopes[self.key as usize])
    }

    /// Takes the copy of the delivered cancellation of this scope. And whether a cancellation of an
    /// outer scope was delivered inside.
    pub(crate) fn take_kept(&self) -> (Option<TaskCancelled>, bool) {
        let scope = &mut self.core.scopes.borrow_mut().scopes[self.key as usize];
        let delivered = scope.delivered != 0;
        (scope.kept.take().filter(|_| delivered), scope.has_outer())
    }

    /// Closes the scope of a body that has ended in `error`. Returns the reason of the scope's own
    /// cancellation, if the error only passes that on.
    pub(crate) fn close_failed<E: HoldsCancellation>(&mut self, error: &E) -> Option<CancelReason> {
        let (kept, foreign) = self.take_kept();
        let Some(kept) = kept else {
            self.close(ScopeResult::Any);
            return None;
        };
        let echo = self.core.echo_of((self.key, foreign), error, &kept, |_| false);
        let result = ScopeResult::from(echo);
        self.close(result);
        (result == ScopeResult::Own).then(|| kept.reason())
    }

    /// Whether a leaf is parked in the scope or in a scope inside.
    pub(crate) fn has_leaves(&self) -> bool {
        self.core.scopes.borrow().has_records(self.key)
    }

    /// Disarms the timer and closes the scope; see [`Core::close_scope`].
    #[inline(never)]
    pub(crate) fn close(&mut self, result: ScopeResult) {
        if let Some(timer) = self.timer.take() {
            self.core.disarm(timer);
        }
        let key = std::mem::replace(&mut self.key, NONE);
        if key != NONE {
            self.core.close_scope(key, result);
        }
    }

    /// If a cancellation of the scope is pending and the task is parked in no leaf of Curium's,
    /// watches the task. It is reported if it stays parked there (C9).
    #[inline]
    pub(crate) fn watch_foreign(&self) {
        if self.with_scope(|scope| scope.pending || scope.delivered != 0) {
            self.watch_cancelled();
        }
    }

    #[inline(never)]
    fn watch_cancelled(&self) {
        let (pending, swallowed) = self.with_scope(|scope| (scope.pending, scope.is_swallowed()));
        if swallowed {
            self.core.watch_swallowed_in(self.key);
        }
        // Only the outermost pending scope watches, because the check walks through all leaves of
        // the task.
        if !pending || current::ambient().pending {
            return;
        }
        self.core.with_running(|cell| {
            if self.core.has_no_leaf(cell) {
                self.core.watch_foreign(cell);
            }
        });
    }
}

impl Drop for ScopeGuard {
    #[inline(always)]
    fn drop(&mut self) {
        if self.key != NONE || self.timer.is_some() {
            self.close(ScopeResult::Any);
        }
    }
}

/// Restores the outer ambient state, also when a panic unwinds.
struct Restore<'a> {
    core: &'a Core,
    outer: Ambient,
    ambient_version: u64,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        current::set_ambient(self.outer);
        if self.core.ambient_version.get() != self.ambient_version {
            self.core.publish(self.outer.scope);
        }
    }
}
