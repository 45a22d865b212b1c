//! The waits of a channel: those of a queue, with the end as a value, and the meeting of the two
//! sides without a place between them.

use std::rc::Rc;

use kernel::wait_queue::{Handoff, WaitQueue};

use super::shared::Shared;
use crate::queue::waits::{self, Assigned, Get, Next, Promise};
use crate::queue::{Closed, Queue};

/// A wait of a sender, with its item.
pub(super) struct Put<'a, T> {
    put: waits::Put<'a, T>,
    /// Not 0 if this waits in a channel without places: see `queue/direct.rs`.
    number: usize,
}

impl<'a, T> Put<'a, T> {
    pub(super) fn new(queue: &'a Queue<T>, item: T) -> Self {
        Put { put: waits::Put::new(queue, item), number: 0 }
    }
}

/// A number for a putter that waits in a channel without places, else 0.
#[cold]
#[inline(never)]
fn number<T>(queue: &Queue<T>) -> usize {
    if queue.is_direct() { queue.number() } else { 0 }
}

impl<T> Handoff for Put<'_, T> {
    type Item = Promise;
    type Output = Result<(), Closed<T>>;

    fn queue(&self) -> &WaitQueue<Promise> {
        self.put.queue.waiting_putters()
    }

    fn weight(&self) -> usize {
        self.number
    }

    fn try_take(&mut self) -> Option<Promise> {
        let promise = self.put.queue.promise();
        if promise.is_none() {
            self.number = number(self.put.queue);
        }
        promise
    }

    #[inline(always)]
    fn try_now(&mut self) -> Option<Self::Output> {
        let put = self.put.put_now();
        if put.is_none() {
            self.number = number(self.put.queue);
        }
        put
    }

    fn parked(&mut self) {
        if self.number != 0 {
            if let Some(item) = self.put.item.take() {
                self.put.queue.deposit(self.number, item);
            }
        }
    }

    fn finish(&mut self, promise: Promise) -> Self::Output {
        if self.number == 0 || self.put.item.is_some() {
            return match promise {
                Some(_) if self.put.queue.is_abandoned() => {
                    self.put.queue.give_back(promise);
                    self.put.put(None)
                }
                promise => self.put.put(promise),
            };
        }
        // A getter has taken the item, or the channel was closed before one did.
        match (promise, self.put.queue.withdraw(self.number)) {
            (None, Some(item)) => Err(Closed(item)),
            _ => Ok(()),
        }
    }

    fn pass_on(&mut self, promise: Promise) {
        if self.number == 0 || self.put.item.is_some() {
            self.put.queue.give_back(promise);
        } else {
            drop(self.put.queue.withdraw(self.number));
        }
    }

    fn left(&mut self) {
        if self.number != 0 {
            drop(self.put.queue.withdraw(self.number));
        }
    }
}

/// A wait of a sender, with the item in a variable of the caller.
pub(super) struct PutFrom<'a, T> {
    queue: &'a Queue<T>,
    item: &'a mut Option<T>,
    /// As in [`Put`].
    number: usize,
    /// Whether the channel has the item while this waits.
    deposited: bool,
}

impl<'a, T> PutFrom<'a, T> {
    pub(super) fn new(queue: &'a Queue<T>, item: &'a mut Option<T>) -> Self {
        PutFrom { queue, item, number: 0, deposited: false }
    }

    fn take_back(&mut self) {
        if std::mem::take(&mut self.deposited) {
            *self.item = self.queue.withdraw(self.number);
        }
    }
}

impl<T> Handoff for PutFrom<'_, T> {
    type Item = Promise;
    type Output = Result<(), Closed<()>>;

    fn queue(&self) -> &WaitQueue<Promise> {
        self.queue.waiting_putters()
    }

    fn weight(&self) -> usize {
        self.number
    }

    fn try_take(&mut self) -> Option<Promise> {
        if self.item.is_none() {
            return Some(None);
        }
        let promise = self.queue.promise();
        if promise.is_none() {
            self.number = number(self.queue);
        }
        promise
    }

    fn parked(&mut self) {
        if self.number != 0 && !self.deposited {
            if let Some(item) = self.item.take() {
                self.deposited = true;
                self.queue.deposit(self.number, item);
            }
        }
    }

    fn finish(&mut self, promise: Promise) -> Self::Output {
        if self.deposited {
            self.take_back();
        } else if let Some(ticket) = promise {
            if self.queue.is_abandoned() {
                self.queue.give_back(promise);
            } else {
                self.queue.fulfil(ticket, self.item.take());
            }
        }
        if self.item.is_some() { Err(Closed(())) } else { Ok(()) }
    }

    fn pass_on(&mut self, promise: Promise) {
        if self.deposited {
            self.take_back();
        } else {
            self.queue.give_back(promise);
        }
    }

    fn left(&mut self) {
        self.take_back();
    }
}

/// A wait of a receiver.
pub(super) struct Recv<'a, T>(Next<'a, T>);

impl<'a, T> Recv<'a, T> {
    pub(super) fn new(queue: &'a Queue<T>) -> Self {
        Recv(Next(Get { queue }))
    }
}

impl<T> Handoff for Recv<'_, T> {
    type Item = Assigned<T>;
    type Output = Option<T>;

    fn queue(&self) -> &WaitQueue<Assigned<T>> {
        self.0.queue()
    }

    fn try_take(&mut self) -> Option<Assigned<T>> {
        self.0.try_take()
    }

    #[inline(always)]
    fn try_now(&mut self) -> Option<Option<T>> {
        self.0.try_now()
    }

    #[inline]
    fn parked(&mut self) {
        if self.0.0.queue.is_direct() {
            self.0.0.queue.meet();
        }
    }

    fn finish(&mut self, item: Assigned<T>) -> Option<T> {
        self.0.finish(item)
    }

    fn pass_on(&mut self, item: Assigned<T>) {
        self.0.pass_on(item);
    }
}

/// A wait of a receiver for some items, which are added to a list.
pub(super) struct RecvMany<'a, T> {
    pub(super) recv: Recv<'a, T>,
    pub(super) list: &'a mut Vec<T>,
    pub(super) limit: usize,
}

impl<T> Handoff for RecvMany<'_, T> {
    type Item = Assigned<T>;
    type Output = usize;

    fn queue(&self) -> &WaitQueue<Assigned<T>> {
        self.recv.queue()
    }

    fn try_take(&mut self) -> Option<Assigned<T>> {
        if self.limit == 0 { Some(None) } else { self.recv.try_take() }
    }

    fn parked(&mut self) {
        self.recv.parked();
    }

    fn finish(&mut self, item: Assigned<T>) -> usize {
        let Some(first) = self.recv.finish(item) else {
            return 0;
        };
        self.list.push(first);
        let queue = self.recv.0.0.queue;
        let more = std::iter::from_fn(|| queue.try_get()).take(self.limit - 1);
        let before = self.list.len();
        self.list.extend(more);
        self.list.len() - before + 1
    }

    fn pass_on(&mut self, item: Assigned<T>) {
        self.recv.pass_on(item);
    }
}

/// A wait of a receiver that is a stream, so it lives as long as the receiver.
pub(super) struct RecvNext<T>(pub(super) Rc<Shared<T>>);

impl<T> Handoff for RecvNext<T> {
    type Item = Assigned<T>;
    type Output = Option<T>;

    fn queue(&self) -> &WaitQueue<Assigned<T>> {
        self.0.queue.waiting_getters()
    }

    fn try_take(&mut self) -> Option<Assigned<T>> {
        Recv::new(&self.0.queue).try_take()
    }

    fn parked(&mut self) {
        Recv::new(&self.0.queue).parked();
    }

    fn finish(&mut self, item: Assigned<T>) -> Option<T> {
        Recv::new(&self.0.queue).finish(item)
    }

    fn pass_on(&mut self, item: Assigned<T>) {
        Recv::new(&self.0.queue).pass_on(item);
    }
}

/// A wait for the close of a channel.
pub(super) struct WaitClosed<'a, T> {
    shared: &'a Shared<T>,
}

impl<'a, T> WaitClosed<'a, T> {
    pub(super) fn new(shared: &'a Shared<T>) -> Self {
        WaitClosed { shared }
    }
}

impl<T> Handoff for WaitClosed<'_, T> {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.shared.closings
    }

    fn try_take(&mut self) -> Option<()> {
        self.shared.queue.is_closed().then_some(())
    }

    fn finish(&mut self, (): ()) {}

    /// The close has woken every waiter, so there is nothing to pass on.
    fn pass_on(&mut self, (): ()) {}
}
