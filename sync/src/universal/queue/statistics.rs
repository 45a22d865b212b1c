//! What a queue shows of itself.

use std::fmt;

use super::UniversalQueue;
use crate::queue::QueueStatistics;

impl<T> UniversalQueue<T> {
    /// The state of the queue at one moment. Slots cannot be held in it.
    pub fn statistics(&self) -> QueueStatistics {
        let state = self.state.lock();
        QueueStatistics {
            len: state.len(),
            maxsize: self.maxsize(),
            closed: state.is_closed(),
            getters: state.getters.len(),
            putters: state.putters.len(),
            held: 0,
            unfinished: state.unfinished(),
            joiners: state.joiners.len(),
        }
    }
}

impl<T> fmt::Debug for UniversalQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.statistics();
        f.debug_struct("UniversalQueue")
            .field("len", &now.len)
            .field("maxsize", &now.maxsize)
            .field("closed", &now.closed)
            .field("getters", &now.getters)
            .field("putters", &now.putters)
            .field("unfinished", &now.unfinished)
            .finish()
    }
}
