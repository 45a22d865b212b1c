//! A queue of items between tasks, bounded or not.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

/// Items in order, between tasks of one thread.
///
/// An item is assigned to the oldest getter and a free place to the oldest putter, at once: nobody
/// who comes later can take them first. [`join`](Queue::join) waits until every item that was put
/// has been marked done with [`task_done`](Queue::task_done).
///
/// ```
/// use std::rc::Rc;
/// use kernel::{TaskCancelled, spawn};
/// use sync::Queue;
///
/// kernel::run(async || {
///     let queue = Rc::new(Queue::new(1));
///     let consumer = spawn({
///         let queue = queue.clone();
///         async move {
///             let first = queue.get().await?;
///             let second = queue.get().await?;
///             Ok::<_, TaskCancelled>((first, second))
///         }
///     });
///     queue.put("one").await?;
///     queue.put("two").await?;
///     assert_eq!(consumer.await?, ("one", "two"));
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
pub struct Queue<T> {
    maxsize: usize,
    items: RefCell<VecDeque<Ticketed<T>>>,
    /// The next ticket: items stand in the queue in the order of their tickets.
    next: Cell<u64>,
    /// No item that was ever put into `items` has a ticket from here on.
    beyond: Cell<u64>,
    /// Places that were given to putters which have not filled them yet.
    promised: Cell<usize>,
    getters: WaitQueue<Ticketed<T>>,
    putters: WaitQueue<u64>,
    unfinished: Cell<usize>,
    joiners: WaitQueue,
}

/// Room for so many items is kept after a burst.
const KEEP: usize = 1024;

/// An item and its place in the order: a putter gets its ticket with its place, and an item that a
/// dropped getter gives back goes to where it was.
struct Ticketed<T> {
    ticket: u64,
    item: T,
}

/// A queue was full; the item comes back.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct Full<T>(pub T);

impl<T> fmt::Debug for Full<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Full(..)")
    }
}

/// `task_done` was called more often than items were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("task_done was called once more than items were put into the queue")]
pub struct NothingToFinish;

impl<T> Queue<T> {
    /// A queue of at most `maxsize` items; 0 is no bound.
    pub const fn new(maxsize: usize) -> Self {
        Queue {
            maxsize,
            items: RefCell::new(VecDeque::new()),
            next: Cell::new(0),
            beyond: Cell::new(0),
            promised: Cell::new(0),
            getters: WaitQueue::new(),
            putters: WaitQueue::new(),
            unfinished: Cell::new(0),
            joiners: WaitQueue::new(),
        }
    }

    /// Puts an item at the end; waits for a place if the queue is full.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the item is dropped then.
    ///
    /// # Cancellation
    ///
    /// A cancelled or dropped `put` leaves no trace: it never half-happens. The item is dropped
    /// with it; to keep it, wait with a clone or put an `Rc`.
    #[track_caller]
    pub fn put(&self, item: T) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        Wait::new("QUEUE_PUT", Put { queue: self, item: Some(item) })
    }

    /// Takes the first item; waits for one if the queue is empty.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; nothing was taken then.
    ///
    /// # Cancellation
    ///
    /// No item is lost: one that was assigned before the cancellation is returned, and one assigned
    /// to a `get` that is dropped goes to the next getter, or back to its place; the queue then
    /// holds one more than its bound, if the place has been taken meanwhile.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<T, TaskCancelled>> + '_ {
        Wait::new("QUEUE_GET", Get { queue: self })
    }

    /// Puts an item at the end if there is a place and nobody waits for it.
    ///
    /// # Errors
    ///
    /// [`Full`], with the item.
    pub fn try_put(&self, item: T) -> Result<(), Full<T>> {
        if !self.is_open() {
            return Err(Full(item));
        }
        self.accept(self.ticket(), item);
        Ok(())
    }

    /// The first item, if there is one.
    pub fn try_get(&self) -> Option<T> {
        self.take().map(|first| first.item)
    }

    /// Says that an item that was got has been dealt with.
    ///
    /// # Errors
    ///
    /// [`NothingToFinish`], when it is called more often than items were put.
    pub fn task_done(&self) -> Result<(), NothingToFinish> {
        let left = self.unfinished.get().checked_sub(1).ok_or(NothingToFinish)?;
        self.unfinished.set(left);
        if left == 0 {
            self.joiners.hand_over_all(|| ());
        }
        Ok(())
    }

    /// Waits until every item that was put is done; at once if nothing is unfinished.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost.
    #[track_caller]
    pub fn join(&self) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        Wait::new("QUEUE_JOIN", Join { queue: self })
    }

    /// How many items are in the queue; what was assigned to a getter is not.
    pub fn len(&self) -> usize {
        self.items.borrow().len()
    }

    /// Whether no item is in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bound; 0 for none.
    pub fn maxsize(&self) -> usize {
        self.maxsize
    }

    /// How many items were put and are not done.
    pub fn unfinished(&self) -> usize {
        self.unfinished.get()
    }

    fn has_place(&self) -> bool {
        self.maxsize == 0 || self.len() + self.promised.get() < self.maxsize
    }

    /// Whether an item may be put now: a place, and nobody whose turn it is.
    fn is_open(&self) -> bool {
        self.promised.get() == 0 && self.putters.is_empty() && self.has_place()
    }

    fn ticket(&self) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        ticket
    }

    /// An item is in.
    fn accept(&self, ticket: u64, item: T) {
        self.unfinished.set(self.unfinished.get() + 1);
        self.place(Ticketed { ticket, item });
    }

    /// To the oldest getter, or to its place in the order.
    #[inline]
    fn place(&self, item: Ticketed<T>) {
        if self.getters.is_empty() {
            self.insert(item);
        } else {
            self.hand_over(item);
        }
    }

    #[inline(never)]
    fn hand_over(&self, item: Ticketed<T>) {
        if let Err(item) = self.getters.hand_over(item) {
            self.insert_late(item);
        }
    }

    #[inline]
    fn insert(&self, item: Ticketed<T>) {
        if item.ticket < self.beyond.get() {
            return self.insert_between(item);
        }
        self.beyond.set(item.ticket + 1);
        self.items.borrow_mut().push_back(item);
    }

    /// Nobody waited for it after all.
    #[cold]
    fn insert_late(&self, item: Ticketed<T>) {
        self.insert(item);
    }

    /// One that was there before, or whose putter was overtaken.
    #[cold]
    fn insert_between(&self, item: Ticketed<T>) {
        let mut items = self.items.borrow_mut();
        let at = items.partition_point(|other| other.ticket < item.ticket);
        items.insert(at, item);
    }

    fn take(&self) -> Option<Ticketed<T>> {
        let mut items = self.items.borrow_mut();
        let first = items.pop_front();
        if first.is_some() {
            drop(items);
            self.serve_putters();
        } else if items.capacity() > KEEP {
            // After a burst its room is given back: it was drained, and more was asked for.
            *items = VecDeque::new();
        }
        first
    }

    /// Gives free places to the oldest putters.
    #[inline]
    fn serve_putters(&self) {
        if !self.putters.is_empty() {
            self.hand_places_over();
        }
    }

    #[inline(never)]
    fn hand_places_over(&self) {
        while !self.putters.is_empty() && self.has_place() {
            self.promised.set(self.promised.get() + 1);
            if self.putters.hand_over(self.ticket()).is_err() {
                self.promised.set(self.promised.get() - 1);
            }
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("maxsize", &self.maxsize)
            .field("getters", &self.getters.len())
            .field("putters", &self.putters.len())
            .field("unfinished", &self.unfinished.get())
            .finish()
    }
}

/// Somebody with an item; handed a promised place.
struct Put<'a, T> {
    queue: &'a Queue<T>,
    item: Option<T>,
}

impl<T> Handoff for Put<'_, T> {
    type Item = u64;
    type Output = ();

    fn queue(&self) -> &WaitQueue<u64> {
        &self.queue.putters
    }

    fn try_take(&mut self) -> Option<u64> {
        let queue = self.queue;
        queue.is_open().then(|| {
            queue.promised.set(queue.promised.get() + 1);
            queue.ticket()
        })
    }

    #[inline(always)]
    fn try_now(&mut self) -> Option<()> {
        let queue = self.queue;
        if !queue.is_open() {
            return None;
        }
        if let Some(item) = self.item.take() {
            queue.accept(queue.ticket(), item);
        }
        // No putter waited, and one that begins to while a getter is woken waits for a place that
        // somebody has or was promised, who will serve it.
        Some(())
    }

    fn finish(&mut self, ticket: u64) {
        self.queue.promised.set(self.queue.promised.get() - 1);
        if let Some(item) = self.item.take() {
            self.queue.accept(ticket, item);
        }
        // An item that went straight to a getter needed no place.
        self.queue.serve_putters();
    }

    fn pass_on(&mut self, _ticket: u64) {
        self.queue.promised.set(self.queue.promised.get() - 1);
        self.queue.serve_putters();
    }
}

/// Somebody who wants an item.
struct Get<'a, T> {
    queue: &'a Queue<T>,
}

impl<T> Handoff for Get<'_, T> {
    type Item = Ticketed<T>;
    type Output = T;

    fn queue(&self) -> &WaitQueue<Ticketed<T>> {
        &self.queue.getters
    }

    fn try_take(&mut self) -> Option<Ticketed<T>> {
        self.queue.take()
    }

    fn finish(&mut self, item: Ticketed<T>) -> T {
        item.item
    }

    fn pass_on(&mut self, item: Ticketed<T>) {
        self.queue.place(item);
    }
}

/// Somebody who waits until nothing is unfinished.
struct Join<'a, T> {
    queue: &'a Queue<T>,
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
