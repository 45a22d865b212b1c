//! What a leaf waits for in a wait queue.

use crate::id::TaskId;
use crate::parts::fifo::Site;

/// A task that takes or holds an object, of any kernel of this thread.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taker {
    pub(crate) task: TaskId,
    /// The number of its kernel, because the ids of tasks are unique in a kernel only.
    /// `NO_KERNEL`: the task is not known.
    pub(crate) kernel: u32,
}

impl Taker {
    pub(crate) const NO_KERNEL: u32 = u32::MAX;

    pub(crate) const NONE: Taker = Taker { task: TaskId::NONE, kernel: Taker::NO_KERNEL };

    /// Its id in its kernel, if it is known.
    pub fn task(self) -> Option<TaskId> {
        (self.kernel != Taker::NO_KERNEL).then_some(self.task)
    }

    /// The number of its kernel, if it is known.
    pub fn kernel(self) -> Option<u32> {
        (self.kernel != Taker::NO_KERNEL).then_some(self.kernel)
    }

    /// The task, if it is of that kernel.
    pub(crate) fn in_kernel(self, kernel: u32) -> Option<TaskId> {
        (self.kernel == kernel).then_some(self.task)
    }
}

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
    /// The task that has waited last for an item of the queue in which it waits for room, and
    /// whether that has ended.
    pub(crate) reader: Option<(TaskId, bool)>,
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
