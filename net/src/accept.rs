//! How a listener accepts, whatever its sockets are.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::panic::Location;
use std::time::Duration;

use kernel::io::{Registration, ToRead, ToWrite};
use mio::event::Source;

use crate::error::advice;

/// How long `accept` waits after an error that may pass.
const PAUSE: Duration = Duration::from_millis(100);

/// A listening socket, and its one accepter.
pub(crate) struct Acceptor<L: Source> {
    pub(crate) registration: Registration<L>,
    /// The one accepter waits in `accept` for an error to pass, and so is not parked on the socket
    /// (N3).
    pausing: Cell<bool>,
}

/// A second task called `accept` while the first one waits for an error to pass.
const BUSY: &str =
    "another task already waits to accept here; a listener has one accepter at a time";

/// Marks a handle as pausing until it is dropped.
pub(crate) struct Pause<'a>(&'a Cell<bool>);

impl<'a> Pause<'a> {
    pub(crate) fn begin(pausing: &'a Cell<bool>) -> Self {
        pausing.set(true);
        Pause(pausing)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl<L: Source> Acceptor<L> {
    pub(crate) fn new(registration: Registration<L>) -> Self {
        Acceptor { registration, pausing: Cell::new(false) }
    }

    /// Waits for a connection, which `accept` takes from the listener (N6).
    pub(crate) async fn accept_at<T>(
        &self,
        site: &'static Location<'static>,
        mut accept: impl FnMut(&L) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.pausing.get() {
            return Err(io::Error::new(ErrorKind::ResourceBusy, BUSY));
        }
        let mut reported = false;
        loop {
            let error = match self.accept_once(site, &mut accept).await {
                Ok(Ok(accepted)) => return Ok(accepted),
                // Each retry is a new operation, so that many of them in a row use up the budget.
                Ok(Err(error)) if is_of_the_connection(&error) => continue,
                Ok(Err(error)) if !is_of_the_listener(&error) => error,
                Err(error) if is_lack_of_the_poll(&error) => error,
                Ok(Err(error)) | Err(error) => return Err(error),
            };
            if !std::mem::replace(&mut reported, true) {
                let advice = advice(&error);
                kernel::warn(&format!(
                    "accept waits at {site}, and is tried again: {error}{advice}"
                ));
            }
            let pause = Pause::begin(&self.pausing);
            kernel::sleep(PAUSE).await?;
            drop(pause);
        }
    }

    /// One attempt. The inner error is that of `accept` itself, the outer one that of the wait.
    fn accept_once<T>(
        &self,
        site: &'static Location<'static>,
        accept: &mut impl FnMut(&L) -> io::Result<T>,
    ) -> impl Future<Output = io::Result<io::Result<T>>> {
        self.registration.io_at(ToRead, "ACCEPT", site, |listener| match accept(listener) {
            // The registration waits after the one error and retries after the other.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Err(error)
            }
            done => Ok(done),
        })
    }

    /// Waits until it is closed, which is an error. A listening socket is never ready for writing,
    /// so nothing else ends this wait, and it takes no readiness from `accept`.
    pub(crate) fn closed_at(
        &self,
        site: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<()>> {
        let never = |_: &L| Err(ErrorKind::WouldBlock.into());
        self.registration.io_at(ToWrite, "SERVE_LIMIT", site, never)
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.registration.with(|_| Ok(())).is_err()
    }
}

/// Whether the listener itself failed, so that no later attempt can succeed. Every other error may
/// pass. The test is for these few, because no system documents a complete list of the others.
#[cfg(unix)]
fn is_of_the_listener(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lasting = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::FAULT];
    // An error without a code means that the peer's address is of another family: the listener is
    // not of its type.
    Errno::from_io_error(error).is_none_or(|errno| lasting.contains(&errno))
}

#[cfg(not(unix))]
fn is_of_the_listener(error: &io::Error) -> bool {
    // WSAEBADF, WSAEFAULT, WSAEINVAL, WSAENOTSOCK.
    error.raw_os_error().is_none_or(|code| [10009, 10014, 10022, 10038].contains(&code))
}

/// Whether the poll has no room for one more source. Room may become free later.
#[cfg(unix)]
fn is_lack_of_the_poll(error: &io::Error) -> bool {
    use rustix::io::Errno;
    Errno::from_io_error(error).is_some_and(|errno| [Errno::NOMEM, Errno::NOSPC].contains(&errno))
}

#[cfg(not(unix))]
fn is_lack_of_the_poll(_error: &io::Error) -> bool {
    false
}

/// Whether the next connection failed, not the listener: it is gone, or has an error of the
/// network, which Linux returns from `accept` (see accept(2)).
#[cfg(unix)]
fn is_of_the_connection(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let unreachable = [Errno::NETDOWN, Errno::NETUNREACH, Errno::HOSTDOWN, Errno::HOSTUNREACH];
    let failed = [Errno::CONNABORTED, Errno::PROTO, Errno::NOPROTOOPT];
    Errno::from_io_error(error).is_some_and(|errno| {
        #[cfg(target_os = "linux")]
        if errno == Errno::NONET {
            return true;
        }
        unreachable.contains(&errno) || failed.contains(&errno)
    })
}

#[cfg(not(unix))]
fn is_of_the_connection(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionAborted
}
