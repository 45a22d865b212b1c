//! Waiters in the data structures of one kernel.

use std::task::Waker;

use crate::id::TaskId;

/// What to wake: a task of the kernel that owns the data structure, or anything else by its waker.
pub(crate) enum LocalWaiter {
    Task(TaskId),
    Foreign(Waker),
}
