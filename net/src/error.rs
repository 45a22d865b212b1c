//! Errors that say what failed and what to do, and keep the error of the system.

use std::fmt;
use std::io;

/// What failed, in words, and the error that it came from.
#[derive(thiserror::Error)]
#[error("{text}")]
struct Failed {
    text: String,
    source: io::Error,
}

/// The text in quotes, because the `Debug` of an error is what a `main` that returns it prints.
impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.text)
    }
}

/// The error of a call. `text` says what failed, and `source` why.
#[cold]
pub(crate) fn failed(text: String, source: io::Error) -> io::Error {
    io::Error::new(kind_of(&source), Failed { text, source })
}

/// The kind of an error that ends a call. Some errors of the system mean "later" or "again"
/// (`EAGAIN` of `connect` and of a look-up). A caller that read one as "not ready yet" would wait
/// for an event that never comes.
fn kind_of(error: &io::Error) -> io::ErrorKind {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => io::ErrorKind::Other,
        kind => kind,
    }
}

/// What to do about an error of the system that does not say it, as the end of a text.
pub(crate) fn advice(error: &io::Error) -> String {
    ::io::shortage::advice(error, "sockets or files")
}
