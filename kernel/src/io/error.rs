//! The errors with which a registration refuses an operation.

use std::io;

use crate::parts::reactor::Direction;

/// Another task already waits for this direction of the source.
#[derive(Debug, thiserror::Error)]
#[error("another task already waits to {0} here; a handle has one reader and one writer at a time")]
struct Busy(&'static str);

/// The handle was closed.
#[derive(Debug, thiserror::Error)]
#[error("this handle is closed")]
struct Closed;

/// A task of another kernel is parked on the source.
#[derive(Debug, thiserror::Error)]
#[error("a task of another kernel is parked on this handle; it can move only while none is parked")]
struct Elsewhere;

pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, Closed)
}

pub(crate) fn elsewhere() -> io::Error {
    io::Error::other(Elsewhere)
}

#[cold]
pub(crate) fn busy(direction: Direction) -> io::Error {
    let busy = Busy(match direction {
        Direction::Read => "read",
        Direction::Write => "write",
    });
    io::Error::new(io::ErrorKind::ResourceBusy, busy)
}
