//! Listening sockets.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::time::Duration;

use kernel::io::{Registration, ToRead};
use socket2::{Domain, Protocol, Socket, Type};

use crate::address::{ToAddresses, resolve};
use crate::stream::TcpStream;

/// Connections that the system queues before they are accepted.
const BACKLOG: i32 = 1024;

/// How long `accept` waits when the system has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

/// A socket that accepts connections.
pub struct TcpListener {
    registration: Registration<mio::net::TcpListener>,
    /// A task waits in `accept` for resources: it is the one accepter, though not parked on the
    /// socket (N3).
    pausing: Cell<bool>,
}

/// A second task wanted to accept while the first waits for resources.
#[derive(Debug, thiserror::Error)]
#[error("another task already waits to accept here; a listener has one accepter at a time")]
struct Busy;

/// While it lives, its listener is pausing.
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
    /// That of the look-up, or of the last address tried; it names the address.
    ///
    /// # Cancellation
    ///
    /// Only a look-up by name waits; nothing is bound then.
    #[track_caller]
    pub fn bind(address: impl ToAddresses) -> impl Future<Output = io::Result<TcpListener>> {
        let target = address.target();
        async move {
            let mut last = None;
            for address in resolve(target).await? {
                match listen(address) {
                    Ok(listener) => return TcpListener::new(listener),
                    Err(error) => {
                        let text = format!("cannot listen on {address}: {error}");
                        last = Some(io::Error::new(error.kind(), text));
                    }
                }
            }
            Err(last.expect("a look-up gives at least one address"))
        }
    }

    /// Takes over a listening socket, and makes it non-blocking. Duplicates of it may exist.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let listener = TcpListener::new(listener)?;
        listener.registration.may_be_duplicated();
        Ok(listener)
    }

    fn new(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        let registration = Registration::new(mio::net::TcpListener::from_std(listener));
        Ok(TcpListener { registration, pausing: Cell::new(false) })
    }

    /// Waits for a connection; gives it and the peer's address.
    ///
    /// # Errors
    ///
    /// The system's; a cancellation; `ResourceBusy` if another task is accepting here;
    /// `NotConnected` once it is closed. A connection that was gone before it was accepted, or that
    /// the network failed, is no error: the next one is waited for. Nor is a lack of descriptors or
    /// of memory: that is said once to `tracing`, and tried again every 100 ms, as no event will
    /// tell when it is over.
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
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, Busy));
        }
        let mut told = false;
        loop {
            match self.accept_once(site).await {
                Err(error) if is_shortage(&error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(target: "curium", "accept waits for resources: {error}");
                    }
                    let pause = Pause::begin(&self.pausing);
                    kernel::sleep(PAUSE).await?;
                    drop(pause);
                }
                // Each is an attempt of its own, so that a row of them spends the budget.
                Err(error) if is_of_the_connection(&error) => {}
                accepted => return accepted,
            }
        }
    }

    fn accept_once(
        &self,
        site: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + '_ {
        self.registration.io_at(ToRead, "ACCEPT", site, |listener| {
            let (stream, peer) = listener.accept()?;
            Ok((TcpStream::from_mio(stream), peer))
        })
    }

    /// The address it listens on.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.registration.with(mio::net::TcpListener::local_addr)
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

/// Whether the system lacks something that others may give back.
#[cfg(unix)]
fn is_shortage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| shortages.contains(&errno))
}

#[cfg(not(unix))]
fn is_shortage(_error: &io::Error) -> bool {
    false
}

/// Whether it is not the listener that failed, but the connection that was next: gone, or with an
/// error of the network, which Linux hands out here (accept(2)).
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
    error.kind() == io::ErrorKind::ConnectionAborted
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A server that restarts must not wait for the connections of the last one to fade.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
