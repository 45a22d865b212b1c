//! What a queue shows of itself.

use std::fmt;

use super::Queue;
use super::order::Order;

/// The state of a queue at one moment, from [`Queue::statistics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStatistics {
    /// The number of items in the queue: see [`Queue::len`].
    pub len: usize,
    /// The bound, if there is one.
    pub maxsize: Option<usize>,
    /// Whether the queue was closed.
    pub closed: bool,
    /// The number of tasks that wait for an item.
    pub getters: usize,
    /// The number of tasks that wait for a slot.
    pub putters: usize,
    /// The number of slots that are held: see [`Slot`](crate::Slot).
    pub held: usize,
    /// The number of items that were put and are not done.
    pub unfinished: usize,
    /// The number of tasks that wait in [`Queue::join`].
    pub joiners: usize,
}

impl<T, O: Order<T>> Queue<T, O> {
    /// The state of the queue now. It costs a few loads and changes nothing.
    ///
    /// ```
    /// use curium::sync::Queue;
    ///
    /// let queue = Queue::bounded(2);
    /// queue.try_put("a job").unwrap();
    /// let now = queue.statistics();
    /// assert_eq!((now.len, now.maxsize, now.getters), (1, Some(2), 0));
    /// ```
    pub fn statistics(&self) -> QueueStatistics {
        QueueStatistics {
            len: self.len(),
            maxsize: self.maxsize(),
            closed: self.is_closed(),
            getters: self.getters.len(),
            putters: self.putters.len(),
            held: self.held.get(),
            unfinished: self.unfinished(),
            joiners: self.joiners.len(),
        }
    }
}

impl<T, O: Order<T>> fmt::Debug for Queue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.statistics();
        f.debug_struct("Queue")
            .field("len", &now.len)
            .field("maxsize", &now.maxsize)
            .field("closed", &now.closed)
            .field("getters", &now.getters)
            .field("putters", &now.putters)
            .field("held", &now.held)
            .field("unfinished", &now.unfinished)
            .finish()
    }
}
