//! The turn of a kernel that another loop turns (`guest.rs`): it polls a number of tasks at most,
//! and does not sleep.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::core::state::Core;
use crate::parts::ready::Batch;
use crate::run::lookout::Lookout;
use crate::run::tick::RunLoop;

/// The turns of a kernel.
pub(super) struct Visit {
    /// The number of polls that are left in this turn, without those that the batch has.
    left: u32,
    pause: Cell<Pause>,
    /// What the run loop looks for, while it is left.
    pub(super) lookout: Option<RefCell<Lookout>>,
}

/// Why a turn is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// All its polls are used up, and tasks may be ready.
    Busy,
    /// No task is ready. A sleep is announced to the mailbox, and the alarm is set for this time.
    Idle { until: Option<u64> },
}

impl Visit {
    pub(super) fn new(core: &Core) -> Self {
        Visit { left: 0, pause: Cell::new(Pause::Busy), lookout: Lookout::of(core) }
    }

    /// Begins a turn with that number of polls. Returns why the last one was over.
    pub(super) fn begin(&mut self, polls: u32) -> Pause {
        self.left = polls;
        self.pause.replace(Pause::Busy)
    }

    pub(super) fn pause(&self) -> Pause {
        self.pause.get()
    }

    /// Allows some polls. False: none are left.
    pub(super) fn allow(&mut self, batch: &mut Batch) -> bool {
        self.left += batch.unused();
        let polls = self.left.min(RunLoop::POLLS);
        self.left -= polls;
        batch.allow(polls);
        polls > 0
    }
}

impl RunLoop<'_> {
    /// No task is ready: prepares the sleep that the other loop sleeps. True: there is something
    /// to do before it.
    #[cold]
    pub(super) fn pause(&self, visit: &Visit) -> bool {
        if self.wake_settlers() {
            return true;
        }
        let look = self.look_out();
        if look == Some(Duration::ZERO) {
            return true;
        }
        let look = look.map(|look| self.core.clock.after(look));
        let until = self.first_deadline().into_iter().chain(look).min();
        if !self.core.remote().announce_sleep() {
            return true;
        }
        let mut is_set = true;
        if let Some(until) = until {
            let left = Duration::from_nanos(until.saturating_sub(self.core.clock.now()));
            match self.core.with_reactor(|reactor| reactor.set_alarm(left, until)) {
                Some(Ok(set)) => is_set = set,
                Some(Err(error)) => self.cannot_wait(&error),
                None => {}
            }
        }
        let came = self.wait_events(Some(Duration::ZERO), None);
        let ready = !self.core.ready.borrow().is_empty();
        // Read after the events: the alarm may have been among them, and rings only once.
        if came || ready || until.is_some_and(|until| until <= self.core.clock.now()) {
            self.core.remote().awake();
            self.core.read_clock();
            return true;
        }
        if !is_set && cfg!(target_os = "linux") {
            // The system lacks a descriptor for the alarm: the turns go on until the deadline.
            self.core.remote().awake();
            return false;
        }
        visit.pause.set(Pause::Idle { until });
        false
    }
}
