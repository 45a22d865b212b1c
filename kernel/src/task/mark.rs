//! The mark of a watched kernel: which task is being polled, and how the tasks are called.
//!
//! Another thread reads it without the kernel's help, so also while a task blocks the thread of the
//! kernel. At each poll the run loop stores the polled task in its spare waker anyway. The mark
//! shares that waker, so marking costs one instruction more: the count of polls. A name is stored
//! before the first poll of its task, and only if the slot had a task with another name before.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::id::TaskId;
use crate::task::waker::TaskWaker;

/// What a task is called.
#[derive(Clone)]
pub(crate) enum TaskName {
    /// By the type of its future.
    Type(fn() -> &'static str),
    Given(Cow<'static, str>),
}

/// What a kernel shares with the thread that watches it.
#[derive(Default)]
pub(crate) struct Mark {
    /// The spare waker of the run loop.
    spare: Mutex<Option<Arc<TaskWaker>>>,
    /// By the slot of the task.
    names: Mutex<Vec<Option<TaskName>>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Mark {
    /// The run loop has another spare waker, or has ended.
    pub(crate) fn set_spare(&self, spare: Option<Arc<TaskWaker>>) {
        let mut shared = lock(&self.spare);
        if let (Some(old), Some(new)) = (&*shared, &spare) {
            new.set_polls(old.polls().wrapping_add(1));
        }
        let old = std::mem::replace(&mut *shared, spare);
        drop(shared);
        drop(old);
    }

    /// The task that is being polled, if one is, and the number of polls. The reference count of
    /// the waker stays as it is: the kernel reads it.
    pub(crate) fn poll(&self) -> (Option<TaskId>, u32) {
        match &*lock(&self.spare) {
            Some(spare) => (spare.task().as_option(), spare.polls()),
            None => (None, 0),
        }
    }

    pub(crate) fn set_name(&self, task: TaskId, name: TaskName) {
        let at = task.index() as usize;
        let mut names = lock(&self.names);
        if names.len() <= at {
            names.resize(at + 1, None);
        }
        let old = names[at].replace(name);
        drop(names);
        drop(old);
    }

    /// The name of the task that is being polled, or was the last in its slot.
    pub(crate) fn name(&self, task: TaskId) -> Option<TaskName> {
        lock(&self.names).get(task.index() as usize).cloned().flatten()
    }
}
