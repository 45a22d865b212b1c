//! What waits in a data structure of one kernel.

use std::task::Waker;

use crate::id::TaskId;

/// What to wake: a task of the kernel whose structure this stands in, or anything else by its
/// waker.
pub(crate) enum LocalWaiter {
    Task(TaskId),
    Foreign(Waker),
}
