//! Servers over the cores of [`kernels`](kernel::kernels).

mod door;
mod seat;

use std::net::SocketAddr;
use std::panic::Location;
use std::rc::Rc;

use kernel::Core;

use crate::address::ToSocketAddrs;
use crate::cores::seat::{Handed, Seat};
use crate::serve::Serve;
use crate::server::Anything;
use crate::stream::TcpStream;

/// How the connections of a server are spread over cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// One core accepts, and gives each connection to the core that has the fewest; of several, to
    /// the next in turn. For connections that live long: it is as even as can be.
    Fewest,
    /// Each core has a listener of its own, and the system chooses one for each connection
    /// (`SO_REUSEPORT`). For many short connections: nothing is handed over, and the load evens out
    /// only over many.
    ReusePort,
    /// One core accepts, and gives each connection to the core that the peer's port chooses: modulo
    /// the number of cores that take part, in the order of their numbers. For clients that choose
    /// their core, as a proxy may.
    PeerPort,
}

/// Servers on a core of [`kernels`](kernel::kernels), in the prelude.
pub trait CoreExt {
    /// Listens on `address` and runs `handler` for the connections that come to this core, each in
    /// its own task, until the cores [stop](Core::stop) or it is cancelled.
    ///
    /// Every core that calls this with the same address and balance takes part. One of them binds
    /// the address, and says so ([`Serve::on_listening`]); if it ends, another accepts. A core that
    /// calls this when every other has left the server binds anew: with port 0, it gets a new port.
    /// The settings are those of each core alone.
    ///
    /// ```no_run
    /// use curium::kernel::{Cores, kernels};
    /// use curium::net::{Balance, CoreExt};
    ///
    /// kernels(Cores::all(), async |core| {
    ///     core.serve("127.0.0.1:7000", Balance::Fewest, async |stream, _peer| {
    ///         stream.write_all(b"hello\n").await
    ///     })
    ///     .limit(1000)
    ///     .on_listening(|address| println!("listening on {address}"))
    ///     .await
    /// })?;
    /// # Ok::<(), curium::kernel::CoreErrors<std::io::Error>>(())
    /// ```
    ///
    /// # How it stops
    ///
    /// As any server ([`Serve`]), and when the cores are asked to [stop](Core::stop): it accepts
    /// no more, the handlers learn it by [`stopping`](crate::stopping()), and have the time that
    /// [`Cores::drain`](kernel::Cores::drain) gives, unless the server has a
    /// [`drain`](Serve::drain) of its own. If it stops for another reason, they have no time
    /// without that.
    ///
    /// # Errors
    ///
    /// The error of binding, or a lasting error of `accept`: in every core, but with
    /// [`ReusePort`](Balance::ReusePort) in that core alone. A cancellation.
    ///
    /// # Cancellation
    ///
    /// As [`Serve`]. Connections that were given to this core are closed; the other cores serve on.
    fn serve<H, E>(&self, address: impl ToSocketAddrs, balance: Balance, handler: H) -> Serve
    where
        H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static;
}

impl CoreExt for Core {
    #[track_caller]
    fn serve<H, E>(&self, address: impl ToSocketAddrs, balance: Balance, handler: H) -> Serve
    where
        H: AsyncFn(TcpStream, SocketAddr) -> Result<(), E> + 'static,
        E: Into<Anything> + 'static,
    {
        let (core, target) = (self.clone(), address.target());
        let handler = async move |handed: Handed, peer| {
            let Handed { stream, open } = handed;
            let ended = handler(stream, peer).await.map_err(E::into);
            drop(open);
            ended
        };
        let take = move |limit| Seat::take(&core, target, balance, limit);
        let begin = async |seat: &Rc<Seat>, group, call| seat.begin(group, call).await;
        Serve::with_helpers(take, begin, handler, Location::caller())
    }
}
