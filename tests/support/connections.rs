//! Connections over the loopback interface.

use std::io;

use net::{TcpListener, TcpStream};

/// A connection through a listener of Curium: the end that connected, and the accepted one.
pub(crate) async fn ours() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let client = TcpStream::connect(listener.local_addr()?).await?;
    Ok((client, listener.accept().await?.0))
}

/// A stream of Curium that connected, and the other end as a blocking socket of the standard
/// library.
pub(crate) async fn to_std() -> io::Result<(TcpStream, std::net::TcpStream)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let stream = TcpStream::connect(listener.local_addr()?).await?;
    Ok((stream, listener.accept()?.0))
}

/// A stream that a listener of Curium accepted, and the other end as a blocking socket of the
/// standard library.
pub(crate) async fn from_std() -> io::Result<(TcpStream, std::net::TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let theirs = std::net::TcpStream::connect(listener.local_addr()?)?;
    Ok((listener.accept().await?.0, theirs))
}
