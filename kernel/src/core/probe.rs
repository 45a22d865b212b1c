//! The seam between the run loop and the test kit.
//!
//! A kernel with a probe polls every task on the path of special tasks and calls the probe around
//! each poll. A kernel without one does not test for it while it polls plain tasks.

use std::panic::Location;

use crate::core::state::{Core, TaskRef};

/// What the test kit does between the polls of a kernel. No task is polled during these calls.
pub(crate) trait Probe {
    /// The run loop is about to take the next task from the ready queue, or to wait for one.
    fn before_poll(&self, core: &Core);

    /// A task was polled, and the result of the poll was handled. `ended`: it has ended. Main is
    /// not marked as ended yet.
    fn after_poll(&self, core: &Core, task: &TaskRef, ended: bool);

    /// A hosted task was taken from the ready queue, and its host made ready.
    fn passed_to_host(&self) {}

    /// A poll of a task has panicked. Unless it is main, it has ended.
    fn after_panic(&self, core: &Core, task: &TaskRef);

    /// Whether [`tries`](Probe::tries) is to be called in the next poll of this task.
    fn surveys(&self, _task: &TaskRef) -> bool {
        false
    }

    /// A leaf of the surveyed task tries its operation. True: the operation may go on. False: the
    /// budget of the poll is spent.
    fn tries(&self, _kind: &'static str, _site: &'static Location<'static>) -> bool {
        false
    }
}
