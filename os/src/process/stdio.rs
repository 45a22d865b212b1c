//! What a child has as its standard input, output and error.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use super::pipe::{ChildStderr, ChildStdin, ChildStdout};

/// What a child has as its standard input, output or error.
///
/// A file, a descriptor, or the pipe of another child is given to the child that is started next,
/// and is closed here then. So the next start of the same [`Command`](super::Command) fails unless
/// it is given another one.
#[derive(Debug)]
pub struct Stdio(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    Inherit,
    Null,
    Piped,
    /// Or the error of a pipe that could not be prepared.
    Fd(io::Result<OwnedFd>),
    Used,
}

impl Stdio {
    /// The child shares that of this process.
    pub fn inherit() -> Stdio {
        Stdio(Kind::Inherit)
    }

    /// `/dev/null`: reads give the end at once, writes are ignored.
    pub fn null() -> Stdio {
        Stdio(Kind::Null)
    }

    /// A new pipe, whose other end is in the [`Child`](super::Child).
    pub fn piped() -> Stdio {
        Stdio(Kind::Piped)
    }

    /// What the next start uses.
    pub(super) fn take(&mut self) -> io::Result<std::process::Stdio> {
        match &mut self.0 {
            Kind::Inherit => Ok(std::process::Stdio::inherit()),
            Kind::Null => Ok(std::process::Stdio::null()),
            Kind::Piped => Ok(std::process::Stdio::piped()),
            kind => match std::mem::replace(kind, Kind::Used) {
                Kind::Fd(fd) => Ok(fd?.into()),
                _ => Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a descriptor for its standard streams was given to an earlier start",
                )),
            },
        }
    }
}

impl From<OwnedFd> for Stdio {
    fn from(fd: OwnedFd) -> Stdio {
        Stdio(Kind::Fd(Ok(fd)))
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Stdio {
        OwnedFd::from(file).into()
    }
}

/// The output of one child is what the next one reads.
impl From<ChildStdout> for Stdio {
    fn from(pipe: ChildStdout) -> Stdio {
        Stdio(Kind::Fd(pipe.into_fd()))
    }
}

impl From<ChildStderr> for Stdio {
    fn from(pipe: ChildStderr) -> Stdio {
        Stdio(Kind::Fd(pipe.into_fd()))
    }
}

impl From<ChildStdin> for Stdio {
    fn from(pipe: ChildStdin) -> Stdio {
        Stdio(Kind::Fd(pipe.into_fd()))
    }
}
