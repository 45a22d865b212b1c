//! A server: one task per connection, in a group.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::rc::Rc;

use kernel::TaskGroup;

use crate::address::ToAddresses;
use crate::listener::TcpListener;
use crate::stream::TcpStream;

/// Whatever a handler fails with.
type Anything = Box<dyn Error + Send + Sync>;

/// Listens on `address` and runs `handler` for each connection in a task of its own, until this is
/// cancelled.
///
/// A handler's error or panic is reported and ends its own connection only.
///
/// To know the port before the first connection comes, bind a [`TcpListener`] and call
/// [`serve`](TcpListener::serve).
///
/// # Errors
///
/// That of binding; an error of `accept` itself; and always, in the end, the cancellation.
///
/// # Cancellation
///
/// The listener is closed; the handlers are cancelled together and awaited.
#[track_caller]
pub fn tcp_server<H, E>(
    address: impl ToAddresses,
    handler: H,
) -> impl Future<Output = io::Result<Infallible>>
where
    H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
    E: Into<Anything> + 'static,
{
    let bind = TcpListener::bind(address);
    let site = Location::caller();
    async move { serve_at(bind.await?, handler, site).await }
}

impl TcpListener {
    /// Runs `handler` for each connection in a task of its own, until this is cancelled; see
    /// [`tcp_server`].
    ///
    /// # Errors
    ///
    /// An error of `accept` itself; and always, in the end, the cancellation.
    ///
    /// # Cancellation
    ///
    /// The listener is closed; the handlers are cancelled together and awaited.
    #[track_caller]
    pub fn serve<H, E>(self, handler: H) -> impl Future<Output = io::Result<Infallible>>
    where
        H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        serve_at(self, handler, Location::caller())
    }
}

async fn serve_at<H, E>(
    listener: TcpListener,
    handler: H,
    site: &'static Location<'static>,
) -> io::Result<Infallible>
where
    H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
    E: Into<Anything> + 'static,
{
    let handler = Rc::new(handler);
    let served = TaskGroup::<Anything>::scope(async |group| {
        // Moved in, so that it is closed before the handlers are awaited.
        let listener = listener;
        loop {
            let connection = Box::new(listener.accept_at(site).await?);
            let handler = handler.clone();
            // A daemon: nobody waits for its outcome, so its failure is reported and is its own.
            group.spawn_daemon(async move {
                // Out of a box: what a task is given keeps its room as long as the task lives. And
                // out of a block, or else the box would be kept as long.
                let (stream, peer) = {
                    let connection = connection;
                    *connection
                };
                handler(stream, peer).await.map_err(E::into)
            });
        }
    });
    let ended: Result<Infallible, Anything> = served.await;
    ended.map_err(|error| match error.downcast::<io::Error>() {
        Ok(error) => *error,
        Err(error) => io::Error::other(error),
    })
}
