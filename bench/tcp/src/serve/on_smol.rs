//! The echo server on smol's parts: `LocalExecutor`, async-io and async-net.

use std::io;
use std::net;

use async_executor::LocalExecutor;
use async_io::{Async, Timer};
use async_net::{TcpListener, TcpStream, UdpSocket};
use futures_lite::future::or;
use futures_lite::io::BufReader;
use futures_lite::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, StreamExt};

use super::{BUFFER, Form, LAST, LIMIT, PIECE};

pub(super) fn serve(listener: net::TcpListener, form: Form) -> io::Result<()> {
    let executor = LocalExecutor::new();
    async_io::block_on(executor.run(async {
        let listener = TcpListener::from(Async::new(listener)?);
        loop {
            let (stream, _peer) = listener.accept().await?;
            match form {
                Form::Plain | Form::Datagrams => executor.spawn(echo(stream)).detach(),
                Form::Timeouts => executor.spawn(echo_in_time(stream)).detach(),
                Form::Lines => executor.spawn(lines(stream)).detach(),
                Form::Pieces => executor.spawn(pieces(stream)).detach(),
            }
        }
    }))
}

pub(super) fn echo_datagrams(socket: net::UdpSocket) -> io::Result<()> {
    let executor = LocalExecutor::new();
    async_io::block_on(executor.run(async {
        let socket = UdpSocket::from(Async::new(socket)?);
        let mut buffer = vec![0; BUFFER].into_boxed_slice();
        loop {
            let (n, peer) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..n], peer).await?;
        }
    }))
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
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

async fn echo_in_time(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER].into_boxed_slice();
    loop {
        let n = or(stream.read(&mut buffer), late()).await?;
        if n == 0 {
            return Ok(());
        }
        or(stream.write_all(&buffer[..n]), late()).await?;
    }
}

async fn late<T>() -> io::Result<T> {
    Timer::after(LIMIT).await;
    Err(io::ErrorKind::TimedOut.into())
}

async fn lines(stream: TcpStream) -> io::Result<()> {
    // A clone is the same socket, because `Lines` does not give its stream back.
    let mut answers = stream.clone();
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.try_next().await? {
        if line.as_bytes() == [LAST] {
            answers.write_all(&[LAST]).await?;
        }
    }
    Ok(())
}

async fn pieces(mut stream: TcpStream) -> io::Result<()> {
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
