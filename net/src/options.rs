//! Options of TCP sockets, set before they are bound or connected.

use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use socket2::{Domain, Protocol, TcpKeepalive, Type};

use crate::address::{ToSocketAddrs, addresses_of};
use crate::connect::connect_any;
use crate::error::failed;
use crate::listener::TcpListener;
use crate::stream::TcpStream;

/// Connections that the system queues before they are accepted.
const BACKLOG: i32 = 1024;

/// Options for a new connection or a new listener, in the manner of `std::fs::OpenOptions`.
///
/// What is not set is as the system has it. The options of a listener are those of the connections
/// that it accepts, too.
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use curium::kernel;
/// use curium::net::{Keepalive, TcpOptions};
///
/// kernel::run(async || -> io::Result<()> {
///     let options = TcpOptions::new()
///         .nodelay(true)
///         .keepalive(Keepalive::after(Duration::from_secs(60)).interval(Duration::from_secs(10)));
///     let listener = options.clone().backlog(16).bind("127.0.0.1:0").await?;
///     let stream = options.connect(listener.local_addr()?).await?;
///     assert!(stream.nodelay()?);
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
///
/// On a simulated network only the backlog has an effect.
///
/// # Errors
///
/// An option that the system refuses is an error of [`connect`](TcpOptions::connect) and
/// [`bind`](TcpOptions::bind), which names it and the address.
#[derive(Debug, Clone, Default)]
#[must_use = "options do nothing until they are used by `connect` or `bind`"]
pub struct TcpOptions {
    nodelay: Option<bool>,
    keepalive: Option<Keepalive>,
    linger: Option<Duration>,
    send_buffer_size: Option<usize>,
    recv_buffer_size: Option<usize>,
    only_v6: Option<bool>,
    ttl: Option<u32>,
    reuse_address: Option<bool>,
    #[cfg(unix)]
    reuse_port: Option<bool>,
    local_addr: Option<SocketAddr>,
    backlog: Option<i32>,
}

impl TcpOptions {
    /// No option is set.
    pub fn new() -> Self {
        TcpOptions::default()
    }

    /// Whether small writes are sent at once instead of being gathered (`TCP_NODELAY`).
    pub fn nodelay(mut self, on: bool) -> Self {
        self.nodelay = Some(on);
        self
    }

    /// Probes the peer of an idle connection, so that a peer that has gone is noticed.
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = Some(keepalive);
        self
    }

    /// A linger (`SO_LINGER`) of zero: a close or a drop resets the connection, and unsent data is
    /// lost. Any other time is refused, as by [`TcpStream::set_linger`].
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = Some(time);
        self
    }

    /// The size of the system's buffer for what is sent, in bytes (`SO_SNDBUF`). Linux doubles it
    /// for its own needs, and has a least and a greatest size.
    pub fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// The size of the system's buffer for what has arrived, in bytes (`SO_RCVBUF`), as
    /// [`send_buffer_size`](TcpOptions::send_buffer_size). It bounds the window that the peer sees.
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// Whether a socket on an IPv6 address serves that family only (`IPV6_V6ONLY`). It does nothing
    /// for IPv4.
    pub fn only_v6(mut self, on: bool) -> Self {
        self.only_v6 = Some(on);
        self
    }

    /// The number of routers that a packet may pass (`IP_TTL`, `IPV6_UNICAST_HOPS`), 1 to 255.
    pub fn ttl(mut self, hops: u32) -> Self {
        self.ttl = Some(hops);
        self
    }

    /// Whether an address may be bound to which connections of an earlier socket belong that are in
    /// `TIME_WAIT` (`SO_REUSEADDR`). On Unix it is on for a listener unless it is set here.
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.reuse_address = Some(on);
        self
    }

    /// Whether several sockets may be bound to the address, which then share its connections
    /// (`SO_REUSEPORT`), such as the listeners of several kernels. Each of them must set it.
    #[cfg(unix)]
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.reuse_port = Some(on);
        self
    }

    /// The local address of a connection. The port 0 lets the system choose. [`bind`] does not use
    /// it.
    ///
    /// [`bind`]: TcpOptions::bind
    pub fn local_addr(mut self, address: impl Into<SocketAddr>) -> Self {
        self.local_addr = Some(address.into());
        self
    }

    /// The number of connections that the system queues for a listener before they are accepted;
    /// 1024 unless it is set. [`connect`] does not use it.
    ///
    /// [`connect`]: TcpOptions::connect
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = Some(i32::try_from(connections).unwrap_or(i32::MAX));
        self
    }

    /// [`TcpStream::connect`] with these options.
    ///
    /// # Errors
    ///
    /// As [`TcpStream::connect`], and of an option that the system refuses.
    ///
    /// # Cancellation
    ///
    /// The half-open connection is closed.
    #[track_caller]
    pub fn connect(
        self,
        address: impl ToSocketAddrs,
    ) -> impl Future<Output = io::Result<TcpStream>> {
        let target = address.target();
        let site = Location::caller();
        Box::pin(async move { connect_any(addresses_of(target).await?, Some(&self), site).await })
    }

    /// [`TcpListener::bind`] with these options.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`], and of an option that the system refuses.
    ///
    /// # Cancellation
    ///
    /// As [`TcpListener::bind`].
    #[track_caller]
    pub fn bind(
        self,
        address: impl ToSocketAddrs,
    ) -> impl Future<Output = io::Result<TcpListener>> {
        let target = address.target();
        async move { TcpListener::bind_target(target, &self).await }
    }

    /// The number of connections that wait to be accepted.
    pub(crate) fn queue(&self) -> i32 {
        self.backlog.unwrap_or(BACKLOG)
    }

    /// A socket that listens.
    pub(crate) fn listen(&self, address: SocketAddr) -> io::Result<std::net::TcpListener> {
        let socket = self.socket(address)?;
        // A restarted server must not wait until the old connections have left `TIME_WAIT`.
        let reuse = self.reuse_address.unwrap_or(cfg!(unix));
        named("reuse_address", socket.set_reuse_address(reuse))?;
        socket.bind(&address.into())?;
        socket.listen(self.queue())?;
        Ok(socket.into())
    }

    /// A socket that has begun to connect.
    pub(crate) fn begin(&self, address: SocketAddr) -> io::Result<mio::net::TcpStream> {
        let socket = self.socket(address)?;
        if let Some(reuse) = self.reuse_address {
            named("reuse_address", socket.set_reuse_address(reuse))?;
        }
        if let Some(local) = self.local_addr {
            named("local_addr", socket.bind(&local.into()))?;
        }
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Err(error) if !has_begun(&error) => Err(error),
            _ => Ok(mio::net::TcpStream::from_std(socket.into())),
        }
    }

    /// A socket with the options that are for both.
    fn socket(&self, address: SocketAddr) -> io::Result<socket2::Socket> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        if let Some(on) = self.nodelay {
            named("nodelay", socket.set_tcp_nodelay(on))?;
        }
        if let Some(keepalive) = &self.keepalive {
            named("keepalive", keepalive.set(&socket))?;
        }
        if let Some(time) = self.linger {
            named("linger", set_linger(&socket, Some(time)))?;
        }
        if let Some(bytes) = self.send_buffer_size {
            named("send_buffer_size", socket.set_send_buffer_size(bytes))?;
        }
        if let Some(bytes) = self.recv_buffer_size {
            named("recv_buffer_size", socket.set_recv_buffer_size(bytes))?;
        }
        if let Some(on) = self.only_v6.filter(|_| address.is_ipv6()) {
            named("only_v6", socket.set_only_v6(on))?;
        }
        if let Some(hops) = self.ttl {
            named("ttl", set_ttl(&socket, address, hops))?;
        }
        #[cfg(unix)]
        if let Some(on) = self.reuse_port {
            named("reuse_port", socket.set_reuse_port(on))?;
        }
        Ok(socket)
    }
}

/// When and how often the peer of an idle connection is probed (`SO_KEEPALIVE`). Times are rounded
/// up to whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    time: Duration,
    interval: Option<Duration>,
    retries: Option<u32>,
}

impl Keepalive {
    /// The first probe is sent when the connection was idle for `time`.
    pub fn after(time: Duration) -> Self {
        Keepalive { time, interval: None, retries: None }
    }

    /// The time between two probes. Without this it is the system's, 75 s on Linux.
    pub fn interval(mut self, time: Duration) -> Self {
        self.interval = Some(time);
        self
    }

    /// The number of probes without an answer after which the connection fails. Without this it is
    /// the system's, 9 on Linux.
    pub fn retries(mut self, probes: u32) -> Self {
        self.retries = Some(probes);
        self
    }

    pub(crate) fn set(&self, socket: &socket2::Socket) -> io::Result<()> {
        let mut params = TcpKeepalive::new().with_time(whole_seconds(self.time));
        if let Some(interval) = self.interval {
            params = params.with_interval(whole_seconds(interval));
        }
        if let Some(retries) = self.retries {
            params = params.with_retries(retries);
        }
        socket.set_tcp_keepalive(&params)
    }

    pub(crate) fn of(socket: &socket2::Socket) -> io::Result<Option<Self>> {
        if !socket.keepalive()? {
            return Ok(None);
        }
        Ok(Some(Keepalive {
            time: socket.tcp_keepalive_time()?,
            interval: Some(socket.tcp_keepalive_interval()?),
            retries: Some(socket.tcp_keepalive_retries()?),
        }))
    }
}

/// The system takes whole seconds, and a time of 0 is none.
fn whole_seconds(time: Duration) -> Duration {
    let up = u64::from(time.subsec_nanos() > 0);
    Duration::from_secs(time.as_secs().saturating_add(up))
}

pub(crate) fn set_linger(socket: &socket2::Socket, time: Option<Duration>) -> io::Result<()> {
    if time.is_some_and(|time| !time.is_zero()) {
        let text = "a linger above zero would block the thread at the close";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    socket.set_linger(time)
}

pub(crate) fn set_ttl(socket: &socket2::Socket, address: SocketAddr, hops: u32) -> io::Result<()> {
    match address.is_ipv6() {
        true => socket.set_unicast_hops_v6(hops),
        false => socket.set_ttl_v4(hops),
    }
}

/// The error of a new socket says which option it is about.
fn named<R>(name: &str, done: io::Result<R>) -> io::Result<R> {
    done.map_err(|error| failed(format!("the option {name}: {error}"), error))
}

/// Whether a connect that does not wait has begun.
fn has_begun(error: &io::Error) -> bool {
    #[cfg(unix)]
    let in_progress = rustix::io::Errno::INPROGRESS.raw_os_error();
    #[cfg(not(unix))]
    let in_progress = 10035; // WSAEWOULDBLOCK
    error.raw_os_error() == Some(in_progress)
}
