//! Connecting to each address in turn until one accepts.

use std::io;
use std::net::SocketAddr;
use std::panic::Location;

use kernel::io::ToWrite;

use crate::address::Failures;
use crate::options::TcpOptions;
#[cfg(all(unix, feature = "simulated-net"))]
use crate::origin::Origin;
use crate::socket::{Socket, is_itself};
use crate::stream::TcpStream;

/// How many attempts an address gets while they end in connections to themselves. Each attempt has
/// a new local port, so even two in a row are rare.
const TRIES: usize = 4;

/// No socket listens on the port, and each attempt got that port as its local port.
#[derive(Debug, thiserror::Error)]
#[error("no socket listens there: in all {TRIES} attempts the socket connected to itself")]
struct ToItself;

/// Connects to the first of the addresses that answers.
pub(crate) async fn connect_any(
    addresses: Vec<SocketAddr>,
    options: Option<&TcpOptions>,
    site: &'static Location<'static>,
) -> io::Result<TcpStream> {
    let mut failures = Failures::new("connect to");
    for address in addresses {
        match connect_one(address, options, site).await {
            Ok(stream) => return Ok(stream),
            Err(error) if kernel::cancelled(&error).is_some() => return Err(error),
            Err(error) => failures.add(address, &error),
        }
    }
    Err(failures.into_error())
}

async fn connect_one(
    address: SocketAddr,
    options: Option<&TcpOptions>,
    site: &'static Location<'static>,
) -> io::Result<TcpStream> {
    for _ in 0..TRIES {
        let stream = begin(address, options)?;
        let to_itself = stream.registration.io_at(ToWrite, "CONNECT", site, connected).await?;
        if !to_itself {
            return Ok(stream);
        }
        // After a plain close, no server could bind the port for a minute. If this fails, the close
        // is a plain one.
        let _ = stream.registration.with(Socket::close_abortively);
    }
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, ToItself))
}

fn begin(address: SocketAddr, options: Option<&TcpOptions>) -> io::Result<TcpStream> {
    #[cfg(all(unix, feature = "simulated-net"))]
    if let Some(net) = crate::simulated::current() {
        return Ok(TcpStream::from_socket(Socket::of(Origin::Simulated(net.connect(address)?))));
    }
    loop {
        let begun = match options {
            Some(options) => options.begin(address),
            None => mio::net::TcpStream::connect(address),
        };
        match begun {
            // The interrupted socket is closed already, so try again with a new one.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            begun => return Ok(TcpStream::from_socket(Socket::own(begun?))),
        }
    }
}

/// Whether an established connection is one to itself; `WouldBlock` if none is established.
///
/// When two sockets connect to each other at the same time, TCP makes one connection of them. The
/// same happens when both are one socket. A connect to a port without a listener therefore succeeds
/// if the system chooses that port as the local port.
fn connected(socket: &Socket) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(peer) => Ok(is_itself(socket.local_addr()?, peer)),
        Err(error) if error.kind() == io::ErrorKind::NotConnected => {
            Err(io::ErrorKind::WouldBlock.into())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use socket2::{Domain, Protocol, Type};

    use super::*;

    /// A bound socket that does not listen, and its address. Connecting to it fails.
    fn dead() -> io::Result<(socket2::Socket, SocketAddr)> {
        let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let address = socket.local_addr()?.as_socket().expect("an IPv4 address");
        Ok((socket, address))
    }

    /// N4: an error of a connect names every address that was tried, each with its own error.
    #[test]
    fn the_error_of_a_connect_names_every_address() {
        kernel::testing::run(async || {
            let ((_first, one), (_second, other)) = (dead()?, dead()?);
            let error = connect_any(vec![one, other], None, Location::caller()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            let refused =
                io::Error::from_raw_os_error(rustix::io::Errno::CONNREFUSED.raw_os_error());
            let text = format!("cannot connect to {one}: {refused}; {other}: {refused}");
            assert_eq!(error.to_string(), text);
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }

    /// N4: what a connection to itself looks like.
    #[test]
    fn a_socket_that_is_connected_to_itself_is_known() {
        let (socket, address) = dead().unwrap();
        socket.connect(&address.into()).unwrap();
        let stream = mio::net::TcpStream::from_std(socket.into());
        assert!(connected(&Socket::own(stream)).unwrap());
        let other = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port() ^ 1));
        assert!(!is_itself(address, other));
    }
}
