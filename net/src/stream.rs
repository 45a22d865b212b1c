//! Connections.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::panic::Location;
use std::task::{Context, Poll};

use kernel::CancelPoint;
use kernel::io::{Direction, IoPoint, Registration, ToRead, ToWrite};

use crate::address::{ToSocketAddrs, resolve};
use crate::connect::connect_any;
use crate::halves::{ReadHalf, WriteHalf};
use crate::socket::Socket;

/// A TCP connection. Every method takes `&self`, so one task may read while another writes; share
/// it with `Rc`, or [`split`](TcpStream::split) it.
pub struct TcpStream {
    /// Boxed: a connection is passed from one async function to the next, and each keeps room for
    /// what it was given.
    pub(crate) registration: Box<Registration<Socket>>,
}

/// `write_all` did not write everything: how much went out, and why no more.
#[derive(Debug, thiserror::Error)]
#[error("{written} of {len} bytes were written: {source}")]
#[non_exhaustive]
pub struct WriteAllError {
    /// Bytes that the peer will get, unless the connection breaks.
    pub written: usize,
    /// Bytes that there were to write.
    pub len: usize,
    /// What stopped it; a cancellation is found in it by `kernel::cancelled`.
    pub source: io::Error,
}

impl From<WriteAllError> for io::Error {
    fn from(error: WriteAllError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

impl TcpStream {
    /// Connects to an address, or to the first address of a name that answers.
    ///
    /// A connection to itself, which the system may make when nobody listens on a port of this
    /// machine that it also gives to those who connect, is dropped and tried again.
    ///
    /// # Errors
    ///
    /// That of the look-up; or one that names every address that was tried, with its error, and is
    /// of the kind of the last. `ConnectionRefused` also if there were only connections to itself.
    ///
    /// # Cancellation
    ///
    /// The half-open connection is closed; nothing is left behind.
    #[track_caller]
    pub fn connect(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpStream>> {
        let target = address.target();
        let site = Location::caller();
        async move { connect_any(resolve(target).await?, site).await }
    }

    /// Takes over a connected socket, and makes it non-blocking. Duplicates of it may exist; what
    /// [`as_fd`](TcpStream::as_fd) says of its options holds for them.
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
        TcpStream { registration: Box::new(Registration::new(socket)) }
    }

    /// Reads what is there, at least one byte; waits if there is nothing. 0 is the end of the
    /// stream.
    ///
    /// An empty `buf` gives 0 at once. That says nothing of the stream, as the socket is not asked:
    /// it is not the end, and no error even if the stream is busy, broken or closed.
    ///
    /// # Errors
    ///
    /// The system's; a cancellation; `ResourceBusy` if another task is reading; `NotConnected` once
    /// it is closed.
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    pub fn read<'a>(&'a self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        self.read_at(Location::caller(), buf)
    }

    fn read_at<'a>(
        &'a self,
        site: &'static Location<'static>,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut point = IoPoint::new(&self.registration, ToRead, "READ", site);
        poll_fn(move |cx| {
            if buf.is_empty() {
                return nothing(cx);
            }
            let registration = point.registration();
            point.poll(cx, |socket| {
                let n = (&**socket).read(buf)?;
                // Less than there was room for: the next attempt would only be told to wait. The
                // end of the stream is different, it stays readable.
                if n > 0 && n < buf.len() {
                    registration.drained(Direction::Read);
                }
                Ok(n)
            })
        })
    }

    /// Reads until `buf` is full; at once if it is empty, as in [`read`](TcpStream::read).
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the stream ends before; otherwise as [`read`](TcpStream::read).
    ///
    /// # Cancellation
    ///
    /// What was read so far is at the front of `buf`, but the error does not say how much it was.
    /// To go on after a cancellation, call [`read`](TcpStream::read) and count.
    #[track_caller]
    pub fn read_exact<'a>(
        &'a self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<()>> + 'a {
        let site = Location::caller();
        async move {
            let len = buf.len();
            let mut filled = 0;
            // Also with nothing to fill: that is one read of nothing.
            loop {
                match self.read_at(site, &mut buf[filled..]).await? {
                    0 if filled < len => {
                        let text = format!("the stream ended after {filled} of {len} bytes");
                        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                    }
                    n => filled += n,
                }
                if filled == len {
                    return Ok(());
                }
            }
        }
    }

    /// Looks at what is there without consuming it; waits if there is nothing. 0 is the end, unless
    /// `buf` is empty, as in [`read`](TcpStream::read).
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
        let mut point = IoPoint::new(&self.registration, ToRead, "PEEK", Location::caller());
        poll_fn(move |cx| {
            if buf.is_empty() {
                return nothing(cx);
            }
            point.poll(cx, |socket| socket.peek(buf))
        })
    }

    /// Writes some bytes, at least one; waits if there is no room.
    ///
    /// An empty `buf` gives 0 at once, and the socket is not asked.
    ///
    /// # Errors
    ///
    /// The system's, a connection that the peer has closed among them (never a signal); a
    /// cancellation; `ResourceBusy` if another task is writing; `NotConnected` once it is closed.
    ///
    /// # Cancellation
    ///
    /// Nothing was written.
    #[track_caller]
    pub fn write<'a>(&'a self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        self.write_at(Location::caller(), buf)
    }

    fn write_at<'a>(
        &'a self,
        site: &'static Location<'static>,
        buf: &'a [u8],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut point = IoPoint::new(&self.registration, ToWrite, "WRITE", site);
        poll_fn(move |cx| {
            if buf.is_empty() {
                return nothing(cx);
            }
            point.poll(cx, |socket| (&**socket).write(buf))
        })
    }

    /// Writes everything; at once if there is nothing, as in [`write`](TcpStream::write).
    ///
    /// # Errors
    ///
    /// [`WriteAllError`] says how much went out and what stopped it; it converts to `io::Error`.
    ///
    /// # Cancellation
    ///
    /// What went out is in the error. A timeout round the call gives its own error instead, without
    /// that number; to know it there, call [`write`](TcpStream::write) and count.
    #[track_caller]
    pub fn write_all<'a>(
        &'a self,
        buf: &'a [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
        let site = Location::caller();
        let mut point = IoPoint::new(&self.registration, ToWrite, "WRITE", site);
        let mut written = 0;
        poll_fn(move |cx| {
            while written < buf.len() {
                let source = match point.poll(cx, |socket| (&**socket).write(&buf[written..])) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => {
                        io::Error::new(io::ErrorKind::WriteZero, "the socket takes no more")
                    }
                    Poll::Ready(Ok(n)) => {
                        written += n;
                        continue;
                    }
                    Poll::Ready(Err(error)) => error,
                };
                return Poll::Ready(Err(WriteAllError { written, len: buf.len(), source }));
            }
            if buf.is_empty() {
                let failed = |source| WriteAllError { written, len: 0, source };
                return nothing(cx).map_ok(drop).map_err(failed);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Ends one direction, or both: the peer reads the end of the stream.
    ///
    /// A direction that is over already, after an earlier call or with the connection (the peer has
    /// reset it, say), is no error: nothing more goes that way, as was asked.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed by [`close`](TcpStream::close).
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.registration.with(|socket| match socket.shutdown(how) {
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        })
    }

    /// Closes it. Tasks that are parked on it get an error.
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

    /// Its own address.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(|socket| socket.local_addr())
    }

    /// Whether small writes go out at once instead of being gathered (Nagle's algorithm off).
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn set_nodelay(&self, on: bool) -> io::Result<()> {
        self.registration.with(|socket| socket.set_nodelay(on))
    }

    /// Lends the descriptor, for options that this type does not have.
    ///
    /// Leave it non-blocking: that is an option of the socket, which duplicates share. A linger
    /// (`SO_LINGER`) above zero is cleared before the socket is closed, dropped or not, as such a
    /// close would block the thread, and with it every task of the kernel; duplicates lose it, too.
    /// To know that the peer has everything, shut the direction down and read until the end of
    /// the stream. A linger of zero is kept: the close then resets the connection, and what was not
    /// sent yet is lost.
    ///
    /// # Errors
    ///
    /// `NotConnected` once it is closed; and what `look` returns.
    #[cfg(unix)]
    pub fn as_fd<R>(
        &self,
        look: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        use std::os::fd::AsFd;
        self.registration.may_be_duplicated();
        self.registration.with(|socket| {
            socket.set_lent();
            look(socket.as_fd())
        })
    }

    /// A half to read and a half to write, for two tasks' worth of code in one.
    pub fn split(&self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
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

/// What a call comes to that has no bytes to move: 0, without a look at the socket. It is an
/// operation of the budget all the same, or a loop of such calls would never yield (K2).
#[cold]
fn nothing(cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    // It never parks, so nobody sees what the point is called.
    CancelPoint::new("NOTHING").poll(cx, |_| Poll::Ready(0)).map_err(io::Error::from)
}
