//! Listening sockets.

use std::cell::Cell;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use kernel::io::{Registration, ToRead};
use socket2::{Domain, Protocol, Type};

use crate::address::{ToSocketAddrs, first_of, resolve};
use crate::socket::Socket;
use crate::stream::TcpStream;

/// Connections that the system queues before they are accepted.
const BACKLOG: i32 = 1024;

/// How long `accept` waits after an error that may pass.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that accepts connections.
pub struct TcpListener {
    registration: Registration<mio::net::TcpListener>,
    /// The one accepter waits in `accept` for an error to pass, and so is not parked on the socket
    /// (N3).
    pausing: Cell<bool>,
    /// The program may have set options through the descriptor. Accepted sockets inherit them.
    taken_over: bool,
}

/// A second task called `accept` while the first one waits for an error to pass.
#[derive(Debug, thiserror::Error)]
#[error("another task already waits to accept here; a listener has one accepter at a time")]
struct Busy;

/// Marks the listener as pausing until it is dropped.
struct Pause<'a>(&'a Cell<bool>);

impl<'a> Pause<'a> {
    fn begin(pausing: &'a Cell<bool>) -> Self {
        pausing.set(true);
        Pause(pausing)
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl TcpListener {
    /// Listens on the first of the addresses that can be bound. Port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// The error of the look-up, or one error that names every failed address with its own error.
    /// Its kind is that of the last.
    ///
    /// # Cancellation
    ///
    /// Only a look-up by name waits, and it is over before anything is bound.
    #[track_caller]
    pub fn bind(address: impl ToSocketAddrs) -> impl Future<Output = io::Result<TcpListener>> {
        let target = address.target();
        async move { bind_any(&resolve(target).await?) }
    }

    /// Takes over a listening socket, and makes it non-blocking. Duplicates of it may exist. The
    /// accepted streams inherit its options; for a linger see [`TcpStream::as_fd`].
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let listener = TcpListener::new(listener, true)?;
        listener.registration.may_be_duplicated();
        Ok(listener)
    }

    fn new(listener: std::net::TcpListener, taken_over: bool) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        let registration = Registration::new(mio::net::TcpListener::from_std(listener));
        Ok(TcpListener { registration, pausing: Cell::new(false), taken_over })
    }

    /// Waits for a connection. Returns it and the peer's address.
    ///
    /// # Errors
    ///
    /// A cancellation; `ResourceBusy` if another task is accepting here; `NotConnected` once the
    /// listener is closed; an error of the system that says that this is not a listening socket
    /// (`EBADF`, `EINVAL`, `ENOTSOCK`, `EFAULT`); and a lasting refusal by the poll.
    ///
    /// Every other error is retried. If a connection was gone before it was accepted, or the
    /// network failed it, `accept` waits for the next one. After any other error, such as a lack of
    /// descriptors or memory, or a refusal by a firewall, it warns once through `tracing` and tries
    /// again every 100 ms, because no event reports the end of such a shortage.
    ///
    /// # Cancellation
    ///
    /// No connection is lost: one that was accepted is returned.
    #[track_caller]
    pub fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + '_ {
        self.accept_at(Location::caller())
    }

    pub(crate) async fn accept_at(
        &self,
        site: &'static Location<'static>,
    ) -> io::Result<(TcpStream, SocketAddr)> {
        if self.pausing.get() {
            return Err(io::Error::new(ErrorKind::ResourceBusy, Busy));
        }
        let mut reported = false;
        loop {
            let error = match self.accept_once(site).await {
                Ok(Ok(accepted)) => return Ok(accepted),
                // Each retry is a new operation, so that many of them in a row use up the budget.
                Ok(Err(error)) if is_of_the_connection(&error) => continue,
                Ok(Err(error)) if !is_of_the_listener(&error) => error,
                Err(error) if is_lack_of_the_poll(&error) => error,
                Ok(Err(error)) | Err(error) => return Err(error),
            };
            if !std::mem::replace(&mut reported, true) {
                tracing::warn!(target: "curium", "accept waits, and is tried again: {error}");
            }
            let pause = Pause::begin(&self.pausing);
            kernel::sleep(PAUSE).await?;
            drop(pause);
        }
    }

    /// One attempt. The inner error is that of `accept` itself, the outer one that of the wait.
    fn accept_once(
        &self,
        site: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<io::Result<(TcpStream, SocketAddr)>>> + '_ {
        self.registration.io_at(ToRead, "ACCEPT", site, |listener| match listener.accept() {
            Ok((stream, peer)) => {
                let socket = Socket::own(stream);
                if self.taken_over {
                    socket.set_lent();
                }
                Ok(Ok((TcpStream::from_socket(socket), peer)))
            }
            // The registration waits after the one error and retries after the other.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Err(error)
            }
            Err(error) => Ok(Err(error)),
        })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(mio::net::TcpListener::local_addr)
    }

    /// Whether [`close`](TcpListener::close) was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.registration.with(|_| Ok(())).is_err()
    }

    /// Closes it. A task that is parked in [`accept`](TcpListener::accept) gets an error.
    pub fn close(&self) {
        self.registration.close();
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("local_addr", &self.local_addr().ok()).finish()
    }
}

/// Whether the listener itself failed, so that no later attempt can succeed. Every other error may
/// pass. The test is for these few, because no system documents a complete list of the others.
#[cfg(unix)]
fn is_of_the_listener(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let lasting = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::FAULT];
    // An error without a code means that the peer's address has no IP form: not a TCP listener.
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

/// Listens on the first of the addresses that can be bound.
fn bind_any(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    TcpListener::new(first_of("listen on", addresses, listen)?, false)
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket =
        socket2::Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server must not wait until the old connections have left `TIME_WAIT`.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// N4: an error of a bind names every address that was tried, each with its own error.
    #[test]
    fn the_error_of_a_bind_names_every_address() {
        let taken = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, other] = taken.each_ref().map(|listener| listener.local_addr().unwrap());
        let error = bind_any(&[one, other]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let in_use = io::Error::from_raw_os_error(rustix::io::Errno::ADDRINUSE.raw_os_error());
        let text = format!("cannot listen on {one}: {in_use}; {other}: {in_use}");
        assert_eq!(error.to_string(), text);
    }
}
