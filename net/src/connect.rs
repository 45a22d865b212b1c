//! Connecting: to each address in turn until one answers.

use std::io;
use std::net::SocketAddr;
use std::panic::Location;

use kernel::io::ToWrite;

use crate::address::Failures;
use crate::socket::{Socket, is_itself};
use crate::stream::TcpStream;

/// How often an address is tried that gives connections to itself. Each attempt gets another port
/// of its own, so a second one in a row is rare already.
const TRIES: usize = 4;

/// Nobody listens on the port, and the socket was given that very port as its own.
#[derive(Debug, thiserror::Error)]
#[error("nobody listens there: the socket was connected to itself, {TRIES} times")]
struct ToItself;

/// Connects to the first of the addresses that answers.
pub(crate) async fn connect_any(
    addresses: Vec<SocketAddr>,
    site: &'static Location<'static>,
) -> io::Result<TcpStream> {
    let mut failures = Failures::new("connect to");
    for address in addresses {
        match connect_one(address, site).await {
            Ok(stream) => return Ok(stream),
            Err(error) if kernel::cancelled(&error).is_some() => return Err(error),
            Err(error) => failures.add(address, &error),
        }
    }
    Err(failures.into_error())
}

async fn connect_one(
    address: SocketAddr,
    site: &'static Location<'static>,
) -> io::Result<TcpStream> {
    for _ in 0..TRIES {
        let stream = begin(address)?;
        let to_itself = stream.registration.io_at(ToWrite, "CONNECT", site, connected).await?;
        if !to_itself {
            return Ok(stream);
        }
        // A plain close would keep the port from a server for a minute. One that fails is one all
        // the same.
        let _ = stream.registration.with(Socket::close_abortively);
    }
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, ToItself))
}

fn begin(address: SocketAddr) -> io::Result<TcpStream> {
    loop {
        match mio::net::TcpStream::connect(address) {
            // Its socket is closed already: once more with another one.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            begun => return Ok(TcpStream::from_socket(Socket::own(begun?))),
        }
    }
}

/// Whether the connection that is up is one to itself; `WouldBlock` if it is not up.
///
/// Of two sockets that connect to each other at the same time TCP makes one connection, and so it
/// does if the two are the same one: a port of the range that source ports are taken from, on
/// which nobody listens, "answers" when a socket is given that port.
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

    /// An address on which nobody listens as long as this is held, and the socket that has it.
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
            let error = connect_any(vec![one, other], Location::caller()).await.unwrap_err();
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
