//! Datagrams over Unix sockets.

use std::cell::Cell;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::SocketAddr;
use std::panic::Location;

use ::io::{FdSource, Registration, ToRead, ToWrite};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, SocketAddrUnix};

use super::ToUnixAddr;
use super::address::{failed, from_system, unnamed};
use super::pauses::Pauses;
use super::stream::QUIETLY;
use crate::accept::Pause;
use crate::udp::Received;

type Source = FdSource<std::os::unix::net::UnixDatagram>;

/// A Unix socket for datagrams. Every method takes `&self`, so one task can receive while another
/// one sends.
///
/// Datagrams arrive in order, each one once and whole. One that is larger than the buffer of the
/// receiver is cut, and [`truncated`](Received::truncated) says so. A sender waits while the queue
/// of the receiver is full; Linux allows ten datagrams there, if the system is not set otherwise.
///
/// The file at the path of a bound socket stays when the socket is closed, as that of a
/// [`UnixListener`](super::UnixListener) does. Only a socket with a name can be answered.
///
/// ```
/// use std::io;
/// use curium::kernel;
/// use curium::net::UnixDatagram;
///
/// kernel::run(async || -> io::Result<()> {
///     let (one, other) = UnixDatagram::pair()?;
///     one.send(b"ping").await?;
///     let mut buf = [0; 1500];
///     let got = other.recv(&mut buf).await?;
///     assert_eq!(&buf[..got.len], b"ping");
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
pub struct UnixDatagram {
    /// Boxed, because every async function that a socket is passed through keeps space for it.
    registration: Box<Registration<Source>>,
    /// The one sender waits in `send_to` for room, and so is not parked on the socket (N3).
    pausing: Cell<bool>,
}

/// A second task sends while the first one waits for room at a receiver.
const BUSY: &str = "another task already waits to send here; a socket has one sender at a time";

impl UnixDatagram {
    /// A socket at a path, where it makes a file, or on an abstract name.
    ///
    /// # Errors
    ///
    /// As [`UnixListener::bind`](super::UnixListener::bind).
    pub fn bind(address: impl ToUnixAddr) -> io::Result<UnixDatagram> {
        let address = address.unix_addr()?;
        std::os::unix::net::UnixDatagram::bind_addr(&address)
            .and_then(UnixDatagram::new)
            .map_err(|error| failed("bind", &address, error))
    }

    /// A socket without a name. It can send, and receives only from a
    /// [`pair`](UnixDatagram::pair).
    ///
    /// # Errors
    ///
    /// The system's, if it has no descriptors left.
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::new(std::os::unix::net::UnixDatagram::unbound()?)
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's, if it has no descriptors left.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = std::os::unix::net::UnixDatagram::pair()?;
        Ok((UnixDatagram::new(one)?, UnixDatagram::new(other)?))
    }

    /// Takes over a socket, and makes it non-blocking. Duplicates of it may exist.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(socket: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::new(socket)?;
        socket.registration.may_be_duplicated();
        Ok(socket)
    }

    fn new(socket: std::os::unix::net::UnixDatagram) -> io::Result<UnixDatagram> {
        socket.set_nonblocking(true)?;
        let registration = Box::new(Registration::new(FdSource(socket)));
        Ok(UnixDatagram { registration, pausing: Cell::new(false) })
    }

    /// Sets the peer: [`send`](UnixDatagram::send) sends to it, and only its datagrams are
    /// received. A later call sets another peer.
    ///
    /// # Errors
    ///
    /// The system's, and it names the address; `NotConnected` once the socket is closed.
    pub fn connect(&self, address: impl ToUnixAddr) -> io::Result<()> {
        let address = address.unix_addr()?;
        self.registration.with(|socket| {
            let connected = socket.0.connect_addr(&address);
            connected.map_err(|error| failed("connect to", &address, error))
        })
    }

    /// Sends a datagram to an address. Waits if the receiver's queue is full: it tries again, after
    /// pauses from 1 ms up to 64 ms, because no event reports that there is room. A sender with
    /// much to send to one receiver [connects](UnixDatagram::connect) and uses
    /// [`send`](UnixDatagram::send), which an event wakes.
    ///
    /// The datagram is taken whole or not at all.
    ///
    /// # Errors
    ///
    /// An error of the system, for example that no socket is there, or that the datagram is too
    /// large; a cancellation; `ResourceBusy` if another task is sending; `NotConnected` once the
    /// socket is closed.
    ///
    /// # Cancellation
    ///
    /// Nothing was sent.
    #[track_caller]
    pub fn send_to<'a>(
        &'a self,
        datagram: &'a [u8],
        to: impl ToUnixAddr,
    ) -> impl Future<Output = io::Result<()>> + 'a {
        let to = to.unix_addr();
        let site = Location::caller();
        async move {
            let to = to?;
            let mut pauses = Pauses::new();
            loop {
                let sent = self.registration.io_at(ToWrite, "SEND_TO", site, |socket| {
                    self.refuse_second()?;
                    match socket.0.send_to_addr(datagram, &to) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                        done => done.map(|_| true),
                    }
                });
                if sent.await? {
                    return Ok(());
                }
                let pause = Pause::begin(&self.pausing);
                pauses.next().await?;
                drop(pause);
            }
        }
    }

    /// Sends a datagram to the peer. Waits if the peer's queue is full.
    ///
    /// # Errors
    ///
    /// As [`send_to`](UnixDatagram::send_to).
    ///
    /// # Cancellation
    ///
    /// Nothing was sent.
    #[track_caller]
    pub fn send<'a>(&'a self, datagram: &'a [u8]) -> impl Future<Output = io::Result<()>> + 'a {
        self.registration.io(ToWrite, "SEND", move |socket| {
            self.refuse_second()?;
            rustix::net::send(socket, datagram, QUIETLY)?;
            Ok(())
        })
    }

    fn refuse_second(&self) -> io::Result<()> {
        match self.pausing.get() {
            true => Err(io::Error::new(io::ErrorKind::ResourceBusy, BUSY)),
            false => Ok(()),
        }
    }

    /// Receives a datagram and its sender's address, which has a name only if the sender has bound
    /// one. Waits if there is none.
    ///
    /// # Errors
    ///
    /// An error of the system; a cancellation; `ResourceBusy` if another task is receiving;
    /// `NotConnected` once the socket is closed.
    ///
    /// # Cancellation
    ///
    /// No datagram is lost: the next call gets it.
    #[track_caller]
    pub fn recv_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(Received, SocketAddr)>> + 'a {
        self.registration
            .io(ToRead, "RECV_FROM", move |socket| receive(socket, buf, RecvFlags::empty()))
    }

    /// Receives a datagram, which comes from the peer if one is set.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UnixDatagram::recv_from).
    ///
    /// # Cancellation
    ///
    /// No datagram is lost: the next call gets it.
    #[track_caller]
    pub fn recv<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<Received>> + 'a {
        self.registration.io(ToRead, "RECV", move |socket| {
            receive(socket, buf, RecvFlags::empty()).map(|(received, _)| received)
        })
    }

    /// [`recv_from`](UnixDatagram::recv_from), but the datagram stays: the next call gets it again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UnixDatagram::recv_from).
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn peek_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(Received, SocketAddr)>> + 'a {
        self.registration
            .io(ToRead, "PEEK_FROM", move |socket| receive(socket, buf, RecvFlags::PEEK))
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(|socket| socket.0.local_addr())
    }

    /// The address of the peer that [`connect`](UnixDatagram::connect) has set.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none or the socket is closed; the system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(|socket| socket.0.peer_addr())
    }

    /// Shuts down one direction or both of a socket with a peer. Sending in a direction that is
    /// shut down is an error, and receiving from it gives empty datagrams.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it has no peer or is closed; the system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.registration.with(|socket| socket.0.shutdown(how))
    }

    /// Lends the descriptor, for options that this type does not have. Leave it non-blocking, also
    /// through a duplicate, because duplicates share that option.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the socket is closed, and the error that `look` returns.
    pub fn as_fd<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>) -> io::Result<R> {
        self.registration.may_be_duplicated();
        self.registration.with(|socket| look(socket.as_fd()))
    }

    /// Closes the socket. Tasks that are parked on it get an error. The file at its path stays.
    pub fn close(&self) {
        self.registration.close();
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixDatagram")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish()
    }
}

/// By `recvmsg`, because `std` does not say whether a datagram was cut.
fn receive(socket: &Source, buf: &mut [u8], how: RecvFlags) -> io::Result<(Received, SocketAddr)> {
    let mut control = RecvAncillaryBuffer::default();
    let got = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(buf)], &mut control, how)?;
    let truncated = got.flags.contains(ReturnFlags::TRUNC);
    let from = got.address.and_then(|address| SocketAddrUnix::try_from(address).ok());
    Ok((Received { len: got.bytes, truncated }, from.as_ref().map_or_else(unnamed, from_system)))
}
