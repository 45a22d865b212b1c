//! A source of readiness, and its registration with the reactor of a kernel.
//!
//! A leaf tries its operation first (N1). It parks only if the operation would block, and tries
//! again after an event. A source is registered with the kernel of the first task that has to wait
//! for it. When a task of another kernel uses it later, it moves to that kernel (N2). There is at
//! most one reader and one writer at a time (N3).
use std::cell::{Cell, RefCell};
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mio::event::Source;
use mio::{Interest, Token};

use super::{IoPoint, Side};
use crate::core::current;
use crate::core::state::Core;
use crate::core::state::Home;
use crate::io::error::closed;
use crate::parts::reactor::Direction;
use crate::task::waker::Message;

/// A source of readiness, and its registration with a kernel's reactor.
///
/// It is `Send` if the source is, because it may move to a kernel on another thread while no leaf
/// is parked on it. It is not `Sync`: share it between the tasks of one kernel with `Rc`.
pub struct Registration<S: Source> {
    pub(super) source: RefCell<Option<S>>,
    /// The kernel with which the source is registered. `kernel` and `token` belong to it while
    /// `BOUND` is set. `kernel` is also valid while a direction is `PARKED`.
    pub(super) home: Cell<Option<Arc<Home>>>,
    pub(super) kernel: Cell<u32>,
    pub(super) token: Cell<Token>,
    pub(super) flags: Cell<u16>,
}

/// The source is registered; `home`, `kernel` and `token` are valid.
pub(super) const BOUND: u16 = 1;
/// The registration includes write events. They are added for the first leaf that has to wait for
/// writing.
pub(super) const WRITE_EVENTS: u16 = 1 << 1;
/// A duplicate of the descriptor may exist. Then closing this descriptor does not deregister the
/// source (N8).
pub(super) const DUPLICATED: u16 = 1 << 2;
/// For each direction: the source may hold more than the last attempt took. If it is clear, the
/// source was drained, and an attempt would block unless an event has come since. An event does not
/// set it: a leaf sets it when it consumes the event from the reactor.
pub(super) const MORE: [u16; 2] = [1 << 3, 1 << 4];
/// For each direction: a leaf holds it (N3). The leaf is parked, or its budget was spent before it
/// could try.
pub(super) const PARKED: [u16; 2] = [1 << 5, 1 << 6];
/// For each direction: a poll function has left its waiter in the reactor (`poll.rs`). An event may
/// have removed it since.
pub(super) const POLLED: [u16; 2] = [1 << 7, 1 << 8];
/// The source has no events in the poll.
const IN_MEMORY: u16 = 1 << 9;

impl<S: Source> Registration<S> {
    /// Wraps a non-blocking source. It is registered only when a task has to wait for it.
    pub fn new(source: S) -> Self {
        Registration {
            source: RefCell::new(Some(source)),
            home: Cell::new(None),
            kernel: Cell::new(0),
            token: Cell::new(Token(0)),
            flags: Cell::new(MORE[0] | MORE[1]),
        }
    }

    /// Wraps a source in memory, of which the poll knows nothing. Its `register` keeps the token
    /// and the interests, and its [`Extension`](crate::Extension) reports its readiness by
    /// [`report_readiness`](crate::io::report_readiness): at the next call after each registration
    /// what there is, and from then on each change. Tasks that are parked on such sources alone,
    /// with no next event of an extension, are in a deadlock.
    pub fn in_memory(source: S) -> Self {
        let registration = Registration::new(source);
        registration.set(IN_MEMORY);
        registration
    }

    /// Calls `look` with the source.
    ///
    /// # Errors
    ///
    /// That of `look`; [`io::ErrorKind::NotConnected`] once the source is closed.
    #[inline]
    pub fn with<R>(&self, look: impl FnOnce(&S) -> io::Result<R>) -> io::Result<R> {
        match &*self.source.borrow() {
            Some(source) => look(source),
            None => Err(closed()),
        }
    }

    /// A leaf that tries `operation` until its result is not [`io::ErrorKind::WouldBlock`], and
    /// waits for an event before each further attempt. `direction` is a [`Direction`]. The monitor
    /// shows the leaf as `kind`, at the caller's file and line.
    ///
    /// # Errors of the leaf
    ///
    /// Those of `operation`; a cancellation, as an `io::Error` in which
    /// [`cancelled`](crate::cancelled) finds it; [`io::ErrorKind::ResourceBusy`] if another task
    /// waits for the same direction; [`io::ErrorKind::NotConnected`] once the source is closed.
    ///
    /// # Panics
    ///
    /// The leaf panics when it would park outside a kernel.
    #[track_caller]
    pub fn io<R, F, D>(&self, direction: D, kind: &'static str, operation: F) -> Io<'_, S, F, D>
    where
        F: FnMut(&S) -> io::Result<R>,
        D: Side,
    {
        self.io_at(direction, kind, Location::caller(), operation)
    }

    /// Like [`io`](Registration::io), with an explicit call site.
    pub fn io_at<R, F, D>(
        &self,
        direction: D,
        kind: &'static str,
        site: &'static Location<'static>,
        operation: F,
    ) -> Io<'_, S, F, D>
    where
        F: FnMut(&S) -> io::Result<R>,
        D: Side,
    {
        Io { point: IoPoint::new(self, direction, site), kind, operation }
    }

    /// Declares that the last operation drained the source (a short read). The next leaf then parks
    /// without a system call that would return `WouldBlock`.
    #[doc(hidden)]
    #[inline]
    pub fn drained(&self, direction: Direction) {
        self.clear(MORE[direction as usize]);
    }

    /// Declares that the source may hold more than the last operation took: the next leaf tries.
    #[doc(hidden)]
    pub fn not_drained(&self, direction: Direction) {
        if !self.is(PARKED[direction as usize]) {
            self.set(MORE[direction as usize]);
        }
    }

    /// Declares that a duplicate of the descriptor may exist.
    #[doc(hidden)]
    pub fn may_be_duplicated(&self) {
        self.set(DUPLICATED);
    }

    /// Closes the source. A leaf that is parked on it is woken and returns an error (N5). Closing
    /// twice is harmless.
    pub fn close(&self) {
        let source = self.source.borrow_mut().take();
        self.unbind(source);
    }

    /// Deregisters the source and returns it; `None` if it was closed.
    pub fn into_source(self) -> Option<S> {
        let mut source = self.source.borrow_mut().take()?;
        if let Some(binding) = self.take_binding() {
            // An error is ignored: it means that the poll does not contain the source any more.
            let _ = source.deregister(&binding.home.registry);
            binding.forget();
        }
        Some(source)
    }

    fn unbind(&self, source: Option<S>) {
        let binding = self.take_binding();
        if let Some(mut source) = source {
            if let (Some(binding), true) = (&binding, self.is(DUPLICATED)) {
                let _ = source.deregister(&binding.home.registry);
            }
            drop(source);
        }
        if let Some(binding) = binding {
            binding.forget();
        }
    }

    pub(super) fn take_binding(&self) -> Option<Binding> {
        self.clear(BOUND | WRITE_EVENTS);
        self.home.take().map(|home| Binding { home, token: self.token.get() })
    }

    /// Registers the source with this kernel, or moves it here from another kernel. If it is
    /// registered here already, adds write events if `direction` needs them.
    #[inline(never)]
    pub(super) fn bind(&self, core: &Core, direction: Direction) -> io::Result<()> {
        let mut source = self.source.borrow_mut();
        let Some(source) = source.as_mut() else {
            return Err(closed());
        };
        let reading = Interest::READABLE;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let reading = reading | Interest::PRIORITY;
        // Write events are added only when needed, because a write rarely has to wait.
        let (interest, also) = match direction {
            Direction::Read => (reading, 0),
            Direction::Write => (reading | Interest::WRITABLE, WRITE_EVENTS),
        };
        let bound = self.take_binding();
        if let Some(Binding { home, token }) = bound {
            if self.kernel.get() == core.number {
                let result = source.reregister(&home.registry, token, interest);
                self.home.set(Some(home));
                self.set(BOUND);
                result?;
                self.set(also);
                return Ok(());
            }
            let deregistered = source.deregister(&home.registry);
            Binding { home, token }.forget();
            deregistered?;
        }
        let home = core.home().ok_or_else(closed)?;
        let token =
            core.with_reactor(|reactor| reactor.register(source, interest, self.is(IN_MEMORY)));
        self.token.set(token.ok_or_else(closed)??);
        self.home.set(Some(home));
        self.kernel.set(core.number);
        self.set(BOUND | also);
        Ok(())
    }

    /// Takes the direction for a leaf whose budget was spent before it could try, so that a later
    /// leaf is refused (N3). Returns false if another leaf holds the direction, or if the source
    /// must first move to this kernel.
    #[cold]
    pub(super) fn claim(&self, direction: Direction) -> bool {
        let free = !self.is(PARKED[direction as usize]);
        let Some(mine) = current::try_with(|core| core.number).filter(|_| free) else {
            return false;
        };
        if !self.is(BOUND | PARKED[0] | PARKED[1]) {
            self.kernel.set(mine);
        }
        let claimed = self.kernel.get() == mine;
        if claimed {
            self.take_over(direction);
            self.set(PARKED[direction as usize]);
        }
        claimed
    }

    /// Whether the source is registered with this kernel.
    #[inline]
    pub(super) fn is_here(&self, core: &Core) -> bool {
        self.is(BOUND) && self.kernel.get() == core.number
    }

    #[inline]
    pub(super) fn is(&self, flag: u16) -> bool {
        self.flags.get() & flag != 0
    }

    #[inline]
    pub(super) fn set(&self, flags: u16) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline]
    pub(super) fn clear(&self, flags: u16) {
        self.flags.set(self.flags.get() & !flags);
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
            .field("registered", &self.is(BOUND))
            .finish_non_exhaustive()
    }
}

/// The kernel and the token of a source, taken out of its `Registration`.
pub(super) struct Binding {
    pub(super) home: Arc<Home>,
    pub(super) token: Token,
}

impl Binding {
    /// Frees the entry in the reactor: at once if its kernel is current, otherwise by a message.
    fn forget(self) {
        let here = current::try_with(|core| {
            Arc::ptr_eq(core.remote(), &self.home.remote).then(|| core.clone())
        });
        match here.flatten() {
            Some(core) => core.forget(self.token),
            None => drop(self.home.remote.post(Message::Unregister(self.token))),
        }
    }
}

/// The leaf of [`Registration::io`].
///
/// # Cancellation
///
/// An operation that would block has done nothing, so nothing is lost. The result of an operation
/// that did something is returned, even if a cancellation is due.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Io<'a, S: Source, F, D: Side = Direction> {
    point: IoPoint<'a, S, D>,
    kind: &'static str,
    operation: F,
}

impl<S: Source, F, D: Side> Unpin for Io<'_, S, F, D> {}

impl<S, F, R, D> Future for Io<'_, S, F, D>
where
    S: Source,
    F: FnMut(&S) -> io::Result<R>,
    D: Side,
{
    type Output = io::Result<R>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Io { point, kind, operation } = &mut *self;
        point.poll(kind, cx, operation)
    }
}

impl<S: Source, F, D: Side> std::fmt::Debug for Io<'_, S, F, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Io");
        debug.field("kind", &self.kind).field("point", &self.point).finish_non_exhaustive()
    }
}
