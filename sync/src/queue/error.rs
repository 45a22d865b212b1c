//! The errors of a queue. They return the refused item.

use std::fmt;

/// The queue is closed. Holds the refused item.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is closed")]
pub struct Closed<T>(pub T);

impl<T> fmt::Debug for Closed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Closed(..)")
    }
}

/// Why [`Queue::try_put`](crate::Queue::try_put) did not take the item. Holds the refused item.
/// [`Queue::try_reserve`](crate::Queue::try_reserve), which has none, fails in the same ways.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryPutError<T> {
    /// There is no free slot, or an older putter waits for it.
    #[error("the queue is full")]
    Full(T),
    /// The queue is closed and takes no further item.
    #[error("the queue is closed")]
    Closed(T),
}

impl<T> TryPutError<T> {
    /// Returns the refused item.
    pub fn into_item(self) -> T {
        match self {
            TryPutError::Full(item) | TryPutError::Closed(item) => item,
        }
    }
}

impl<T> fmt::Debug for TryPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryPutError::Full(_) => "Full(..)",
            TryPutError::Closed(_) => "Closed(..)",
        })
    }
}

/// `task_done` was called more often than items were put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("task_done was called once more than items were put into the queue")]
pub struct NothingToFinish;
