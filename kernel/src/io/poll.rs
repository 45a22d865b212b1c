//! The poll functions of a registration: for the poll-level traits of other crates.
//!
//! They are no leaves. They leave no record, and never return a cancellation (C9): the leaf around
//! a poll function does. What a poll leaves in the reactor when it returns `Pending` is weak: the
//! next poll of the direction replaces it, and a leaf that parks takes it over.

use std::io;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use mio::event::Source;

use super::leaf::LeafState;
use super::point::Next;
use super::registration::{MORE, PARKED, POLLED};
use super::{Direction, Registration, Side};
use crate::core::current;
use crate::parts::reactor::{Reactor, Seen};
use crate::parts::waiter::LocalWaiter;

impl<S: Source> Registration<S> {
    /// Tries `operation`, for a poll function of another crate's trait, such as `poll_read`. If the
    /// operation would block, this arranges that the task is woken by the next event, and returns
    /// `Pending`. `direction` is a [`Direction`].
    ///
    /// It is no leaf: it never returns a cancellation, and a task that waits here without a leaf
    /// shows as `POLL_READ` or `POLL_WRITE`. Put a leaf around it, such as a [`CancelPoint`] or
    /// those of the traits in `curium::io`.
    ///
    /// Of several polls of one direction, only the last one is woken. A leaf comes before a poll:
    /// while one is parked on the direction, a poll gets an error, and a leaf that parks later
    /// wakes the task that has polled, which then gets the error.
    ///
    /// It counts against the budget of the task. When that is spent, it does not try: it wakes the
    /// task and returns `Pending`.
    ///
    /// [`CancelPoint`]: crate::CancelPoint
    ///
    /// # Errors
    ///
    /// Those of `operation`; [`io::ErrorKind::ResourceBusy`] if a leaf is parked on the direction,
    /// or one of another kernel on the other direction; [`io::ErrorKind::NotConnected`] once the
    /// source is closed.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    #[inline]
    pub fn poll_io<R>(
        &self,
        direction: impl Side,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&S) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        let side = direction.direction() as usize;
        let flags = self.flags.get() & (MORE[side] | PARKED[side] | POLLED[side]);
        if flags == POLLED[side] {
            match self.look(direction.direction(), cx) {
                Seen::Parked => return Poll::Pending,
                Seen::Ready => {
                    self.clear(POLLED[side]);
                    self.set(MORE[side]);
                }
                Seen::Other => {}
            }
        }
        match self.try_io(cx, direction, &mut operation) {
            Some(done) => Poll::Ready(done),
            None => self.poll_slowly(direction, cx, &mut operation, Location::caller()),
        }
    }

    /// [`poll_io`](Registration::poll_io) without an operation: ready if an operation is worth an
    /// attempt. When [`attempt_io`](Registration::attempt_io) finds that it would block, the next
    /// `poll_ready` waits for an event.
    ///
    /// # Errors
    ///
    /// As [`poll_io`](Registration::poll_io).
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn poll_ready(&self, direction: impl Side, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(direction, cx, |_| Ok(()))
    }

    /// Tries `operation` once, without waiting. If it returns [`io::ErrorKind::WouldBlock`], later
    /// operations of the direction wait for an event before they try.
    ///
    /// # Errors
    ///
    /// Those of `operation`, [`io::ErrorKind::WouldBlock`] among them;
    /// [`io::ErrorKind::ResourceBusy`] if a leaf is parked on the direction;
    /// [`io::ErrorKind::NotConnected`] once the source is closed.
    pub fn attempt_io<R>(
        &self,
        direction: impl Side,
        operation: impl FnOnce(&S) -> io::Result<R>,
    ) -> io::Result<R> {
        let direction = direction.direction();
        if self.is(PARKED[direction as usize]) {
            self.refuse_or_bind(&Next::Busy, direction)?;
        }
        self.with(operation).inspect_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                self.drained(direction);
            }
        })
    }

    #[inline(never)]
    fn poll_slowly<R>(
        &self,
        direction: impl Side,
        cx: &mut Context<'_>,
        operation: &mut impl FnMut(&S) -> io::Result<R>,
        site: &'static Location<'static>,
    ) -> Poll<io::Result<R>> {
        let side = direction.direction() as usize;
        if self.is(PARKED[side]) {
            self.refuse_or_bind(&Next::Busy, direction.direction())?;
        }
        if current::must_yield(cx) {
            return Poll::Pending;
        }
        current::spend();
        // An earlier poll may have left its waiter, which this one replaces.
        let polled = self.is(POLLED[side]);
        let mut leaf = LeafState { direction, holds: polled, in_reactor: polled };
        let done = self.attempt(&mut leaf, cx, site, operation);
        self.clear(PARKED[side] | POLLED[side]);
        if done.is_pending() {
            current::unspend();
            self.set(POLLED[side]);
        } else if leaf.in_reactor {
            drop(self.remove_waiter(direction.direction()));
        }
        done
    }

    /// What has become of the waiter that an earlier poll has left, if that is the task that polls
    /// again. Consumes the event that has woken it.
    #[inline(always)]
    fn look(&self, direction: Direction, cx: &Context<'_>) -> Seen {
        if !current::is_own(cx.waker()) {
            return Seen::Other;
        }
        let seen = current::try_with(|core| {
            let (token, task) = (self.token.get(), core.running.get());
            let here = self.is_here(core);
            let look = |reactor: &mut Reactor| reactor.look(token, direction, task);
            here.then(|| core.with_reactor(look)).flatten()
        });
        seen.flatten().unwrap_or(Seen::Other)
    }

    /// Removes what a poll has left in the reactor, and wakes its task: a leaf takes the direction.
    #[cold]
    pub(super) fn take_over(&self, direction: Direction) {
        if !self.is(POLLED[direction as usize]) {
            return;
        }
        self.clear(POLLED[direction as usize]);
        let Some(waiter) = self.remove_waiter(direction) else { return };
        current::try_with(Rc::clone).inspect(|core| match waiter {
            // The task is being polled, and its other futures with it.
            LocalWaiter::Task(task) if core.running_id() == Some(task) => {}
            other => core.wake_waiter(other),
        });
    }

    /// The waiter that is parked on the direction in the reactor of this kernel.
    fn remove_waiter(&self, direction: Direction) -> Option<LocalWaiter> {
        let here = current::try_with(Rc::clone).filter(|core| self.is_here(core))?;
        here.with_reactor(|reactor| reactor.unpark(self.token.get(), direction)).flatten()
    }
}
