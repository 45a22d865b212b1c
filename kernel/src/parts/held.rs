//! What a leaf waits for in a wait queue.

use crate::id::TaskId;

/// The object that a leaf waits for.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitedFor {
    /// Its number, 0 for none. No other object of this thread has it.
    pub(crate) object: u64,
    /// The tasks that hold it. None if not all of them are known.
    pub(crate) held: Option<Vec<TaskId>>,
    /// Whether the leaf was polled with another waker than that of its task, such as one of a
    /// `FuturesUnordered`. That waker reaches the task only through a clone of the task's waker.
    pub(crate) is_foreign: bool,
}
