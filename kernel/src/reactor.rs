//! The reactor: which registered sources are ready, and when to wake up for a timer.
//!
//! It makes tasks ready and does nothing else. Readiness is kept per registration and direction,
//! because the poll is edge-triggered: an edge that comes while nobody is parked is remembered
//! until somebody has tried and found nothing. A token carries a generation, so an event for a
//! registration that is gone finds nobody.

use std::io;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::loomed::Waker;
use crate::remote::Bell;
use crate::target::Target;

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
#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
const TIMER: Token = Token(usize::MAX - 1);

/// Half of a token is the place, half the generation.
const HALF: u32 = usize::BITS / 2;

pub(crate) struct Reactor {
    poll: Poll,
    events: Events,
    entries: Slab<Entry>,
    generation: usize,
    /// Leaves that are parked on some source.
    parked: usize,
    alarm: Alarm,
    /// Empty: kept so that no turn has to allocate.
    woken: Vec<Target>,
}

struct Entry {
    generation: usize,
    sides: [Side; 2],
}

struct Side {
    /// An event came since the last attempt that found nothing; true at first.
    ready: bool,
    /// This direction has ended or failed: always worth a try, as no further event will say so. So
    /// is one where urgent bytes came: they cut reads short with more behind them.
    ended: bool,
    /// A leaf is parked here (N3), and if it has not been woken yet, whom to wake.
    occupied: bool,
    target: Option<Target>,
}

/// What [`Reactor::approach`] found.
pub(crate) enum Approach {
    /// Another leaf is parked there (N3).
    Busy,
    Try,
    Wait,
}

impl Side {
    const NEW: Side = Side { ready: true, ended: false, occupied: false, target: None };
}

impl Reactor {
    pub(crate) fn new() -> io::Result<(Self, Bell)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let registry = std::sync::Arc::new(poll.registry().try_clone()?);
        let alarm = Alarm::new(&poll)?;
        let reactor = Reactor {
            poll,
            events: Events::with_capacity(EVENTS),
            entries: Slab::new(),
            generation: 0,
            parked: 0,
            alarm,
            woken: Vec::new(),
        };
        Ok((reactor, Bell { waker, registry }))
    }

    /// Registers a source for both directions. The poll reports at once what is ready already.
    pub(crate) fn register(&mut self, source: &mut impl mio::event::Source) -> io::Result<Token> {
        self.generation = (self.generation + 1) & (usize::MAX >> (HALF + 1));
        let generation = self.generation;
        let place = self.entries.insert(Entry { generation, sides: [Side::NEW, Side::NEW] });
        let token = Token((generation << HALF) | place);
        let both = Interest::READABLE | Interest::WRITABLE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let both = both | Interest::PRIORITY;
        if let Err(error) = self.poll.registry().register(source, token, both) {
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
    fn place(&self, token: Token) -> Option<usize> {
        let place = token.0 & (usize::MAX >> HALF);
        let entry = self.entries.get(place)?;
        (entry.generation == token.0 >> HALF).then_some(place)
    }

    #[inline]
    fn side(&mut self, token: Token, direction: Direction) -> Option<&mut Side> {
        let entry = self.entries.get_mut(token.0 & (usize::MAX >> HALF))?;
        (entry.generation == token.0 >> HALF).then_some(&mut entry.sides[direction as usize])
    }

    /// What a leaf should do that wants to try; `mine` if it is the one that is parked here. Worth
    /// trying unless the last attempt found nothing and no event came since.
    #[inline]
    pub(crate) fn approach(&mut self, token: Token, direction: Direction, mine: bool) -> Approach {
        match self.side(token, direction) {
            Some(side) if side.occupied && !mine => Approach::Busy,
            Some(side) if !side.ready && !side.ended => Approach::Wait,
            _ => Approach::Try,
        }
    }

    /// The last attempt found all there was: no use trying before the next event.
    pub(crate) fn drained(&mut self, token: Token, direction: Direction) {
        if let Some(side) = self.side(token, direction) {
            side.ready = false;
        }
    }

    /// Parks a leaf that found nothing, or knew that it would; leaves in `target` the one that it
    /// parked with before.
    #[inline]
    pub(crate) fn park(&mut self, token: Token, direction: Direction, target: &mut Option<Target>) {
        if let Some(side) = self.side(token, direction) {
            side.ready = false;
            std::mem::swap(&mut side.target, target);
            let newly = !std::mem::replace(&mut side.occupied, true);
            self.parked += usize::from(newly);
        }
    }

    pub(crate) fn unpark(&mut self, token: Token, direction: Direction) -> Option<Target> {
        let side = self.side(token, direction)?;
        let was = std::mem::replace(&mut side.occupied, false);
        let old = side.target.take();
        self.parked -= usize::from(was);
        old
    }

    /// Forgets a registration. Who was parked on it is the caller's to wake.
    pub(crate) fn forget(&mut self, token: Token) -> [Option<Target>; 2] {
        let Some(place) = self.place(token) else {
            return [None, None];
        };
        let [read, write] = self.entries.remove(place).sides;
        self.parked -= usize::from(read.occupied) + usize::from(write.occupied);
        [read.target, write.target]
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

    /// A list for [`wait`](Reactor::wait), to be given back empty.
    pub(crate) fn lend(&mut self) -> Vec<Target> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn take_back(&mut self, woken: Vec<Target>) {
        debug_assert!(woken.is_empty(), "whoever was woken is not woken again");
        self.woken = woken;
    }

    /// Waits for events: not at all (zero), at most so long, or without limit; and puts whom to
    /// wake into `woken`. True: an event came, other than the alarm. `deadline` names the time that
    /// `limit` leads to, so that an alarm that is already set for it is not set again.
    pub(crate) fn wait(
        &mut self,
        limit: Option<Duration>,
        deadline: Option<u64>,
        woken: &mut Vec<Target>,
    ) -> io::Result<bool> {
        let timeout = match limit {
            Some(limit) if !limit.is_zero() => self.alarm.set(limit, deadline)?,
            other => other,
        };
        self.poll_on(timeout)?;
        let mut came = false;
        for event in &self.events {
            let token = event.token();
            if token == WAKER {
                came = true;
                continue;
            }
            #[cfg(all(target_os = "linux", not(curium_portable_timer)))]
            if token == TIMER {
                self.alarm.rang();
                continue;
            }
            came = true;
            let place = token.0 & (usize::MAX >> HALF);
            let Some(entry) = self.entries.get_mut(place) else {
                continue;
            };
            if entry.generation != token.0 >> HALF {
                continue;
            }
            let failed = event.is_error();
            let [read, write] = &mut entry.sides;
            if failed || event.is_readable() || event.is_read_closed() {
                read.ready = true;
                read.ended |= failed || event.is_read_closed() || event.is_priority();
                if let Some(target) = read.target.take() {
                    woken.push(target);
                }
            }
            if failed || event.is_writable() || event.is_write_closed() {
                write.ready = true;
                write.ended |= failed || event.is_write_closed();
                if let Some(target) = write.target.take() {
                    woken.push(target);
                }
            }
        }
        Ok(came)
    }
}

/// Wakes the poll at a time that need not be a whole millisecond.
///
/// The poll's own timeout is rounded up to milliseconds, so on Linux a timerfd in the poll does it.
/// The portable way is the poll's timeout; both are late rather than early.
#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
struct Alarm {
    timer: rustix::fd::OwnedFd,
    set_for: Option<u64>,
}

#[cfg(all(target_os = "linux", not(curium_portable_timer)))]
impl Alarm {
    fn new(poll: &Poll) -> io::Result<Self> {
        use rustix::fd::AsRawFd;
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let raw = timer.as_raw_fd();
        poll.registry().register(&mut mio::unix::SourceFd(&raw), TIMER, Interest::READABLE)?;
        Ok(Alarm { timer, set_for: None })
    }

    /// Sets the alarm; gives the timeout that the poll still needs: none.
    fn set(&mut self, limit: Duration, deadline: Option<u64>) -> io::Result<Option<Duration>> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        if deadline.is_none() || self.set_for != deadline {
            let value = Timespec {
                tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: limit.subsec_nanos().into(),
            };
            let never_again = Timespec { tv_sec: 0, tv_nsec: 0 };
            let spec = Itimerspec { it_interval: never_again, it_value: value };
            timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec)?;
            self.set_for = deadline;
        }
        Ok(None)
    }

    fn rang(&mut self) {
        self.set_for = None;
    }
}

#[cfg(not(all(target_os = "linux", not(curium_portable_timer))))]
struct Alarm;

#[cfg(not(all(target_os = "linux", not(curium_portable_timer))))]
impl Alarm {
    fn new(_poll: &Poll) -> io::Result<Self> {
        Ok(Alarm)
    }

    fn set(&mut self, limit: Duration, _deadline: Option<u64>) -> io::Result<Option<Duration>> {
        // Up to the next millisecond by hand, whatever the poll does: late, never early.
        let up = Duration::from_micros(999);
        let millis = limit.checked_add(up).unwrap_or(limit).as_millis();
        Ok(Some(Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))))
    }
}
