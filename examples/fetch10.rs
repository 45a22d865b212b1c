//! Ten HTTP requests, one after another and at once, to a server that takes a second for each.
//!
//! The clock is virtual, so the program takes no time. The sockets are real.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use curium::kernel::{self, Kernel, TaskGroup, now, sleep};
use curium::net::{TcpListener, TcpStream};

/// Answers one request, after a second.
async fn answer(stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    let mut request = Vec::new();
    let mut buf = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buf).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => request.extend_from_slice(&buf[..n]),
        }
    }
    sleep(Duration::from_secs(1)).await?;
    let page = "Hello, world!\n";
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", page.len());
    let answer = format!("{head}Connection: close\r\n\r\n{page}");
    Ok(stream.write_all(answer.as_bytes()).await?)
}

/// The status line and the body of the answer to a GET.
async fn fetch(address: SocketAddr) -> io::Result<(String, String)> {
    let stream = TcpStream::connect(address).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut buf = [0; 1024];
    loop {
        match stream.read(&mut buf).await? {
            0 => break,
            n => answer.extend_from_slice(&buf[..n]),
        }
    }
    let answer = String::from_utf8_lossy(&answer);
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "this is not HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    Ok((head.lines().next().unwrap_or_default().into(), body.into()))
}

async fn together(address: SocketAddr) -> io::Result<()> {
    TaskGroup::scope(async |g| {
        let fetches: Vec<_> = (0..10).map(|_| g.spawn(fetch(address))).collect();
        for fetch in fetches {
            let (status, body) = fetch.await?;
            println!("{status}: {}", body.trim_end());
        }
        Ok(())
    })
    .await
}

fn main() -> io::Result<()> {
    Kernel::builder().virtual_clock().run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = kernel::spawn(listener.serve(answer));
        let started = now();
        together(address).await?;
        println!("at once: {} s", (now() - started).as_secs_f64());
        let started = now();
        for _ in 0..10 {
            fetch(address).await?;
        }
        println!("one after another: {} s", (now() - started).as_secs_f64());
        server.cancel().await?;
        Ok(())
    })
}
