//! A fair lock of the floor: tickets, served in order. No waiter leaves the queue.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::task::{Poll, Waker};

/// A lock.
#[derive(Default)]
pub(crate) struct Lock {
    next: Cell<u64>,
    serving: Cell<u64>,
    line: RefCell<VecDeque<Waker>>,
}

/// The lock is held while this is alive.
pub(crate) struct Guard<'a>(&'a Lock);

impl Lock {
    /// Takes a ticket, and waits until it is served.
    pub(crate) fn acquire(&self) -> impl Future<Output = Guard<'_>> {
        let mut ticket = None;
        poll_fn(move |cx| {
            let mine = *ticket.get_or_insert_with(|| self.next.replace(self.next.get() + 1));
            if mine == self.serving.get() {
                return Poll::Ready(Guard(self));
            }
            self.line.borrow_mut().push_back(cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.serving.set(self.0.serving.get() + 1);
        let first = self.0.line.borrow_mut().pop_front();
        if let Some(waker) = first {
            waker.wake();
        }
    }
}
