//! The socket of a connection, and the steps before its close.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

use crate::origin::{Origin, either};

/// A connected socket, or one that is connecting.
#[derive(Debug)]
pub struct Socket {
    pub(crate) origin: Origin<mio::net::TcpStream>,
    /// The program has or had the descriptor, so it may have set a linger.
    lent: Cell<bool>,
}

impl Socket {
    /// A socket whose descriptor only this library has used.
    pub(crate) fn own(stream: mio::net::TcpStream) -> Socket {
        Socket::of(Origin::System(stream))
    }

    pub(crate) fn of(origin: Origin<mio::net::TcpStream>) -> Socket {
        Socket { origin, lent: Cell::new(false) }
    }

    /// The socket of the system, for its options.
    ///
    /// # Errors
    ///
    /// `Unsupported` for a simulated one.
    pub(crate) fn of_system(&self) -> io::Result<&mio::net::TcpStream> {
        self.origin.of_system()
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        either!(&self.origin, socket => socket.local_addr())
    }

    pub(crate) fn peer_addr(&self) -> io::Result<SocketAddr> {
        either!(&self.origin, socket => socket.peer_addr())
    }

    /// The error with which the connection has failed, once.
    pub(crate) fn take_error(&self) -> io::Result<Option<io::Error>> {
        either!(&self.origin, socket => socket.take_error())
    }

    pub(crate) fn set_nodelay(&self, on: bool) -> io::Result<()> {
        either!(&self.origin, socket => socket.set_nodelay(on))
    }

    /// Records that the program may set options of the socket.
    pub(crate) fn set_lent(&self) {
        self.lent.set(true);
    }

    /// Makes the close reset the connection.
    pub(crate) fn close_abortively(&self) -> io::Result<()> {
        match &self.origin {
            Origin::System(stream) => SockRef::from(stream).set_linger(Some(Duration::ZERO)),
            #[cfg(all(unix, feature = "simulated-net"))]
            Origin::Simulated(end) => end.close_abortively(),
        }
    }

    /// Clears a linger above zero, because the close would block the thread for up to that time.
    /// A linger of zero resets the connection at once and is kept.
    #[cold]
    fn stop_lingering(&self) {
        let Ok(stream) = self.of_system() else { return };
        let socket = SockRef::from(stream);
        if socket.linger().is_ok_and(|linger| linger.is_some_and(|linger| !linger.is_zero())) {
            // Cannot fail: the option of this socket was just read.
            let _ = socket.set_linger(None);
        }
    }
}

impl Drop for Socket {
    #[inline]
    fn drop(&mut self) {
        // Not for every socket, because it costs a system call.
        if self.lent.get() {
            self.stop_lingering();
        }
    }
}

impl Source for Socket {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.origin.register(to, token, interests)
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.origin.reregister(to, token, interests)
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        self.origin.deregister(from)
    }
}

/// Whether these are the two addresses of a socket that is connected to itself.
pub(crate) fn is_itself(local: SocketAddr, peer: SocketAddr) -> bool {
    // Not the whole addresses: the zone and the flow of an IPv6 address may be present on one side
    // only.
    (local.ip(), local.port()) == (peer.ip(), peer.port())
}
