//! Sockets of the standard library as sources of readiness, and the wait for room that no event
//! reports.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use mio::event::Source;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

/// A socket of the standard library. Those of mio cannot send to abstract names, and lose the
/// abstract name of a client that they accept.
pub(super) struct Plain<T>(pub(super) T);

impl<T: AsRawFd> Source for Plain<T> {
    fn register(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).register(to, token, interests)
    }

    fn reregister(&mut self, to: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).reregister(to, token, interests)
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        SourceFd(&self.0.as_raw_fd()).deregister(from)
    }
}

impl<T: AsFd> AsFd for Plain<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Pauses between attempts at a queue of another socket that is full. Its owner makes room, and no
/// event of this socket reports that.
pub(super) struct Pauses(Duration);

/// The longest of them.
const LONGEST: Duration = Duration::from_millis(64);

impl Pauses {
    pub(super) fn new() -> Pauses {
        Pauses(Duration::from_millis(1))
    }

    /// Each is twice as long as the one before.
    pub(super) async fn next(&mut self) -> io::Result<()> {
        kernel::sleep(self.0).await?;
        self.0 = LONGEST.min(self.0 * 2);
        Ok(())
    }
}
