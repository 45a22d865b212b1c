//! A shield that is opened when a leaf inside it would park.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::cancel::ScopeResult;
use crate::core::current;
use crate::core::unopened;
use crate::scope::guard::ScopeGuard;

/// The shield around a future of another crate. Such a future is polled often, and seldom has a
/// leaf of Curium inside. So a poll only counts the shield (`core/unopened.rs`).
///
/// A struct declares it *after* the body, so that the body is dropped first.
pub(super) struct BareShield(Option<ScopeGuard>);

impl BareShield {
    pub(super) const fn new() -> Self {
        BareShield(None)
    }

    /// Polls the body.
    #[inline]
    pub(super) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if let Some(scope) = &self.0 {
            return scope.poll(|| poll(cx));
        }
        unopened::enter_shield();
        let inside = Inside(self);
        let polled = poll(cx);
        // The common end of a poll is inlined here; that of a panic is not.
        ManuallyDrop::new(inside).leave();
        polled
    }

    /// Closes the shield: its body has ended.
    #[inline]
    pub(super) fn close(&mut self) {
        if self.0.is_some() {
            self.close_open();
        }
    }

    #[inline(never)]
    fn close_open(&mut self) {
        if let Some(scope) = &mut self.0 {
            // No outer timeout becomes pending again, as for a shield of `shield.rs`.
            scope.close(ScopeResult::PassesOn);
        }
    }

    #[inline(never)]
    fn keep(&mut self, key: u32) {
        let core = current::try_with(Rc::clone).expect("the kernel that has opened it is current");
        core.leave_opened(key);
        self.0 = Some(ScopeGuard::opened(&core, key, None));
    }
}

impl Drop for BareShield {
    #[inline]
    fn drop(&mut self) {
        self.close();
    }
}

/// A poll of the body while the shield is not open. `Drop` ends the poll when a panic unwinds.
struct Inside<'a>(&'a mut BareShield);

impl Inside<'_> {
    #[inline]
    fn leave(&mut self) {
        if let Some(key) = unopened::leave_shield() {
            self.0.keep(key);
        }
    }
}

impl Drop for Inside<'_> {
    #[cold]
    fn drop(&mut self) {
        self.leave();
    }
}
