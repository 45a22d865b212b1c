//! How other threads reach a `CancelScope`.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// What the handles of a scope reach from other threads.
#[derive(Default)]
pub(super) struct Button {
    pressed: AtomicBool,
    /// The handles that exist. While there are any, a run leaves its waker here.
    handles: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Button {
    pub(super) fn is_pressed(&self) -> bool {
        self.pressed.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the waker out, without waking.
    pub(super) fn forget(&self) {
        let waker = self.lock().take();
        drop(waker);
    }

    fn wake(&self) {
        let waker = self.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Leaves the waker of the run, if there is a handle.
    pub(super) fn register(&self, waker: &Waker) {
        if self.handles.load(Ordering::Acquire) == 0 {
            return;
        }
        let kept = self.lock().as_ref().is_some_and(|kept| kept.will_wake(waker));
        if !kept {
            // Cloning and dropping a waker may run code of the program.
            let clone = waker.clone();
            let old = self.lock().replace(clone);
            drop(old);
        }
        if self.handles.load(Ordering::Acquire) == 0 {
            // The last handle was dropped meanwhile.
            drop(self.lock().take());
        }
    }
}

/// Cancels a [`CancelScope`](crate::CancelScope) from another thread. Made by
/// [`CancelScope::handle`](crate::CancelScope::handle).
pub struct ScopeHandle {
    button: Arc<Button>,
}

impl Clone for ScopeHandle {
    fn clone(&self) -> Self {
        ScopeHandle::new(&self.button)
    }
}

impl Drop for ScopeHandle {
    fn drop(&mut self) {
        if self.button.handles.fetch_sub(1, Ordering::AcqRel) == 1 {
            // No handle can wake the run any more, so the kernel must not count on its waker.
            self.button.wake();
        }
    }
}

impl ScopeHandle {
    pub(super) fn new(button: &Arc<Button>) -> Self {
        button.handles.fetch_add(1, Ordering::AcqRel);
        ScopeHandle { button: button.clone() }
    }

    pub(super) fn is_only_one(&self) -> bool {
        self.button.handles.load(Ordering::Acquire) == 1
    }

    /// Cancels the scope, and does not wait. If it has no body yet, the next one is cancelled. It
    /// never fails: without the scope it does nothing.
    pub fn cancel(&self) {
        self.button.pressed.store(true, Ordering::Release);
        self.button.wake();
    }
}

impl fmt::Debug for ScopeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopeHandle").field("cancelled", &self.button.is_pressed()).finish()
    }
}
