//! Any descriptor that the system can wait for.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsFd;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use kernel::io::{ToRead, ToWrite};

use crate::fd::{FdSource, is_ready};
use crate::{Direction, Registration, leaves};

/// Waits for any descriptor that the system can wait for: a socket of another library, a pipe, an
/// `eventfd`, a device.
///
/// ```
/// use std::io::{self, Read, Write};
/// use std::os::unix::net::UnixStream;
/// use curium::io::{AsyncFd, Direction};
///
/// curium::run(async || {
///     let (ours, mut theirs) = UnixStream::pair()?;
///     ours.set_nonblocking(true)?;
///     let ours = AsyncFd::new(ours);
///     theirs.write_all(b"hello")?;
///     let mut buf = [0; 16];
///     let read = ours.io(Direction::Read, |mut fd| fd.read(&mut buf)).await?;
///     assert_eq!(&buf[..read], b"hello");
///     Ok::<(), io::Error>(())
/// })
/// .unwrap();
/// ```
///
/// If `&T` implements [`Read`] or [`Write`], as the sockets of `std` do, this is a stream, for the
/// calls of [`ReadExt`](crate::ReadExt) and [`WriteExt`](crate::WriteExt). The descriptor must be
/// non-blocking. To close the stream flushes it and no more: it ends when it is dropped.
///
/// One task waits for reading and one for writing at a time. A second one gets a busy error, and
/// the first is not affected. It can move to the kernel of another thread while no task is parked
/// on it.
pub struct AsyncFd<T: AsFd> {
    registration: Registration<FdSource<T>>,
}

impl<T: AsFd> AsyncFd<T> {
    /// Takes a descriptor, which stays as it is: [`io`](AsyncFd::io) and
    /// [`try_io`](AsyncFd::try_io) are for one that is non-blocking,
    /// [`readable`](AsyncFd::readable) and [`writable`](AsyncFd::writable) are for any.
    ///
    /// The same descriptor can be in one `AsyncFd` of a kernel only.
    pub fn new(fd: T) -> Self {
        let registration = Registration::new(FdSource(fd));
        // It may be borrowed, so the drop need not close it.
        registration.may_be_duplicated();
        AsyncFd { registration }
    }

    /// Tries `operation`, and as long as it returns [`io::ErrorKind::WouldBlock`], waits until it
    /// is worth another attempt. The descriptor must be non-blocking.
    ///
    /// # Errors
    ///
    /// Those of `operation`; a cancellation; [`io::ErrorKind::ResourceBusy`] if another task waits
    /// for this direction; those of the system, such as `EPERM` for what it cannot wait for.
    ///
    /// # Cancellation
    ///
    /// An operation that would block has done nothing, so nothing is lost.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn io<R>(
        &self,
        direction: Direction,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> impl Future<Output = io::Result<R>> {
        self.registration.io(direction, kind(direction), move |fd| operation(&fd.0))
    }

    /// Waits until a read would not block: there are bytes, or the end of the stream, or an error.
    ///
    /// It asks the system each time, so it is exact: it returns at once if it is so, and if it
    /// returns, it is so, unless other code uses the descriptor as well. A file is always
    /// readable.
    ///
    /// # Errors
    ///
    /// As [`io`](AsyncFd::io).
    ///
    /// # Cancellation
    ///
    /// Nothing is lost.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn readable(&self) -> impl Future<Output = io::Result<()>> {
        self.ready(Direction::Read, Location::caller())
    }

    /// Waits until a write of some bytes would not block, as [`readable`](AsyncFd::readable) does
    /// for a read.
    ///
    /// # Errors
    ///
    /// As [`io`](AsyncFd::io).
    ///
    /// # Cancellation
    ///
    /// Nothing is lost.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.ready(Direction::Write, Location::caller())
    }

    fn ready(
        &self,
        direction: Direction,
        site: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<()>> {
        let kind = kind(direction);
        self.registration.io_at(direction, kind, site, move |fd| is_ready(fd.0.as_fd(), direction))
    }

    /// Tries `operation` once, without waiting. The descriptor must be non-blocking.
    ///
    /// # Errors
    ///
    /// Those of `operation`, [`io::ErrorKind::WouldBlock`] among them;
    /// [`io::ErrorKind::ResourceBusy`] if another task waits for this direction.
    pub fn try_io<R>(
        &self,
        direction: Direction,
        operation: impl FnOnce(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        self.registration.attempt_io(direction, |fd| operation(&fd.0))
    }

    /// [`io`](AsyncFd::io) for a poll function of another crate's trait, with the rules of
    /// [`Registration::poll_io`]: it is no leaf and never returns a cancellation, of several polls
    /// of a direction the last one is woken, and a leaf comes before a poll.
    ///
    /// # Errors
    ///
    /// Those of `operation`; [`io::ErrorKind::ResourceBusy`] if a leaf is parked on the direction;
    /// those of the system, such as `EPERM` for what it cannot wait for.
    ///
    /// # Panics
    ///
    /// Outside a kernel.
    #[track_caller]
    pub fn poll_io<R>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.registration.poll_io(direction, cx, |fd| operation(&fd.0))
    }

    /// Calls `look` with the descriptor.
    ///
    /// # Errors
    ///
    /// That of `look`.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> io::Result<R>) -> io::Result<R> {
        self.registration.with(|fd| look(&fd.0))
    }

    /// The descriptor, which is not waited for any more.
    pub fn into_inner(self) -> T {
        let FdSource(fd) = self.registration.into_source().expect("it is closed by no method");
        fd
    }
}

fn kind(direction: Direction) -> &'static str {
    match direction {
        Direction::Read => "READ",
        Direction::Write => "WRITE",
    }
}

impl<T: AsFd> AsyncRead for AsyncFd<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        leaves::poll_unless_empty(&self.registration, ToRead, cx, buf.is_empty(), |fd| {
            (&fd.0).read(buf)
        })
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let is_empty = bufs.iter().all(|buf| buf.is_empty());
        leaves::poll_unless_empty(&self.registration, ToRead, cx, is_empty, |fd| {
            (&fd.0).read_vectored(bufs)
        })
    }
}

impl<T: AsFd> AsyncWrite for AsyncFd<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        leaves::poll_unless_empty(&self.registration, ToWrite, cx, buf.is_empty(), |fd| {
            (&fd.0).write(buf)
        })
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let is_empty = bufs.iter().all(|buf| buf.is_empty());
        leaves::poll_unless_empty(&self.registration, ToWrite, cx, is_empty, |fd| {
            (&fd.0).write_vectored(bufs)
        })
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registration.poll_io(ToWrite, cx, |fd| (&fd.0).flush())
    }

    /// Flushes.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

crate::other_traits!(read [T: AsFd] AsyncFd<T> where for<'a> &'a T: Read);
crate::other_traits!(write [T: AsFd] AsyncFd<T>, true where for<'a> &'a T: Write);

impl<T: AsFd> fmt::Debug for AsyncFd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncFd").field("registration", &self.registration).finish()
    }
}
