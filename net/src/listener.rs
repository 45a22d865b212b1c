//! Listening sockets.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;

use crate::accept::Acceptor;
use crate::address::{Target, ToSocketAddrs, addresses_of, first_of};
use crate::options::TcpOptions;
use crate::origin::{Origin, either, registration};
use crate::socket::Socket;
use crate::stream::TcpStream;

/// A socket that accepts connections.
pub struct TcpListener {
    pub(crate) acceptor: Acceptor<Origin<mio::net::TcpListener>>,
    /// The program may have set options through the descriptor. Accepted sockets inherit them.
    taken_over: bool,
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
        TcpOptions::new().bind(address)
    }

    pub(crate) async fn bind_target(
        target: Target,
        options: &TcpOptions,
    ) -> io::Result<TcpListener> {
        bind_any(&addresses_of(target).await?, options)
    }

    /// Takes over a listening socket, and makes it non-blocking. Duplicates of it may exist. The
    /// accepted streams inherit its options; for a linger see [`TcpStream::as_fd`].
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking.
    pub fn from_std(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        let listener = TcpListener::new(listener, true)?;
        listener.acceptor.registration.may_be_duplicated();
        Ok(listener)
    }

    fn new(listener: std::net::TcpListener, taken_over: bool) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        let origin = Origin::System(mio::net::TcpListener::from_std(listener));
        Ok(TcpListener { taken_over, ..TcpListener::of(origin) })
    }

    fn of(origin: Origin<mio::net::TcpListener>) -> TcpListener {
        let in_memory = origin.is_in_memory();
        let acceptor = Acceptor::new(registration(origin, in_memory));
        TcpListener { acceptor, taken_over: false }
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

    pub(crate) fn accept_at(
        &self,
        site: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + '_ {
        self.acceptor.accept_at(site, |listener| {
            let (socket, peer) = match listener {
                Origin::System(listener) => {
                    let (stream, peer) = listener.accept()?;
                    (Socket::own(stream), peer)
                }
                #[cfg(all(unix, feature = "simulated-net"))]
                Origin::Simulated(listener) => {
                    let (end, peer) = listener.accept()?;
                    (Socket::of(Origin::Simulated(end)), peer)
                }
            };
            if self.taken_over {
                socket.set_lent();
            }
            Ok((TcpStream::from_socket(socket), peer))
        })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// The system's; `NotConnected` once it is closed.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.acceptor.registration.with(|origin| either!(origin, socket => socket.local_addr()))
    }

    /// Closes it. A task that is parked in [`accept`](TcpListener::accept) gets an error.
    pub fn close(&self) {
        self.acceptor.registration.close();
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpListener").field("local_addr", &self.local_addr().ok()).finish()
    }
}

/// Listens on the first of the addresses that can be bound.
pub(crate) fn bind_any(addresses: &[SocketAddr], options: &TcpOptions) -> io::Result<TcpListener> {
    #[cfg(all(unix, feature = "simulated-net"))]
    if let Some(net) = crate::simulated::current() {
        let listen = |address| net.listen(address, options.queue());
        return Ok(TcpListener::of(Origin::Simulated(first_of("listen on", addresses, listen)?)));
    }
    TcpListener::new(first_of("listen on", addresses, |address| options.listen(address))?, false)
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    /// N4: an error of a bind names every address that was tried, each with its own error.
    #[test]
    fn the_error_of_a_bind_names_every_address() {
        let taken = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let [one, other] = taken.each_ref().map(|listener| listener.local_addr().unwrap());
        let error = bind_any(&[one, other], &TcpOptions::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        let in_use = io::Error::from_raw_os_error(rustix::io::Errno::ADDRINUSE.raw_os_error());
        let text = format!("cannot listen on {one}: {in_use}; {other}: {in_use}");
        assert_eq!(error.to_string(), text);
    }
}
