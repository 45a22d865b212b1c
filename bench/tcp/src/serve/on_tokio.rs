//! The echo server on tokio, `current_thread`.

use std::io;
use std::net;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{BUFFER, Form, LAST, LIMIT, PIECE};

pub(super) fn serve(listener: net::TcpListener, form: Form) -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    if form == Form::Timeouts {
        builder.enable_time();
    }
    let runtime = builder.enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (stream, _peer) = listener.accept().await?;
            match form {
                Form::Plain | Form::Datagrams => drop(tokio::spawn(echo(stream))),
                Form::Timeouts => drop(tokio::spawn(echo_in_time(stream))),
                Form::Lines => drop(tokio::spawn(lines(stream))),
                Form::Pieces => drop(tokio::spawn(pieces(stream))),
            }
        }
    })
}

pub(super) fn serve_on_workers(listener: net::TcpListener) -> io::Result<()> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_io().build()?.block_on(async {
        // In a task, for `block_on` itself runs beside the workers.
        let accept = tokio::spawn(async {
            let listener = TcpListener::from_std(listener)?;
            loop {
                let (stream, _peer) = listener.accept().await?;
                drop(tokio::spawn(echo(stream)));
            }
        });
        accept.await?
    })
}

pub(super) fn echo_datagrams(socket: net::UdpSocket) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let socket = UdpSocket::from_std(socket)?;
        let mut buffer = vec![0; BUFFER].into_boxed_slice();
        loop {
            let (n, peer) = socket.recv_from(&mut buffer).await?;
            socket.send_to(&buffer[..n], peer).await?;
        }
    })
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
        let n = timeout(LIMIT, stream.read(&mut buffer)).await??;
        if n == 0 {
            return Ok(());
        }
        timeout(LIMIT, stream.write_all(&buffer[..n])).await??;
    }
}

async fn lines(stream: TcpStream) -> io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        if line.as_bytes() == [LAST] {
            lines.get_mut().write_all(&[LAST]).await?;
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
