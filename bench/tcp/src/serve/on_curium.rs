//! The echo server on Curium.

use std::io;
use std::net;

use ::net::{TcpListener, TcpStream};

use super::BUFFER;

pub(super) fn serve(listener: net::TcpListener) -> io::Result<()> {
    let served = kernel::run(async || {
        let listener = TcpListener::from_std(listener)?;
        listener.serve(async |stream, _peer| echo(stream).await).await
    });
    served.map(|never| match never {})
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n]).await?,
        }
    }
}
