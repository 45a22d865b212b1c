//! The outcome of an ended task. It is kept while the task has holders, and can be taken once.

use std::rc::Rc;

use crate::core::state::{Core, TaskRef};
use crate::error::TaskError;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

/// Takes the outcome of an ended task.
pub(crate) fn take_outcome<T: 'static, E: 'static>(cell: &TaskRef) -> Result<T, TaskError<E>> {
    let aborted = cell.flags.has_end(TaskEnd::Aborted);
    if aborted || cell.flags.any(Flags::TAKEN) {
        return Err(if aborted { TaskError::Aborted } else { TaskError::Taken });
    }
    cell.flags.set(Flags::TAKEN);
    let mut output: Option<Result<T, E>> = None;
    cell.take_output(&mut output);
    match output {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) if cell.flags.has_end(TaskEnd::Cancelled) => {
            Err(TaskError::Cancelled(error))
        }
        Some(Err(error)) => Err(TaskError::Failed(error)),
        None => Err(cell.take_panic().map_or(TaskError::Taken, TaskError::Panicked)),
    }
}

/// A holder of a task: while it exists, the cell of the task is not reused, and its outcome is
/// kept.
pub(crate) struct Hold(TaskRef);

impl Hold {
    pub(crate) fn new(cell: &TaskRef) -> Self {
        cell.holders.set(cell.holders.get() + 1);
        Hold(cell.clone())
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        self.0.core()
    }

    pub(crate) fn cell(&self) -> &TaskRef {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.core().drop_holder(&self.0);
    }
}
