//! Cancelling a task and waiting for its end.
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::core::state::TaskRef;
use crate::error::{CancelReason, TaskCancelled};
use crate::wait::join::{End, ToCancel};

/// Cancels a task and waits until it has ended. Made by [`Task::cancel`](crate::Task::cancel).
///
/// # Cancellation
///
/// Only the wait is abandoned: the task stays cancelled and continues its cleanup.
#[must_use = "nothing is cancelled before this is awaited; `request_cancel` asks without waiting"]
// The compiler shows the next line when it refuses to send this, or what is made of it.
pub struct Cancel /* stays on its thread: send `kernel::handle()` and the task's `id()` */ {
    end: End<ToCancel>,
    requested: bool,
}

impl Cancel {
    pub(crate) fn new(site: &'static Location<'static>, cell: &TaskRef) -> Self {
        Cancel { end: End::new(site, cell), requested: false }
    }
}

impl Future for Cancel {
    type Output = Result<(), TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !std::mem::replace(&mut self.requested, true) {
            let task = &self.end.task;
            let (core, cell) = (task.core(), task.cell());
            let by = core.running_id();
            core.request(cell, CancelReason::Requested { by });
            if by == Some(cell.id()) {
                // A task that waits for its own end would wait for ever, also inside a shield. So
                // the error is returned at once (C5).
                return Poll::Ready(Err(core.deliver_to_oneself(cell)));
            }
        }
        self.end.poll(cx)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancel").field("task", &self.end.task.cell().id()).finish()
    }
}
