//! What the kernel looks at between polls: mailbox, timers, reactor; and what it does when nobody
//! is ready: sleep, jump the virtual clock, or say that nothing can ever happen again.
//!
//! Nothing here polls a task.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::core::inspect::{TaskList, TaskState};
use crate::core::report::{ProgramCode, Report};
use crate::core::state::{Core, Stage};
use crate::core::wake::wake_foreign;
use crate::error::CancelReason;
use crate::parts::KEEP;
use crate::parts::mailbox::Part;
use crate::parts::reactor::{Came, Reactor};
use crate::parts::ready::Round;
use crate::parts::timers::Action;
use crate::task::state::Flags;
use crate::task::waker::Message;

/// Timers, and messages of each kind, that are served in one look. Together they are fewer than the
/// polls until the next look. So a million of them at once do not fill the ready queue, where every
/// other task would stand behind them: it drains faster than they fill it.
const TIMERS: u32 = 24;
const EVENTS: u32 = 24;
const REQUESTS: u32 = 8;

const _: () = assert!(TIMERS + EVENTS + REQUESTS < Core::POLLS);

/// How long sockets must be silent before a virtual clock jumps (K8).
const SILENCE: Duration = Duration::from_millis(10);

/// How long a kernel with nothing to do waits, in a test, for wakers that somebody else still
/// holds.
const PATIENCE: Duration = Duration::from_secs(5);

impl Core {
    /// Looks at everything, and sleeps if no task is ready. False: it is certain that nothing will
    /// ever wake one.
    #[must_use]
    pub(crate) fn look(self: &Rc<Self>, round: &mut Round) -> bool {
        let busy = self.serve_mailbox() || !round.is_over();
        let timed = self.serve_timers();
        if self.grace_over.get() {
            return true;
        }
        let busy = self.trim() || busy || !self.ready.borrow().is_empty();
        if busy {
            if !timed {
                // Tasks park in the meantime; who sleeps reads the clock when that is over.
                self.read_clock();
            }
            let registered = self.with_reactor(|reactor| reactor.registered());
            if registered.is_some_and(|registered| registered > 0) {
                let _ = self.wait_events(Some(Duration::ZERO), None);
            }
            return true;
        }
        if self.idle_since_burst.get() != 0 {
            self.shrink(round);
        }
        self.idle()
    }

    /// Gives the memory of ended tasks back. True: there may be more.
    #[inline]
    fn trim(&self) -> bool {
        let surplus = self.tasks.borrow().has_surplus();
        surplus && self.trim_some()
    }

    #[inline(never)]
    fn trim_some(&self) -> bool {
        let chunks = self.tasks.borrow_mut().trim();
        if !chunks.is_empty() {
            self.idle_since_burst.set(1);
        }
        !chunks.is_empty() && self.tasks.borrow().has_surplus()
    }

    /// Gives back the room that a burst of tasks took beside their cells. What is used at the end
    /// of an arena keeps its room, so this is tried a few times, less and less often.
    #[cold]
    fn shrink(&self, round: &mut Round) {
        let since = self.idle_since_burst.get();
        self.idle_since_burst.set(if since < 1 << 16 { since + 1 } else { 0 });
        if !since.is_power_of_two() {
            return;
        }
        self.ready.borrow_mut().shrink(round);
        self.scopes.borrow_mut().shrink();
        self.owners.borrow_mut().shrink();
        self.timers.borrow_mut().shrink();
        self.with_reactor(Reactor::shrink);
        let mut names = self.names.borrow_mut();
        let few = names.len().max(KEEP);
        names.shrink_to(few);
    }

    /// Serves some of what was posted. True: there is more.
    #[inline]
    fn serve_mailbox(self: &Rc<Self>) -> bool {
        (self.remote().has_post() || self.post_left.get()) && self.serve_post()
    }

    #[inline(never)]
    fn serve_post(self: &Rc<Self>) -> bool {
        if self.remote().has_post() {
            self.remote().take(&mut self.post.borrow_mut());
        }
        for (part, slice) in [(Part::Events, EVENTS), (Part::Requests, REQUESTS)] {
            for _ in 0..slice {
                let message = self.post.borrow_mut().part(part).pop_front();
                let Some(message) = message else { break };
                self.serve(message);
            }
        }
        let left = !self.post.borrow().is_empty();
        self.post_left.set(left);
        left
    }

    fn serve(self: &Rc<Self>, message: Message) {
        match message {
            Message::Wake(waker) => self.wake(waker.received()),
            // A closure from another thread: its panic is nobody's but its own.
            Message::Spawn(spawn) => self.guarded(ProgramCode::Spawn, spawn),
            Message::Cancel(task) => {
                if let Some(cell) = self.find(task) {
                    self.request(&cell, CancelReason::Requested { by: None });
                }
            }
            Message::JobDone(job) => drop(self.jobs.borrow_mut().remove(&job)),
            Message::Unregister(token) => self.forget(token),
        }
    }

    /// False: there are none, and the clock was not read.
    fn serve_timers(self: &Rc<Self>) -> bool {
        if self.timers.borrow().is_empty() && self.foreign.borrow().is_empty() {
            return false;
        }
        let now = self.read_clock();
        for _ in 0..TIMERS {
            let due = self.timers.borrow_mut().pop_due(now);
            match due {
                None => break,
                Some((Action::Wake(task), _)) => self.wake(task),
                Some((Action::WakeForeign(_), waker)) => waker.into_iter().for_each(wake_foreign),
                Some((Action::Scope(key), _)) => self.cancel_scope(key, CancelReason::Timeout),
                Some((Action::Grace, _)) => self.grace_over.set(true),
                Some((Action::Report, _)) => self.report_due.set(true),
                Some((Action::Fired | Action::Free(_), _)) => unreachable!("it was armed"),
            }
        }
        self.serve_foreign(now);
        if self.report_due.replace(false) {
            self.report_stuck();
        }
        true
    }

    /// Warns of tasks that were cancelled a second ago and are still parked where nothing reaches
    /// them.
    fn serve_foreign(&self, now: u64) {
        loop {
            let next = self.foreign.borrow().front().copied();
            let Some((due, task)) = next else { return };
            if due > now {
                return;
            }
            self.foreign.borrow_mut().pop_front();
            let Some(cell) = self.find(task) else {
                continue;
            };
            cell.flags.clear(Flags::WATCHED);
            let untold = cell.is_pending() || self.scopes.borrow().any_pending(cell.hanging().1);
            if untold && self.state(&cell) == TaskState::Foreign {
                self.report(&Report::Foreign(&self.info(&cell)));
            }
        }
    }

    fn report_stuck(&self) {
        let tasks = self.infos();
        if !tasks.is_empty() {
            self.report(&Report::Stuck(&tasks));
            self.arm_report();
        }
    }

    /// The next report of who holds up the shutdown. Not on a virtual clock, which would never
    /// stop.
    pub(crate) fn arm_report(&self) {
        if !self.clock.is_virtual() {
            self.disarm_report();
            let deadline = self.clock.after(Duration::from_secs(5));
            self.report_timer.set(Some(self.arm(deadline, Action::Report)));
        }
    }

    pub(crate) fn disarm_report(&self) {
        if let Some(timer) = self.report_timer.take() {
            self.disarm(timer);
        }
    }

    /// No task is ready. False: none will ever be.
    fn idle(self: &Rc<Self>) -> bool {
        if self.clock.is_virtual() {
            return self.idle_virtual();
        }
        if self.wake_settlers() {
            return true;
        }
        match self.first_deadline() {
            Some(deadline) => {
                let left = deadline.saturating_sub(self.clock.now());
                self.sleep(Some(Duration::from_nanos(left)), Some(deadline));
            }
            None => match self.hope() {
                Hope::None if self.stage.get() == Stage::Open => return false,
                Hope::Wakers => self.sleep_in_a_hang(),
                _ => drop(self.sleep(None, None)),
            },
        }
        true
    }

    /// When the clock is the next to be looked at.
    fn first_deadline(&self) -> Option<u64> {
        let watched = self.foreign.borrow().front().map(|(due, _)| *due);
        if self.timers.borrow().is_empty() {
            return watched;
        }
        let first = self.timers.borrow_mut().next_deadline();
        first.into_iter().chain(watched).min()
    }

    /// Only wakers could end the wait: says so after the time that was set, once.
    #[cold]
    fn sleep_in_a_hang(self: &Rc<Self>) {
        let patience = self.settings.hang.filter(|_| !self.hang_told.get());
        let mut came = self.sleep(patience, None);
        if !came && patience.is_some() {
            self.report(&Report::Hang(&self.infos()));
            // The sink may have ended the hang.
            came = !self.ready.borrow().is_empty();
        }
        self.hang_told.set(!came);
    }

    fn idle_virtual(self: &Rc<Self>) -> bool {
        let parked = self.with_reactor(|reactor| reactor.parked()).unwrap_or(0);
        if !self.jobs.borrow().is_empty() {
            self.sleep(None, None);
            return true;
        }
        if parked > 0 && self.sleep(Some(SILENCE), None) {
            return true;
        }
        if self.wake_settlers() {
            return true;
        }
        let deadline = self.timers.borrow_mut().next_deadline();
        match deadline {
            Some(deadline) => self.clock.jump(deadline),
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
        let any = !self.settlers.is_empty();
        self.settlers.hand_over_all(|| ());
        any
    }

    /// Sleeps until an event, post from another thread, or the limit. True: something came.
    fn sleep(self: &Rc<Self>, limit: Option<Duration>, deadline: Option<u64>) -> bool {
        let mut came = false;
        if self.remote().announce_sleep() {
            came = self.wait_events(limit, deadline);
            self.remote().awake();
            // What parks in this turn parks now, not when the sleep began.
            self.read_clock();
        }
        came || self.remote().has_post() || !self.ready.borrow().is_empty()
    }

    /// True: an event came, even if it wakes nobody.
    fn wait_events(&self, limit: Option<Duration>, deadline: Option<u64>) -> bool {
        let came = self.with_reactor(|reactor| {
            reactor.wait(limit, deadline)?;
            // Waking a task runs no code of its own: only so may the reactor stay borrowed.
            let tasks = self.tasks.borrow();
            Ok(reactor.hand_out(|task| self.wake_in(&tasks, task)))
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
        let mut left = self.with_reactor(Reactor::lend).unwrap_or_default();
        left.drain(..).for_each(|waiter| self.wake_waiter(waiter));
        self.with_reactor(|reactor| reactor.take_back(left));
    }

    /// What could still wake a task when none is ready and no timer is armed.
    #[inline]
    fn hope(&self) -> Hope {
        let parked = self.with_reactor(|reactor| reactor.parked()).unwrap_or(0);
        if parked > 0 { Hope::Some } else { self.hope_without_sources() }
    }

    #[inline(never)]
    fn hope_without_sources(&self) -> Hope {
        if !self.jobs.borrow().is_empty() || self.remote().handles() > 0 {
            return Hope::Some;
        }
        // In this order: who drops the last handle has posted before.
        if self.remote().has_post() {
            return Hope::Some;
        }
        // The waker of an ended task wakes nobody.
        let tasks = self.tasks.borrow();
        match tasks.tenants().any(|cell| !cell.is_ended() && cell.is_waker_out()) {
            true => Hope::Wakers,
            false => Hope::None,
        }
    }

    /// Panics where the kernel was run, with every task and the place where it is parked.
    #[cold]
    #[track_caller]
    pub(crate) fn deadlock(&self) -> ! {
        panic!(
            "deadlock: every task is parked and nothing is left that could wake one of them{}",
            TaskList(&self.infos())
        );
    }
}

/// See [`Core::hope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hope {
    None,
    /// Only wakers that something holds: another thread, or one of the parked tasks itself.
    Wakers,
    /// A source, a job, a handle, or post.
    Some,
}
