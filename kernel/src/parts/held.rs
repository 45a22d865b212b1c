//! What a leaf waits for in a wait queue.

use crate::id::TaskId;
use crate::parts::fifo::Site;

/// What an object has noted of its holders.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) tasks: Vec<TaskId>,
    /// Those of them that have ended.
    pub(crate) ended: Vec<TaskId>,
    /// The wait to which the one holder was handed the object, if that has not taken it yet.
    pub(crate) untaken: Site,
}

/// The object that a leaf waits for.
#[derive(Debug, Clone, Default)]
pub(crate) struct WaitedFor {
    /// Its number, 0 for none. No other object of this thread has it.
    pub(crate) object: u64,
    /// The tasks that hold it. None if not all of them are known.
    pub(crate) held: Option<Held>,
    /// Whether the leaf was polled with another waker than that of its task, such as one of a
    /// `FuturesUnordered`. That waker reaches the task only through a clone of the task's waker.
    pub(crate) is_foreign: bool,
}

impl WaitedFor {
    /// Whether the object was handed to that task, in a wait that has not taken it.
    pub(crate) fn is_had_by(&self, task: TaskId) -> bool {
        self.held.as_ref().is_some_and(|held| held.untaken.is_some() && held.tasks == [task])
    }
}
