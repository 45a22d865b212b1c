//! The leaf on a source: when it tries its operation, and how it parks in the reactor.
//!
//! A parked leaf has an entry in the reactor for its direction of the source. An event wakes the
//! leaf and clears the entry. The leaf keeps the direction until it is polled and completes, or is
//! dropped (N3).
use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use mio::event::Source;

use super::leaf::LeafState;
use super::registration::{MORE, PARKED, POLLED, WRITE_EVENTS};
use super::{Direction, Registration, Side};
use crate::core::current;
use crate::core::state::{Core, TaskRef};
use crate::id::TaskId;
use crate::parts::reactor::{Last, ParkOutcome};
use crate::wait::spot::{Quick, Spot};

/// The cancel point of a leaf that waits for a source. [`Io`](super::Io) is built on it; so are
/// leaves that pass their kind and their operation at each poll, and keep neither.
///
/// # Cancellation
///
/// An operation that would block has done nothing, so nothing is lost. The result of an operation
/// that did something is returned, even if a cancellation is due.
#[doc(hidden)]
pub struct IoPoint<'a, S: Source, D: Side = Direction> {
    registration: &'a Registration<S>,
    leaf: LeafState<D>,
    spot: Spot,
}

/// What a leaf does next.
pub(super) enum Next {
    Try,
    /// The leaf is parked in the reactor.
    Wait,
    /// The source must be registered first, with this kernel or for this direction.
    Bind,
    /// Parking must keep or drop a waker, which may run code of the program.
    ParkSlowly,
    Busy,
    /// A poll function has left its waiter.
    TakeOver,
    Elsewhere,
}

impl<'a, S: Source, D: Side> IoPoint<'a, S, D> {
    /// A point on `registration` that shows `site`.
    #[inline]
    pub fn new(
        registration: &'a Registration<S>,
        direction: D,
        site: &'static Location<'static>,
    ) -> Self {
        let leaf = LeafState { direction, holds: false, in_reactor: false };
        IoPoint { registration, leaf, spot: Spot::at(site) }
    }

    /// The registration that it waits on.
    #[inline]
    pub fn registration(&self) -> &'a Registration<S> {
        self.registration
    }

    /// Tries `operation`, unless the last attempt drained the source and no event has come since.
    /// Parks when `operation` returns [`io::ErrorKind::WouldBlock`], and then shows as `kind`.
    ///
    /// # Errors
    ///
    /// As [`Registration::io`].
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[inline]
    pub fn poll<R>(
        &mut self,
        kind: &'static str,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let IoPoint { registration, leaf, spot } = self;
        if !leaf.holds {
            if let Some(done) = registration.try_io(cx, leaf.direction, &mut operation) {
                return Poll::Ready(done);
            }
        }
        let site = spot.site();
        let polled = if !leaf.holds && current::spend() {
            spot.park_by(
                kind,
                cx,
                leaf,
                |leaf, task| registration.park_at_once(leaf, task),
                |leaf, cx| registration.attempt(leaf, cx, site, &mut operation),
            )
        } else {
            if !leaf.holds && registration.claim(leaf.direction.direction()) {
                (leaf.holds, leaf.in_reactor) = (true, false);
            }
            spot.poll(kind, cx, |cx| registration.attempt(leaf, cx, site, &mut operation))
        };
        let result = match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(result)) => result,
            Poll::Ready(Err(cancelled)) => Err(cancelled.into()),
        };
        registration.leave(leaf);
        Poll::Ready(result)
    }
}

impl<S: Source> Registration<S> {
    /// The common case: completes the operation at once if possible. `None`: the operation would
    /// block, or another condition holds that [`attempt`](Self::attempt) must handle.
    #[inline(always)]
    pub(super) fn try_io<R>(
        &self,
        cx: &Context<'_>,
        side: impl Side,
        operation: impl FnOnce(&S) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        let direction = side.direction();
        let more = MORE[direction as usize];
        let flags = self.flags.get() & (more | PARKED[0] | PARKED[1]);
        if flags & (more | PARKED[direction as usize]) != more {
            return None;
        }
        let allowed = match flags == more {
            true => current::is_own(cx.waker()),
            // A leaf is parked on the other direction. That is allowed only in this kernel.
            false => {
                current::with_own_task(cx.waker(), |cell| self.is_here(cell.core())) == Some(true)
            }
        };
        if !allowed || !current::spend() {
            return None;
        }
        match self.with(operation) {
            Ok(done) => Some(Ok(done)),
            Err(error) => self.tried(direction, error).map(Err),
        }
    }

    /// Parks at once if the last attempt drained the source and no event has come since.
    #[inline(always)]
    fn park_at_once<R>(&self, leaf: &mut LeafState<impl Side>, task: &TaskRef) -> Quick<R> {
        match self.next(task.core(), task.id(), leaf, false) {
            Next::Wait => Quick::Parked,
            // `attempt` calls `next` again and handles its answer.
            _ => Quick::Unsure,
        }
    }

    /// One attempt: tries the operation unless the source was drained and no event has come since,
    /// and parks if it would block.
    #[inline(always)]
    pub(super) fn attempt<R>(
        &self,
        leaf: &mut LeafState<impl Side>,
        cx: &Context<'_>,
        site: &'static Location<'static>,
        operation: &mut impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let mut tried = false;
        let mut called =
            leaf.holds && current::try_with(|core| self.consume_event(core, leaf)) == Some(true);
        loop {
            let next = match std::mem::take(&mut called) {
                true => Some(Next::Try),
                false => current::with_own_task(cx.waker(), |cell| {
                    self.next(cell.core(), cell.id(), leaf, tried)
                }),
            };
            match next.unwrap_or_else(|| self.next_of_foreign(leaf, tried, site)) {
                Next::Try => match self.with(&mut *operation) {
                    Ok(done) => return Poll::Ready(Ok(done)),
                    Err(error) => match error.kind() {
                        io::ErrorKind::Interrupted => {}
                        io::ErrorKind::WouldBlock => {
                            self.drained(leaf.direction.direction());
                            tried = true;
                        }
                        _ => return Poll::Ready(Err(error)),
                    },
                },
                Next::Wait => return Poll::Pending,
                Next::ParkSlowly => {
                    self.park_slowly(leaf, cx);
                    return Poll::Pending;
                }
                other => {
                    if let Err(error) = self.refuse_or_bind(&other, leaf.direction.direction()) {
                        return Poll::Ready(Err(error));
                    }
                }
            }
        }
    }

    /// Whether an event has come for the parked leaf; consumes the event.
    #[inline(always)]
    fn consume_event(&self, core: &Core, leaf: &mut LeafState<impl Side>) -> bool {
        let direction = leaf.direction.direction();
        if !self.is_here(core) {
            return false;
        }
        let looked = core.with_reactor(|reactor| reactor.take_ready(self.token.get(), direction));
        let called = looked == Some(true);
        if called {
            leaf.in_reactor = false;
            self.set(MORE[direction as usize]);
        }
        called
    }

    #[inline(always)]
    pub(super) fn next(
        &self,
        core: &Core,
        task: TaskId,
        leaf: &mut LeafState<impl Side>,
        tried: bool,
    ) -> Next {
        let direction = leaf.direction.direction();
        let side = direction as usize;
        if !self.is_here(core) {
            return self.next_away(core, leaf, tried);
        }
        if self.is(PARKED[side] | POLLED[side]) && !leaf.holds {
            return self.next_taken(direction);
        }
        let last = match tried {
            true => Last::WouldBlock,
            false if self.is(MORE[side]) => Last::Left,
            false => Last::Drained,
        };
        if direction == Direction::Write {
            // A short write does not mean that the source is full, so try. Only a leaf that waits
            // registers for write events.
            if last == Last::Left {
                return Next::Try;
            }
            if !self.is(WRITE_EVENTS) {
                return Next::Bind;
            }
        }
        let token = self.token.get();
        match core.with_reactor(|reactor| reactor.park_task(token, direction, task, last)) {
            Some(ParkOutcome::Parked) => {
                self.park(leaf);
                Next::Wait
            }
            Some(ParkOutcome::NeedsWaiter) => Next::ParkSlowly,
            Some(outcome) => {
                leaf.in_reactor = outcome == ParkOutcome::ReadyParked;
                self.set(MORE[side]);
                Next::Try
            }
            // The kernel is closed.
            None if tried => Next::Wait,
            None => Next::Try,
        }
    }
}

impl<S: Source, D: Side> Drop for IoPoint<'_, S, D> {
    #[inline]
    fn drop(&mut self) {
        self.registration.leave(&mut self.leaf);
    }
}

impl<S: Source, D: Side> std::fmt::Debug for IoPoint<'_, S, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IoPoint").field("site", &self.spot.site()).finish_non_exhaustive()
    }
}
