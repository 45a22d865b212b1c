//! 500 clients at once, as tasks, or as threads with `--threads`. The time goes to standard error.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use curium::kernel::{self, TaskGroup};
use curium::net::{TcpListener, TcpStream};

const CLIENTS: usize = 500;
const ROUNDS: usize = 100;

async fn echo(stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    let mut buf = [0; 256];
    loop {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            n => stream.write_all(&buf[..n]).await?,
        }
    }
}

async fn client(id: usize, address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    for round in 0..ROUNDS {
        let (sent, mut got) = ([id as u8, round as u8].repeat(50), [0; 100]);
        stream.write_all(&sent).await?;
        stream.read_exact(&mut got).await?;
        assert_eq!(sent, got);
    }
    Ok(())
}

fn blocking_client(id: usize, address: SocketAddr) -> io::Result<()> {
    let mut stream = std::net::TcpStream::connect(address)?;
    for round in 0..ROUNDS {
        let (sent, mut got) = ([id as u8, round as u8].repeat(50), [0; 100]);
        stream.write_all(&sent)?;
        stream.read_exact(&mut got)?;
        assert_eq!(sent, got);
    }
    Ok(())
}

async fn tasks(address: SocketAddr) -> io::Result<()> {
    TaskGroup::scope(async |g| {
        (0..CLIENTS).for_each(|id| drop(g.spawn(client(id, address))));
        Ok(()) // the group waits for all of them
    })
    .await
}

fn threads(address: SocketAddr) -> io::Result<()> {
    let start = |id| {
        let small = thread::Builder::new().stack_size(64 * 1024);
        small.spawn(move || blocking_client(id, address))
    };
    let clients = (0..CLIENTS).map(start).collect::<io::Result<Vec<_>>>()?;
    clients.into_iter().try_for_each(|client| client.join().expect("every answer is right"))
}

fn main() -> io::Result<()> {
    kernel::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = kernel::spawn(listener.serve(echo));
        let started = Instant::now();
        if std::env::args().any(|arg| arg == "--threads") {
            kernel::run_in_thread(move || threads(address)).await??;
        } else {
            tasks(address).await?;
        }
        eprintln!("took {:?}", started.elapsed());
        println!("{CLIENTS} clients, {ROUNDS} rounds: {} right answers", CLIENTS * ROUNDS);
        server.cancel().await?;
        Ok(())
    })
}
