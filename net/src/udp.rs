//! Datagrams over UDP.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use kernel::io::{Registration, ToRead, ToWrite};

use crate::address::{ToSocketAddrs, addresses_of, first_of};
use crate::origin::{Origin, either, registration};

/// No datagram over IP is larger, but for the jumbograms of IPv6.
const LARGEST: usize = 65_535;

/// A datagram that was received: how much of it is in the buffer, and whether that is all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// The number of its bytes that are in the buffer. An empty datagram has none.
    pub len: usize,
    /// The datagram was larger than the buffer, and its other bytes are lost.
    pub truncated: bool,
}

/// A UDP socket. Every method takes `&self`, so one task can receive while another one sends.
///
/// ```
/// use std::io;
/// use curium::kernel;
/// use curium::net::UdpSocket;
///
/// kernel::run(async || -> io::Result<()> {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.send_to(b"ping", server.local_addr()?).await?;
///     let mut buf = [0; 1500];
///     let (got, from) = server.recv_from(&mut buf).await?;
///     assert_eq!((&buf[..got.len], from), (&b"ping"[..], client.local_addr()?));
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
///
/// A datagram that is larger than the buffer of the receiver is cut, and
/// [`truncated`](Received::truncated) says so. With a buffer of at least 65,535 bytes nothing is
/// cut, and the system writes into it directly; into a smaller one the bytes are copied.
///
/// Datagrams may be lost, doubled or reordered on their way, and a full buffer of the receiver
/// drops them.
pub struct UdpSocket {
    /// Boxed, because every async function that a socket is passed through keeps space for it.
    pub(crate) registration: Box<Registration<Origin<mio::net::UdpSocket>>>,
}

impl UdpSocket {
    /// Binds a socket to the first of the addresses that can be bound. Port 0 lets the system
    /// choose.
    ///
    /// # Errors
    ///
    /// The error of the look-up, or one error that names every failed address with its own error.
    /// Its kind is that of the last.
    ///
    /// # Cancellation
    ///
    /// Only a look-up by name waits, and it is over before anything is bound.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<UdpSocket>> {
        let target = address.target();
        async move {
            let addresses = addresses_of(target).await?;
            first_of("bind", &addresses, bind_one).map(UdpSocket::new)
        }
    }

    /// Takes over a socket, and makes it non-blocking. Duplicates of it may exist.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(socket: std::net::UdpSocket) -> io::Result<UdpSocket> {
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::new(Origin::System(mio::net::UdpSocket::from_std(socket)));
        socket.registration.may_be_duplicated();
        Ok(socket)
    }

    fn new(socket: Origin<mio::net::UdpSocket>) -> UdpSocket {
        let in_memory = socket.is_in_memory();
        UdpSocket { registration: Box::new(registration(socket, in_memory)) }
    }

    /// Sets the peer: [`send`](UdpSocket::send) sends to it, and only its datagrams are received.
    /// Takes the first of the addresses that the system accepts. No packet is sent. A later call
    /// sets another peer.
    ///
    /// # Errors
    ///
    /// As [`bind`](UdpSocket::bind); `NotConnected` once the socket is closed.
    ///
    /// # Cancellation
    ///
    /// Only a look-up by name waits, and the peer is set after it.
    #[track_caller]
    pub fn connect(&self, address: impl ToSocketAddrs) -> impl Future<Output = io::Result<()>> {
        let target = address.target();
        async move {
            let addresses = addresses_of(target).await?;
            self.registration.with(|socket| {
                first_of(
                    "connect to",
                    &addresses,
                    |to| either!(socket, socket => socket.connect(to)),
                )
            })
        }
    }

    /// Sends a datagram to an address. Waits if the system has no room for it. To send to a name,
    /// look it up once and keep the address.
    ///
    /// Returns when the system has taken the datagram, which says nothing of its arrival. It is
    /// taken whole or not at all.
    ///
    /// # Errors
    ///
    /// An error of the system, for example that the datagram is too large; a cancellation;
    /// `ResourceBusy` if another task is sending; `NotConnected` once the socket is closed.
    ///
    /// # Cancellation
    ///
    /// Nothing was sent.
    #[track_caller]
    pub fn send_to<'a>(
        &'a self,
        datagram: &'a [u8],
        to: impl Into<SocketAddr>,
    ) -> impl Future<Output = io::Result<()>> + 'a {
        let to = to.into();
        self.registration.io(ToWrite, "SEND_TO", move |socket| {
            either!(socket, socket => socket.send_to(datagram, to)).map(drop)
        })
    }

    /// Sends a datagram to the peer that [`connect`](UdpSocket::connect) has set.
    ///
    /// # Errors
    ///
    /// As [`send_to`](UdpSocket::send_to). After an earlier datagram has found no socket at the
    /// peer, one call to send or to receive gets `ConnectionRefused`, if the peer's system said so.
    ///
    /// # Cancellation
    ///
    /// Nothing was sent.
    #[track_caller]
    pub fn send<'a>(&'a self, datagram: &'a [u8]) -> impl Future<Output = io::Result<()>> + 'a {
        self.registration.io(ToWrite, "SEND", move |socket| {
            either!(socket, socket => socket.send(datagram)).map(drop)
        })
    }

    /// Receives a datagram and its sender's address. Waits if there is none.
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
        self.registration.io(ToRead, "RECV_FROM", move |socket| {
            receive(buf, |buf| either!(socket, socket => socket.recv_from(buf)))
        })
    }

    /// Receives a datagram, which comes from the peer if one is set.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from), and `ConnectionRefused` as for
    /// [`send`](UdpSocket::send).
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
            receive(buf, |buf| Ok((either!(socket, socket => socket.recv(buf))?, ())))
                .map(|(received, ())| received)
        })
    }

    /// [`recv`](UdpSocket::recv), but the datagram stays: the next call gets it again.
    ///
    /// # Errors
    ///
    /// As [`recv`](UdpSocket::recv).
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn peek<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<Received>> + 'a {
        self.registration.io(ToRead, "PEEK", move |socket| {
            receive(buf, |buf| either!(socket, socket => socket.peek_from(buf)))
                .map(|(received, _)| received)
        })
    }

    /// [`recv_from`](UdpSocket::recv_from), but the datagram stays: the next call gets it again.
    ///
    /// # Errors
    ///
    /// As [`recv_from`](UdpSocket::recv_from).
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn peek_from<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<(Received, SocketAddr)>> + 'a {
        self.registration.io(ToRead, "PEEK_FROM", move |socket| {
            receive(buf, |buf| either!(socket, socket => socket.peek_from(buf)))
        })
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(|socket| either!(socket, socket => socket.local_addr()))
    }

    /// The address of the peer that [`connect`](UdpSocket::connect) has set.
    ///
    /// # Errors
    ///
    /// `NotConnected` if there is none or the socket is closed; the system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(|socket| either!(socket, socket => socket.peer_addr()))
    }

    /// Sets whether datagrams may be sent to broadcast addresses.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.registration.with(|socket| socket.of_system()?.set_broadcast(on))
    }

    /// Receives what is sent to a multicast group of IPv4, on the interface with that address, or
    /// for `0.0.0.0` on one that the system chooses.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.registration.with(|socket| socket.of_system()?.join_multicast_v4(&group, &interface))
    }

    /// Leaves a group of IPv4.
    ///
    /// # Errors
    ///
    /// The system's, also if it was not joined; `NotConnected` once it is closed.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.registration.with(|socket| socket.of_system()?.leave_multicast_v4(&group, &interface))
    }

    /// Receives what is sent to a multicast group of IPv6, on the interface with that number; 0
    /// lets the system choose one.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn join_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.registration.with(|socket| socket.of_system()?.join_multicast_v6(&group, interface))
    }

    /// Leaves a group of IPv6.
    ///
    /// # Errors
    ///
    /// The system's, also if it was not joined; `NotConnected` once it is closed.
    pub fn leave_multicast_v6(&self, group: Ipv6Addr, interface: u32) -> io::Result<()> {
        self.registration.with(|socket| socket.of_system()?.leave_multicast_v6(&group, interface))
    }

    /// Lends the descriptor, for options that this type does not have. Leave it non-blocking, also
    /// through a duplicate, because duplicates share that option.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the socket is closed, and the error that `look` returns.
    #[cfg(unix)]
    pub fn as_fd<R>(
        &self,
        look: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        use std::os::fd::AsFd;
        self.registration.may_be_duplicated();
        self.registration.with(|socket| look(socket.of_system()?.as_fd()))
    }

    /// Closes the socket. Tasks that are parked on it get an error.
    pub fn close(&self) {
        self.registration.close();
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSocket")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish()
    }
}

fn bind_one(address: SocketAddr) -> io::Result<Origin<mio::net::UdpSocket>> {
    #[cfg(all(unix, feature = "simulated-net"))]
    if let Some(net) = crate::simulated::current() {
        return net.bind_datagrams(address).map(Origin::Simulated);
    }
    mio::net::UdpSocket::bind(address).map(Origin::System)
}

thread_local! {
    /// Room for the largest datagram, for buffers that may be smaller than the next one. The system
    /// does not say through `std` that it has cut a datagram.
    static ROOM: RefCell<Box<[u8]>> = RefCell::new(vec![0; LARGEST].into());
}

/// Receives a datagram into `buf`, and finds out whether it was cut.
pub(crate) fn receive<A>(
    buf: &mut [u8],
    receive: impl FnOnce(&mut [u8]) -> io::Result<(usize, A)>,
) -> io::Result<(Received, A)> {
    if buf.len() >= LARGEST {
        return receive(buf).map(|(len, from)| (Received { len, truncated: false }, from));
    }
    ROOM.with_borrow_mut(|room| {
        let (size, from) = receive(room)?;
        let len = size.min(buf.len());
        buf[..len].copy_from_slice(&room[..len]);
        Ok((Received { len, truncated: size > len }, from))
    })
}
