//! How a leaf holds a direction of a source: taking it, leaving it, and the rare steps between
//! them, such as registering the source or parking with a foreign waker.
//!
//! It is apart from `point.rs`, which has the attempts of the operation.

use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::task::Context;

use mio::event::Source;

use super::point::Next;
use super::registration::{BOUND, MORE, PARKED};
use super::{Direction, Registration, Side};
use crate::core::current;
use crate::core::state::Core;
use crate::id::TaskId;
use crate::io::error::{busy, closed, elsewhere};
use crate::parts::waiter::LocalWaiter;
use crate::task::waker::Message;

/// The state of a leaf on one direction of a source.
pub(super) struct LeafState<D> {
    pub(super) direction: D,
    /// The leaf holds the direction: it is parked, or its budget was spent before it could try. No
    /// other leaf may use the direction.
    pub(super) holds: bool,
    /// The waiter of the leaf may still be in the reactor, because no event has removed it yet.
    pub(super) in_reactor: bool,
}

impl<S: Source> Registration<S> {
    #[inline]
    pub(super) fn park(&self, leaf: &mut LeafState<impl Side>) {
        self.set(PARKED[leaf.direction.direction() as usize]);
        (leaf.holds, leaf.in_reactor) = (true, true);
    }

    #[inline]
    pub(super) fn leave(&self, leaf: &mut LeafState<impl Side>) {
        if leaf.holds {
            leaf.holds = false;
            self.clear(PARKED[leaf.direction.direction() as usize]);
            if leaf.in_reactor {
                self.unpark_unwoken(leaf.direction.direction());
            }
        }
    }

    /// Handles the error of an attempt. Returns `None` if the operation would block or was
    /// interrupted; such an attempt uses no budget. Returns any other error.
    #[cold]
    pub(super) fn tried(&self, direction: Direction, error: io::Error) -> Option<io::Error> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.drained(direction),
            io::ErrorKind::Interrupted => {}
            _ => return Some(error),
        }
        current::unspend();
        None
    }

    /// The next step when the source is not registered with this kernel.
    #[inline(never)]
    pub(super) fn next_away(&self, core: &Core, leaf: &LeafState<impl Side>, tried: bool) -> Next {
        let side = leaf.direction.direction() as usize;
        // `kernel` is valid while a leaf is parked, even if the source is not registered any more.
        if self.is(PARKED[0] | PARKED[1]) && self.kernel.get() != core.number {
            return Next::Elsewhere;
        }
        if self.is(PARKED[side]) && !leaf.holds {
            return Next::Busy;
        }
        if self.is(BOUND) {
            // The other kernel may have received events that no leaf has consumed. So both
            // directions are assumed to be ready.
            self.set(MORE[0] | MORE[1]);
        }
        if tried || !self.is(MORE[side]) { Next::Bind } else { Next::Try }
    }

    /// The next step of a leaf that does not hold the direction.
    #[cold]
    pub(super) fn next_taken(&self, direction: Direction) -> Next {
        if self.is(PARKED[direction as usize]) { Next::Busy } else { Next::TakeOver }
    }

    #[inline(never)]
    pub(super) fn next_of_foreign(
        &self,
        leaf: &mut LeafState<impl Side>,
        tried: bool,
        site: &'static Location<'static>,
    ) -> Next {
        match current::try_with(|core| self.next(core, TaskId::NONE, leaf, tried)) {
            Some(next) => next,
            None => current::outside_at("an operation on a socket", site),
        }
    }

    #[cold]
    pub(super) fn refuse_or_bind(&self, next: &Next, direction: Direction) -> io::Result<()> {
        match next {
            Next::Busy | Next::Elsewhere if self.source.borrow().is_none() => Err(closed()),
            Next::Busy => Err(busy(direction)),
            Next::Elsewhere => Err(elsewhere()),
            Next::TakeOver => {
                self.take_over(direction);
                Ok(())
            }
            _ => match current::try_with(Rc::clone) {
                // If registering fails, later attempts still try the operation.
                Some(core) => {
                    self.bind(&core, direction).inspect_err(|_| self.set(MORE[0] | MORE[1]))
                }
                None => Ok(()),
            },
        }
    }

    /// Parks when a foreign waker must be stored, or dropped to replace it.
    #[cold]
    pub(super) fn park_slowly(&self, leaf: &mut LeafState<impl Side>, cx: &Context<'_>) {
        let waiter = LocalWaiter::of(cx);
        let (token, direction) = (self.token.get(), leaf.direction.direction());
        let before = current::try_with(|core| {
            let task = core.running_id().unwrap_or(TaskId::NONE);
            core.with_reactor(|reactor| reactor.park_waiter(token, direction, waiter, task))
        });
        drop(before);
        self.park(leaf);
    }

    /// Removes the waiter of a leaf from the reactor, if no event has woken the leaf.
    #[cold]
    pub(super) fn unpark_unwoken(&self, direction: Direction) {
        if !self.is(BOUND) {
            return;
        }
        let here = current::try_with(Rc::clone).filter(|core| self.is_here(core));
        if let Some(core) = here {
            let waiter = core.with_reactor(|reactor| reactor.unpark(self.token.get(), direction));
            drop(waiter);
        } else {
            // The source's kernel is not running on this thread. A message makes it free the whole
            // entry. That wakes a leaf that is parked on the other direction, and that leaf
            // registers the source again.
            let mut source = self.source.borrow_mut();
            if let (Some(source), Some(binding)) = (source.as_mut(), self.take_binding()) {
                let _ = source.deregister(&binding.home.registry);
                drop(binding.home.remote.post(Message::Unregister(binding.token)));
            }
        }
    }
}
