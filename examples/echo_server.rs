//! A server that returns every line in capitals, one task per connection.
//!
//! `echo_server 127.0.0.1:7777` serves until Ctrl-C or `kill`, or for the time of `--for SECONDS`,
//! and then closes every connection and ends. A second Ctrl-C ends it at once. Without an address
//! it serves one small client of its own and ends.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use curium::kernel::{self, TaskGroup, TaskTimeout, timeout_after};
use curium::net::{TcpListener, TcpStream};
use curium::signal::{SIGINT, SIGTERM, until_signal};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A read need not return whole lines, which does not matter for capitals.
async fn echo(stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        buf[..n].make_ascii_uppercase();
        stream.write_all(&buf[..n]).await?;
    }
}

async fn client(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    for line in ["hello\n", "is anybody there?\n"] {
        stream.write_all(line.as_bytes()).await?;
        let mut answer = vec![0; line.len()];
        stream.read_exact(&mut answer).await?;
        print!("{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

async fn demo() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    TaskGroup::scope(async |g| {
        // A daemon: the group does not wait for it and cancels it when the client has ended.
        g.spawn_daemon(listener.serve(echo));
        g.spawn(client(address)).await
    })
    .await
}

async fn serve(address: &str, limit: Duration) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let serving = async {
        match timeout_after(limit, listener.serve(echo)).await {
            Ok(ended) => ended,
            Err(TaskTimeout { .. }) => {
                println!("time is up");
                Ok(())
            }
        }
    };
    // From here on a signal is a request to end.
    let serving = until_signal([SIGINT, SIGTERM], serving)?;
    println!("listening on {address}");
    match serving.await {
        Ok(ended) => ended,
        Err(signalled) => {
            println!("{signalled}, every connection is closed");
            Ok(())
        }
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => kernel::run(demo)?,
        [address] => kernel::run(async || serve(address, Duration::MAX).await)?,
        [address, "--for", secs] => {
            let limit = Duration::from_secs(secs.parse()?);
            kernel::run(async || serve(address, limit).await)?;
        }
        _ => return Err("usage: echo_server [ADDRESS [--for SECONDS]]".into()),
    }
    Ok(())
}
