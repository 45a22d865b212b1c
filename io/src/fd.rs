//! Any descriptor as a source, and whether it is ready.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::Direction;

/// What has a descriptor, as a source. The descriptor is not made non-blocking.
#[derive(Debug)]
pub struct FdSource<T>(pub T);

impl<T: AsFd> AsFd for FdSource<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl<T: AsFd> FdSource<T> {
    fn register_by(
        &self,
        register: impl FnOnce(&mut SourceFd<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        register(&mut SourceFd(&self.0.as_fd().as_raw_fd()))
    }
}

impl<T: AsFd> Source for FdSource<T> {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.register_by(|fd| fd.register(to, token, interests))
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.register_by(|fd| fd.reregister(to, token, interests))
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        self.register_by(|fd| fd.deregister(from))
    }
}

/// `WouldBlock`, unless an operation of this direction would not block. That is so at the end of a
/// stream and after an error, too, and always for a file.
pub fn is_ready(fd: BorrowedFd<'_>, direction: Direction) -> io::Result<()> {
    let wanted = match direction {
        Direction::Read => PollFlags::IN,
        Direction::Write => PollFlags::OUT,
    };
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match poll(&mut fds, Some(&at_once))? {
        0 => Err(io::ErrorKind::WouldBlock.into()),
        _ => Ok(()),
    }
}
