//! Connections over Unix sockets.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::SocketAddr;
use std::panic::Location;

use ::io::{ReadExactError, Registration, ToWrite, WriteAllError};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};

use super::ToUnixAddr;
use super::address::failed;
use super::pauses::Pauses;
use crate::halves::{ReadHalf, WriteHalf};
use crate::owned::{OwnedReadHalf, OwnedWriteHalf, into_split};
use crate::wire::{self, Stream, Wire};

/// A connection over a Unix socket. It is used as a [`TcpStream`](crate::TcpStream) is, and is a
/// stream for the traits of `futures-io`, too.
///
/// ```
/// use std::io;
/// use curium::kernel;
/// use curium::net::UnixStream;
///
/// kernel::run(async || -> io::Result<()> {
///     let (one, other) = UnixStream::pair()?;
///     one.write_all(b"hello").await?;
///     let mut buf = [0; 5];
///     other.read_exact(&mut buf).await?;
///     assert_eq!(&buf, b"hello");
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
pub struct UnixStream {
    /// Boxed, because every async function that a stream is passed through keeps space for it.
    registration: Box<Registration<mio::net::UnixStream>>,
}

/// The process at the other end of a connection: the one that called `connect`, `listen` or
/// `pair`, as it was at that moment. The system vouches for it.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerCred {
    /// The number of the process; 0 if it is in a namespace of processes that cannot be seen from
    /// here. The process may have ended, and another one may have its number.
    pub pid: u32,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

impl UnixStream {
    /// Connects to the listener at a path or on an abstract name.
    ///
    /// While as many connections wait to be accepted as the listener allows, it tries again, after
    /// pauses from 1 ms up to 64 ms, because no event reports that there is room. Connections that
    /// wait so are not served in order.
    ///
    /// # Errors
    ///
    /// The system's, and it names the address: `NotFound` if nothing is at the path,
    /// `ConnectionRefused` if no socket listens there (any more), `PermissionDenied` if the file
    /// may not be written to. A cancellation.
    ///
    /// # Cancellation
    ///
    /// The socket is closed, and the listener learns nothing of it.
    #[track_caller]
    pub fn connect(address: impl ToUnixAddr) -> impl Future<Output = io::Result<UnixStream>> {
        let address = address.unix_addr();
        let site = Location::caller();
        Box::pin(async move { connect(&address?, site).await })
    }

    /// Two streams that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's, if it has no descriptors left.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = mio::net::UnixStream::pair()?;
        Ok((UnixStream::of(one), UnixStream::of(other)))
    }

    /// Takes over a connected socket, and makes it non-blocking. Duplicates of it may exist.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        let stream = UnixStream::new(stream)?;
        stream.registration.may_be_duplicated();
        Ok(stream)
    }

    pub(super) fn new(stream: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
        stream.set_nonblocking(true)?;
        Ok(UnixStream::of(mio::net::UnixStream::from_std(stream)))
    }

    fn of(socket: mio::net::UnixStream) -> UnixStream {
        UnixStream { registration: Box::new(Registration::new(socket)) }
    }

    /// As [`TcpStream::read`](crate::TcpStream::read).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read`](crate::TcpStream::read).
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::read(&self.registration, Location::caller(), buf)
    }

    /// As [`TcpStream::read_vectored`](crate::TcpStream::read_vectored).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read`](crate::TcpStream::read).
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

    /// As [`TcpStream::read_exact`](crate::TcpStream::read_exact).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read_exact`](crate::TcpStream::read_exact).
    ///
    /// # Cancellation
    ///
    /// The error says how many bytes were read.
    #[track_caller]
    pub fn read_exact<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = Result<(), ReadExactError>> + 'a {
        wire::read_exact(&self.registration, Location::caller(), buf)
    }

    /// As [`TcpStream::peek`](crate::TcpStream::peek).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::read`](crate::TcpStream::read).
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn peek<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::peek(&self.registration, Location::caller(), buf)
    }

    /// As [`TcpStream::write`](crate::TcpStream::write).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write`](crate::TcpStream::write).
    ///
    /// # Cancellation
    ///
    /// Nothing was written.
    #[track_caller]
    pub fn write<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        wire::write(&self.registration, Location::caller(), buf)
    }

    /// As [`TcpStream::write_vectored`](crate::TcpStream::write_vectored).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write`](crate::TcpStream::write).
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

    /// As [`TcpStream::write_all`](crate::TcpStream::write_all).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::write_all`](crate::TcpStream::write_all).
    ///
    /// # Cancellation
    ///
    /// The error says how many bytes were written.
    #[track_caller]
    pub fn write_all<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
        wire::write_all(&self.registration, Location::caller(), buf)
    }

    /// As [`TcpStream::shutdown`](crate::TcpStream::shutdown).
    ///
    /// # Errors
    ///
    /// An error of the system, or `NotConnected` once [`close`](UnixStream::close) was called.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        wire::shutdown(&self.registration, how)
    }

    /// Closes the connection. Tasks that are parked on it get an error.
    pub fn close(&self) {
        self.registration.close();
    }

    /// The peer's address. A client has a name only if it has bound one.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(mio::net::UnixStream::peer_addr)
    }

    /// The local address.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(mio::net::UnixStream::local_addr)
    }

    /// The process at the other end.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub fn peer_cred(&self) -> io::Result<PeerCred> {
        let cred = self.registration.with(|socket| {
            rustix::net::sockopt::socket_peercred(socket).map_err(io::Error::from)
        })?;
        let pid = u32::try_from(cred.pid.as_raw_pid()).unwrap_or(0);
        Ok(PeerCred { pid, uid: cred.uid.as_raw(), gid: cred.gid.as_raw() })
    }

    /// As [`TcpStream::hung_up`](crate::TcpStream::hung_up).
    ///
    /// # Errors
    ///
    /// As [`TcpStream::hung_up`](crate::TcpStream::hung_up).
    ///
    /// # Cancellation
    ///
    /// It only waits, so nothing is lost.
    #[track_caller]
    pub fn hung_up(&self) -> impl Future<Output = io::Result<()>> + '_ {
        wire::hung_up(&self.registration, Location::caller())
    }

    /// Lends the descriptor, for options that this type does not have. Leave it non-blocking, also
    /// through a duplicate, because duplicates share that option.
    ///
    /// # Errors
    ///
    /// `NotConnected` once the stream is closed, and the error that `look` returns.
    pub fn as_fd<R>(&self, look: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>) -> io::Result<R> {
        self.registration.may_be_duplicated();
        self.registration.with(|socket| look(socket.as_fd()))
    }

    /// A reading half and a writing half, as [`TcpStream::split`](crate::TcpStream::split).
    pub fn split(&mut self) -> (ReadHalf<'_, UnixStream>, WriteHalf<'_, UnixStream>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Halves that own the stream, as [`TcpStream::into_split`](crate::TcpStream::into_split).
    pub fn into_split(self) -> (OwnedReadHalf<UnixStream>, OwnedWriteHalf<UnixStream>) {
        into_split(self)
    }
}

impl Stream for UnixStream {
    type Wire = mio::net::UnixStream;

    #[inline]
    fn registration(&self) -> &Registration<mio::net::UnixStream> {
        &self.registration
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnixStream")
            .field("local_addr", &self.local_addr().ok())
            .field("peer_addr", &self.peer_addr().ok())
            .finish()
    }
}

/// `std` writes to a Unix socket in a way that raises `SIGPIPE` (N7). Apple's systems have an
/// option of the socket instead, which mio sets.
#[cfg(not(target_vendor = "apple"))]
pub(super) const QUIETLY: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(super) const QUIETLY: SendFlags = SendFlags::empty();

/// The number of buffers that one call of the system takes, on Linux and most other systems.
const MOST: usize = 1024;

impl Wire for mio::net::UnixStream {
    // A read ends at bytes that were sent with descriptors, even if more bytes follow.
    const SHORT_READ_DRAINS: bool = false;

    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buf)
    }

    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        Read::read_vectored(&mut &*self, bufs)
    }

    fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        let (len, _) = rustix::net::recv(self, buf, RecvFlags::PEEK)?;
        Ok(len)
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self, buf, QUIETLY)?)
    }

    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        wire::write_as_one(bufs, |all| Wire::write(self, all)).unwrap_or_else(|| {
            let bufs = &bufs[..bufs.len().min(MOST)];
            Ok(rustix::net::sendmsg(self, bufs, &mut SendAncillaryBuffer::default(), QUIETLY)?)
        })
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        mio::net::UnixStream::shutdown(self, how)
    }

    fn hung_up(&self) -> io::Result<()> {
        wire::is_hung_up(self.as_fd())
    }
}

async fn connect(address: &SocketAddr, site: &'static Location<'static>) -> io::Result<UnixStream> {
    let mut pauses = Pauses::new();
    loop {
        match mio::net::UnixStream::connect_addr(address) {
            // The queue of the listener is full: Linux does not begin such a connection.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => pauses.next().await?,
            // The interrupted socket is closed already, so try again with a new one.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed("connect to", address, error)),
            Ok(socket) => {
                let stream = UnixStream::of(socket);
                // Linux has connected it already. The attempt counts against the budget.
                let done = stream.registration.io_at(ToWrite, "CONNECT", site, connected).await;
                return match done {
                    Err(error) if kernel::cancelled(&error).is_none() => {
                        Err(failed("connect to", address, error))
                    }
                    done => done.map(|()| stream),
                };
            }
        }
    }
}

/// `WouldBlock` if the connection is not established yet.
fn connected(socket: &mio::net::UnixStream) -> io::Result<()> {
    match socket.peer_addr() {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(socket.take_error()?.unwrap_or_else(|| io::ErrorKind::WouldBlock.into()))
        }
        done => done.map(drop),
    }
}
