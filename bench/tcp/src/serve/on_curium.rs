//! The echo server on Curium.

use std::io;
use std::net;
use std::time::Duration;

use ::kernel::Kernel;
use ::net::{TcpListener, TcpStream};

use super::BUFFER;

pub(super) fn serve(listener: net::TcpListener, spin: Duration) -> io::Result<()> {
    Kernel::builder().spin_before_sleep(spin).run(async || {
        let listener = TcpListener::from_std(listener)?;
        listener.serve(|stream, _peer| echo(stream)).await
    })
}

async fn echo(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}
