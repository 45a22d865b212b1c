//! What waits for a task to do something: another task by its name, anything else by a clone of its
//! waker.
//!
//! A leaf that is polled with its task's own waker needs no clone of it: the name is enough, and it
//! carries a generation. Inside `join!`, `FuturesUnordered` or another executor the waker is
//! foreign and is kept. Waking or dropping a foreign waker runs a program's code, so both happen
//! only where no borrow of the kernel is held.

use std::task::Waker;

use crate::parts::fifo::Wakeable;
use crate::task::chunk::TaskRef;

/// What to wake, or nobody.
///
/// A struct and not an enum, so that the usual one, a task, is written and read as it is: copied in
/// pieces that differ from those it was written in, it would wait for the writes to be through.
pub(crate) struct Waiter<K> {
    /// A task of ours,
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

    /// That task, in place of nobody.
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
