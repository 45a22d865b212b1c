//! What a server shares with its handlers: how many run, and whether it stops.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::Location;
use std::rc::Rc;

use kernel::wait_queue::{Handoff, Wait, WaitQueue};
use kernel::{GroupKey, TaskCancelled, select};

use crate::server::Listener;

thread_local! {
    /// The servers of this thread, by the groups of their handlers. A handler finds its server
    /// here, because a value that it inherits would cost something at each of its polls.
    static SERVERS: RefCell<Vec<(GroupKey, Rc<Server>)>> = const { RefCell::new(Vec::new()) };
}

/// While it exists, a server is found by its handlers.
pub(crate) struct FoundBy(GroupKey);

impl FoundBy {
    pub(crate) fn new(group: GroupKey, server: &Rc<Server>) -> Self {
        SERVERS.with_borrow_mut(|servers| servers.push((group, server.clone())));
        FoundBy(group)
    }
}

impl Drop for FoundBy {
    fn drop(&mut self) {
        // It fails if the thread ends, and the table is gone.
        let _ = SERVERS.try_with(|servers| {
            servers.borrow_mut().retain(|(group, _)| *group != self.0);
        });
    }
}

/// The server that this code handles a connection of.
fn current() -> Option<Rc<Server>> {
    let find = |group| {
        let found = SERVERS.try_with(|servers| {
            let servers = servers.borrow();
            servers.iter().find(|(known, _)| *known == group).map(|(_, server)| server.clone())
        });
        found.ok().flatten()
    };
    kernel::look_at_groups_around(find)
}

/// What a server shares with its handlers.
pub(crate) struct Server {
    /// The most connections at a time.
    most: usize,
    /// The handlers that have not ended.
    running: Cell<usize>,
    /// The server itself, which waits until fewer handlers run.
    fewer: WaitQueue,
    is_stopping: Cell<bool>,
    stopping: WaitQueue,
    pub(crate) site: &'static Location<'static>,
}

impl Server {
    pub(crate) fn new(most: usize, site: &'static Location<'static>) -> Self {
        let (running, fewer, is_stopping, stopping) = Default::default();
        Server { most, running, fewer, is_stopping, stopping, site }
    }

    /// Waits until one more connection may be served. It is an error if the listener is closed
    /// meanwhile.
    pub(crate) async fn room<L: Listener>(&self, listener: &L) -> io::Result<()> {
        if self.running.get() < self.most {
            return Ok(());
        }
        select! {
            fewer = self.fewer_than("SERVE_LIMIT", self.most) => Ok(fewer?),
            closed = listener.closed_at(self.site) => closed,
        }
    }

    /// Waits until fewer than `bound` handlers run.
    pub(crate) fn fewer_than(&self, kind: &'static str, bound: usize) -> Wait<Fewer<'_>> {
        Wait::at(kind, self.site, Fewer { server: self, bound })
    }

    pub(crate) fn stop(&self) {
        self.is_stopping.set(true);
        self.stopping.hand_over_all(|| ());
    }
}

/// Counts a handler as long as it lives.
pub(crate) struct Counted(Rc<Server>);

impl Counted {
    pub(crate) fn new(server: &Rc<Server>) -> Self {
        server.running.set(server.running.get() + 1);
        Counted(server.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Counted(server) = self;
        let left = server.running.get() - 1;
        server.running.set(left);
        if server.fewer.oldest_weight().is_some_and(|bound| left < bound) {
            // There is a waiter.
            let _ = server.fewer.hand_over(());
        }
    }
}

/// A wait until fewer handlers run.
pub(crate) struct Fewer<'a> {
    server: &'a Server,
    bound: usize,
}

impl Handoff for Fewer<'_> {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.server.fewer
    }

    fn try_take(&mut self) -> Option<()> {
        (self.server.running.get() < self.bound).then_some(())
    }

    fn weight(&self) -> usize {
        self.bound
    }

    fn finish(&mut self, (): ()) {}

    /// The server alone waits here.
    fn pass_on(&mut self, (): ()) {}
}

/// Waits until the server that this code handles a connection of is asked to stop. See
/// [`Serve`](crate::Serve).
///
/// A handler sees its server, and so does a task that it has spawned, while the handler lives. Code
/// that runs for no server waits until it is cancelled. Use it in a `select!` with what the handler
/// waits for:
///
/// ```
/// # use curium::net::{TcpStream, stopping};
/// # use curium::select;
/// # async fn next(stream: &TcpStream, buf: &mut [u8]) -> std::io::Result<usize> {
/// select! {
///     read = stream.read(buf) => read,
///     stop = stopping() => stop.map(|()| 0).map_err(Into::into), // as if the client had left
/// }
/// # }
/// ```
///
/// # Errors
///
/// [`TaskCancelled`].
///
/// # Cancellation
///
/// It only waits, so nothing is lost.
#[track_caller]
pub fn stopping() -> impl Future<Output = Result<(), TaskCancelled>> {
    stopping_and_test().0
}

/// [`stopping`], and what tells for next to nothing whether it would return at once: for a poll
/// function that is called for each request, and polls the other one only then.
#[doc(hidden)]
#[track_caller]
pub fn stopping_and_test() -> (impl Future<Output = Result<(), TaskCancelled>>, impl Fn() -> bool) {
    let none = || Rc::new(Server::new(usize::MAX, Location::caller()));
    let server = current().unwrap_or_else(none);
    let wait = Wait::new("STOPPING", Stopping(server.clone()));
    (wait, move || server.is_stopping.get())
}

/// Whether the server that this code handles a connection of is asked to stop: whether
/// [`stopping`] would return at once.
pub fn is_stopping() -> bool {
    current().is_some_and(|server| server.is_stopping.get())
}

/// A wait until a server is asked to stop.
struct Stopping(Rc<Server>);

impl Handoff for Stopping {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.0.stopping
    }

    fn try_take(&mut self) -> Option<()> {
        self.0.is_stopping.get().then_some(())
    }

    fn finish(&mut self, (): ()) {}

    /// `stop` has woken every waiter, so there is nothing to pass on.
    fn pass_on(&mut self, (): ()) {}
}
