//! The echo server on monoio, with the driver that uses epoll.

use std::io;
use std::net;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::timeout;
use monoio::{LegacyDriver, RuntimeBuilder};

use super::{BUFFER, LIMIT};

pub(super) fn serve(listener: net::TcpListener) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            monoio::spawn(echo(stream));
        }
    })
}

/// The same with a timeout round each read and write, for which the driver needs timers.
pub(super) fn serve_in_time(listener: net::TcpListener) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            monoio::spawn(echo_in_time(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // A read fills the whole capacity of the buffer.
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let (read, filled) = stream.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let (written, lent) = stream.write_all(filled).await;
        written?;
        buffer = lent;
        buffer.clear();
    }
}

async fn echo_in_time(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let (read, filled) = timeout(LIMIT, stream.read(buffer)).await?;
        if read? == 0 {
            return Ok(());
        }
        let (written, lent) = timeout(LIMIT, stream.write_all(filled)).await?;
        written?;
        buffer = lent;
        buffer.clear();
    }
}
