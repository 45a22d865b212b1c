//! A server that returns every line reversed, to at most two clients at a time. A client that sends
//! no whole line for 25 seconds is disconnected, so that it keeps no place of another one.
//!
//! `line_server ADDRESS` serves until it is killed. Without an address it serves clients of its
//! own, on the virtual clock, and ends.

use std::io;
use std::net::SocketAddr;

use curium::io::{BufReader, WriteExt};
use curium::prelude::*;
use curium::{CancelScope, Kernel, now};

const CLIENTS: usize = 2;
const IDLE: Duration = Duration::from_secs(25);

/// Serves one client until it leaves, or is idle.
async fn serve_client(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let idle = CancelScope::with_deadline(now() + IDLE);
    match idle.run(reverse_lines(&mut stream, &idle)).await {
        Ok(ended) => ended,
        // The stream is as it was, so there is still time to say why.
        Err(_idle) => Ok(stream.write_all(b"you are idle, goodbye\n").await?),
    }
}

async fn reverse_lines(stream: &mut BufReader<TcpStream>, idle: &CancelScope) -> io::Result<()> {
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        // The limit holds for a whole line: single bytes do not move the deadline.
        idle.set_deadline(Some(now() + IDLE));
        let mut reversed: String = line.trim_end().chars().rev().collect();
        reversed.push('\n');
        stream.write_all(reversed.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

/// An error of a client is reported, and ends its own connection alone. While there are as many
/// clients as may be, the next ones wait in the queue of the listener.
async fn serve(listener: TcpListener) -> io::Result<()> {
    listener.serve(async |stream, _peer| serve_client(stream).await).limit(CLIENTS).await
}

/// Sends a line every 20 seconds, and prints what it gets until the server closes the connection.
async fn client(name: &str, address: SocketAddr, lines: &[&str]) -> io::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let started = now();
    let mut answer = String::new();
    for line in lines {
        sleep(Duration::from_secs(20)).await?;
        stream.write_all(format!("{line}\n").as_bytes()).await?;
        answer.clear();
        stream.read_line(&mut answer).await?;
        println!("{name}, {} s: {line} -> {}", (now() - started).as_secs(), answer.trim_end());
    }
    answer.clear();
    stream.read_line(&mut answer).await?;
    println!("{name}, {} s: {}", (now() - started).as_secs(), answer.trim_end());
    Ok(())
}

async fn demo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    TaskGroup::scope(async |g| {
        g.spawn_daemon(serve(listener));
        TaskGroup::scope(async |clients| {
            clients.spawn(client("talks", address, &["one", "two", "three"]));
            clients.spawn(client("is silent", address, &[]));
            clients.spawn(client("waits for a place", address, &["at last"]));
            Ok(())
        })
        .await
    })
    .await
}

fn main() -> io::Result<()> {
    match std::env::args().nth(1) {
        None => Kernel::builder().virtual_clock().run(demo),
        Some(address) => run(async || serve(TcpListener::bind(&address).await?).await),
    }
}
