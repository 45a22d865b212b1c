//! The errors with which a registration refuses an operation. Each holds a text and no type of its
//! own, because the `Debug` of an error is what a `main` that returns it prints.

use std::io;

use crate::parts::reactor::Direction;

/// The handle was closed.
pub(crate) fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "this handle is closed")
}

/// A task of another kernel is parked on the source.
pub(crate) fn elsewhere() -> io::Error {
    io::Error::other(
        "a task of another kernel is parked on this handle; it can move only while none is parked",
    )
}

/// Another task already waits for this direction of the source.
#[cold]
pub(crate) fn busy(direction: Direction) -> io::Error {
    let to = match direction {
        Direction::Read => "read",
        Direction::Write => "write",
    };
    let text = format!(
        "another task already waits to {to} here; a handle has one reader and one writer at a time"
    );
    io::Error::new(io::ErrorKind::ResourceBusy, text)
}
