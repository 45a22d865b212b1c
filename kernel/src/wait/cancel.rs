//! Cancelling a task and waiting for its end.
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::{CancelReason, TaskCancelled};
use crate::wait::join::WaitEnd;

/// Cancels a task and waits until it has ended. Made by [`Task::cancel`](crate::Task::cancel).
///
/// # Cancellation
///
/// Only the wait is abandoned: the task stays cancelled and continues its cleanup.
#[must_use = "nothing is cancelled before this is awaited; `request_cancel` asks without waiting"]
pub struct Cancel {
    wait: WaitEnd,
    requested: bool,
}

impl Cancel {
    pub(crate) fn new(wait: WaitEnd) -> Self {
        Cancel { wait, requested: false }
    }
}

impl Future for Cancel {
    type Output = Result<(), TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !std::mem::replace(&mut self.requested, true) {
            let task = &self.wait.task;
            let (core, cell) = (task.core(), task.cell());
            let by = core.running_id();
            core.request(cell, CancelReason::Requested { by });
            if by == Some(cell.id()) {
                // A task that waits for its own end would wait for ever, also inside a shield. So
                // the error is returned at once (C5).
                return Poll::Ready(Err(core.deliver_to_oneself(cell)));
            }
        }
        Pin::new(&mut self.wait).poll(cx)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("task", &self.wait.task.cell().id()).finish()
    }
}
