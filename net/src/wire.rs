//! What the connections of TCP and of Unix sockets have in common: their sockets, and the leaves
//! over them.

use std::future::poll_fn;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::panic::Location;

use ::io::leaves::{self, nothing};
use ::io::{Direction, IoPoint, ReadExactError, Registration, ToRead, ToWrite, WriteAllError};
use mio::event::Source;

use crate::origin::{Origin, either};
use crate::socket::Socket;

/// A connected socket that does not block.
pub trait Wire: Source + 'static {
    /// Whether a read that does not fill its buffer has taken all that was there. Then the next
    /// attempt would only return `WouldBlock`. The end of the stream is different: it stays
    /// readable.
    const SHORT_READ_DRAINS: bool;

    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
    fn peek(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Never raises `SIGPIPE` (N7).
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
    /// Never raises `SIGPIPE` (N7).
    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    /// `WouldBlock`, unless the peer has hung up.
    #[cfg(unix)]
    fn hung_up(&self) -> io::Result<()>;
}

impl Wire for Socket {
    const SHORT_READ_DRAINS: bool = true;

    #[inline]
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        either!(&self.origin, socket => (&*socket).read(buf))
    }

    fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        either!(&self.origin, socket => (&*socket).read_vectored(bufs))
    }

    #[inline]
    fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        either!(&self.origin, socket => socket.peek(buf))
    }

    #[inline]
    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        either!(&self.origin, socket => (&*socket).write(buf))
    }

    fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        write_as_one(bufs, |all| self.write(all))
            .unwrap_or_else(|| either!(&self.origin, socket => (&*socket).write_vectored(bufs)))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        either!(&self.origin, socket => socket.shutdown(how))
    }

    #[cfg(unix)]
    fn hung_up(&self) -> io::Result<()> {
        use std::os::fd::AsFd;
        match &self.origin {
            Origin::System(stream) => is_hung_up(stream.as_fd()),
            #[cfg(feature = "simulated-net")]
            Origin::Simulated(end) => end.hung_up(),
        }
    }
}

/// The most bytes of several buffers that are copied into one.
const FEW: usize = 1024;

/// Passes the bytes of all buffers to `write` as one buffer, if they are few or in one. To copy
/// that many takes less time than the system takes longer for several buffers than for one.
pub(crate) fn write_as_one(
    bufs: &[IoSlice<'_>],
    write: impl FnOnce(&[u8]) -> io::Result<usize>,
) -> Option<io::Result<usize>> {
    /// To clear `N` bytes takes time as well.
    fn copied<const N: usize, R>(bufs: &[IoSlice<'_>], write: impl FnOnce(&[u8]) -> R) -> R {
        let mut all = [0; N];
        let mut len = 0;
        for buf in bufs {
            all[len..][..buf.len()].copy_from_slice(buf);
            len += buf.len();
        }
        write(&all[..len])
    }

    if let [alone] = bufs {
        return Some(write(alone));
    }
    let mut left = FEW;
    for buf in bufs {
        left = left.checked_sub(buf.len())?;
    }
    let is_short = FEW - left <= FEW / 4;
    Some(if is_short {
        copied::<{ FEW / 4 }, _>(bufs, write)
    } else {
        copied::<FEW, _>(bufs, write)
    })
}

/// A stream of this crate. Only its own types are.
pub trait Stream {
    #[doc(hidden)]
    type Wire: Wire;

    #[doc(hidden)]
    fn registration(&self) -> &Registration<Self::Wire>;
}

pub(crate) fn read<'a, W: Wire>(
    on: &'a Registration<W>,
    site: &'static Location<'static>,
    buf: &'a mut [u8],
) -> impl Future<Output = io::Result<usize>> + 'a {
    let mut point = IoPoint::new(on, ToRead, site);
    poll_fn(move |cx| {
        if buf.is_empty() {
            return nothing(cx);
        }
        let registration = point.registration();
        point.poll("READ", cx, |socket| {
            let n = socket.read(buf)?;
            if W::SHORT_READ_DRAINS && n > 0 && n < buf.len() {
                registration.drained(Direction::Read);
            }
            Ok(n)
        })
    })
}

pub(crate) fn read_vectored<'a, 'b: 'a, W: Wire>(
    on: &'a Registration<W>,
    site: &'static Location<'static>,
    bufs: &'a mut [IoSliceMut<'b>],
) -> impl Future<Output = io::Result<usize>> + 'a {
    let mut point = IoPoint::new(on, ToRead, site);
    let room: usize = bufs.iter().map(|buf| buf.len()).sum();
    poll_fn(move |cx| {
        if room == 0 {
            return nothing(cx);
        }
        let registration = point.registration();
        point.poll("READ", cx, |socket| {
            let n = socket.read_vectored(bufs)?;
            if W::SHORT_READ_DRAINS && n > 0 && n < room {
                registration.drained(Direction::Read);
            }
            Ok(n)
        })
    })
}

pub(crate) async fn read_exact<W: Wire>(
    on: &Registration<W>,
    site: &'static Location<'static>,
    buf: &mut [u8],
) -> Result<(), ReadExactError> {
    let len = buf.len();
    let mut done = 0;
    // With an empty `buf` there is one empty read, which counts against the budget (K2).
    loop {
        match read(on, site, &mut buf[done..]).await {
            Ok(0) if done < len => return Err(ReadExactError::ended(done, len)),
            Ok(n) => done += n,
            Err(error) => return Err(ReadExactError::new(done, len, error)),
        }
        if done == len {
            return Ok(());
        }
    }
}

pub(crate) fn peek<'a, W: Wire>(
    on: &'a Registration<W>,
    site: &'static Location<'static>,
    buf: &'a mut [u8],
) -> impl Future<Output = io::Result<usize>> + 'a {
    let mut point = IoPoint::new(on, ToRead, site);
    poll_fn(move |cx| {
        if buf.is_empty() {
            return nothing(cx);
        }
        point.poll("PEEK", cx, |socket| socket.peek(buf))
    })
}

pub(crate) fn write<'a, W: Wire>(
    on: &'a Registration<W>,
    site: &'static Location<'static>,
    buf: &'a [u8],
) -> impl Future<Output = io::Result<usize>> + 'a {
    let mut point = IoPoint::new(on, ToWrite, site);
    poll_fn(move |cx| {
        if buf.is_empty() {
            return nothing(cx);
        }
        point.poll("WRITE", cx, |socket| socket.write(buf))
    })
}

pub(crate) fn write_vectored<'a, 'b: 'a, W: Wire>(
    on: &'a Registration<W>,
    site: &'static Location<'static>,
    bufs: &'a [IoSlice<'b>],
) -> impl Future<Output = io::Result<usize>> + 'a {
    let mut point = IoPoint::new(on, ToWrite, site);
    poll_fn(move |cx| {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return nothing(cx);
        }
        point.poll("WRITE", cx, |socket| socket.write_vectored(bufs))
    })
}

pub(crate) fn write_all<'a, W: Wire>(
    on: &'a Registration<W>,
    site: &'static Location<'static>,
    buf: &'a [u8],
) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
    leaves::write_all(on, site, buf, W::write)
}

pub(crate) fn shutdown<W: Wire>(on: &Registration<W>, how: Shutdown) -> io::Result<()> {
    on.with(|socket| match socket.shutdown(how) {
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        done => done,
    })
}

/// A leaf that waits until the peer has hung up.
#[cfg(unix)]
pub(crate) async fn hung_up<W: Wire>(
    on: &Registration<W>,
    site: &'static Location<'static>,
) -> io::Result<()> {
    /// That the peer has not hung up does not mean that there is nothing to read.
    struct Unread<'a, W: Wire>(&'a Registration<W>);

    impl<W: Wire> Drop for Unread<'_, W> {
        fn drop(&mut self) {
            self.0.not_drained(Direction::Read);
        }
    }

    // Also before, because that everything was read does not mean that the peer has not hung up.
    on.not_drained(Direction::Read);
    let _unread = Unread(on);
    on.io_at(ToRead, "HUNG_UP", site, W::hung_up).await
}

/// `WouldBlock`, unless the peer of this socket has hung up.
#[cfg(unix)]
pub(crate) fn is_hung_up(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // `HUP` and `ERR` are always reported. Only Linux reports that one direction is shut down.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let wanted = PollFlags::RDHUP;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let wanted = PollFlags::HUP;
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}
