//! Listening Unix sockets, and servers over them.

use std::fmt;
use std::future::ready;
use std::io;
use std::os::unix::net::SocketAddr;
use std::panic::Location;
use std::rc::Rc;

use ::io::{FdSource, Registration};

use super::address::failed;
use super::{ToUnixAddr, UnixStream};
use crate::accept::Acceptor;
use crate::serve::Serve;
use crate::server::{Anything, Listener};

/// A Unix socket that accepts connections.
///
/// [`bind`](UnixListener::bind) makes a file at its path. Closing or dropping the listener does not
/// remove that file, nor does the end of the process, and while it exists no other socket can be
/// bound there. A program that owns the path removes the file (`std::fs::remove_file`) after the
/// server has ended, and before it binds again after a crash. Whether a server answers there, a
/// [`connect`](UnixStream::connect) tells: the file of one that has gone refuses it with
/// `ConnectionRefused`. An abstract name has no file, and is free when the listener is closed.
pub struct UnixListener {
    acceptor: Acceptor<FdSource<std::os::unix::net::UnixListener>>,
}

impl UnixListener {
    /// Listens at a path, where it makes a file, or on an abstract name.
    ///
    /// # Errors
    ///
    /// The system's, and it names the address: `AddrInUse` if a file exists at the path, also one
    /// of a server that has gone. `InvalidInput` if the path is empty or too long; Linux allows 107
    /// bytes.
    pub fn bind(address: impl ToUnixAddr) -> io::Result<UnixListener> {
        let address = address.unix_addr()?;
        std::os::unix::net::UnixListener::bind_addr(&address)
            .and_then(UnixListener::new)
            .map_err(|error| failed("listen on", &address, error))
    }

    /// Takes over a listening socket, and makes it non-blocking. Duplicates of it may exist.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        let listener = UnixListener::new(listener)?;
        listener.acceptor.registration.may_be_duplicated();
        Ok(listener)
    }

    fn new(listener: std::os::unix::net::UnixListener) -> io::Result<UnixListener> {
        listener.set_nonblocking(true)?;
        Ok(UnixListener { acceptor: Acceptor::new(Registration::new(FdSource(listener))) })
    }

    /// Waits for a connection. Returns it and the address of the client, which has a name only if
    /// the client has bound one. It outlives errors as
    /// [`TcpListener::accept`](crate::TcpListener::accept) does.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::accept`](crate::TcpListener::accept).
    ///
    /// # Cancellation
    ///
    /// No connection is lost: one that was accepted is returned.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(UnixStream, SocketAddr)>> + '_ {
        Listener::accept_at(self, Location::caller())
    }

    /// Runs `handler` for each connection in its own task, until it is cancelled. See
    /// [`tcp_server`](crate::tcp_server), and [`Serve`] for the settings.
    ///
    /// # Errors
    ///
    /// A lasting error of `accept`, or the cancellation. To end the server by closing its listener,
    /// use [`serve_shared`](UnixListener::serve_shared).
    ///
    /// # Cancellation
    ///
    /// The listener is closed; the handlers are cancelled together and awaited. With the settings
    /// of [`Serve`] they have time to end by themselves before.
    #[track_caller]
    pub fn serve<H, E>(self, handler: H) -> Serve
    where
        H: AsyncFn(UnixStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        Serve::new(ready(Ok(Box::new(self))), handler, Location::caller())
    }

    /// [`serve`](UnixListener::serve) for a listener that another task shares. When that task
    /// [closes](UnixListener::close) it, the server [stops](Serve) and ends with `Ok`.
    ///
    /// # Errors
    ///
    /// As [`serve`](UnixListener::serve).
    ///
    /// # Cancellation
    ///
    /// As [`serve`](UnixListener::serve), but the listener stays open as long as another task
    /// holds it.
    #[track_caller]
    pub fn serve_shared<H, E>(self: Rc<Self>, handler: H) -> Serve
    where
        H: AsyncFn(UnixStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        Serve::new(ready(Ok(self)), handler, Location::caller())
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.acceptor.registration.with(|listener| listener.0.local_addr())
    }

    /// Closes it. A task that is parked in [`accept`](UnixListener::accept) gets an error. The file
    /// at its path stays.
    pub fn close(&self) {
        self.acceptor.registration.close();
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Address = SocketAddr;

    async fn accept_at(
        &self,
        site: &'static Location<'static>,
    ) -> io::Result<(UnixStream, SocketAddr)> {
        let accept = |listener: &FdSource<std::os::unix::net::UnixListener>| {
            let (stream, peer) = listener.0.accept()?;
            Ok((UnixStream::new(stream)?, peer))
        };
        self.acceptor.accept_at(site, accept).await
    }

    async fn closed_at(&self, site: &'static Location<'static>) -> io::Result<()> {
        self.acceptor.closed_at(site).await
    }

    fn is_closed(&self) -> bool {
        self.acceptor.is_closed()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixListener").field("local_addr", &self.local_addr().ok()).finish()
    }
}

/// Listens on `address` and runs `handler` for each connection in its own task, until it is
/// cancelled. It is to Unix sockets what [`tcp_server`](crate::tcp_server) is to TCP. The file at
/// the path stays when it ends, see [`UnixListener`].
///
/// # Errors
///
/// The error of binding, a lasting error of `accept`, or the cancellation.
///
/// # Cancellation
///
/// The listener is closed; the handlers are cancelled together and awaited. With the settings of
/// [`Serve`] they have time to end by themselves before.
#[track_caller]
pub fn unix_server<H, E>(address: impl ToUnixAddr, handler: H) -> Serve
where
    H: AsyncFn(UnixStream, SocketAddr) -> Result<(), E> + 'static,
    E: Into<Anything> + 'static,
{
    let address = address.unix_addr();
    let bind = async { UnixListener::bind(address?).map(Box::new) };
    Serve::new(bind, handler, Location::caller())
}
