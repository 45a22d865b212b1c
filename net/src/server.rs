//! A server: one task per connection, in a group.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::panic::Location;
use std::rc::Rc;

use kernel::TaskGroup;

use crate::address::ToSocketAddrs;
use crate::listener::TcpListener;
use crate::stream::TcpStream;

/// The error of any handler.
pub(crate) type Anything = Box<dyn Error + Send + Sync>;

/// Listens on `address` and runs `handler` for each connection in its own task, until this call is
/// cancelled.
///
/// A handler's error or panic is reported and ends only its own connection. A handler that is a
/// closure must name its error type, for example with `Ok::<_, io::Error>(())` at its end.
///
/// To know the port before the first connection comes, bind a [`TcpListener`] and call
/// [`serve`](TcpListener::serve).
///
/// # Errors
///
/// The error of binding, a lasting error of `accept`, or the cancellation.
///
/// # Cancellation
///
/// The listener is closed; the handlers are cancelled together and awaited.
#[track_caller]
pub fn tcp_server<H, E>(
    address: impl ToSocketAddrs,
    handler: H,
) -> impl Future<Output = io::Result<()>>
where
    H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
    E: Into<Anything> + 'static,
{
    let bind = TcpListener::bind(address);
    let site = Location::caller();
    async move { serve_at(Box::new(bind.await?), handler, site).await }
}

impl TcpListener {
    /// Runs `handler` for each connection in its own task, until this call is cancelled. See
    /// [`tcp_server`].
    ///
    /// # Errors
    ///
    /// A lasting error of `accept`, or the cancellation. To end the server by closing its listener,
    /// use [`serve_shared`](TcpListener::serve_shared).
    ///
    /// # Cancellation
    ///
    /// The listener is closed; the handlers are cancelled together and awaited.
    #[track_caller]
    pub fn serve<H, E>(self, handler: H) -> impl Future<Output = io::Result<()>>
    where
        H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        serve_at(Box::new(self), handler, Location::caller())
    }

    /// [`serve`](TcpListener::serve) for a listener that another task shares. When that task
    /// [closes](TcpListener::close) it, the server ends with `Ok`. The running handlers are
    /// cancelled together and awaited.
    ///
    /// # Errors
    ///
    /// As [`serve`](TcpListener::serve).
    ///
    /// # Cancellation
    ///
    /// The handlers are cancelled together and awaited. The listener stays open as long as another
    /// task holds it.
    #[track_caller]
    pub fn serve_shared<H, E>(self: Rc<Self>, handler: H) -> impl Future<Output = io::Result<()>>
    where
        H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        serve_at(self, handler, Location::caller())
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

    fn is_closed(&self) -> bool;
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

    fn is_closed(&self) -> bool {
        self.is_closed()
    }
}

pub(crate) async fn serve_at<L, H, E>(
    listener: impl Deref<Target = L>,
    handler: H,
    site: &'static Location<'static>,
) -> io::Result<()>
where
    L: Listener,
    H: AsyncFn(L::Stream, L::Address) -> Result<(), E> + 'static,
    E: Into<Anything> + 'static,
{
    let handler = Rc::new(handler);
    let served = TaskGroup::<Anything>::scope(async |group| {
        // Moved into the body, so that it is closed before the handlers are awaited.
        let listener = listener;
        loop {
            let connection = match listener.accept_at(site).await {
                Ok(connection) => Box::new(connection),
                // Another task has closed the listener. The running handlers end with the group.
                Err(error) if kernel::cancelled(&error).is_none() && listener.is_closed() => {
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            let handler = handler.clone();
            // A daemon, so that its failure is reported and does not end the group.
            group.spawn_daemon(async move {
                // Boxed, because a captured value occupies space in the task as long as the task
                // lives. Unboxed in a block, because the box would be kept as long otherwise.
                let (stream, peer) = {
                    let connection = connection;
                    *connection
                };
                handler(stream, peer).await.map_err(E::into)
            });
        }
    });
    let ended: Result<(), Anything> = served.await;
    ended.map_err(|error| match error.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(error) => io::Error::other(error),
    })
}
