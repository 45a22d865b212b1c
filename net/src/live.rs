//! Options of live TCP connections.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;

use crate::error::failed;
use crate::options::{Keepalive, set_linger, set_ttl};
use crate::socket::Socket;
use crate::stream::TcpStream;

impl TcpStream {
    /// Whether small writes are sent at once; see [`set_nodelay`](TcpStream::set_nodelay).
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.option("nodelay", |socket, _| socket.tcp_nodelay())
    }

    /// The number of routers that a packet may pass.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn ttl(&self) -> io::Result<u32> {
        self.option("ttl", |socket, address| match address.is_ipv6() {
            true => socket.unicast_hops_v6(),
            false => socket.ttl_v4(),
        })
    }

    /// Sets the number of routers that a packet may pass, 1 to 255.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.option("ttl", |socket, address| set_ttl(socket, address, hops))
    }

    /// How the peer is probed while the connection is idle; `None` if it is not.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn keepalive(&self) -> io::Result<Option<Keepalive>> {
        self.option("keepalive", |socket, _| Keepalive::of(socket))
    }

    /// Sets how the peer is probed while the connection is idle; `None` turns it off.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> io::Result<()> {
        self.option("keepalive", |socket, _| match keepalive {
            Some(keepalive) => keepalive.set(socket),
            None => socket.set_keepalive(false),
        })
    }

    /// The linger; see [`set_linger`](TcpStream::set_linger).
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.option("linger", |socket, _| socket.linger())
    }

    /// Sets the linger (`SO_LINGER`). `Some(Duration::ZERO)`: a close or a drop resets the
    /// connection, and unsent data is lost. `None`, as it is for a new connection: the system sends
    /// what is left after the close. [`reset`](TcpStream::reset) does both steps of the first.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time above zero: a close would block the thread, and every task of the
    /// kernel, for that time. To know that the peer has read everything, shut the writing direction
    /// down and read until the end of the stream. The system's; `NotConnected` once it is closed.
    pub fn set_linger(&self, time: Option<Duration>) -> io::Result<()> {
        self.option("linger", |socket, _| set_linger(socket, time))
    }

    /// Closes the connection by a reset: the peer gets an error instead of the end of the stream,
    /// and data that was not sent is lost. Tasks that are parked on it get an error.
    ///
    /// # Errors
    ///
    /// The system's, and the connection is closed all the same; `NotConnected` if it was closed.
    pub fn reset(&self) -> io::Result<()> {
        let prepared = self.registration.with(Socket::close_abortively);
        self.close();
        prepared
    }

    /// Gets or sets an option of a live connection.
    fn option<R>(
        &self,
        name: &str,
        look: impl FnOnce(&socket2::Socket, SocketAddr) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.with(|socket| {
            let local = socket.local_addr()?;
            look(&SockRef::from(socket.of_system()?), local).map_err(|error| {
                let to = socket.peer_addr().unwrap_or(local);
                failed(format!("the option {name} of the connection to {to}: {error}"), error)
            })
        })
    }
}
