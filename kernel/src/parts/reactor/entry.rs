//! What the reactor stores for a registration: its readiness, and the waiters that are parked on
//! it. And what an event means for each direction.

use std::num::NonZeroU32;

use mio::Token;
use mio::event::Event;

use super::{HALF, Reactor};
use crate::id::TaskId;
use crate::parts::waiter::LocalWaiter;

/// The direction of a transfer. A source has one set of readiness for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Data, a connection, or the end of the stream to read.
    Read,
    /// Room to write, or a connection that is up.
    Write,
}

/// A registration. It is small, because every idle connection has one.
pub(super) struct Entry {
    pub(super) generation: NonZeroU32,
    /// The state of each direction, made of the constants below.
    pub(super) state: [u8; 2],
    /// The waiter of each direction, valid if `TASK` or `FOREIGN` is set.
    pub(super) waiter: [TaskId; 2],
}

/// An event has come, and no leaf has consumed it yet.
pub(super) const READY: u8 = 1;
/// This direction has ended or failed. From then on a leaf always attempts its operation, because
/// no further event reports the end. Also set when urgent bytes came, because they end a read early
/// although more bytes follow.
pub(super) const ENDED: u8 = 1 << 1;
/// A task is parked here; `waiter` is its id.
pub(super) const TASK: u8 = 1 << 2;
/// A foreign waker is parked here; `waiter` contains the index of the waker.
pub(super) const FOREIGN: u8 = 1 << 3;

/// The source is in memory, and has no events in the poll.
pub(super) const IN_MEMORY: u8 = 1 << 4;

/// What has happened to a source in memory, for [`report_readiness`](crate::io::report_readiness).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// There is something to read.
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
    /// The reading direction has ended or failed: every read from now on returns at once.
    pub read_ended: bool,
    /// The same for the writing direction.
    pub write_ended: bool,
}

impl Readiness {
    /// The flags that it sets for each direction.
    fn news(self) -> [u8; 2] {
        let of = |ready, ended| match (ready, ended) {
            (_, true) => READY | ENDED,
            (true, false) => READY,
            (false, false) => 0,
        };
        [of(self.readable, self.read_ended), of(self.writable, self.write_ended)]
    }
}

/// The flags that an event sets for each direction.
#[inline]
pub(super) fn news_of(event: &Event) -> [u8; 2] {
    let plain = !event.is_error()
        && !event.is_priority()
        && !event.is_read_closed()
        && !event.is_write_closed();
    if plain {
        return [
            if event.is_readable() { READY } else { 0 },
            if event.is_writable() { READY } else { 0 },
        ];
    }
    let failed = event.is_error();
    let (read_closed, write_closed) = (event.is_read_closed(), event.is_write_closed());
    let mut news = [0; 2];
    if failed || read_closed || event.is_readable() {
        let ended = failed || read_closed || event.is_priority();
        news[0] = if ended { READY | ENDED } else { READY };
    }
    if failed || write_closed || event.is_writable() {
        news[1] = if failed || write_closed { READY | ENDED } else { READY };
    }
    news
}

impl Reactor {
    /// Parks any waiter of `task`. Returns the waiter that was parked there before, or `waiter` if
    /// the registration is gone.
    pub(crate) fn park_waiter(
        &mut self,
        token: Token,
        direction: Direction,
        waiter: LocalWaiter,
        task: TaskId,
    ) -> Option<LocalWaiter> {
        let before = self.unpark(token, direction);
        let place = token.0 & (usize::MAX >> HALF);
        if self.entry(token).is_none() {
            return Some(waiter);
        }
        let (bit, waiter) = match waiter {
            LocalWaiter::Task(task) => (TASK, task),
            LocalWaiter::Foreign(waker) => {
                let index = self.foreign.insert((waker, task));
                let index = u32::try_from(index).expect("fewer than 2^32 wakers");
                (FOREIGN, TaskId::new(index, 0))
            }
        };
        let entry = &mut self.entries[place];
        entry.state[direction as usize] |= bit;
        entry.waiter[direction as usize] = waiter;
        let in_memory = entry.state[direction as usize] & IN_MEMORY != 0;
        self.parked += usize::from(!in_memory);
        before
    }

    /// Notes what was reported of a source in memory, and removes the waiters that it wakes.
    pub(crate) fn report(
        &mut self,
        token: Token,
        readiness: Readiness,
    ) -> [Option<LocalWaiter>; 2] {
        let news = readiness.news();
        [Direction::Read, Direction::Write].map(|direction| {
            let news = news[direction as usize];
            self.entry(token)?.state[direction as usize] |= news;
            if news == 0 { None } else { self.unpark(token, direction) }
        })
    }

    /// Removes the waiter that is parked there, and returns it.
    pub(crate) fn unpark(&mut self, token: Token, direction: Direction) -> Option<LocalWaiter> {
        let entry = self.entry(token)?;
        let state = entry.state[direction as usize];
        let waiter = entry.waiter[direction as usize];
        entry.state[direction as usize] = state & !(TASK | FOREIGN);
        self.take(state, waiter)
    }

    pub(super) fn take(&mut self, state: u8, waiter: TaskId) -> Option<LocalWaiter> {
        let waiter = match state & (TASK | FOREIGN) {
            0 => return None,
            TASK => LocalWaiter::Task(waiter),
            _ => LocalWaiter::Foreign(self.foreign.remove(waiter.index() as usize).0),
        };
        self.parked -= usize::from(state & IN_MEMORY == 0);
        Some(waiter)
    }

    /// The tasks that are parked, each with a direction. With leaves, and with poll functions.
    pub(crate) fn seats(&self) -> Vec<(TaskId, Direction)> {
        let mut seats = Vec::new();
        for (_, entry) in &self.entries {
            for direction in [Direction::Write, Direction::Read] {
                let waiter = entry.waiter[direction as usize];
                let task = match entry.state[direction as usize] & (TASK | FOREIGN) {
                    0 => continue,
                    TASK => waiter,
                    _ => self.foreign[waiter.index() as usize].1,
                };
                seats.push((task, direction));
            }
        }
        seats
    }

    /// The waiters that [`dispatch`](Reactor::dispatch) has not woken. The caller returns the
    /// vector empty.
    pub(crate) fn lend(&mut self) -> Vec<LocalWaiter> {
        std::mem::take(&mut self.woken)
    }

    pub(crate) fn take_back(&mut self, woken: Vec<LocalWaiter>) {
        debug_assert!(woken.is_empty(), "whoever was woken is not woken again");
        self.woken = woken;
    }
}
