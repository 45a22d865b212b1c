//! What is woken when a task does something: another task, by its name, or anything else, by a
//! clone of its waker.
//!
//! A leaf that is polled with the own waker of its task needs no clone of it: the name of the task
//! is enough, and it contains a generation. Inside `join!`, `FuturesUnordered` or another executor
//! the waker is foreign, and a clone is kept. Waking or dropping a foreign waker runs code of a
//! program, so both happen only where no borrow of the kernel is held.

use std::task::Waker;

use crate::parts::fifo::Wakeable;
use crate::task::chunk::TaskRef;

/// What to wake, or nothing.
///
/// This is a struct and not an enum because of store forwarding (`task/state.rs`): a task, the most
/// frequent waiter, is then written and read in the same pieces.
pub(crate) struct Waiter<K> {
    /// A task of a kernel,
    task: Option<TaskRef<K>>,
    /// or anything else.
    foreign: Option<Waker>,
}

impl<K> Default for Waiter<K> {
    #[inline]
    fn default() -> Self {
        Waiter { task: None, foreign: None }
    }
}

impl<K> Waiter<K> {
    pub(crate) fn of_task(task: TaskRef<K>) -> Self {
        Waiter { task: Some(task), foreign: None }
    }

    pub(crate) fn of_waker(waker: Waker) -> Self {
        Waiter { task: None, foreign: Some(waker) }
    }

    /// Sets the task. The waiter is empty before.
    #[inline]
    pub(crate) fn set_task(&mut self, task: &TaskRef<K>) {
        self.task = Some(task.clone());
    }

    /// Whether waking this wakes that task.
    #[inline]
    pub(crate) fn is_task(&self, task: &TaskRef<K>) -> bool {
        self.task.as_ref().is_some_and(|own| own.is(task))
    }

    pub(crate) fn foreign(&self) -> Option<&Waker> {
        self.foreign.as_ref()
    }

    #[inline(always)]
    pub(crate) fn into_parts(self) -> (Option<TaskRef<K>>, Option<Waker>) {
        (self.task, self.foreign)
    }
}

impl<K> Wakeable for Waiter<K> {
    #[inline]
    fn is_somebody(&self) -> bool {
        self.task.is_some() || self.foreign.is_some()
    }

    #[inline]
    fn take(&mut self) -> Self {
        Waiter { task: self.task.take(), foreign: self.foreign.take() }
    }
}
