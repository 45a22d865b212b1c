//! The echo server on Curium.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::net::{self, Ipv4Addr, SocketAddr};

use ::io::{BufReadExt, BufReader};
use ::kernel::{Builder, Kernel, Link, Report, Watcher, kernels, timeout_after};
use ::net::{Balance, CoreExt, TcpListener, TcpStream, UdpSocket};

use super::{BUFFER, Form, LAST, LIMIT, PIECE};

/// Watches nothing, but the kernel marks each poll for it, as for a monitor.
struct Idle;

impl Watcher for Idle {
    fn begin(&self, _: Link) {}
    fn end(&self) {}
}

pub(super) fn watched() -> Builder {
    Kernel::builder().watcher(Idle)
}

pub(super) fn serve(listener: net::TcpListener, form: Form, builder: Builder) -> io::Result<()> {
    // A connection that fails is reported. A sink that only counts stands for the logs of a server,
    // so that the cost of writing them is not measured.
    let failed = Cell::new(0_u64);
    let count = move |_: &Report<'_>| failed.set(failed.get() + 1);
    builder.on_report(count).run(async || {
        let listener = TcpListener::from_std(listener)?;
        match form {
            Form::Plain | Form::Datagrams => listener.serve(|stream, _peer| echo(stream)).await,
            Form::Timeouts => listener.serve(|stream, _peer| echo_in_time(stream)).await,
            Form::Lines => listener.serve(|stream, _peer| lines(stream)).await,
            Form::Pieces => listener.serve(|stream, _peer| pieces(stream)).await,
        }
    })
}

pub(super) fn serve_on_cores() -> Result<(), Box<dyn Error>> {
    kernels(2, async |core| {
        let address = (Ipv4Addr::LOCALHOST, 0);
        let server = core.serve(address, Balance::Fewest, async |stream, _| echo(stream).await);
        let say = |address: SocketAddr| println!("{} {}", address.port(), std::process::id());
        server.on_listening(say).await
    })?;
    Ok(())
}

pub(super) fn echo_datagrams(socket: net::UdpSocket, builder: Builder) -> io::Result<()> {
    builder.run(async || {
        let socket = UdpSocket::from_std(socket)?;
        let mut buffer = vec![0; BUFFER].into_boxed_slice();
        loop {
            let (received, peer) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..received.len], peer).await?;
        }
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

async fn echo_in_time(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    loop {
        let n = timeout_after(LIMIT, stream.read(&mut buffer)).await??;
        if n == 0 {
            return Ok(());
        }
        timeout_after(LIMIT, stream.write_all(&buffer[..n])).await??;
    }
}

async fn lines(stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next().await? {
        if line.as_bytes() == [LAST] {
            lines.get_ref().get_ref().write_all(&[LAST]).await?;
        }
    }
    Ok(())
}

async fn pieces(stream: TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; PIECE].into_boxed_slice();
    loop {
        let n = stream.read(&mut buffer).await?;
        match buffer[..n].last() {
            None => return Ok(()),
            Some(&LAST) => stream.write_all(&[LAST]).await?,
            Some(_) => {}
        }
    }
}
