//! The waits of a queue: to put, to get, and for all items to be done.

use kernel::wait_queue::{Handoff, WaitQueue};

use super::order::Ticketed;
use super::{Closed, Queue};

/// What a putter is handed: the ticket of its place, or none because the queue was closed.
pub(super) type Place = Option<u64>;

/// What a getter is handed: an item, or none because the queue is closed and none will come.
pub(super) type Assigned<T> = Option<Ticketed<T>>;

/// A task with an item.
pub(super) struct Put<'a, T> {
    queue: &'a Queue<T>,
    item: Option<T>,
}

impl<'a, T> Put<'a, T> {
    pub(super) fn new(queue: &'a Queue<T>, item: T) -> Self {
        Put { queue, item: Some(item) }
    }

    fn place(&self) -> Option<Place> {
        let queue = self.queue;
        if queue.is_open() {
            queue.promised.set(queue.promised.get() + 1);
            Some(Some(queue.ticket()))
        } else {
            queue.is_closed().then_some(None)
        }
    }

    #[inline(always)]
    fn put_now(&mut self) -> Option<Result<(), Closed<T>>> {
        let queue = self.queue;
        if !queue.is_open() {
            return if queue.is_closed() { self.refuse().map(Err) } else { None };
        }
        if let Some(item) = self.item.take() {
            queue.accept(queue.ticket(), item);
        }
        // No putter waited, and one that begins to while a getter is woken waits for a place that
        // a task has or was promised, which will serve it.
        Some(Ok(()))
    }

    fn put(&mut self, place: Place) -> Result<(), Closed<T>> {
        let Some(ticket) = place else {
            return self.refuse().map_or(Ok(()), Err);
        };
        self.queue.promised.set(self.queue.promised.get() - 1);
        if let Some(item) = self.item.take() {
            self.queue.accept(ticket, item);
        }
        // An item that went straight to a getter needed no place.
        self.queue.serve_putters();
        Ok(())
    }

    #[cold]
    fn refuse(&mut self) -> Option<Closed<T>> {
        self.item.take().map(Closed)
    }

    fn give_back(&self, place: Place) {
        if place.is_some() {
            self.queue.promised.set(self.queue.promised.get() - 1);
            self.queue.serve_putters();
            self.queue.ends();
        }
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

impl<T> Handoff for Put<'_, T> {
    type Item = Place;
    type Output = ();

    fn queue(&self) -> &WaitQueue<Place> {
        &self.queue.putters
    }

    fn try_take(&mut self) -> Option<Place> {
        self.place()
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
    fn finish(&mut self, place: Place) {
        if let Err(Closed(_)) = self.put(place) {
            put_into_closed();
        }
    }

    fn pass_on(&mut self, place: Place) {
        self.give_back(place);
    }
}

/// The same where the queue may be closed.
pub(super) struct PutUnlessClosed<'a, T>(pub(super) Put<'a, T>);

impl<T> Handoff for PutUnlessClosed<'_, T> {
    type Item = Place;
    type Output = Result<(), Closed<T>>;

    fn queue(&self) -> &WaitQueue<Place> {
        &self.0.queue.putters
    }

    fn try_take(&mut self) -> Option<Place> {
        self.0.place()
    }

    #[inline(always)]
    fn try_now(&mut self) -> Option<Self::Output> {
        self.0.put_now()
    }

    fn finish(&mut self, place: Place) -> Self::Output {
        self.0.put(place)
    }

    fn pass_on(&mut self, place: Place) {
        self.0.give_back(place);
    }
}

/// A task that wants an item, of a queue that is open or has items left.
pub(super) struct Get<'a, T> {
    pub(super) queue: &'a Queue<T>,
}

impl<'a, T> Get<'a, T> {
    #[inline(always)]
    fn got(&self, item: Assigned<T>) -> Option<T> {
        // Getters may wait for what becomes of an item that was assigned.
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

impl<T> Handoff for Get<'_, T> {
    type Item = Assigned<T>;
    type Output = T;

    fn queue(&self) -> &WaitQueue<Assigned<T>> {
        &self.queue.getters
    }

    fn try_take(&mut self) -> Option<Assigned<T>> {
        self.queue.take()
    }

    #[inline(always)]
    #[track_caller]
    fn try_now(&mut self) -> Option<T> {
        // No getter waits while there are items, so nobody is to be told of the end.
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

/// The same where the queue may be closed.
pub(super) struct Next<'a, T>(pub(super) Get<'a, T>);

impl<T> Handoff for Next<'_, T> {
    type Item = Assigned<T>;
    type Output = Option<T>;

    fn queue(&self) -> &WaitQueue<Assigned<T>> {
        &self.0.queue.getters
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

/// A task that waits until nothing is unfinished.
pub(super) struct Join<'a, T> {
    pub(super) queue: &'a Queue<T>,
}

impl<T> Handoff for Join<'_, T> {
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
