//! A small Redis: PING SET GET DEL INCR EXPIRE LPUSH LRANGE SUBSCRIBE PUBLISH, with pipelining.
//!
//! `mini_redis 127.0.0.1:6379 [--cores N]` serves until Ctrl-C or `kill`; `redis-cli` is a client
//! for it. Without an address it serves clients of its own and ends.

mod channels;
mod client;
mod demo;
mod resp;
mod server;
mod shards;
mod store;

use std::env;
use std::error::Error;
use std::io;

use curium::kernel::{Builder, Core, Cores, Kernel};
use curium::monitor::Monitor;
use curium::net::{Balance, Serve};
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, first_signal, until_signal};

use crate::client::Client;

/// A client pays for each wake-up of a server that sleeps, which takes longer than a request. While
/// requests keep coming, the kernel meets the next one before it sleeps.
fn settings() -> Builder {
    Kernel::builder().spin_before_sleep(Duration::from_micros(4))
}

/// Serves until this task is cancelled or the cores stop, and closes all connections then.
async fn serve(server: Serve) -> io::Result<()> {
    TaskGroup::scope(async |g| {
        g.spawn_daemon(async { server::here().remove_expired().await });
        server.await
    })
    .await
}

/// A client of this core.
async fn serve_client(stream: TcpStream) -> io::Result<()> {
    Client::new().serve(stream).await
}

async fn serve_at(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    let server = listener.serve(async |stream, _| serve_client(stream).await);
    match until_signal([SIGINT, SIGTERM], serve(server))?.await {
        Ok(ended) => ended,
        Err(signalled) => {
            println!("{signalled}, every connection is closed");
            Ok(())
        }
    }
}

async fn serve_core(core: Core, address: &str) -> io::Result<()> {
    let server = core.serve(address, Balance::Fewest, async |stream, _| serve_client(stream).await);
    let server = server.on_listening(|address| println!("listening on {address}"));
    // At the stop connections have no time: they end when their clients do.
    serve(server.drain(Duration::ZERO)).await
}

fn serve_on_cores(address: &str, count: usize) -> Result<(), Box<dyn Error>> {
    let signal = first_signal([SIGINT, SIGTERM])?;
    let signal = async || {
        if let Ok(signal) = signal.await {
            println!("the signal {signal} arrived");
        }
    };
    let cores = Cores::count(count).builder(|_| settings());
    let cores = cores.drain(Duration::from_secs(5)).stop_when(signal);
    curium::kernels(cores, async |core| serve_core(core, address).await)?;
    println!("every connection is closed");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Kernel::builder().virtual_clock().run(demo::run)?,
        [address] => {
            settings().monitor(Monitor::from_env()).run(async || serve_at(address).await)?;
        }
        [address, "--cores", count] => serve_on_cores(address, count.parse()?)?,
        _ => return Err("usage: mini_redis [ADDRESS [--cores N]]".into()),
    }
    Ok(())
}
