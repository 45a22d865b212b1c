//! The socket of a connection, and what must be done before it is closed.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::ops::Deref;
use std::time::Duration;

use mio::event::Source;
use mio::{Interest, Registry, Token};
use socket2::SockRef;

/// A connected socket, or one that is connecting.
pub(crate) struct Socket {
    stream: mio::net::TcpStream,
    /// The program has or had the descriptor, so it may have set options that matter here.
    lent: Cell<bool>,
}

impl Socket {
    /// A socket that only this library has had in its hands.
    pub(crate) fn own(stream: mio::net::TcpStream) -> Socket {
        Socket { stream, lent: Cell::new(false) }
    }

    /// Says that the program may set options of the socket.
    pub(crate) fn set_lent(&self) {
        self.lent.set(true);
    }

    /// Lets the close reset the connection.
    pub(crate) fn close_abortively(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }

    /// Clears a linger above zero: a close would block the thread for so long. Zero means to reset
    /// the connection, which takes no time.
    #[cold]
    fn stop_lingering(&self) {
        let socket = SockRef::from(&self.stream);
        if socket.linger().is_ok_and(|linger| linger.is_some_and(|linger| !linger.is_zero())) {
            // A socket of which the option was just read is there.
            let _ = socket.set_linger(None);
        }
    }
}

impl Drop for Socket {
    #[inline]
    fn drop(&mut self) {
        // Only these are asked: that is a system call for each.
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
    // Not the addresses whole: the zone and the flow of an IPv6 address may be told on one side
    // alone.
    (local.ip(), local.port()) == (peer.ip(), peer.port())
}
