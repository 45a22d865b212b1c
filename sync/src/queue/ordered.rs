//! Queues with another order than first in, first out.

use std::fmt;
use std::ops::Deref;

use super::Queue;
use super::order::{Lifo, Smallest};

/// A [`Queue`] that gives the smallest item first, and of equal ones the one that was put first.
///
/// It has all the methods of a [`Queue`]. The order is that of [`Ord`]; for the greatest first, put
/// [`Reverse`](std::cmp::Reverse). Only the items that are in the queue are compared: an item that
/// is put while a getter waits goes to that getter at once, because the queue is empty then.
/// Putters get their slots in order of arrival, whatever they put.
///
/// Do not use it for deadlines: a task that sleeps costs less and can be cancelled. Where most
/// items are equal, a [`Queue`] costs less, too.
///
/// ```
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::PriorityQueue;
///
/// kernel::run(async || {
///     let jobs = PriorityQueue::unbounded();
///     for job in [(2, "sweep"), (1, "mend"), (2, "paint")] {
///         jobs.put(job).await?;
///     }
///     assert_eq!(jobs.get().await?, (1, "mend"));
///     assert_eq!(jobs.get().await?, (2, "paint"));
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// # Panics
///
/// If the comparison of two items uses this queue, because its buffer is borrowed then. A
/// comparison that panics does so in the `put` or `get` that compares; no item is lost.
pub struct PriorityQueue<T: Ord>(Queue<T, Smallest<T>>);

/// A [`Queue`] that gives the last item first.
///
/// It has all the methods of a [`Queue`]. Old items may wait for ever while new ones come, so do
/// not use it where each item must be taken in the end; it suits what is better fresh, such as
/// buffers that are still in the cache of the processor.
///
/// ```
/// use curium::sync::LifoQueue;
///
/// let buffers = LifoQueue::unbounded();
/// buffers.try_put("cold").unwrap();
/// buffers.try_put("warm").unwrap();
/// assert_eq!(buffers.try_get(), Some("warm"));
/// ```
pub struct LifoQueue<T>(Queue<T, Lifo<T>>);

impl<T: Ord> PriorityQueue<T> {
    /// A queue of at most `n` items.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    #[track_caller]
    pub fn bounded(n: usize) -> Self {
        PriorityQueue(Queue::bounded_over(n, Smallest::default()))
    }

    /// A queue without a bound: no `put` ever waits.
    pub fn unbounded() -> Self {
        PriorityQueue(Queue::over(usize::MAX, Smallest::default()))
    }
}

impl<T> LifoQueue<T> {
    /// A queue of at most `n` items.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    #[track_caller]
    pub fn bounded(n: usize) -> Self {
        LifoQueue(Queue::bounded_over(n, Lifo::default()))
    }

    /// A queue without a bound: no `put` ever waits.
    pub fn unbounded() -> Self {
        LifoQueue(Queue::over(usize::MAX, Lifo::default()))
    }
}

impl<T: Ord> Deref for PriorityQueue<T> {
    type Target = Queue<T, Smallest<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T> Deref for LifoQueue<T> {
    type Target = Queue<T, Lifo<T>>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<T: Ord> fmt::Debug for PriorityQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PriorityQueue").field(&self.0).finish()
    }
}

impl<T> fmt::Debug for LifoQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LifoQueue").field(&self.0).finish()
    }
}
