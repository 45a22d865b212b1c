//! A bounded channel of the floor: one sender and one receiver, neither of which is dropped early.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Both ends of a channel.
pub(crate) struct Channel<T> {
    places: usize,
    items: RefCell<VecDeque<T>>,
    sender: Cell<Option<Waker>>,
    receiver: Cell<Option<Waker>>,
}

/// A channel with this capacity.
pub(crate) fn channel<T>(places: usize) -> Rc<Channel<T>> {
    Rc::new(Channel {
        places,
        items: RefCell::new(VecDeque::with_capacity(places)),
        sender: Cell::new(None),
        receiver: Cell::new(None),
    })
}

fn wake(parked: &Cell<Option<Waker>>) {
    if let Some(waker) = parked.take() {
        waker.wake();
    }
}

impl<T> Channel<T> {
    /// Puts an item in when there is a free slot.
    pub(crate) fn send(&self, item: T) -> impl Future<Output = ()> + '_ {
        let mut item = Some(item);
        poll_fn(move |cx| {
            let mut items = self.items.borrow_mut();
            if items.len() == self.places {
                self.sender.set(Some(cx.waker().clone()));
                return Poll::Pending;
            }
            items.extend(item.take());
            wake(&self.receiver);
            Poll::Ready(())
        })
    }

    /// Takes an item out when there is one.
    pub(crate) fn recv(&self) -> impl Future<Output = T> + '_ {
        poll_fn(move |cx| match self.items.borrow_mut().pop_front() {
            Some(item) => {
                wake(&self.sender);
                Poll::Ready(item)
            }
            None => {
                self.receiver.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        })
    }
}
