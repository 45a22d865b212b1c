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
#[cfg(unix)]
pub(crate) fn advice(error: &io::Error) -> &'static str {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::MFILE) => {
            "; close sockets or files, or raise the limit of descriptors (`ulimit -n`)"
        }
        Some(Errno::NFILE) => {
            "; the processes of this system have all its descriptors: close files there, or raise \
             the limit (`sysctl fs.file-max` on Linux)"
        }
        _ => "",
    }
}

#[cfg(not(unix))]
pub(crate) fn advice(_error: &io::Error) -> &'static str {
    ""
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    /// N4: a lack of descriptors is that of the process or that of the system.
    #[test]
    fn the_advice_is_about_the_limit_that_was_met() {
        let of = |errno: Errno| advice(&errno.into());
        assert!(of(Errno::MFILE).contains("ulimit -n"));
        assert!(of(Errno::NFILE).contains("fs.file-max"));
        assert_eq!(of(Errno::CONNREFUSED), "");
    }
}
