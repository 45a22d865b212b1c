//! A small Redis: PING SET GET DEL INCR EXPIRE LPUSH LRANGE SUBSCRIBE PUBLISH, with pipelining.
//!
//! `mini_redis 127.0.0.1:6379` serves until Ctrl-C or `kill`; `redis-cli` is a client
//! for it. Without an address it serves clients of its own and ends.

mod channels;
mod client;
mod demo;
mod resp;
mod server;
mod store;

use std::error::Error;
use std::io;

use curium::kernel::Kernel;
use curium::net::Serve;
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, until_signal};

use crate::client::Client;

/// Serves until this task is cancelled, and closes all connections then.
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

fn main() -> Result<(), Box<dyn Error>> {
    match std::env::args().nth(1) {
        None => Kernel::builder().virtual_clock().run(demo::run)?,
        Some(address) => run(async || serve_at(&address).await)?,
    }
    Ok(())
}
