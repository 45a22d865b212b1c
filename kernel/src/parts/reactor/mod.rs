//! The reactor: which registered sources are ready, and when to wake up for a timer.
//!
//! It makes tasks ready and does nothing else. Readiness is kept per registration and direction,
//! because the poll is edge-triggered: an edge that comes while nobody is parked is remembered
//! until somebody has tried and found nothing. A token carries a generation, so an event for a
//! registration that is gone finds nobody.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::id::TaskId;
use crate::parts::list::shrink_slab;
use crate::parts::mailbox::PollWaker;
use crate::parts::mailbox::sync;
use crate::parts::waiter::LocalWaiter;

mod alarm;
mod entry;

use alarm::Alarm;
use entry::{ENDED, Entry, FOREIGN, READY, TASK, news_of};

/// Reading or writing: what one waits for, and the two places a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Data, a connection, or the end of the stream to read.
    Read,
    /// Room to write, or a connection that is up.
    Write,
}

/// Events taken in at once: a batch between two looks at the timers.
const EVENTS: usize = 512;
const WAKER: Token = Token(usize::MAX);

/// Half of a token is the place, half the generation.
const HALF: u32 = usize::BITS / 2;

pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    entries: Slab<Entry>,
    /// The wakers that are not a task's own; whom an entry names so is their place here.
    foreign: Slab<Waker>,
    generation: u32,
    /// Leaves that are parked on some source and have not been woken.
    parked: usize,
    alarm: Alarm,
    /// How long to look for events before each sleep.
    spin: Duration,
    /// LocalWaiter could not be woken at once; kept so that no turn has to allocate.
    woken: Vec<LocalWaiter>,
}

/// What came of the last attempt on a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// It is this leaf's, and found nothing.
    InVain,
    /// It took all there was, or found nothing.
    TookAll,
    /// There may be more.
    Left,
}

/// What [`Reactor::park_task`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParkOutcome {
    /// Nothing: an attempt is worth it.
    Ready,
    /// The same, and somebody is parked there as before.
    ReadyParked,
    /// Parked.
    Down,
    /// To be parked by [`Reactor::park_waiter`], for which a waker is needed or given back.
    Slowly,
}

impl Reactor {
    pub(crate) fn new(spin: Duration) -> io::Result<(Self, PollWaker)> {
        let poll = Poll::new()?;
        let waker = sync::Waker::new(poll.registry(), WAKER)?;
        let registry = Arc::new(poll.registry().try_clone()?);
        let alarm = Alarm::new(&poll)?;
        let reactor = Reactor {
            poll,
            events: Events::with_capacity(EVENTS),
            entries: Slab::new(),
            foreign: Slab::new(),
            generation: 0,
            parked: 0,
            alarm,
            spin,
            woken: Vec::new(),
        };
        Ok((reactor, PollWaker { waker, registry }))
    }

    /// Registers a source. The poll reports at once what is ready already.
    pub(crate) fn register(
        &mut self,
        source: &mut impl Source,
        interest: Interest,
    ) -> io::Result<Token> {
        self.generation = self.generation % (u32::MAX >> (32 - HALF + 1)) + 1;
        let generation = NonZeroU32::MIN.saturating_add(self.generation - 1);
        let entry = Entry { generation, state: [0; 2], who: [TaskId::NOBODY; 2] };
        let place = self.entries.insert(entry);
        let token = Token((self.generation as usize) << HALF | place);
        if let Err(error) = self.poll.registry().register(source, token, interest) {
            self.entries.remove(place);
            // A source may remember a registration that failed, and refuse the next. Not if the
            // poll knows the descriptor already: that is somebody else's registration.
            if error.kind() != io::ErrorKind::AlreadyExists {
                let _ = source.deregister(self.poll.registry());
            }
            return Err(error);
        }
        Ok(token)
    }

    #[inline]
    fn entry(&mut self, token: Token) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(token.0 & (usize::MAX >> HALF))?;
        (entry.generation.get() as usize == token.0 >> HALF).then_some(entry)
    }

    /// Whether an event has called the one who was parked there; takes it.
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

    /// Parks a leaf, unless an attempt is worth it: an event came since the last one, or that one
    /// left something. `task` is parked by its own waker; nobody: it needs to be seated with
    /// another one.
    #[inline(never)]
    pub(crate) fn park_task(
        &mut self,
        token: Token,
        direction: Direction,
        task: TaskId,
        last: Last,
    ) -> ParkOutcome {
        let Some(entry) = self.entry(token) else {
            return if last == Last::InVain { ParkOutcome::Down } else { ParkOutcome::Ready };
        };
        let state = &mut entry.state[direction as usize];
        let before = *state;
        *state = before & !READY;
        if last != Last::InVain && (last == Last::Left || before & (READY | ENDED) != 0) {
            return if before & (TASK | FOREIGN) != 0 {
                ParkOutcome::ReadyParked
            } else {
                ParkOutcome::Ready
            };
        }
        if before & FOREIGN != 0 || task == TaskId::NOBODY {
            return ParkOutcome::Slowly;
        }
        *state |= TASK;
        entry.who[direction as usize] = task;
        self.parked += usize::from(before & TASK == 0);
        ParkOutcome::Down
    }

    /// Parks anybody; gives back who was parked there before, or who cannot be.
    pub(crate) fn park_waiter(
        &mut self,
        token: Token,
        direction: Direction,
        who: LocalWaiter,
    ) -> Option<LocalWaiter> {
        let before = self.unpark(token, direction);
        let place = token.0 & (usize::MAX >> HALF);
        if self.entry(token).is_none() {
            return Some(who);
        }
        let (bit, who) = match who {
            LocalWaiter::Task(task) => (TASK, task),
            LocalWaiter::Foreign(waker) => {
                let index = self.foreign.insert(waker);
                let index = u32::try_from(index).expect("fewer than 2^32 wakers");
                (FOREIGN, TaskId::new(index, 0))
            }
        };
        let entry = &mut self.entries[place];
        entry.state[direction as usize] |= bit;
        entry.who[direction as usize] = who;
        self.parked += 1;
        before
    }

    /// Nobody is parked there any more. Gives back who was.
    pub(crate) fn unpark(&mut self, token: Token, direction: Direction) -> Option<LocalWaiter> {
        let entry = self.entry(token)?;
        let state = entry.state[direction as usize];
        let who = entry.who[direction as usize];
        entry.state[direction as usize] = state & !(TASK | FOREIGN);
        self.take(state, who)
    }

    fn take(&mut self, state: u8, who: TaskId) -> Option<LocalWaiter> {
        let who = match state & (TASK | FOREIGN) {
            0 => return None,
            TASK => LocalWaiter::Task(who),
            _ => LocalWaiter::Foreign(self.foreign.remove(who.index() as usize)),
        };
        self.parked -= 1;
        Some(who)
    }

    /// Forgets a registration. LocalWaiter was parked on it is the caller's to wake.
    pub(crate) fn forget(&mut self, token: Token) -> [Option<LocalWaiter>; 2] {
        if self.entry(token).is_none() {
            return [None, None];
        }
        let entry = self.entries.remove(token.0 & (usize::MAX >> HALF));
        let [read, write] = entry.who;
        [self.take(entry.state[0], read), self.take(entry.state[1], write)]
    }

    /// Gives back the room that a burst took.
    pub(crate) fn shrink(&mut self) {
        shrink_slab(&mut self.entries);
        shrink_slab(&mut self.foreign);
    }

    pub(crate) fn registered(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn parked(&self) -> usize {
        self.parked
    }

    /// Polls, and goes on after an interruption: a signal is no event, and the silence that a
    /// virtual clock waits for (K8) is not broken by it.
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

    /// LocalWaiter could not be woken by [`wait`](Reactor::wait), to be given back empty.
    pub(crate) fn lend(&mut self) -> Vec<LocalWaiter> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn take_back(&mut self, woken: Vec<LocalWaiter>) {
        debug_assert!(woken.is_empty(), "whoever was woken is not woken again");
        self.woken = woken;
    }

    /// Waits for events: not at all (zero), at most so long, or without limit. `deadline` names the
    /// time that `limit` leads to, so that an alarm that is already set for it is not set again.
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
            Some(left) => self.alarm.set(left, deadline)?,
            None => None,
        };
        self.poll_on(timeout)
    }

    /// Looks again and again before it sleeps: so long, and in vain. None: an event came, or the
    /// limit is reached.
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
        }
    }

    /// Wakes the tasks that the events are for. Others are left to be woken where no borrow is
    /// held, and from the first of them on all are, so that the order is that of the events.
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
                self.parked -= 1;
                let who = entry.who[side];
                if state & TASK == 0 {
                    self.woken
                        .push(LocalWaiter::Foreign(self.foreign.remove(who.index() as usize)));
                } else if self.woken.is_empty() {
                    wake(who);
                } else {
                    self.woken.push(LocalWaiter::Task(who));
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

/// What events there were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventsSeen {
    /// None, or only the alarm.
    None,
    Some,
    /// Somebody is left to be woken.
    WithOthers,
}
