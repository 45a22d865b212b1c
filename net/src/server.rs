//! A server: one task per connection, in a group.

use std::error::Error;
use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use crate::address::ToSocketAddrs;
use crate::listener::TcpListener;
use crate::options::TcpOptions;
use crate::serve::Serve;
use crate::stream::TcpStream;

/// The error of any handler.
pub(crate) type Anything = Box<dyn Error + Send + Sync>;

/// Listens on `address` and runs `handler` for each connection in its own task, until it is
/// cancelled. The [`Serve`] that it returns has settings: a limit of connections, and how it stops.
///
/// A handler's error or panic is reported and ends only its own connection. In reports and in the
/// monitor, the task of a connection has the name of its handler; if that is a closure, of the
/// function around it. A handler that is a closure must name its error type, for example with
/// `Ok::<_, io::Error>(())` at its end.
///
/// To know the port before the first connection comes, use [`Serve::on_listening`], or bind a
/// [`TcpListener`] and call [`serve`](TcpListener::serve).
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
pub fn tcp_server<H, E>(address: impl ToSocketAddrs, handler: H) -> Serve
where
    H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
    E: Into<Anything> + 'static,
{
    let target = address.target();
    let bind = async { TcpListener::bind_target(target, &TcpOptions::new()).await.map(Box::new) };
    Serve::new(bind, handler, Location::caller())
}

impl TcpListener {
    /// Runs `handler` for each connection in its own task, until it is cancelled. See
    /// [`tcp_server`], and [`Serve`] for the settings.
    ///
    /// # Errors
    ///
    /// A lasting error of `accept`, or the cancellation. To end the server by closing its listener,
    /// use [`serve_shared`](TcpListener::serve_shared).
    ///
    /// # Cancellation
    ///
    /// The listener is closed; the handlers are cancelled together and awaited. With the settings
    /// of [`Serve`] they have time to end by themselves before.
    #[track_caller]
    pub fn serve<H, E>(self, handler: H) -> Serve
    where
        H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        Serve::new(ready(Ok(Box::new(self))), handler, Location::caller())
    }

    /// [`serve`](TcpListener::serve) for a listener that another task shares. When that task
    /// [closes](TcpListener::close) it, the server [stops](Serve) and ends with `Ok`.
    ///
    /// # Errors
    ///
    /// As [`serve`](TcpListener::serve).
    ///
    /// # Cancellation
    ///
    /// As [`serve`](TcpListener::serve), but the listener stays open as long as another task holds
    /// it.
    #[track_caller]
    pub fn serve_shared<H, E>(self: Rc<Self>, handler: H) -> Serve
    where
        H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        Serve::new(ready(Ok(self)), handler, Location::caller())
    }
}

/// What a server needs of its listener.
pub(crate) trait Listener {
    type Stream: 'static;
    type Address: 'static;

    async fn accept_at(
        &self,
        site: &'static Location<'static>,
    ) -> io::Result<(Self::Stream, Self::Address)>;

    /// Waits until it is closed, which is an error.
    async fn closed_at(&self, site: &'static Location<'static>) -> io::Result<()>;

    fn is_closed(&self) -> bool;

    /// The address of TCP.
    fn bound_to(&self) -> io::Result<Option<SocketAddr>> {
        Ok(None)
    }

    /// The server accepts no more. Gives the time that its handlers have to end by themselves,
    /// unless the server has a setting for it.
    fn stopped(&self) -> Duration {
        Duration::ZERO
    }
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;

    async fn accept_at(
        &self,
        site: &'static Location<'static>,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        self.accept_at(site).await
    }

    async fn closed_at(&self, site: &'static Location<'static>) -> io::Result<()> {
        self.acceptor.closed_at(site).await
    }

    fn is_closed(&self) -> bool {
        self.acceptor.is_closed()
    }

    fn bound_to(&self) -> io::Result<Option<SocketAddr>> {
        self.local_addr().map(Some)
    }
}
