//! Waking: what makes a task of this kernel ready, from wherever it is woken.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Wake, Waker};

use crate::core::current;
use crate::core::report::ProgramCode;
use crate::core::state::Core;
use crate::parts::waiter::LocalWaiter;
use crate::task::waker::TaskWaker;

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let local = current::try_with(|core| {
            let mine = Arc::ptr_eq(core.remote(), self.remote());
            if mine {
                core.wake(self.task());
            }
            mine
        });
        if local != Some(true) {
            self.post();
        }
    }
}

impl Core {
    /// Wakes what waited in a structure of this kernel. No borrow of the kernel may be held.
    pub(crate) fn wake_waiter(&self, waiter: LocalWaiter) {
        match waiter {
            LocalWaiter::Task(task) => self.wake(task),
            LocalWaiter::Foreign(waker) => wake_foreign(waker),
        }
    }

    /// Forgets a registration, and wakes who is parked on it.
    pub(crate) fn forget(&self, token: mio::Token) {
        let parked = self.with_reactor(|reactor| reactor.forget(token));
        parked.into_iter().flatten().flatten().for_each(|waiter| self.wake_waiter(waiter));
    }
}

/// Wakes somebody else's waker. If it panics, that is reported, and the kernel goes on.
#[inline(never)]
pub(crate) fn wake_foreign(waker: Waker) {
    match current::try_with(Rc::clone) {
        Some(core) => core.guarded(ProgramCode::Waker, || waker.wake()),
        None => waker.wake(),
    }
}
