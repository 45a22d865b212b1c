//! The waits of a queue: to put, to get, and for all items to be done.

use kernel::wait_queue::{Handoff, Taker, WaitQueue};

use super::order::Ticketed;
use super::order::{Fifo, Order};
use super::{Closed, Queue};

/// What a putter is handed: the ticket of a promised slot, or `None` because the queue was closed.
pub(crate) type Promise = Option<u64>;

/// What a getter is handed: an item, or `None` because the queue has ended.
pub(crate) type Assigned<T> = Option<Ticketed<T>>;

/// A wait for a slot, with the item to put.
pub(crate) struct Put<'a, T, O = Fifo<T>> {
    pub(crate) queue: &'a Queue<T, O>,
    pub(crate) item: Option<T>,
}

impl<'a, T, O: Order<T>> Put<'a, T, O> {
    pub(crate) fn new(queue: &'a Queue<T, O>, item: T) -> Self {
        Put { queue, item: Some(item) }
    }

    #[inline(always)]
    pub(crate) fn put_now(&mut self) -> Option<Result<(), Closed<T>>> {
        let queue = self.queue;
        if !queue.is_open() && !queue.is_met() {
            return if queue.is_closed() { self.refuse().map(Err) } else { None };
        }
        if let Some(item) = self.item.take() {
            queue.accept(queue.ticket(), item);
        }
        // No putter is served here. None waited before, and a putter that starts to wait while
        // this wakes a getter waits for a slot that is filled or promised. The release of that slot
        // serves it.
        Some(Ok(()))
    }

    pub(crate) fn put(&mut self, promise: Promise) -> Result<(), Closed<T>> {
        let Some(ticket) = promise else {
            return self.refuse().map_or(Ok(()), Err);
        };
        self.queue.fulfil(ticket, self.item.take());
        Ok(())
    }

    #[cold]
    fn refuse(&mut self) -> Option<Closed<T>> {
        self.item.take().map(Closed)
    }
}

#[cold]
#[track_caller]
fn put_into_closed() -> ! {
    panic!(
        "`put` into a queue that is closed; where that may happen, use `put_unless_closed`, which \
         gives the item back"
    );
}

impl<T, O: Order<T>> Handoff for Put<'_, T, O> {
    type Item = Promise;
    type Output = ();

    fn queue(&self) -> &WaitQueue<Promise> {
        &self.queue.putters
    }

    fn parked(&mut self) {
        self.queue.show_reader();
    }

    fn try_take(&mut self) -> Option<Promise> {
        self.queue.promise()
    }

    #[inline(always)]
    #[track_caller]
    fn try_now(&mut self) -> Option<()> {
        match self.put_now()? {
            Ok(()) => Some(()),
            Err(Closed(_)) => put_into_closed(),
        }
    }

    #[track_caller]
    fn finish(&mut self, promise: Promise) {
        if let Err(Closed(_)) = self.put(promise) {
            put_into_closed();
        }
    }

    fn pass_on(&mut self, promise: Promise) {
        self.queue.give_back(promise);
    }
}

/// [`Put`] for a queue that may be closed.
pub(crate) struct PutUnlessClosed<'a, T, O>(pub(crate) Put<'a, T, O>);

impl<T, O: Order<T>> Handoff for PutUnlessClosed<'_, T, O> {
    type Item = Promise;
    type Output = Result<(), Closed<T>>;

    fn queue(&self) -> &WaitQueue<Promise> {
        &self.0.queue.putters
    }

    fn parked(&mut self) {
        self.0.queue.show_reader();
    }

    fn try_take(&mut self) -> Option<Promise> {
        self.0.queue.promise()
    }

    #[inline(always)]
    fn try_now(&mut self) -> Option<Self::Output> {
        self.0.put_now()
    }

    fn finish(&mut self, promise: Promise) -> Self::Output {
        self.0.put(promise)
    }

    fn pass_on(&mut self, promise: Promise) {
        self.0.queue.give_back(promise);
    }
}

/// A wait for a slot, with the item in a variable of the caller. An empty variable needs no slot.
pub(crate) struct PutFrom<'a, T, O> {
    pub(crate) queue: &'a Queue<T, O>,
    pub(crate) item: &'a mut Option<T>,
}

#[cold]
#[track_caller]
fn put_from_into_closed() -> ! {
    panic!(
        "`put_from` into a queue that is closed; where that may happen, use \
         `reserve_unless_closed`, which says so before the item is given away"
    );
}

impl<T, O: Order<T>> Handoff for PutFrom<'_, T, O> {
    type Item = Promise;
    type Output = ();

    fn queue(&self) -> &WaitQueue<Promise> {
        &self.queue.putters
    }

    fn parked(&mut self) {
        self.queue.show_reader();
    }

    fn try_take(&mut self) -> Option<Promise> {
        if self.item.is_some() { self.queue.promise() } else { Some(None) }
    }

    #[track_caller]
    fn try_now(&mut self) -> Option<()> {
        let promise = self.try_take()?;
        self.finish(promise);
        Some(())
    }

    #[track_caller]
    fn finish(&mut self, promise: Promise) {
        match promise {
            Some(ticket) => self.queue.fulfil(ticket, self.item.take()),
            None if self.item.is_some() => put_from_into_closed(),
            None => {}
        }
    }

    fn pass_on(&mut self, promise: Promise) {
        self.queue.give_back(promise);
    }
}

/// A wait for an item of a queue that is open or has items left.
pub(crate) struct Get<'a, T, O = Fifo<T>> {
    pub(crate) queue: &'a Queue<T, O>,
}

impl<'a, T, O: Order<T>> Get<'a, T, O> {
    #[inline(always)]
    fn got(&self, item: Assigned<T>) -> Option<T> {
        // Other getters may wait to learn whether this assigned item comes back.
        if self.queue.is_closed() {
            self.queue.ends();
        }
        Some(item?.item)
    }

    fn give_back(&self, item: Assigned<T>) {
        if let Some(item) = item {
            self.queue.place(item);
        }
    }
}

#[cold]
#[track_caller]
fn get_from_ended() -> ! {
    panic!(
        "`get` from a queue that is closed and has no item left; where that may happen, use \
         `next`, which gives `None` then"
    );
}

impl<T, O: Order<T>> Handoff for Get<'_, T, O> {
    type Item = Assigned<T>;
    type Output = T;

    const READS: bool = true;

    fn queue(&self) -> &WaitQueue<Assigned<T>> {
        &self.queue.getters
    }

    #[inline]
    fn entered(&self, by: Taker) {
        self.queue.reader.note(by);
    }

    fn try_take(&mut self) -> Option<Assigned<T>> {
        self.queue.take()
    }

    #[inline(always)]
    #[track_caller]
    fn try_now(&mut self) -> Option<T> {
        // No getter waits while there are items, so this need not check for the end.
        match self.queue.take()? {
            Some(item) => Some(item.item),
            None => get_from_ended(),
        }
    }

    #[track_caller]
    fn finish(&mut self, item: Assigned<T>) -> T {
        match self.got(item) {
            Some(item) => item,
            None => get_from_ended(),
        }
    }

    fn pass_on(&mut self, item: Assigned<T>) {
        self.give_back(item);
    }
}

/// [`Get`] for a queue that may be closed.
pub(crate) struct Next<'a, T, O = Fifo<T>>(pub(crate) Get<'a, T, O>);

impl<T, O: Order<T>> Handoff for Next<'_, T, O> {
    type Item = Assigned<T>;
    type Output = Option<T>;

    const READS: bool = true;

    fn queue(&self) -> &WaitQueue<Assigned<T>> {
        &self.0.queue.getters
    }

    #[inline]
    fn entered(&self, by: Taker) {
        self.0.queue.reader.note(by);
    }

    fn try_take(&mut self) -> Option<Assigned<T>> {
        self.0.queue.take()
    }

    #[inline(always)]
    fn try_now(&mut self) -> Option<Option<T>> {
        self.0.queue.take().map(|taken| taken.map(|item| item.item))
    }

    fn finish(&mut self, item: Assigned<T>) -> Option<T> {
        self.0.got(item)
    }

    fn pass_on(&mut self, item: Assigned<T>) {
        self.0.give_back(item);
    }
}

/// A wait until no item is unfinished.
pub(crate) struct Join<'a, T, O> {
    pub(crate) queue: &'a Queue<T, O>,
}

impl<T, O: Order<T>> Handoff for Join<'_, T, O> {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.queue.joiners
    }

    fn try_take(&mut self) -> Option<()> {
        (self.queue.unfinished.get() == 0).then_some(())
    }

    fn finish(&mut self, (): ()) {}

    fn pass_on(&mut self, (): ()) {}
}
