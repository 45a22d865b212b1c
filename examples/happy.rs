//! Happy eyeballs: a connect to a name with several addresses, of which some do not answer. It
//! shows which address has won, and when.
//!
//! `happy example.org:80` looks the name up and connects to it. Without a name it connects to
//! listeners of its own on the virtual clock, so that it prints the same each time.

use std::io;
use std::net::SocketAddr;

use curium::kernel::{self, Kernel, now};
use curium::net::{TcpListener, TcpOptions, TcpStream, resolve};

async fn visit(name: &str) -> io::Result<()> {
    let addresses = resolve(name).await?;
    for address in &addresses {
        println!("{name} is {address}");
    }
    let began = now();
    let stream = TcpStream::connect(addresses).await?;
    println!("{} has won after {} ms", stream.peer_addr()?, (now() - began).as_millis());
    Ok(())
}

/// A listener that does not answer: there is room for one connection that waits to be accepted, and
/// it is taken. The system drops what the next one sends.
async fn silent() -> io::Result<(SocketAddr, TcpListener, TcpStream)> {
    let listener = TcpOptions::new().backlog(0).bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let first = TcpStream::connect(address).await?;
    Ok((address, listener, first))
}

async fn demo() -> io::Result<()> {
    let (silent, _listener, _first) = silent().await?;
    let answers = TcpListener::bind("127.0.0.1:0").await?;
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let names = [(silent, "silent"), (closed, "closed"), (answers.local_addr()?, "answers")];
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [0, 0, 2], [0, 0, 0]] {
        let addresses = order.map(|n| names[n].0);
        let began = now();
        let connected = kernel::ignore_after(
            std::time::Duration::from_secs(3),
            TcpStream::connect(&addresses[..]),
        );
        let winner = match connected.await? {
            None => "no address".to_owned(),
            Some(stream) => {
                let peer = stream.peer_addr()?;
                let (_, name) = names.iter().find(|(address, _)| *address == peer).expect("ours");
                format!("`{name}`")
            }
        };
        let [one, two, three] = order.map(|n| names[n].1);
        println!("{one}, {two}, {three}: {winner} after {} ms", (now() - began).as_millis());
    }
    Ok(())
}

fn main() -> io::Result<()> {
    match std::env::args().nth(1) {
        Some(name) => kernel::run(async || visit(&name).await),
        None => Kernel::builder().virtual_clock().run(demo),
    }
}
