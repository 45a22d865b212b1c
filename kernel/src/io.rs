//! Registrations: a source of readiness, and the leaf that tries an operation on it.
//!
//! The operation is tried first (N1); only when it would block does the leaf park, and it is tried
//! again after an event. A source registers itself with the kernel of the task that first has to
//! wait for it, and moves to another kernel when it is next used there (N2). One reader and one
//! writer at a time (N3).
//!
//! `net` stands on this alone, and so can sources of other crates: anything that is a
//! `mio::event::Source` and can be tried without blocking.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use mio::Token;
use mio::event::Source;

use crate::core::Core;
use crate::current;
use crate::io_error::{busy, closed, elsewhere};
use crate::leaf::CancelPoint;
use crate::reactor::Approach;
pub use crate::reactor::Direction;
use crate::remote::{Message, Remote};
use crate::target::Target;

/// A source of readiness with its place in a kernel's reactor.
///
/// `Send` if the source is: it may move to another thread's kernel while nobody is parked on it.
/// Not `Sync`; share it between tasks of one kernel with `Rc`.
pub struct Registration<S: Source> {
    source: RefCell<Option<S>>,
    binding: RefCell<Option<Binding>>,
    /// Somebody may hold a duplicate of the descriptor, so closing ours does not deregister it
    /// (N8).
    duplicated: Cell<bool>,
    /// For each direction, that the last attempt took all there was before anybody had to wait.
    drained: [Cell<bool>; 2],
    parked: Cell<u32>,
}

struct Binding {
    remote: Arc<Remote>,
    /// The poll that knows the source, which must be taken out of it even when its kernel is gone:
    /// a source remembers that it was registered.
    registry: Arc<mio::Registry>,
    token: Token,
}

impl<S: Source> Registration<S> {
    /// Wraps a non-blocking source. Nothing is registered before a task has to wait for it.
    pub fn new(source: S) -> Self {
        Registration {
            source: RefCell::new(Some(source)),
            binding: RefCell::new(None),
            duplicated: Cell::new(false),
            drained: [Cell::new(false), Cell::new(false)],
            parked: Cell::new(0),
        }
    }

    /// Looks at the source.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotConnected`] once it is closed.
    pub fn with<R>(&self, look: impl FnOnce(&S) -> io::Result<R>) -> io::Result<R> {
        match &*self.source.borrow() {
            Some(source) => look(source),
            None => Err(closed()),
        }
    }

    /// A leaf that tries `operation` until it does not answer [`io::ErrorKind::WouldBlock`], and
    /// waits in between. `kind` names it in the monitor, with the caller's place.
    ///
    /// # Errors of the leaf
    ///
    /// Those of `operation`; a cancellation, as an `io::Error` in which
    /// [`cancelled`](crate::cancelled) finds it; [`io::ErrorKind::ResourceBusy`] if another task
    /// waits for the same direction; [`io::ErrorKind::NotConnected`] once it is closed.
    ///
    /// # Panics
    ///
    /// The leaf panics when it would park outside a kernel.
    #[track_caller]
    pub fn io<R, F>(&self, direction: Direction, kind: &'static str, operation: F) -> Io<'_, S, F>
    where
        F: FnMut(&S) -> io::Result<R>,
    {
        self.io_at(direction, kind, Location::caller(), operation)
    }

    /// The same, shown at another place.
    pub fn io_at<R, F>(
        &self,
        direction: Direction,
        kind: &'static str,
        site: &'static Location<'static>,
        operation: F,
    ) -> Io<'_, S, F>
    where
        F: FnMut(&S) -> io::Result<R>,
    {
        let point = CancelPoint::at(kind, site);
        Io { registration: self, direction, operation, point, parked: None }
    }

    /// Tries `operation` at once, without a leaf. None: that would wait, or there is another reason
    /// to await [`io`](Registration::io) instead, which says what it is.
    ///
    /// It spends the budget of a poll as a leaf does, and it is no place to be cancelled: an
    /// operation that can be done is done.
    ///
    /// # Errors
    ///
    /// Those of `operation`.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(&S) -> io::Result<R>,
    ) -> Option<io::Result<R>> {
        let allowed = current::try_with(|core| {
            let Some(token) = self.bound(core).ok().flatten() else {
                return false;
            };
            let approach = core.with_reactor(|reactor| reactor.approach(token, direction, false));
            matches!(approach, Some(Approach::Try)) && current::spend()
        });
        if allowed != Some(true) {
            return None;
        }
        match self.with(operation) {
            Ok(done) => Some(Ok(done)),
            Err(error) => self.tried(direction, error).map(Err),
        }
    }

    /// What an attempt failed with, unless it only found nothing: that costs nothing either.
    #[cold]
    fn tried(&self, direction: Direction, error: io::Error) -> Option<io::Error> {
        match error.kind() {
            io::ErrorKind::WouldBlock => self.drained(direction),
            io::ErrorKind::Interrupted => {}
            _ => return Some(error),
        }
        current::unspend();
        None
    }

    /// Says that the last operation took all there was (a short read), so that the next one parks
    /// at once instead of asking the system for a `WouldBlock`.
    pub fn drained(&self, direction: Direction) {
        let Some(token) = self.binding.borrow().as_ref().map(|binding| binding.token) else {
            // Registering tells at once of what comes from here on.
            self.drained[direction as usize].set(true);
            return;
        };
        current::try_with(|core| {
            if let Ok(Some(_)) = self.bound(core) {
                core.with_reactor(|reactor| reactor.drained(token, direction));
            }
        });
    }

    /// Says that somebody else may hold a duplicate of the descriptor.
    pub fn may_be_duplicated(&self) {
        self.duplicated.set(true);
    }

    /// Closes the source. Whoever is parked on it is woken and gets an error (N5). Closing twice is
    /// harmless.
    pub fn close(&self) {
        let source = self.source.borrow_mut().take();
        self.unbind(source);
    }

    /// The source, out of the reactor; none if it was closed.
    pub fn into_source(self) -> Option<S> {
        self.duplicated.set(true);
        let mut source = self.source.borrow_mut().take()?;
        if let Some(binding) = self.binding.borrow_mut().take() {
            // A source that the poll no longer knows is as good as deregistered.
            let _ = source.deregister(&binding.registry);
            binding.forget();
        }
        Some(source)
    }

    fn unbind(&self, source: Option<S>) {
        let binding = self.binding.borrow_mut().take();
        if let Some(mut source) = source {
            if let (Some(binding), true) = (&binding, self.duplicated.get()) {
                let _ = source.deregister(&binding.registry);
            }
            drop(source);
        }
        if let Some(binding) = binding {
            binding.forget();
        }
    }

    /// The token in this kernel; registers, or moves here from another one.
    fn bind(&self, core: &Rc<Core>) -> io::Result<Token> {
        let mut binding = self.binding.borrow_mut();
        if let Some(bound) = &*binding {
            if Arc::ptr_eq(&bound.remote, core.remote()) {
                return Ok(bound.token);
            }
        }
        let mut source = self.source.borrow_mut();
        let Some(source) = source.as_mut() else {
            return Err(closed());
        };
        if let Some(bound) = binding.take() {
            let deregistered = source.deregister(&bound.registry);
            bound.forget();
            deregistered?;
        }
        let token = core.with_reactor(|reactor| reactor.register(source)).ok_or_else(closed)??;
        let registry = core.remote().registry().ok_or_else(closed)?;
        *binding = Some(Binding { remote: core.remote().clone(), registry, token });
        Ok(token)
    }

    /// The token, if the source is registered here. An error if it cannot be used here.
    #[inline]
    fn bound(&self, core: &Core) -> io::Result<Option<Token>> {
        match &*self.binding.borrow() {
            Some(bound) if Arc::ptr_eq(&bound.remote, core.remote()) => Ok(Some(bound.token)),
            Some(_) if self.parked.get() > 0 => Err(elsewhere()),
            _ => Ok(None),
        }
    }
}

impl<S: Source> Drop for Registration<S> {
    fn drop(&mut self) {
        let source = self.source.borrow_mut().take();
        self.unbind(source);
    }
}

impl<S: Source> std::fmt::Debug for Registration<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration")
            .field("closed", &self.source.borrow().is_none())
            .field("registered", &self.binding.borrow().is_some())
            .finish_non_exhaustive()
    }
}

impl Binding {
    /// Gives the place in the reactor back, from whatever thread.
    fn forget(self) {
        let here = current::try_with(|core| {
            Arc::ptr_eq(core.remote(), &self.remote)
                .then(|| core.with_reactor(|reactor| reactor.forget(self.token)))
        });
        match here.flatten() {
            Some(parked) => parked.into_iter().flatten().flatten().for_each(Target::wake),
            None => drop(self.remote.post(Message::Unregister(self.token))),
        }
    }
}

/// The leaf of [`Registration::io`].
///
/// # Cancellation
///
/// An operation that would block has done nothing, so nothing is lost; one that did something is
/// returned, whatever else is due.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Io<'a, S: Source, F> {
    registration: &'a Registration<S>,
    direction: Direction,
    operation: F,
    point: CancelPoint,
    parked: Option<(Rc<Core>, Token)>,
}

impl<S: Source, F> Unpin for Io<'_, S, F> {}

impl<S, F, R> Future for Io<'_, S, F>
where
    S: Source,
    F: FnMut(&S) -> io::Result<R>,
{
    type Output = io::Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Io { registration, direction, operation, point, parked } = &mut *self;
        let (registration, direction, site) = (*registration, *direction, point.site());
        let polled = point.poll(cx, |cx| {
            let Some(core) = current::try_with(Rc::clone) else {
                current::outside_at("an operation on a socket", site);
            };
            attempt(registration, &core, direction, operation, parked, cx)
        });
        let result = match polled {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(result)) => result,
            Poll::Ready(Err(cancelled)) => Err(cancelled.into()),
        };
        self.unpark();
        Poll::Ready(result)
    }
}

/// One attempt: try unless it is known to be of no use, and park if it would block.
#[inline]
fn attempt<S: Source, R>(
    registration: &Registration<S>,
    core: &Rc<Core>,
    direction: Direction,
    operation: &mut impl FnMut(&S) -> io::Result<R>,
    parked: &mut Option<(Rc<Core>, Token)>,
    cx: &Context<'_>,
) -> Poll<io::Result<R>> {
    let bound = match registration.bound(core) {
        Ok(bound) => bound,
        Err(error) => return Poll::Ready(Err(error)),
    };
    let mine = parked.is_some();
    let approach = match bound {
        Some(token) => core.with_reactor(|reactor| reactor.approach(token, direction, mine)),
        None if registration.drained[direction as usize].take() => Some(Approach::Wait),
        None => None,
    };
    match approach {
        Some(Approach::Busy) => return Poll::Ready(Err(busy(direction))),
        Some(Approach::Wait) => {}
        Some(Approach::Try) | None => loop {
            match registration.with(&mut *operation) {
                Ok(done) => return Poll::Ready(Ok(done)),
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => break,
                    _ => return Poll::Ready(Err(error)),
                },
            }
        },
    }
    let token = match bound.map_or_else(|| registration.bind(core), Ok) {
        Ok(token) => token,
        Err(error) => return Poll::Ready(Err(error)),
    };
    let mut target = Some(Target::of(cx));
    core.with_reactor(|reactor| reactor.park(token, direction, &mut target));
    drop(target);
    if parked.is_none() {
        *parked = Some((core.clone(), token));
        registration.parked.set(registration.parked.get() + 1);
    }
    Poll::Pending
}

impl<S: Source, F> Io<'_, S, F> {
    #[inline(always)]
    fn unpark(&mut self) {
        if self.parked.is_some() {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if let Some((core, token)) = self.parked.take() {
            self.registration.parked.set(self.registration.parked.get() - 1);
            drop(core.with_reactor(|reactor| reactor.unpark(token, self.direction)));
        }
    }
}

impl<S: Source, F> Drop for Io<'_, S, F> {
    #[inline]
    fn drop(&mut self) {
        self.unpark();
    }
}

impl<S: Source, F> std::fmt::Debug for Io<'_, S, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Io").field("point", &self.point).finish_non_exhaustive()
    }
}
