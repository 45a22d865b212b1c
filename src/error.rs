//! One error for programs that wait with timeouts and talk to sockets.

use std::io;

use ::io::{CopyBidirectionalError, CopyError, ReadExactError, WriteAllError};
use kernel::{TaskCancelled, TaskTimeout, cancelled};

/// The error of a program: a cancellation, a timeout, or an error of the system.
///
/// It is optional and meant for programs. With it, `??` works on a timeout round a call that fails
/// with any of the three. A library returns the errors of its own calls instead.
///
/// ```
/// use curium::prelude::*;
///
/// async fn ask(stream: &TcpStream) -> Result<usize, curium::Error> {
///     stream.write_all(b"?").await?;
///     let mut buf = [0; 64];
///     Ok(timeout_after(Duration::from_secs(5), stream.read(&mut buf)).await??)
/// }
/// ```
///
/// An [`io::Error`] that holds a cancellation or a timeout becomes `Cancelled` or `TimedOut`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The task was cancelled. Clean up, and pass the error on.
    #[error("{0}")]
    Cancelled(#[from] TaskCancelled),
    /// A call timed out.
    #[error("{0}")]
    TimedOut(#[from] TaskTimeout),
    /// An error of the system.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if let Some(cancelled) = cancelled(&error) {
            return Error::Cancelled(cancelled.clone());
        }
        match timeout_in(&error) {
            Some(timeout) => Error::TimedOut(timeout),
            None => Error::Io(error),
        }
    }
}

/// The timeout that an [`io::Error`] holds, directly or through nested ones.
fn timeout_in(error: &io::Error) -> Option<TaskTimeout> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<io::Error>() {
        Some(error) => timeout_in(error),
        None => inner.downcast_ref().copied(),
    }
}

/// Errors with details, which are errors of the system without them.
macro_rules! detailed {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                io::Error::from(error).into()
            }
        }
    )*};
}

detailed!(WriteAllError, ReadExactError, CopyError, CopyBidirectionalError);

#[cfg(all(target_os = "linux", feature = "process"))]
detailed!(os::process::OutputError, os::process::CommandFailed);

#[cfg(all(unix, feature = "signal"))]
detailed!(os::signal::Signalled);
