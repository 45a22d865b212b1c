//! A scope that is opened when something inside it needs it.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::Core;
use crate::core::unopened::{Unopened, enter_body, leave_body};
use crate::parts::clock::NEVER;
use crate::parts::scopes::ScopeKind;
use crate::scope::guard::ScopeGuard;

/// A [`ScopeGuard`] that is not opened while its body can do without.
///
/// A poll only notes the scope in the kernel (`core/unopened.rs`). It is opened, with all scopes
/// around it that are not open, when something inside needs it: a leaf that cannot park in the slot
/// of its task, a scope or a group that begins, code that asks about a cancellation or about the
/// tasks of the kernel. If the body is ready before that, there was no scope. No rule tells the two
/// apart: nothing was delivered inside, because a leaf that delivers opens the scope.
///
/// That of a timeout is in `timed.rs`.
///
/// A struct declares it *after* the body, so that the body is dropped first.
pub(crate) struct LazyScope {
    /// None while the scope is not open.
    guard: Option<ScopeGuard>,
}

impl LazyScope {
    pub(crate) const fn new() -> Self {
        LazyScope { guard: None }
    }

    /// The guard, once the scope is open. The polls from then on are [`ScopeGuard::poll`].
    #[inline]
    pub(crate) fn guard(&mut self) -> Option<&mut ScopeGuard> {
        self.guard.as_mut()
    }

    /// Polls the body for the first time, in the task of `core` that is being polled. Afterwards
    /// the scope is open if something inside has opened it, and if the body is pending.
    #[inline]
    pub(crate) fn poll_hidden<T>(
        &mut self,
        core: &Rc<Core>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        enter_body();
        let inside = Inside { core, guard: &mut self.guard, is_stacked: false };
        // The scopes around may not be open either, so they are opened before this one is left.
        let open = |_: &Context<'_>| {
            current::ambient();
        };
        inside.poll(cx, poll, open)
    }

    /// Polls the body of a scope that is never cancelled itself and is no shield, also again.
    /// Returns whether a leaf is parked in the body when it is pending.
    ///
    /// The scope also waits unopened, as that of a timeout does, or while no leaf is parked inside.
    #[inline]
    pub(crate) fn poll_if_needed<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> (Poll<T>, bool) {
        if let Some(scope) = &self.guard {
            let polled = scope.poll(|| poll(cx));
            let has_leaves = polled.is_pending() && scope.has_leaves();
            return (polled, has_leaves);
        }
        let core = current::try_with(|core| core.running_id().map(|_| core.clone()));
        let Some(core) = core.flatten() else { return (poll(cx), false) };
        // The record in the slot of the task must be of a leaf inside, or of none.
        let hides = current::has_recorded();
        core.enter_unopened(Unopened::new(ScopeKind::Body, NEVER, None, hides));
        let inside = Inside { core: &core, guard: &mut self.guard, is_stacked: true };
        let polled = inside.poll(cx, poll, |cx| {
            if !hides && !current::is_plain(cx.waker()) {
                current::ambient();
            }
        });
        let has_leaves = match &self.guard {
            Some(scope) => polled.is_pending() && scope.has_leaves(),
            None => !hides && current::has_recorded(),
        };
        (polled, has_leaves)
    }
}

/// A poll of the body of a scope that is not open. `Drop` ends the poll when a panic unwinds.
struct Inside<'a> {
    core: &'a Rc<Core>,
    guard: &'a mut Option<ScopeGuard>,
    /// It was put on the stack when it was entered.
    is_stacked: bool,
}

impl Inside<'_> {
    /// Polls the body, and ends the poll. If the body is pending, `pending` decides whether the
    /// scope is opened.
    #[inline]
    fn poll<T>(
        self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
        pending: impl FnOnce(&Context<'_>),
    ) -> Poll<T> {
        let polled = poll(cx);
        // The common end of a poll is inlined here; that of a panic is not.
        let mut ended = ManuallyDrop::new(self);
        if polled.is_pending() {
            pending(cx);
        }
        ended.leave();
        polled
    }

    /// Leaves the scope, and keeps it if it was opened.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn leave(&mut self) {
        let opened = match self.is_stacked {
            true => self.core.leave_unopened().opened(),
            false => leave_body(),
        };
        if let Some(key) = opened {
            self.keep(key);
        }
    }

    #[inline(never)]
    fn keep(&mut self, key: u32) {
        self.core.leave_opened(key);
        *self.guard = Some(ScopeGuard::opened(self.core, key, None));
    }
}

impl Drop for Inside<'_> {
    #[cold]
    fn drop(&mut self) {
        self.leave();
    }
}
