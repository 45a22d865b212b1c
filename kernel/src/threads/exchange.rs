//! What a thread and the task that serves it share.
//!
//! The thread sends one message at a time, and then sleeps for its answer (`answer.rs`), or has
//! ended. The task polls for the message. When the task is gone, the exchange is closed: a message
//! in it is dropped with its promise, so that the thread wakes, and later ones are refused.
//!
//! A flag shows the thread whether a cancellation is pending. So a thread that asks for one sends
//! a message only if it may get it. The flag is set on the kernel's thread, in the call that
//! requests the cancellation. So whatever the thread learns after that call, it finds the flag set.
//!
//! Loom checks this file with the models in `models_exchange.rs`.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::task::Poll;

use crate::parts::mailbox::sync::{AtomicBool, Mutex, MutexGuard};

/// Makes the task poll. It is no waker: a waker that the thread still holds for a moment would hide
/// a deadlock from the kernel.
pub(super) trait Notify {
    fn notify(&self);
}

/// `M` is the type of the messages.
pub(super) struct Exchange<M, N> {
    state: Mutex<State<M>>,
    task: N,
    /// A cancellation may be pending for the thread.
    pending: AtomicBool,
}

struct State<M> {
    open: bool,
    message: Option<M>,
    /// The task has found no message.
    waits: bool,
}

impl<M, N: Notify> Exchange<M, N> {
    pub(super) fn new(task: N, pending: bool) -> Self {
        let state = State { open: true, message: None, waits: false };
        Exchange { state: Mutex::new(state), task, pending: AtomicBool::new(pending) }
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message to the task. Called by the thread. Returns the message if the task is gone.
    ///
    /// The caller drops a returned message outside the lock.
    pub(super) fn send(&self, message: M) -> Result<(), M> {
        let mut state = self.lock();
        if !state.open {
            return Err(message);
        }
        debug_assert!(state.message.is_none(), "a thread sends one message at a time");
        state.message = Some(message);
        let waits = std::mem::replace(&mut state.waits, false);
        drop(state);
        if waits {
            self.task.notify();
        }
        Ok(())
    }

    /// The next message. Called by the task. Without one, the next message notifies the task.
    pub(super) fn poll_next(&self) -> Poll<M> {
        let mut state = self.lock();
        let message = state.message.take();
        state.waits = message.is_none();
        message.map_or(Poll::Pending, Poll::Ready)
    }

    /// The task is gone. Returns the message that it has not taken.
    pub(super) fn close(&self) -> Option<M> {
        let mut state = self.lock();
        state.open = false;
        state.message.take()
    }

    pub(super) fn is_closed(&self) -> bool {
        !self.lock().open
    }

    /// Called on the kernel's thread.
    pub(super) fn set_pending(&self, pending: bool) {
        self.pending.store(pending, Ordering::Release);
    }

    /// Called by the thread.
    pub(super) fn may_be_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }
}
