//! A small Redis: PING SET GET DEL INCR EXPIRE LPUSH LRANGE SUBSCRIBE PUBLISH, with pipelining.
//!
//! `mini_redis 127.0.0.1:6379` serves until Ctrl-C or `kill`; `redis-cli` is a client for it.
//! Without an address it serves clients of its own and ends.

mod channels;
mod client;
mod demo;
mod resp;
mod store;

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::rc::Rc;

use curium::kernel::{Kernel, interval};
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, until_signal};

use crate::channels::Channels;
use crate::client::Client;
use crate::store::Store;

/// What the connections share.
#[derive(Default)]
struct Server {
    store: RefCell<Store>,
    channels: Channels,
}

async fn serve(listener: TcpListener) -> io::Result<()> {
    let server = Rc::new(Server::default());
    TaskGroup::scope(async |g| {
        g.spawn_daemon(remove_expired(server.clone()));
        let handler = async move |stream, _| Client::new(server.clone()).serve(stream).await;
        // Until this task is cancelled, with all connections.
        listener.serve(handler).await
    })
    .await
}

async fn remove_expired(server: Rc<Server>) -> io::Result<()> {
    let mut ticks = interval(Duration::from_millis(100));
    loop {
        ticks.tick().await?;
        server.store.borrow_mut().remove_expired();
    }
}

async fn serve_at(address: &str) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    match until_signal([SIGINT, SIGTERM], serve(listener))?.await {
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
