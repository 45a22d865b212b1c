//! The reactor: readiness of the registered sources, and the wait for events or the next timer.
//!
//! It makes tasks ready and does nothing else. Readiness is stored for each registration and
//! direction, because the poll is edge-triggered: an edge that comes while no leaf is parked is
//! remembered until an attempt has found nothing. A token contains a generation, so an event for a
//! registration that is gone has no effect.

use std::io;
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use slab::Slab;

use crate::id::TaskId;
use crate::parts::waiter::LocalWaiter;

use self::alarm::Alarm;
pub use self::entry::{Direction, Readiness};
use self::entry::{ENDED, Entry, FOREIGN, IN_MEMORY, READY, TASK, news_of};

mod alarm;
mod entry;
mod sources;

/// The lower half of a token is the index of the entry, the upper half the generation.
const HALF: u32 = usize::BITS / 2;

pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    entries: Slab<Entry>,
    /// The foreign wakers, and their tasks. An entry with `FOREIGN` stores the index of its waker.
    foreign: Slab<(Waker, TaskId)>,
    generation: u32,
    /// The number of leaves that are parked on a source of the poll and have not been woken. The
    /// poll wakes none that is parked on a source in memory.
    parked: usize,
    /// The number of sources in memory.
    in_memory: usize,
    alarm: Alarm,
    /// How long to poll for events before each sleep.
    spin: Duration,
    /// Waiters that `dispatch` has not woken, to be woken outside the borrow. Kept so that a turn
    /// need not allocate.
    woken: Vec<LocalWaiter>,
}

/// The result of the last attempt on a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// This leaf made the attempt, and it would have blocked.
    WouldBlock,
    /// It took everything that was there, or found nothing.
    Drained,
    /// It may have left something.
    Left,
}

/// What [`Reactor::look`] has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is parked, and no event has come.
    Parked,
    /// An event has come, and nothing is parked.
    Ready,
    Other,
}

/// What [`Reactor::park_task`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParkOutcome {
    /// Did nothing: an attempt is worthwhile.
    Ready,
    /// The same, and a leaf is parked there as before.
    ReadyParked,
    /// The task is parked, or the registration is gone and the last attempt would have blocked.
    Parked,
    /// Did nothing: the caller must use [`Reactor::park_waiter`], because a foreign waker is stored
    /// or must be replaced.
    NeedsWaiter,
}

impl Reactor {
    #[inline]
    fn entry(&mut self, token: Token) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(token.0 & (usize::MAX >> HALF))?;
        (entry.generation.get() as usize == token.0 >> HALF).then_some(entry)
    }

    /// Consumes a stored event if no leaf is parked on the direction. Returns whether there was
    /// one.
    #[inline]
    pub(crate) fn take_ready(&mut self, token: Token, direction: Direction) -> bool {
        let Some(entry) = self.entry(token) else {
            return false;
        };
        let state = &mut entry.state[direction as usize];
        let called = *state & (READY | TASK | FOREIGN) == READY;
        if called {
            *state &= !READY;
        }
        called
    }

    /// What has become of a waiter, which was `task`. Consumes the event that has woken it.
    #[inline]
    pub(crate) fn look(&mut self, token: Token, direction: Direction, task: TaskId) -> Seen {
        let Some(entry) = self.entry(token) else { return Seen::Other };
        let side = direction as usize;
        match entry.state[side] & (READY | ENDED | TASK | FOREIGN) {
            READY => {
                entry.state[side] &= !READY;
                Seen::Ready
            }
            TASK if entry.waiter[side] == task => Seen::Parked,
            _ => Seen::Other,
        }
    }

    /// Parks a leaf, unless an attempt is worthwhile: an event came since the last attempt, or that
    /// attempt left something. `task` is the task of a leaf that is polled with the own waker of
    /// its task; `TaskId::NONE` for a leaf with a foreign waker.
    #[inline(never)]
    pub(crate) fn park_task(
        &mut self,
        token: Token,
        direction: Direction,
        task: TaskId,
        last: Last,
    ) -> ParkOutcome {
        let Some(entry) = self.entry(token) else {
            return if last == Last::WouldBlock { ParkOutcome::Parked } else { ParkOutcome::Ready };
        };
        let state = &mut entry.state[direction as usize];
        let before = *state;
        *state = before & !READY;
        if last != Last::WouldBlock && (last == Last::Left || before & (READY | ENDED) != 0) {
            return if before & (TASK | FOREIGN) != 0 {
                ParkOutcome::ReadyParked
            } else {
                ParkOutcome::Ready
            };
        }
        if before & FOREIGN != 0 || task == TaskId::NONE {
            return ParkOutcome::NeedsWaiter;
        }
        *state |= TASK;
        entry.waiter[direction as usize] = task;
        self.parked += usize::from(before & (TASK | IN_MEMORY) == 0);
        ParkOutcome::Parked
    }

    pub(crate) fn parked(&self) -> usize {
        self.parked
    }

    /// Polls, and continues after an interruption. A signal is no event, and a virtual clock must
    /// not take it for one while it waits for idleness (K8).
    fn poll_on(&mut self, mut timeout: Option<Duration>) -> io::Result<()> {
        let limited = timeout.filter(|timeout| !timeout.is_zero());
        let until = limited.and_then(|timeout| Instant::now().checked_add(timeout));
        loop {
            match self.poll.poll(&mut self.events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if let Some(until) = until {
                        timeout = Some(until.saturating_duration_since(Instant::now()));
                    }
                }
                polled => return polled,
            }
        }
    }

    /// Waits for events: not at all if `limit` is zero, at most for `limit`, or without limit.
    /// `deadline` is the time at which `limit` ends, so that an alarm that is already set for it is
    /// not set again.
    pub(crate) fn wait(
        &mut self,
        limit: Option<Duration>,
        deadline: Option<u64>,
    ) -> io::Result<()> {
        if limit == Some(Duration::ZERO) {
            return self.poll_on(limit);
        }
        let mut left = limit;
        if !self.spin.is_zero() {
            let Some(spent) = self.spin_for_events(limit)? else { return Ok(()) };
            left = limit.map(|limit| limit.saturating_sub(spent));
        }
        let timeout = match left {
            Some(left) => self.alarm.set(&self.poll, left, deadline)?,
            None => None,
        };
        self.poll_on(timeout)
    }

    /// Makes the descriptor of the poll readable when `left` is over, which is at `deadline`.
    /// False: the alarm is no source of the poll.
    #[cold]
    pub(crate) fn set_alarm(&mut self, left: Duration, deadline: u64) -> io::Result<bool> {
        Ok(self.alarm.set(&self.poll, left, Some(deadline))?.is_none())
    }

    /// Polls repeatedly before the sleep, and lets other threads of the processor run in between.
    /// Returns the time spent if there was no event in the time of `spin`; None if an event came or
    /// the limit is reached.
    #[cold]
    fn spin_for_events(&mut self, limit: Option<Duration>) -> io::Result<Option<Duration>> {
        let begun = Instant::now();
        loop {
            self.poll_on(Some(Duration::ZERO))?;
            let spent = begun.elapsed();
            if !self.events.is_empty() || limit.is_some_and(|limit| spent >= limit) {
                return Ok(None);
            }
            if spent >= self.spin {
                return Ok(Some(spent));
            }
            thread::yield_now();
        }
    }

    /// Wakes the tasks that the events are for. Foreign waiters are stored, to be woken where no
    /// borrow is held. All waiters after the first foreign one are stored too, so that the order
    /// stays that of the events.
    #[inline]
    pub(crate) fn dispatch(&mut self, wake: impl Fn(TaskId)) -> EventsSeen {
        let mut came = false;
        for event in &self.events {
            let Token(token) = event.token();
            let entry = match self.entries.get_mut(token & (usize::MAX >> HALF)) {
                Some(entry) if entry.generation.get() as usize == token >> HALF => entry,
                _ => {
                    came |= self.alarm.is_other(event);
                    continue;
                }
            };
            came = true;
            for (side, news) in news_of(event).into_iter().enumerate() {
                if news == 0 {
                    continue;
                }
                let state = entry.state[side] | news;
                entry.state[side] = state & !(TASK | FOREIGN);
                if state & (TASK | FOREIGN) == 0 {
                    continue;
                }
                self.parked -= usize::from(state & IN_MEMORY == 0);
                let waiter = entry.waiter[side];
                if state & TASK == 0 {
                    let (waker, _) = self.foreign.remove(waiter.index() as usize);
                    self.woken.push(LocalWaiter::Foreign(waker));
                } else if self.woken.is_empty() {
                    wake(waiter);
                } else {
                    self.woken.push(LocalWaiter::Task(waiter));
                }
            }
        }
        match (self.woken.is_empty(), came) {
            (false, _) => EventsSeen::WithOthers,
            (true, true) => EventsSeen::Some,
            (true, false) => EventsSeen::None,
        }
    }
}

/// What the events contained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventsSeen {
    /// No event, or only that of the alarm.
    None,
    Some,
    /// Some waiters are stored and must be woken by the caller.
    WithOthers,
}
