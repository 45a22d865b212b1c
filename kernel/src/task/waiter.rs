//! What a wait queue wakes: a task, by a reference to it, or any other waiter, by a clone of its
//! waker.
//!
//! A leaf that is polled with its task's own waker needs no clone of the waker: the [`TaskRef`] is
//! enough, and it contains a generation. Inside `join!`, `FuturesUnordered` or another executor the
//! waker is *foreign*, and a clone is kept. Waking or dropping a foreign waker runs code of a
//! program, so both happen only where no borrow of the kernel is held.

use std::task::Waker;

use crate::parts::fifo::Wakeable;
use crate::task::chunk::TaskRef;

/// What to wake, or nothing.
///
/// This is a struct and not an enum because of store forwarding (`task/state.rs`): a task, the most
/// frequent waiter, is then written and read in the same pieces.
pub(crate) struct Waiter<K> {
    /// Set for a task of any kernel on this thread. Beside a foreign waker, the task that has
    /// polled the waiter, if that is noted.
    task: Option<TaskRef<K>>,
    /// Set for a foreign waker.
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

    /// A waiter for that waker, which the task has polled if there is one.
    pub(crate) fn of_waker(waker: Waker, task: Option<TaskRef<K>>) -> Self {
        Waiter { task, foreign: Some(waker) }
    }

    /// Sets the task. The waiter must be empty.
    #[inline]
    pub(crate) fn set_task(&mut self, task: &TaskRef<K>) {
        self.task = Some(task.clone());
    }

    /// Whether the waiter is that task.
    #[inline]
    pub(crate) fn is_task(&self, task: &TaskRef<K>) -> bool {
        self.foreign.is_none() && self.task.as_ref().is_some_and(|own| own.is(task))
    }

    /// The task, if the waiter is one.
    pub(crate) fn task(&self) -> Option<&TaskRef<K>> {
        if self.foreign.is_none() { self.task.as_ref() } else { None }
    }

    /// The task, or the one that has polled the foreign waker, if that is noted.
    #[inline]
    pub(crate) fn noted_task(&self) -> Option<&TaskRef<K>> {
        self.task.as_ref()
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
    fn is_set(&self) -> bool {
        self.task.is_some() || self.foreign.is_some()
    }

    #[inline]
    fn take(&mut self) -> Self {
        Waiter { task: self.task.take(), foreign: self.foreign.take() }
    }
}
