//! The sources that the kernel checks between polls: mailbox, timers, extensions, reactor. If no
//! task is ready, the kernel sleeps, advances the virtual clock, or finds a deadlock
//! (`wake_source.rs`).
//!
//! Nothing here polls a task.

use std::io;
use std::time::{Duration, Instant};

use crate::core::state::Stage;
use crate::parts::reactor::{EventsSeen, Reactor};
use crate::run::tick::RunLoop;
use crate::run::wake_source::WakeSource;

/// How long sockets must be silent before a virtual clock jumps (K8).
const SILENCE: Duration = Duration::from_millis(10);

/// How long an idle kernel on a virtual clock waits for wakers that are still held somewhere.
const PATIENCE: Duration = Duration::from_secs(5);

impl RunLoop<'_> {
    /// Polls all sources, and sleeps if no task is ready. False: nothing can ever wake a task, or
    /// the time of a test is over.
    #[must_use]
    pub(super) fn poll_sources(&mut self) -> bool {
        self.core.turns.set(self.core.turns.get() + 1);
        let busy = self.serve_mailbox() || !self.batch.is_over();
        let timed = self.serve_timers();
        if self.core.grace_over.get() {
            return true;
        }
        let ready = busy || !self.core.ready.borrow().is_empty();
        let busy = self.trim(ready) || ready;
        if busy {
            if let Some(lookout) = &self.lookout {
                if !lookout.borrow_mut().ran(self.core) {
                    return false;
                }
            }
            if !timed {
                // The tasks that run next note this time when they park. `sleep` reads the clock
                // after the sleep.
                self.core.read_clock();
            }
            if self.core.with_reactor(|reactor| reactor.has_sources_in_poll()) == Some(true) {
                let _ = self.wait_events(Some(Duration::ZERO), None);
            }
            return true;
        }
        if self.core.idle_since_burst.get() != 0 {
            self.shrink();
        }
        self.idle()
    }

    /// Called when no task is ready. False: nothing can ever wake one.
    fn idle(&self) -> bool {
        if self.core.clock.is_virtual() {
            return self.idle_virtual();
        }
        if let Some(visit) = &self.visit {
            return self.pause(visit);
        }
        if self.wake_settlers() {
            return true;
        }
        let look = self.look_out();
        match self.first_deadline() {
            Some(deadline) => {
                let left = Duration::from_nanos(deadline.saturating_sub(self.core.clock.now()));
                match look.filter(|look| *look < left) {
                    Some(look) => self.sleep(Some(look), None),
                    None => self.sleep(Some(left), Some(deadline)),
                };
            }
            None => match self.wake_source() {
                WakeSource::None if self.core.stage.get() == Stage::Open => return false,
                WakeSource::Wakers if look.is_none() => self.sleep_in_a_hang(),
                _ => drop(self.sleep(look, None)),
            },
        }
        true
    }

    /// The first deadline: of a timer, of the watch on a task in a foreign future, or of an
    /// extension.
    pub(super) fn first_deadline(&self) -> Option<u64> {
        let watched = self.core.watched.borrow().front().map(|watched| watched.due);
        let extended = self.core.next_of_extensions();
        if self.core.timers.borrow().is_empty() {
            return watched.into_iter().chain(extended).min();
        }
        let first = self.core.timers.borrow_mut().next_deadline();
        first.into_iter().chain(watched).chain(extended).min()
    }

    fn idle_virtual(&self) -> bool {
        if self.look_out() == Some(Duration::ZERO) {
            return true;
        }
        let time_left = self.time_left();
        if time_left == Some(Duration::ZERO) {
            return false;
        }
        let parked = self.core.with_reactor(|reactor| reactor.parked()).unwrap_or(0);
        if self.core.jobs.out() > 0 {
            let patience = self.core.thread_patience();
            if !self.sleep(patience.into_iter().chain(time_left).min(), None) {
                self.core.try_threads();
            }
            return true;
        }
        if parked > 0 && self.sleep_through_looks(Some(SILENCE)) {
            return true;
        }
        if self.wake_settlers() {
            return true;
        }
        let timer = self.core.timers.borrow_mut().next_deadline();
        match timer.into_iter().chain(self.core.next_of_extensions()).min() {
            Some(deadline) => self.core.clock.jump(deadline),
            None => match self.wake_source() {
                WakeSource::None => return false,
                WakeSource::Wakers => return self.sleep_through_looks(Some(PATIENCE)),
                WakeSource::Some => drop(self.sleep(time_left, None)),
            },
        }
        true
    }

    /// Wakes the tasks in `testing::settle`, which wait until nothing can run.
    #[inline]
    pub(super) fn wake_settlers(&self) -> bool {
        let any = !self.core.settlers.is_empty();
        if any {
            self.wake_all_settlers();
        }
        any
    }

    #[cold]
    fn wake_all_settlers(&self) {
        self.core.settlers.hand_over_all(|| ());
    }

    /// Sleeps until an event, a message from another thread, or the limit. True: an event or a
    /// message came, or a task is ready.
    pub(super) fn sleep(&self, limit: Option<Duration>, deadline: Option<u64>) -> bool {
        let mut came = false;
        if self.core.remote().announce_sleep() {
            came = self.wait_events(limit, deadline);
            self.core.remote().awake();
            // Tasks that park after the sleep need the present time, not that of its start.
            self.core.read_clock();
        }
        came || self.core.remote().has_post() || !self.core.ready.borrow().is_empty()
    }

    /// The same. Looks of another thread are served meanwhile, and are no reason to go on: without
    /// this, a hang that is looked at often would never be found.
    pub(super) fn sleep_through_looks(&self, limit: Option<Duration>) -> bool {
        let end = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let came = self.sleep(left, None);
            if !came || !self.serve_looks() {
                return came;
            }
        }
    }

    /// Waits for events and wakes their tasks. Returns whether an event came, even if it woke no
    /// task.
    pub(super) fn wait_events(&self, limit: Option<Duration>, deadline: Option<u64>) -> bool {
        let came = self.core.with_reactor(|reactor| {
            reactor.wait(limit, deadline)?;
            // Waking a task runs no code of the program, so the reactor may stay borrowed.
            let tasks = self.core.tasks.borrow();
            Ok(reactor.dispatch(|task| self.core.wake_in(&tasks, task)))
        });
        match came {
            Some(Ok(came)) => {
                if came == EventsSeen::WithOthers {
                    self.wake_those_left();
                }
                came != EventsSeen::None
            }
            Some(Err(error)) => self.cannot_wait(&error),
            None => false,
        }
    }

    #[cold]
    pub(super) fn cannot_wait(&self, error: &io::Error) -> ! {
        panic!("the kernel cannot wait for events: {error}");
    }

    #[cold]
    fn wake_those_left(&self) {
        let mut left = self.core.with_reactor(Reactor::lend).unwrap_or_default();
        left.drain(..).for_each(|waiter| self.core.wake_waiter(waiter));
        self.core.with_reactor(|reactor| reactor.take_back(left));
    }
}
