//! What the two sides of a channel share.

use std::cell::Cell;

use kernel::wait_queue::WaitQueue;

use crate::queue::Queue;

pub(super) struct Shared<T> {
    pub(super) queue: Queue<T>,
    pub(super) senders: Cell<usize>,
    pub(super) receivers: Cell<usize>,
    /// The tasks that wait for the close.
    pub(super) closings: WaitQueue,
}

impl<T> Shared<T> {
    /// A channel with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> Self {
        let queue = if capacity == 0 { Queue::direct() } else { Queue::bounded(capacity) };
        let (senders, receivers) = (Cell::new(1), Cell::new(1));
        Shared { queue, senders, receivers, closings: WaitQueue::new() }
    }

    pub(super) fn close(&self) {
        self.queue.close();
        self.closings.hand_over_all(|| ());
    }

    /// Closes the channel because no receiver is left, and drops what is in it.
    pub(super) fn abandon(&self) {
        // Before the items are dropped, because the drop of one may panic.
        self.close();
        self.queue.abandon();
    }

    pub(super) fn statistics(&self) -> ChannelStatistics {
        let queue = self.queue.statistics();
        ChannelStatistics {
            len: queue.len,
            capacity: if self.queue.is_direct() { Some(0) } else { queue.maxsize },
            closed: queue.closed,
            senders: self.senders.get(),
            receivers: self.receivers.get(),
            waiting_senders: queue.putters,
            waiting_receivers: queue.getters,
            held: queue.held,
        }
    }
}

/// The state of a channel at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelStatistics {
    /// The number of items in the channel. One that was assigned to a receiver is not counted, nor
    /// is the item of a sender that waits.
    pub len: usize,
    /// The greatest number of items; `None` for a channel without a bound.
    pub capacity: Option<usize>,
    /// Whether the channel is closed.
    pub closed: bool,
    /// The number of senders.
    pub senders: usize,
    /// The number of receivers.
    pub receivers: usize,
    /// The number of tasks that wait for room.
    pub waiting_senders: usize,
    /// The number of tasks that wait for an item.
    pub waiting_receivers: usize,
    /// The number of slots that are held.
    pub held: usize,
}
