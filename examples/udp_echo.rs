//! A UDP server that sends every datagram back in capitals, and a client that repeats what is lost.
//!
//! `udp_echo 127.0.0.1:7777` serves until Ctrl-C. Without an address it serves one client of its
//! own and ends. The server loses every third datagram on purpose, as a network may.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use curium::net::UdpSocket;
use curium::prelude::*;

/// No datagram over Ethernet is larger, unless it is cut into fragments.
const ROOM: usize = 1500;

async fn serve(socket: UdpSocket, lose_every: usize) -> io::Result<()> {
    let mut buf = [0; ROOM];
    for number in 1.. {
        let (got, from) = socket.recv_from(&mut buf).await?;
        if got.truncated {
            eprintln!("a datagram of {from} is larger than {ROOM} bytes, and is ignored");
        } else if number % lose_every != 0 {
            buf[..got.len].make_ascii_uppercase();
            socket.send_to(&buf[..got.len], from).await?;
        }
    }
    Ok(())
}

/// Sends `text` until it is answered, and returns the answer and how often it was sent.
async fn ask(socket: &UdpSocket, text: &str) -> io::Result<(String, usize)> {
    let mut buf = [0; ROOM];
    for sent in 1.. {
        socket.send(text.as_bytes()).await?;
        // None: the datagram or its answer is lost, so it is sent again.
        if let Some(got) = ignore_after(Duration::from_secs(1), socket.recv(&mut buf)).await? {
            return Ok((String::from_utf8_lossy(&buf[..got.len]).into_owned(), sent));
        }
    }
    unreachable!("it asks until it is answered")
}

async fn demo() -> io::Result<()> {
    let server = UdpSocket::bind("127.0.0.1:0").await?;
    let address = server.local_addr()?;
    TaskGroup::scope(async |g| {
        // A daemon: the group cancels it when the client has ended.
        g.spawn_daemon(serve(server, 3));
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(address).await?;
        for text in ["one", "two", "three", "four"] {
            let (answer, sent) = ask(&socket, text).await?;
            println!("{text} -> {answer}, sent {sent} times");
        }
        Ok(())
    })
    .await
}

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => run(demo)?,
        Some(address) => {
            let address: SocketAddr = address.parse()?;
            run(async || serve(UdpSocket::bind(address).await?, usize::MAX).await)?;
        }
    }
    Ok(())
}
