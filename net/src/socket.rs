//! The socket of a connection, and the steps before its close.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// A connected socket, or one that is connecting.
#[derive(Debug)]
pub struct Socket {
    stream: mio::net::TcpStream,
    /// The program has or had the descriptor, so it may have set a linger.
    lent: Cell<bool>,
}

impl Socket {
    /// A socket whose descriptor only this library has used.
    pub(crate) fn own(stream: mio::net::TcpStream) -> Socket {
        Socket { stream, lent: Cell::new(false) }
    }

    /// Records that the program may set options of the socket.
    pub(crate) fn set_lent(&self) {
        self.lent.set(true);
    }

    /// Makes the close reset the connection.
    pub(crate) fn close_abortively(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    /// Clears a linger above zero, because the close would block the thread for up to that time.
    /// A linger of zero resets the connection at once and is kept.
    #[cold]
    fn stop_lingering(&self) {
        let socket = SockRef::from(&self.stream);
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

impl Deref for Socket {
    type Target = mio::net::TcpStream;

    #[inline]
    fn deref(&self) -> &mio::net::TcpStream {
        &self.stream
    }
}

impl Source for Socket {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream.register(to, token, interests)
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.stream.reregister(to, token, interests)
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        self.stream.deregister(from)
    }
}

/// Whether these are the two addresses of a socket that is connected to itself.
pub(crate) fn is_itself(local: SocketAddr, peer: SocketAddr) -> bool {
    // Not the whole addresses: the zone and the flow of an IPv6 address may be present on one side
    // only.
    (local.ip(), local.port()) == (peer.ip(), peer.port())
}
