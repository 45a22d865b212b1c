//! A scope that is opened when something inside it needs it.

use std::rc::Rc;
use std::task::Poll;

use crate::core::current;
use crate::core::state::Core;
use crate::core::unopened::Opened;
use crate::parts::scopes::ScopeKind;
use crate::scope::guard::ScopeGuard;

/// A [`ScopeGuard`] that is not opened while its body can do without.
///
/// The first poll only notes the scope in the kernel (`core/unopened.rs`). It is opened, with all
/// scopes around it that are not open, when a leaf inside would park, when a scope or a group
/// begins inside, when code inside asks about a cancellation or about the tasks of the kernel, and
/// at the latest when the body returns `Pending`. If the body is ready before that, there was no
/// scope, and no timer was armed. No rule tells the two apart: nothing was delivered inside,
/// because a leaf that would have parked has opened the scope.
///
/// A struct declares it *after* the body, so that the body is dropped first.
pub(crate) struct LazyScope {
    kind: ScopeKind,
    guard: Option<ScopeGuard>,
}

impl LazyScope {
    pub(crate) const fn new(kind: ScopeKind) -> Self {
        LazyScope { kind, guard: None }
    }

    /// The scope, once it is open. The polls from then on are [`ScopeGuard::poll`].
    #[inline]
    pub(crate) fn guard(&mut self) -> Option<&mut ScopeGuard> {
        self.guard.as_mut()
    }

    /// Polls a body for the first time, in the task of `core` that is being polled. Afterwards the
    /// scope is open if something inside has opened it, and if the body is pending.
    ///
    /// The scope is cancelled at `deadline`. If that is not after `now`, it is opened at once, and
    /// its cancellation is pending.
    #[inline]
    pub(crate) fn poll_first<T>(
        &mut self,
        core: &Rc<Core>,
        (now, deadline): (u64, u64),
        poll: impl FnOnce() -> Poll<T>,
    ) -> Poll<T> {
        core.enter_unopened(self.kind, deadline);
        let _inside = Inside { core, guard: &mut self.guard };
        if deadline <= now {
            core.expire_all();
        }
        let polled = poll();
        if polled.is_pending() {
            // Before the scope is left, because those around it may not be open either.
            current::ambient();
        }
        polled
    }
}

/// The first poll of a body. `Drop` ends it, also when a panic unwinds, and keeps the scope if it
/// was opened.
struct Inside<'a> {
    core: &'a Rc<Core>,
    guard: &'a mut Option<ScopeGuard>,
}

impl Drop for Inside<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(opened) = self.core.leave_unopened() {
            self.keep(opened);
        }
    }
}

impl Inside<'_> {
    #[inline(never)]
    fn keep(&mut self, (key, timer): Opened) {
        self.core.leave_opened(key);
        debug_assert!(self.guard.is_none(), "the scope was not open when the poll began");
        *self.guard = Some(ScopeGuard::opened(self.core, key, timer));
    }
}
