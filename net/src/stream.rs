//! Connections.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Shutdown, SocketAddr};
use std::panic::Location;

use ::io::{ReadExactError, Registration, WriteAllError};

use crate::address::{ToSocketAddrs, addresses_of};
use crate::connect::connect_any;
use crate::halves::{ReadHalf, WriteHalf};
use crate::origin::registration;
use crate::owned::{OwnedReadHalf, OwnedWriteHalf, into_split};
use crate::socket::Socket;
use crate::wire::{self, Stream};

/// A TCP connection. Every method takes `&self`, so one task can read while another writes. Share
/// it with `Rc`, or [`split`](TcpStream::split) it.
///
/// It is also a stream for the traits of `futures-io`. Their `close` shuts the writing direction
/// down, and [`TcpStream::close`] closes both. As the traits take the whole stream, and not a
/// reference to it, no poll function can be called while another task waits in a method.
pub struct TcpStream {
    /// Boxed, because every async function that a stream is passed through keeps space for it.
    pub(crate) registration: Box<Registration<Socket>>,
}

impl TcpStream {
    /// Connects to an address, or to the first address of a name that accepts.
    ///
    /// With several addresses it follows RFC 8305 ("happy eyeballs"): IPv6 and IPv4 take turns,
    /// beginning with the family of the first address, and the next attempt begins when one has
    /// failed, or beside it when it has lasted for 250 ms. The first to connect wins, and the
    /// sockets of the others are closed. So one address that does not answer costs a quarter of a
    /// second.
    ///
    /// The system may connect a socket to itself when no socket listens on a local port of the
    /// range for outgoing connections. Such a connection is dropped, and `connect` tries again.
    ///
    /// # Errors
    ///
    /// The error of the look-up, or one error that names every failed address with its own error,
    /// in the order of the attempts. Its kind is that of the last. `ConnectionRefused` also if the
    /// socket was only ever connected to itself.
    ///
    /// # Cancellation
    ///
    /// The half-open connections are closed.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpStream>> {
        let target = address.target();
        let site = Location::caller();
        // In a box, because every async function that connects has room for its future.
        Box::pin(async move { connect_any(addresses_of(target).await?, None, site).await })
    }

    /// Takes over a connected socket, and makes it non-blocking. Duplicates of it may exist. For
    /// their options see [`as_fd`](TcpStream::as_fd).
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        stream.set_nonblocking(true)?;
        let socket = Socket::own(mio::net::TcpStream::from_std(stream));
        socket.set_lent();
        let stream = TcpStream::from_socket(socket);
        stream.registration.may_be_duplicated();
        Ok(stream)
    }

    pub(crate) fn from_socket(socket: Socket) -> TcpStream {
        let in_memory = socket.origin.is_in_memory();
        TcpStream { registration: Box::new(registration(socket, in_memory)) }
    }

    /// Reads what has arrived, at least one byte. Waits if there is nothing. 0 is the end of the
    /// stream.
    ///
    /// An empty `buf` gives 0 at once, without a look at the socket. This 0 is not the end of the
    /// stream, and there is no error even if the stream is busy, broken or closed.
    ///
    /// # Errors
    ///
    /// An error of the system, a cancellation, `ResourceBusy` if another task is reading, or
    /// `NotConnected` once the stream is closed.
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::read(&self.registration, Location::caller(), buf)
    }

    /// [`read`](TcpStream::read) into several buffers, each of which is filled before the next one.
    ///
    /// # Errors
    ///
    /// As [`read`](TcpStream::read).
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn read_vectored<'a>(
        &'a self,
        bufs: &'a mut [IoSliceMut<'_>],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::read_vectored(&self.registration, Location::caller(), bufs)
    }

    /// Reads until `buf` is full. An empty `buf` returns at once, as in [`read`](TcpStream::read).
    ///
    /// # Errors
    ///
    /// [`ReadExactError`] says how many bytes were read and why it stopped. It converts to
    /// `io::Error`. The kind is `UnexpectedEof` if the stream ends before.
    ///
    /// # Cancellation
    ///
    /// The bytes read so far are at the front of `buf`, and the error says how many. A timeout
    /// round the call returns its own error instead, without that number.
    #[track_caller]
    pub fn read_exact<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = Result<(), ReadExactError>> + 'a {
        wire::read_exact(&self.registration, Location::caller(), buf)
    }

    /// Reads what has arrived without consuming it. Waits if there is nothing. 0 is the end of the
    /// stream, unless `buf` is empty, as in [`read`](TcpStream::read).
    ///
    /// # Errors
    ///
    /// As [`read`](TcpStream::read).
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::peek(&self.registration, Location::caller(), buf)
    }

    /// Writes some bytes, at least one. Waits if there is no room.
    ///
    /// An empty `buf` gives 0 at once, without a look at the socket.
    ///
    /// # Errors
    ///
    /// An error of the system, also if the peer has closed the connection (never a signal); a
    /// cancellation; `ResourceBusy` if another task is writing; `NotConnected` once the stream is
    /// closed.
    ///
    /// # Cancellation
    ///
    /// Nothing was written.
    #[track_caller]
    pub fn write<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::write(&self.registration, Location::caller(), buf)
    }

    /// [`write`](TcpStream::write) of several buffers in order, with one call of the system. It
    /// returns how many bytes were written of all of them, which may end within a buffer.
    ///
    /// # Errors
    ///
    /// As [`write`](TcpStream::write).
    ///
    /// # Cancellation
    ///
    /// Nothing was written.
    #[track_caller]
    pub fn write_vectored<'a>(
        &'a self,
        bufs: &'a [IoSlice<'_>],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::write_vectored(&self.registration, Location::caller(), bufs)
    }

    /// Writes everything. An empty `buf` returns at once, as in [`write`](TcpStream::write).
    ///
    /// # Errors
    ///
    /// [`WriteAllError`] says how many bytes were written and why it stopped. It converts to
    /// `io::Error`.
    ///
    /// # Cancellation
    ///
    /// The error says how many bytes were written. A timeout round the call returns its own error
    /// instead, without that number. To know it there, call [`write`](TcpStream::write) and count.
    #[track_caller]
    pub fn write_all<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
        wire::write_all(&self.registration, Location::caller(), buf)
    }

    /// Shuts down one direction or both. After a shutdown of the writing direction the peer reads
    /// the end of the stream.
    ///
    /// It is `Ok` for a direction that is shut down already, by an earlier call or because the
    /// connection is gone, for example after a reset by the peer.
    ///
    /// # Errors
    ///
    /// An error of the system, or `NotConnected` once [`close`](TcpStream::close) was called.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        wire::shutdown(&self.registration, how)
    }

    /// Closes the connection. Tasks that are parked on it get an error.
    pub fn close(&self) {
        self.registration.close();
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(|socket| socket.peer_addr())
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(|socket| socket.local_addr())
    }

    /// Sets whether small writes are sent at once instead of being gathered (`TCP_NODELAY`, which
    /// turns Nagle's algorithm off).
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.registration.with(|socket| socket.set_nodelay(on))
    }

    /// Waits until the peer has hung up, without reading: it has shut its writing direction down,
    /// or the connection is reset or gone. What it has sent before may still be read.
    ///
    /// It counts as a reader (N3): while another task reads, it is refused.
    ///
    /// # Errors
    ///
    /// A cancellation, `ResourceBusy` if another task is reading, or `NotConnected` once the stream
    /// is closed. The error of a reset connection is that of the next read.
    ///
    /// # Cancellation
    ///
    /// It only waits, so nothing is lost.
    #[cfg(unix)]
    #[track_caller]
    pub fn hung_up(&self) -> impl Future<Output = io::Result<()>> + '_ {
        wire::hung_up(&self.registration, Location::caller())
    }

    /// Lends the descriptor, for options that this type does not have.
    ///
    /// Leave it non-blocking, also through a duplicate, because duplicates share that option. A
    /// linger (`SO_LINGER`) above zero is cleared before the socket is closed or dropped, because
    /// such a close would block the thread and every task of the kernel. Duplicates lose it, too.
    /// To know that the peer has read everything, shut the writing direction down and read until
    /// the end of the stream. A linger of zero is kept: the close then resets the connection, and
    /// unsent data is lost.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the stream is closed, `Unsupported` for a simulated one, and the error
    /// that `look` returns.
    #[cfg(unix)]
    pub fn as_fd<R>(
        &self,
        look: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        use std::os::fd::AsFd;
        self.registration.may_be_duplicated();
        self.registration.with(|socket| {
            let stream = socket.of_system()?;
            socket.set_lent();
            look(stream.as_fd())
        })
    }

    /// A reading half and a writing half, which one task can poll side by side. They are streams
    /// for the traits of `futures-io`, so either may get a buffer of its own.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// A reading half and a writing half that own the stream together, so that each may move into a
    /// task of its own. [`reunite`](OwnedReadHalf::reunite) makes the stream of them again.
    ///
    /// ```
    /// use curium::kernel;
    /// use curium::net::{TcpListener, TcpStream};
    ///
    /// kernel::run(async || {
    ///     let listener = TcpListener::bind("127.0.0.1:0").await?;
    ///     let stream = TcpStream::connect(listener.local_addr()?).await?;
    ///     let (peer, _) = listener.accept().await?;
    ///     let (read, write) = stream.into_split();
    ///     let writer = kernel::spawn(async move {
    ///         write.write_all(b"all of it").await?;
    ///         std::io::Result::Ok(()) // the drop of `write` is the end of the stream for the peer
    ///     });
    ///     peer.read_exact(&mut [0; 9]).await?;
    ///     assert_eq!(peer.read(&mut [0; 9]).await?, 0);
    ///     peer.write_all(b"seen").await?; // the other direction goes on
    ///     read.read_exact(&mut [0; 4]).await?;
    ///     writer.await
    /// })?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        into_split(self)
    }
}

impl Stream for TcpStream {
    type Wire = Socket;

    #[inline]
    fn registration(&self) -> &Registration<Socket> {
        &self.registration
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpStream")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish()
    }
}
