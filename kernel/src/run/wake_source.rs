//! What can still wake a task when none is ready and no timer is armed, and the report if it is
//! doubtful.
//!
//! It is apart from `idle.rs` because a kernel that waits for a socket or a timer need not look
//! further.

use crate::core::report::Report;
use crate::run::tick::RunLoop;

impl RunLoop<'_> {
    /// What could still wake a task when none is ready and no timer is armed.
    #[inline]
    pub(super) fn wake_source(&self) -> WakeSource {
        let parked = self.core.with_reactor(|reactor| reactor.parked()).unwrap_or(0);
        if parked > 0 { WakeSource::Some } else { self.wake_source_but_sockets() }
    }

    #[inline(never)]
    fn wake_source_but_sockets(&self) -> WakeSource {
        if self.core.jobs.out() > 0 || self.core.remote().handles() > 0 {
            return WakeSource::Some;
        }
        // Check the mailbox after the handles: a thread posts before it drops the last handle.
        if self.core.remote().has_post() {
            return WakeSource::Some;
        }
        // The waker of an ended task can wake nothing.
        let tasks = self.core.tasks.borrow();
        match tasks.occupied().any(|cell| !cell.is_ended() && cell.is_waker_out()) {
            true => WakeSource::Wakers,
            false => WakeSource::None,
        }
    }

    /// Only a waker can end the sleep. Reports the hang once, after the time that was set.
    #[cold]
    pub(super) fn sleep_in_a_hang(&self) {
        let patience = self.core.settings.hang.filter(|_| !self.core.hang_reported.get());
        let mut came = self.sleep_through_looks(patience);
        if !came && patience.is_some() {
            self.core.report(&Report::Hang(&self.core.infos()));
            // The sink may have woken a task.
            came = !self.core.ready.borrow().is_empty();
        }
        self.core.hang_reported.set(!came);
    }
}

/// See [`RunLoop::wake_source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WakeSource {
    None,
    /// Only wakers that are held somewhere: by another thread, or by a parked task itself.
    Wakers,
    /// A source, a job, a handle, or a message.
    Some,
}
