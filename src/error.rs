//! One error for programs that wait with timeouts and talk to sockets.

use std::io;

use kernel::{TaskCancelled, TaskTimeout, cancelled};
use net::WriteAllError;

/// What everyday code can fail with: a cancellation, a timeout, or an error of the system.
///
/// Opt-in, for programs: with it `??` works on a timeout round a call that may fail, whatever the
/// call fails with. A library returns the error of its own calls instead.
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
/// A cancellation or a timeout that an [`io::Error`] holds is found: it becomes the variant that it
/// is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The task was cancelled while it waited. Clean up, and pass it on.
    #[error("{0}")]
    Cancelled(#[from] TaskCancelled),
    /// The time that a call was given ran out.
    #[error("{0}")]
    TimedOut(#[from] TaskTimeout),
    /// The system's error.
    #[error("{0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if let Some(cancelled) = cancelled(&error) {
            return Error::Cancelled(cancelled);
        }
        match timeout_in(&error) {
            Some(timeout) => Error::TimedOut(timeout),
            None => Error::Io(error),
        }
    }
}

/// The timeout that an [`io::Error`] holds, through others that it is wrapped in.
fn timeout_in(error: &io::Error) -> Option<TaskTimeout> {
    let inner = error.get_ref()?;
    match inner.downcast_ref::<io::Error>() {
        Some(error) => timeout_in(error),
        None => inner.downcast_ref().copied(),
    }
}

impl From<WriteAllError> for Error {
    fn from(error: WriteAllError) -> Self {
        io::Error::from(error).into()
    }
}
