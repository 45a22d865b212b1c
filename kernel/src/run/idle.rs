//! What the kernel looks at between polls: mailbox, timers, reactor; and what it does when nobody
//! is ready: sleep, jump the virtual clock, or say that nothing can ever happen again.
//!
//! Nothing here polls a task.

use std::io;
use std::time::Duration;

use crate::core::inspect::TaskState;
use crate::core::report::{ProgramCode, Report};
use crate::core::state::Stage;
use crate::core::wake::wake_foreign;
use crate::error::CancelReason;
use crate::parts::KEEP;
use crate::parts::mailbox::Part;
use crate::parts::reactor::{Came, Reactor};
use crate::parts::timers::Action;
use crate::run::tick::RunLoop;
use crate::run::watch;
use crate::task::state::Flags;
use crate::task::waker::Message;

/// Timers, and messages of each kind, that are served in one look. Together they are fewer than the
/// polls until the next look. So a million of them at once do not fill the ready queue, where every
/// other task would stand behind them: it drains faster than they fill it.
const TIMERS: u32 = 24;
const EVENTS: u32 = 24;
const REQUESTS: u32 = 8;

const _: () = assert!(TIMERS + EVENTS + REQUESTS < RunLoop::POLLS);

/// How long sockets must be silent before a virtual clock jumps (K8).
const SILENCE: Duration = Duration::from_millis(10);

/// How long a kernel with nothing to do waits, in a test, for wakers that somebody else still
/// holds.
const PATIENCE: Duration = Duration::from_secs(5);

impl RunLoop<'_> {
    /// Looks at everything, and sleeps if no task is ready. False: it is certain that nothing will
    /// ever wake one.
    #[must_use]
    pub(super) fn look(&mut self) -> bool {
        let busy = self.serve_mailbox() || !self.round.is_over();
        let timed = self.serve_timers();
        if self.core.grace_over.get() {
            return true;
        }
        let busy = self.trim() || busy || !self.core.ready.borrow().is_empty();
        if busy {
            if !timed {
                // Tasks park in the meantime; who sleeps reads the clock when that is over.
                self.core.read_clock();
            }
            let registered = self.core.with_reactor(|reactor| reactor.registered());
            if registered.is_some_and(|registered| registered > 0) {
                let _ = self.wait_events(Some(Duration::ZERO), None);
            }
            return true;
        }
        if self.core.idle_since_burst.get() != 0 {
            self.shrink();
        }
        self.idle()
    }

    /// Gives the memory of ended tasks back. True: there may be more.
    #[inline]
    fn trim(&self) -> bool {
        let surplus = self.core.tasks.borrow().has_surplus();
        surplus && self.trim_some()
    }

    #[inline(never)]
    fn trim_some(&self) -> bool {
        let chunks = self.core.tasks.borrow_mut().trim();
        if !chunks.is_empty() {
            self.core.idle_since_burst.set(1);
        }
        !chunks.is_empty() && self.core.tasks.borrow().has_surplus()
    }

    /// Gives back the room that a burst of tasks took beside their cells. What is used at the end
    /// of an arena keeps its room, so this is tried a few times, less and less often.
    #[cold]
    fn shrink(&mut self) {
        let since = self.core.idle_since_burst.get();
        self.core.idle_since_burst.set(if since < 1 << 16 { since + 1 } else { 0 });
        if !since.is_power_of_two() {
            return;
        }
        self.core.ready.borrow_mut().shrink(&mut self.round);
        self.core.scopes.borrow_mut().shrink();
        self.core.owners.borrow_mut().shrink();
        self.core.timers.borrow_mut().shrink();
        self.core.with_reactor(Reactor::shrink);
        let mut names = self.core.names.borrow_mut();
        let few = names.len().max(KEEP);
        names.shrink_to(few);
    }

    /// Serves some of what was posted. True: there is more.
    #[inline]
    fn serve_mailbox(&self) -> bool {
        (self.core.remote().has_post() || self.core.post_left.get()) && self.serve_post()
    }

    #[inline(never)]
    fn serve_post(&self) -> bool {
        if self.core.remote().has_post() {
            self.core.remote().take(&mut self.core.post.borrow_mut());
        }
        for (part, slice) in [(Part::Events, EVENTS), (Part::Requests, REQUESTS)] {
            for _ in 0..slice {
                let message = self.core.post.borrow_mut().part(part).pop_front();
                let Some(message) = message else { break };
                self.serve(message);
            }
        }
        let left = !self.core.post.borrow().is_empty();
        self.core.post_left.set(left);
        left
    }

    fn serve(&self, message: Message) {
        match message {
            Message::Wake(waker) => self.core.wake(waker.received()),
            // A closure from another thread: its panic is nobody's but its own.
            Message::Spawn(spawn) => self.core.guarded(ProgramCode::Spawn, spawn),
            Message::Cancel(task) => {
                if let Some(cell) = self.core.find(task) {
                    self.core.request(&cell, CancelReason::Requested { by: None });
                }
            }
            Message::JobDone(job) => drop(self.core.jobs.borrow_mut().remove(&job)),
            Message::Unregister(token) => self.core.forget(token),
        }
    }

    /// False: there are none, and the clock was not read.
    fn serve_timers(&self) -> bool {
        if self.core.timers.borrow().is_empty() && self.core.foreign.borrow().is_empty() {
            return false;
        }
        let now = self.core.read_clock();
        for _ in 0..TIMERS {
            let due = self.core.timers.borrow_mut().pop_due(now);
            match due {
                None => break,
                Some((Action::Wake(task), _)) => self.core.wake(task),
                Some((Action::WakeForeign(_), waker)) => waker.into_iter().for_each(wake_foreign),
                Some((Action::Scope(key), _)) => self.core.cancel_scope(key, CancelReason::Timeout),
                Some((Action::Grace, _)) => self.core.grace_over.set(true),
                Some((Action::Report, _)) => self.core.report_due.set(true),
                Some((Action::Fired | Action::Free(_), _)) => unreachable!("it was armed"),
            }
        }
        self.serve_foreign(now);
        if self.core.report_due.replace(false) {
            watch::report_stuck(self.core);
        }
        true
    }

    /// Warns of tasks that were cancelled a second ago and are still parked where nothing reaches
    /// them.
    fn serve_foreign(&self, now: u64) {
        loop {
            let next = self.core.foreign.borrow().front().copied();
            let Some((due, task)) = next else { return };
            if due > now {
                return;
            }
            self.core.foreign.borrow_mut().pop_front();
            let Some(cell) = self.core.find(task) else {
                continue;
            };
            cell.flags.clear(Flags::WATCHED);
            let untold =
                cell.is_pending() || self.core.scopes.borrow().any_pending(cell.hanging().1);
            if untold && self.core.state(&cell) == TaskState::Foreign {
                self.core.report(&Report::Foreign(&self.core.info(&cell)));
            }
        }
    }

    /// No task is ready. False: none will ever be.
    fn idle(&self) -> bool {
        if self.core.clock.is_virtual() {
            return self.idle_virtual();
        }
        if self.wake_settlers() {
            return true;
        }
        match self.first_deadline() {
            Some(deadline) => {
                let left = deadline.saturating_sub(self.core.clock.now());
                self.sleep(Some(Duration::from_nanos(left)), Some(deadline));
            }
            None => match self.hope() {
                Hope::None if self.core.stage.get() == Stage::Open => return false,
                Hope::Wakers => self.sleep_in_a_hang(),
                _ => drop(self.sleep(None, None)),
            },
        }
        true
    }

    /// When the clock is the next to be looked at.
    fn first_deadline(&self) -> Option<u64> {
        let watched = self.core.foreign.borrow().front().map(|(due, _)| *due);
        if self.core.timers.borrow().is_empty() {
            return watched;
        }
        let first = self.core.timers.borrow_mut().next_deadline();
        first.into_iter().chain(watched).min()
    }

    /// Only wakers could end the wait: says so after the time that was set, once.
    #[cold]
    fn sleep_in_a_hang(&self) {
        let patience = self.core.settings.hang.filter(|_| !self.core.hang_told.get());
        let mut came = self.sleep(patience, None);
        if !came && patience.is_some() {
            self.core.report(&Report::Hang(&self.core.infos()));
            // The sink may have ended the hang.
            came = !self.core.ready.borrow().is_empty();
        }
        self.core.hang_told.set(!came);
    }

    fn idle_virtual(&self) -> bool {
        let parked = self.core.with_reactor(|reactor| reactor.parked()).unwrap_or(0);
        if !self.core.jobs.borrow().is_empty() {
            self.sleep(None, None);
            return true;
        }
        if parked > 0 && self.sleep(Some(SILENCE), None) {
            return true;
        }
        if self.wake_settlers() {
            return true;
        }
        let deadline = self.core.timers.borrow_mut().next_deadline();
        match deadline {
            Some(deadline) => self.core.clock.jump(deadline),
            None => match self.hope() {
                Hope::None => return false,
                Hope::Wakers => return self.sleep(Some(PATIENCE), None),
                Hope::Some => drop(self.sleep(None, None)),
            },
        }
        true
    }

    /// Wakes those who wait for this very moment: nothing can run.
    fn wake_settlers(&self) -> bool {
        let any = !self.core.settlers.is_empty();
        self.core.settlers.hand_over_all(|| ());
        any
    }

    /// Sleeps until an event, post from another thread, or the limit. True: something came.
    fn sleep(&self, limit: Option<Duration>, deadline: Option<u64>) -> bool {
        let mut came = false;
        if self.core.remote().announce_sleep() {
            came = self.wait_events(limit, deadline);
            self.core.remote().awake();
            // What parks in this turn parks now, not when the sleep began.
            self.core.read_clock();
        }
        came || self.core.remote().has_post() || !self.core.ready.borrow().is_empty()
    }

    /// True: an event came, even if it wakes nobody.
    fn wait_events(&self, limit: Option<Duration>, deadline: Option<u64>) -> bool {
        let came = self.core.with_reactor(|reactor| {
            reactor.wait(limit, deadline)?;
            // Waking a task runs no code of its own: only so may the reactor stay borrowed.
            let tasks = self.core.tasks.borrow();
            Ok(reactor.hand_out(|task| self.core.wake_in(&tasks, task)))
        });
        match came {
            Some(Ok(came)) => {
                if came == Came::WithOthers {
                    self.wake_those_left();
                }
                came != Came::None
            }
            Some(Err(error)) => self.cannot_wait(&error),
            None => false,
        }
    }

    #[cold]
    fn cannot_wait(&self, error: &io::Error) -> ! {
        panic!("the kernel cannot wait for events: {error}");
    }

    #[cold]
    fn wake_those_left(&self) {
        let mut left = self.core.with_reactor(Reactor::lend).unwrap_or_default();
        left.drain(..).for_each(|waiter| self.core.wake_waiter(waiter));
        self.core.with_reactor(|reactor| reactor.take_back(left));
    }

    /// What could still wake a task when none is ready and no timer is armed.
    #[inline]
    fn hope(&self) -> Hope {
        let parked = self.core.with_reactor(|reactor| reactor.parked()).unwrap_or(0);
        if parked > 0 { Hope::Some } else { self.hope_without_sources() }
    }

    #[inline(never)]
    fn hope_without_sources(&self) -> Hope {
        if !self.core.jobs.borrow().is_empty() || self.core.remote().handles() > 0 {
            return Hope::Some;
        }
        // In this order: who drops the last handle has posted before.
        if self.core.remote().has_post() {
            return Hope::Some;
        }
        // The waker of an ended task wakes nobody.
        let tasks = self.core.tasks.borrow();
        match tasks.tenants().any(|cell| !cell.is_ended() && cell.is_waker_out()) {
            true => Hope::Wakers,
            false => Hope::None,
        }
    }
}

/// See [`RunLoop::hope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hope {
    None,
    /// Only wakers that something holds: another thread, or one of the parked tasks itself.
    Wakers,
    /// A source, a job, a handle, or post.
    Some,
}
