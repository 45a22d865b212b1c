//! A queue between tasks, futures of other executors and threads.

use std::marker::PhantomData;
use std::panic::Location;

use kernel::TaskCancelled;

use self::requests::{Get, Join, Put};
use self::state::State;
use super::sync::Mutex;
use super::wait::{Request, change, future};
use crate::queue::{Closed, NothingToFinish, TryPutError};

mod blocking;
mod requests;
mod state;
mod statistics;

/// Items in order, between tasks of any kernel, futures of any executor, and threads.
///
/// It is a [`Queue`](crate::Queue) that is `Send` and `Sync`; share it with `Arc`, or make it a
/// `static`. The two ends may be of different kinds. A task and a future await [`put`] and [`get`];
/// a plain thread calls [`put_blocking`] and [`get_blocking`], with a time limit.
///
/// Each item is got once. It is handed to the oldest getter at once, and the item of the oldest
/// waiting putter is placed as soon as a slot is free; a later call cannot overtake them. A getter
/// that was handed an item and is then cancelled keeps it; dropped, it passes the item on to the
/// next getter, or back to its position. The queue then holds one item more than its bound if its
/// slot was taken meanwhile.
///
/// In a task of Curium a wait is cancelled like any other. Elsewhere it is never cancelled. If a
/// task waits for a thread or for another kernel, its kernel waits too, and does not take that for
/// a deadlock. On a virtual clock it does so for five seconds of real time.
///
/// No call uses a system call, except to sleep, or to wake what sleeps. A blocking call that has to
/// wait first lets other threads run, at most 16 times in 20 µs, and looks again: an item often
/// comes sooner than a sleep and a wake-up take. Between tasks of one kernel use
/// [`Queue`](crate::Queue), which needs neither a lock nor atomics.
///
/// ```
/// use std::sync::Arc;
/// use std::thread;
/// use std::time::Duration;
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::UniversalQueue;
///
/// let queue = Arc::new(UniversalQueue::bounded(2));
/// let items = queue.clone();
/// let producer = thread::spawn(move || {
///     for item in [1, 2, 3] {
///         items.put_blocking(item, Duration::MAX).unwrap();
///     }
///     items.close();
/// });
/// let sum = kernel::run(async || {
///     let mut sum = 0;
///     while let Some(item) = queue.next().await? {
///         sum += item;
///     }
///     Ok::<_, TaskCancelled>(sum)
/// })?;
/// assert_eq!(sum, 6);
/// # producer.join().unwrap();
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// [`put`]: UniversalQueue::put
/// [`get`]: UniversalQueue::get
/// [`put_blocking`]: UniversalQueue::put_blocking
/// [`get_blocking`]: UniversalQueue::get_blocking
#[repr(C, align(64))]
pub struct UniversalQueue<T> {
    /// First, so that the lock and the beginning of the state share a cache line.
    state: Mutex<State<T>>,
    bound: usize,
}

/// The call that a wait shows, with its place in the program.
#[track_caller]
fn here(kind: &'static str) -> (&'static str, &'static Location<'static>) {
    (kind, Location::caller())
}

#[cold]
#[track_caller]
fn put_into_closed(site: &Location<'_>) -> ! {
    panic!(
        "`put` at {site} into a queue that is closed; where that may happen, use \
         `put_unless_closed`, which gives the item back"
    );
}

#[cold]
#[track_caller]
fn get_from_ended(site: &Location<'_>) -> ! {
    panic!(
        "`get` at {site} from a queue that is closed and has no item left; where that may happen, \
         use `next`, which gives `None` then"
    );
}

impl<T> UniversalQueue<T> {
    /// A queue of at most `n` items.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    #[track_caller]
    pub const fn bounded(n: usize) -> Self {
        assert!(
            n > 0,
            "a queue of 0 items never takes one; `UniversalQueue::bounded` takes 1 or more, and \
             `UniversalQueue::unbounded` has no bound"
        );
        UniversalQueue { state: Mutex::new(State::new(n)), bound: n }
    }

    /// A queue without a bound: no `put` ever waits.
    pub const fn unbounded() -> Self {
        UniversalQueue { state: Mutex::new(State::new(usize::MAX)), bound: usize::MAX }
    }

    /// Puts an item at the end. Waits for a slot if the queue is full.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the item is dropped then. Outside a task of Curium there is no error.
    ///
    /// # Cancellation
    ///
    /// A cancelled or dropped `put` whose item was not placed has no effect, and the item is
    /// dropped. To keep the item, use [`put_from`](UniversalQueue::put_from).
    ///
    /// # Panics
    ///
    /// If the queue is closed, before or during the wait, and the item was not placed by then.
    #[track_caller]
    pub fn put(&self, item: T) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        self.put_or_panic(Some(item), here("QUEUE_PUT"))
    }

    /// [`put`](UniversalQueue::put) that never loses its item: it is in the variable afterwards, or
    /// it was placed.
    ///
    /// With `None` in the variable there is nothing to put, and the call completes at once. So a
    /// call that was cancelled can be made again.
    ///
    /// While the call waits, the item is with the queue, so that a getter on another thread can
    /// place it at once. If the call is cancelled after that, it says `Ok`; if it is dropped, the
    /// variable says whether the item was placed.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use curium::kernel::{self, TaskCancelled, ignore_after};
    /// use curium::sync::UniversalQueue;
    ///
    /// # kernel::run(async || {
    /// let queue = UniversalQueue::bounded(1);
    /// queue.put("a job").await?;
    /// let mut job = Some("another job");
    /// let put = ignore_after(Duration::from_millis(1), queue.put_from(&mut job)).await?;
    /// assert!(put.is_none(), "the queue is full");
    /// assert_eq!(job, Some("another job"));
    /// # Ok::<(), TaskCancelled>(())
    /// # })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the item is in the variable then.
    ///
    /// # Cancellation
    ///
    /// A cancelled or dropped `put_from` whose item was not placed has no effect, and the item is
    /// in the variable.
    ///
    /// # Panics
    ///
    /// As [`put`](UniversalQueue::put), with the item in the variable.
    #[track_caller]
    pub fn put_from<'a>(
        &'a self,
        item: &'a mut Option<T>,
    ) -> impl Future<Output = Result<(), TaskCancelled>> + 'a {
        self.put_or_panic(item, here("QUEUE_PUT"))
    }

    fn put_or_panic<'a>(
        &'a self,
        item: impl std::borrow::BorrowMut<Option<T>> + 'a,
        here: (&'static str, &'static Location<'static>),
    ) -> impl Future<Output = Result<(), TaskCancelled>> + 'a {
        future(here, &self.state, Put::new(item), move |_, placed| {
            if !placed {
                put_into_closed(here.1);
            }
        })
    }

    /// [`put`](UniversalQueue::put) for a queue that may be closed: a closed queue gives the item
    /// back.
    ///
    /// # Errors
    ///
    /// Outside, [`TaskCancelled`]; the item is dropped then. Inside, [`Closed`], with the item.
    ///
    /// # Cancellation
    ///
    /// As [`put`](UniversalQueue::put).
    #[track_caller]
    pub fn put_unless_closed(
        &self,
        item: T,
    ) -> impl Future<Output = Result<Result<(), Closed<T>>, TaskCancelled>> + '_ {
        future(here("QUEUE_PUT"), &self.state, Put::new(Some(item)), |put, _| {
            put.left().map_or(Ok(()), |item| Err(Closed(item)))
        })
    }

    /// Puts an item at the end if there is a free slot and no putter waits for it.
    ///
    /// # Errors
    ///
    /// [`TryPutError`], with the item.
    pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        let mut put = Put::new(Some(item));
        let placed = change(&self.state, |state, wakes| put.attempt(state, wakes));
        put.refused(placed)
    }

    /// Takes the first item. Waits for one if the queue is empty.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; nothing was taken then. Outside a task of Curium there is no error.
    ///
    /// # Cancellation
    ///
    /// No item is lost. An item that was handed over before the cancellation is returned. An item
    /// that was handed to a dropped `get` goes to the next getter, or back to its position.
    ///
    /// # Panics
    ///
    /// If the queue is closed, before or during the wait, and has no item left.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<T, TaskCancelled>> + '_ {
        let here = here("QUEUE_GET");
        future(here, &self.state, Get(PhantomData), move |_, item| match item {
            Some(item) => item,
            None => get_from_ended(here.1),
        })
    }

    /// [`get`](UniversalQueue::get) for a queue that may be closed: `None` once it is closed and no
    /// item is left.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; nothing was taken then.
    ///
    /// # Cancellation
    ///
    /// As [`get`](UniversalQueue::get).
    #[track_caller]
    pub fn next(&self) -> impl Future<Output = Result<Option<T>, TaskCancelled>> + '_ {
        future(here("QUEUE_GET"), &self.state, Get(PhantomData), |_, item| item)
    }

    /// The first item, if there is one.
    pub fn try_get(&self) -> Option<T> {
        change(&self.state, State::take).flatten()
    }

    /// Closes the queue: it takes no further item. The getters empty it.
    ///
    /// A waiting putter gets its item back. A waiting getter is notified of the end when no item is
    /// left and none can come back from a getter that has not run yet. A second call does nothing.
    pub fn close(&self) {
        change(&self.state, State::close);
    }

    /// Whether [`close`](UniversalQueue::close) was called. Items may be left.
    pub fn is_closed(&self) -> bool {
        self.state.lock().is_closed()
    }

    /// Marks an item that was taken as done.
    ///
    /// # Errors
    ///
    /// [`NothingToFinish`], if it is called more often than items were put.
    pub fn task_done(&self) -> Result<(), NothingToFinish> {
        let done = change(&self.state, State::finish_one);
        if done { Ok(()) } else { Err(NothingToFinish) }
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
        future(here("QUEUE_JOIN"), &self.state, Join(PhantomData), |_, ()| ())
    }

    /// The number of items in the queue. An item that was handed to a getter is not counted, nor is
    /// the item of a putter that waits.
    pub fn len(&self) -> usize {
        self.state.lock().len()
    }

    /// Whether no item is in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bound, if there is one.
    pub fn maxsize(&self) -> Option<usize> {
        (self.bound != usize::MAX).then_some(self.bound)
    }

    /// The number of items that were put and are not done.
    pub fn unfinished(&self) -> usize {
        self.state.lock().unfinished()
    }
}
