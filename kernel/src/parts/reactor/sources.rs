//! The sources that the reactor knows: how the poll is made, and a source added and removed.
//!
//! It is apart from `mod.rs` because a connection passes here once at its start and once at its
//! end, and not with each read.

use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mio::event::Source;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::alarm::Alarm;
use super::entry::{Entry, IN_MEMORY};
use super::{HALF, Reactor};
use crate::id::TaskId;
use crate::parts::list::shrink_slab;
use crate::parts::mailbox::PollWaker;
use crate::parts::mailbox::sync;
use crate::parts::waiter::LocalWaiter;

/// The number of events that one call of the poll returns, and so of those handled between two
/// checks of the timers.
const EVENTS: usize = 512;
const WAKER: Token = Token(usize::MAX);

impl Reactor {
    pub(crate) fn new(spin: Duration) -> io::Result<(Self, PollWaker)> {
        let poll = Poll::new()?;
        let waker = sync::Waker::new(poll.registry(), WAKER)?;
        let registry = Arc::new(poll.registry().try_clone()?);
        let reactor = Reactor {
            poll,
            events: Events::with_capacity(EVENTS),
            entries: Slab::new(),
            foreign: Slab::new(),
            generation: 0,
            parked: 0,
            in_memory: 0,
            alarm: Alarm::default(),
            spin,
            woken: Vec::new(),
        };
        Ok((reactor, PollWaker { waker, registry }))
    }

    /// Registers a source. Existing readiness is reported at once, by the poll or, of a source in
    /// memory, by its extension.
    pub(crate) fn register(
        &mut self,
        source: &mut impl Source,
        interest: Interest,
        in_memory: bool,
    ) -> io::Result<Token> {
        self.generation = self.generation % (u32::MAX >> (32 - HALF + 1)) + 1;
        let generation = NonZeroU32::MIN.saturating_add(self.generation - 1);
        let state = if in_memory { IN_MEMORY } else { 0 };
        let entry = Entry { generation, state: [state; 2], waiter: [TaskId::NONE; 2] };
        let place = self.entries.insert(entry);
        let token = Token((self.generation as usize) << HALF | place);
        if let Err(error) = self.poll.registry().register(source, token, interest) {
            self.entries.remove(place);
            // A source may remember a registration that failed, and refuse the next one. But if the
            // poll knows the descriptor already, the existing registration must stay.
            if error.kind() != io::ErrorKind::AlreadyExists {
                let _ = source.deregister(self.poll.registry());
            }
            return Err(error);
        }
        self.in_memory += usize::from(in_memory);
        Ok(token)
    }

    /// Forgets a registration. The caller wakes the waiters that were parked on it.
    pub(crate) fn forget(&mut self, token: Token) -> [Option<LocalWaiter>; 2] {
        if self.entry(token).is_none() {
            return [None, None];
        }
        let entry = self.entries.remove(token.0 & (usize::MAX >> HALF));
        self.in_memory -= usize::from(entry.state[0] & IN_MEMORY != 0);
        let [read, write] = entry.waiter;
        [self.take(entry.state[0], read), self.take(entry.state[1], write)]
    }

    /// Releases the memory that a burst took.
    pub(crate) fn shrink(&mut self) {
        shrink_slab(&mut self.entries);
        shrink_slab(&mut self.foreign);
    }

    pub(crate) fn registered(&self) -> usize {
        self.entries.len()
    }

    /// Whether the poll may have events of a source.
    #[inline]
    pub(crate) fn has_sources_in_poll(&self) -> bool {
        self.entries.len() > self.in_memory
    }
}
