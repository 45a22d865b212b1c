//! A queue of items between tasks, bounded or not.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use kernel::TaskCancelled;
use kernel::wait_queue::{Reader, Wait, WaitQueue};

pub use self::error::{Closed, NothingToFinish, TryPutError};
use self::order::{Fifo, Order};
pub use self::ordered::{LifoQueue, PriorityQueue};
pub(crate) use self::reserve::ReserveUnlessClosed;
pub use self::reserve::Slot;
use self::serve::KEEP;
pub use self::statistics::QueueStatistics;
use self::waits::{Assigned, Get, Join, Next, Promise, Put, PutFrom, PutUnlessClosed};

mod direct;
mod error;
pub mod order;
mod ordered;
mod reserve;
mod serve;
mod statistics;
pub(crate) mod waits;

/// Items in order, between tasks of one thread.
///
/// An item is assigned to the oldest getter, and a free slot to the oldest putter, at once. A task
/// that comes later cannot take them first. [`join`](Queue::join) waits until every item that was
/// put has been marked done with [`task_done`](Queue::task_done).
///
/// A queue that is never closed needs only [`put`](Queue::put) and [`get`](Queue::get). Where it
/// may be [closed](Queue::close), [`put_unless_closed`](Queue::put_unless_closed) gives the item
/// back and [`next`](Queue::next) says that no item is left.
///
/// A `put` that is cancelled drops its item. Where no item may be lost,
/// [`put_from`](Queue::put_from) leaves it in a variable of the caller until it is placed, and
/// [`reserve`](Queue::reserve) waits for a slot before there is an item.
///
/// Do not use it where a task only waits for something to happen: that is an
/// [`Event`](crate::Event). Between threads it does not compile.
///
/// ```
/// use std::rc::Rc;
/// use curium::kernel::{self, TaskCancelled, spawn};
/// use curium::sync::Queue;
///
/// kernel::run(async || {
///     let queue = Rc::new(Queue::bounded(1));
///     let consumer = spawn({
///         let queue = queue.clone();
///         async move {
///             let mut sum = 0;
///             while let Some(item) = queue.next().await? {
///                 sum += item;
///             }
///             Ok::<_, TaskCancelled>(sum)
///         }
///     });
///     for item in [1, 2, 3] {
///         queue.put(item).await?;
///     }
///     queue.close();
///     assert_eq!(consumer.await?, 6);
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
// The compiler shows the next line when it refuses to send this.
pub struct Queue<T, O = Fifo<T>> /* stays on its thread: use `UniversalQueue` between threads */ {
    /// The bound; `usize::MAX` for none, 0 for a queue without places: see `direct`.
    maxsize: usize,
    /// `maxsize` without the held slots while the queue is open, then zero.
    limit: Cell<usize>,
    stage: Cell<Stage>,
    /// A getter that finds `items` empty takes the slow path if their capacity is at least this:
    /// [`KEEP`] while the queue is open, then zero.
    slow_from: Cell<usize>,
    items: RefCell<O>,
    /// The next ticket. Items are queued in the order of their tickets.
    next: Cell<u64>,
    /// One more than the highest ticket of any item that was ever in `items`.
    beyond: Cell<u64>,
    /// Slots that were assigned to putters which have not filled them yet.
    promised: Cell<usize>,
    /// Slots that are held, see [`Slot`].
    held: Cell<usize>,
    getters: WaitQueue<Assigned<T>>,
    putters: WaitQueue<Promise>,
    /// The task that waited for an item last. A putter that waits shows it.
    reader: Reader,
    unfinished: Cell<usize>,
    joiners: WaitQueue,
    /// The items of putters that wait in a queue without places, with their numbers.
    deposits: RefCell<VecDeque<(usize, T)>>,
}

/// The state of a queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// It takes no further item.
    Closed,
    /// Closed, and no item is left or can come: no getter can give an assigned item back, no putter
    /// has been promised a slot, and no slot is held.
    Ended,
    /// Closed, and no getter can come: see [`Queue::abandon`].
    Abandoned,
}

impl<T> Queue<T> {
    /// A queue of at most `n` items.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    #[track_caller]
    pub const fn bounded(n: usize) -> Self {
        Queue::bounded_over(n, Fifo::new())
    }

    /// A queue without a bound: no `put` ever waits.
    pub const fn unbounded() -> Self {
        Queue::over(usize::MAX, Fifo::new())
    }
}

impl<T, O> Queue<T, O> {
    /// A queue of at most `n` items, which it keeps in `items`.
    #[track_caller]
    const fn bounded_over(n: usize, items: O) -> Self {
        assert!(
            n > 0,
            "a queue of 0 items never takes one; `bounded` takes 1 or more, and `unbounded` has no \
             bound"
        );
        Queue::over(n, items)
    }

    /// A queue that keeps its items in `items`.
    const fn over(maxsize: usize, items: O) -> Self {
        Queue {
            maxsize,
            limit: Cell::new(maxsize),
            stage: Cell::new(Stage::Open),
            slow_from: Cell::new(KEEP),
            items: RefCell::new(items),
            next: Cell::new(0),
            beyond: Cell::new(0),
            promised: Cell::new(0),
            held: Cell::new(0),
            getters: WaitQueue::new(),
            putters: WaitQueue::new(),
            reader: Reader::new(),
            unfinished: Cell::new(0),
            joiners: WaitQueue::new(),
            deposits: RefCell::new(VecDeque::new()),
        }
    }
}

impl<T, O: Order<T>> Queue<T, O> {
    /// Puts an item at the end. Waits for a slot if the queue is full.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the item is dropped then.
    ///
    /// # Cancellation
    ///
    /// A cancelled or dropped `put` has no effect, and its item is dropped. To keep the item, use
    /// [`put_from`](Queue::put_from).
    ///
    /// # Panics
    ///
    /// If the queue is closed, before or during the wait, and no slot was promised by then.
    #[track_caller]
    pub fn put(&self, item: T) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        Wait::new("QUEUE_PUT", Put::new(self, item))
    }

    /// [`put`](Queue::put) that never loses its item: it is taken out of the variable only when it
    /// is placed, that is, handed to a getter or put into the queue.
    ///
    /// With `None` in the variable there is nothing to put, and the call completes at once, also if
    /// the queue is full or closed. So a call that was cancelled can be made again, as with
    /// `write_all` and what is left of a buffer.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use curium::kernel::{self, TaskCancelled, ignore_after};
    /// use curium::sync::Queue;
    ///
    /// # kernel::run(async || {
    /// let queue = Queue::bounded(1);
    /// queue.put("a job").await?;
    /// let mut job = Some("another job");
    /// let put = ignore_after(Duration::from_millis(1), queue.put_from(&mut job)).await?;
    /// assert!(put.is_none(), "the queue is full");
    /// assert_eq!(job, Some("another job"));
    ///
    /// assert_eq!(queue.get().await?, "a job");
    /// queue.put_from(&mut job).await?;
    /// assert_eq!((job, queue.get().await?), (None, "another job"));
    /// # Ok::<(), TaskCancelled>(())
    /// # })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the item is still in the variable then.
    ///
    /// # Cancellation
    ///
    /// A cancelled or dropped `put_from` has no effect, and the item stays in the variable. If a
    /// slot was promised before the cancellation, the item is put.
    ///
    /// # Panics
    ///
    /// As [`put`](Queue::put), with the item still in the variable. Where the queue may be closed,
    /// use [`reserve_unless_closed`](Queue::reserve_unless_closed).
    #[track_caller]
    pub fn put_from<'a>(
        &'a self,
        item: &'a mut Option<T>,
    ) -> impl Future<Output = Result<(), TaskCancelled>> + 'a {
        Wait::new("QUEUE_PUT", PutFrom { queue: self, item })
    }

    /// [`put`](Queue::put) for a queue that may be closed: a closed queue gives the item back.
    ///
    /// ```
    /// # use curium::kernel::{self, TaskCancelled};
    /// use curium::sync::{Closed, Queue};
    ///
    /// # kernel::run(async || {
    /// let queue = Queue::bounded(1);
    /// queue.close();
    /// if let Err(Closed(job)) = queue.put_unless_closed("a job").await? {
    ///     assert_eq!(job, "a job");
    /// }
    /// # Ok::<(), TaskCancelled>(())
    /// # })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Outside, [`TaskCancelled`]; the item is dropped then. Inside, [`Closed`], with the item.
    ///
    /// # Cancellation
    ///
    /// As [`put`](Queue::put).
    #[track_caller]
    pub fn put_unless_closed(
        &self,
        item: T,
    ) -> impl Future<Output = Result<Result<(), Closed<T>>, TaskCancelled>> + '_ {
        Wait::new("QUEUE_PUT", PutUnlessClosed(Put::new(self, item)))
    }

    /// Takes the first item. Waits for one if the queue is empty.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; nothing was taken then.
    ///
    /// # Cancellation
    ///
    /// No item is lost. An item that was assigned before the cancellation is returned. An item
    /// that was assigned to a dropped `get` goes to the next getter, or back to its position in the
    /// queue. The queue then holds one item more than its bound if its slot was taken meanwhile.
    ///
    /// # Panics
    ///
    /// If the queue is closed, before or during the wait, and has no item left.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<T, TaskCancelled>> + '_ {
        Wait::new("QUEUE_GET", Get { queue: self })
    }

    /// [`get`](Queue::get) for a queue that may be closed: `None` once it is closed and no item is
    /// left.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; nothing was taken then.
    ///
    /// # Cancellation
    ///
    /// As [`get`](Queue::get).
    #[track_caller]
    pub fn next(&self) -> impl Future<Output = Result<Option<T>, TaskCancelled>> + '_ {
        Wait::new("QUEUE_GET", Next(Get { queue: self }))
    }

    /// Closes the queue: it takes no further item. The getters empty it.
    ///
    /// A waiting putter gets its item back, unless it was promised a slot before. A waiting getter
    /// is notified of the end when no item is left and none can come, neither back from a getter
    /// that has not run yet nor from a putter that was promised a slot or holds one. A second call
    /// does nothing.
    pub fn close(&self) {
        if self.is_closed() {
            return;
        }
        self.stage.set(Stage::Closed);
        self.limit.set(0);
        self.slow_from.set(0);
        self.putters.hand_over_all(|| None);
        self.ends();
    }

    /// Whether [`close`](Queue::close) was called. Items may be left.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.stage.get() != Stage::Open
    }

    /// Puts an item at the end if there is a free slot and no putter waits for it.
    ///
    /// # Errors
    ///
    /// [`TryPutError`], with the item.
    pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        if !self.is_open() && !self.is_met() {
            let closed = self.is_closed();
            return Err(if closed { TryPutError::Closed(item) } else { TryPutError::Full(item) });
        }
        self.accept(self.ticket(), item);
        Ok(())
    }

    /// The first item, if there is one.
    pub fn try_get(&self) -> Option<T> {
        self.take()?.map(|first| first.item)
    }

    /// Marks an item that was taken as done.
    ///
    /// # Errors
    ///
    /// [`NothingToFinish`], if it is called more often than items were put.
    pub fn task_done(&self) -> Result<(), NothingToFinish> {
        let left = self.unfinished.get().checked_sub(1).ok_or(NothingToFinish)?;
        self.unfinished.set(left);
        if left == 0 {
            self.joiners.hand_over_all(|| ());
        }
        Ok(())
    }

    /// Waits until every item that was put is done. Returns at once if none is unfinished.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// The queue stays unchanged.
    #[track_caller]
    pub fn join(&self) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        Wait::new("QUEUE_JOIN", Join { queue: self })
    }

    /// The number of items in the queue. An item that was assigned to a getter is not counted, nor
    /// is a slot that is held.
    pub fn len(&self) -> usize {
        self.items.borrow().count()
    }

    /// Whether no item is in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bound, if there is one.
    pub fn maxsize(&self) -> Option<usize> {
        (self.maxsize != usize::MAX).then_some(self.maxsize)
    }

    /// The number of items that were put and are not done.
    pub fn unfinished(&self) -> usize {
        self.unfinished.get()
    }
}
