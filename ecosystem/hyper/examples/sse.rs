//! Server-sent events by axum: `sse [ADDRESS]`. `/` counts, five times a second.
//!
//! A task of Curium produces the events of each client. It is cancelled when the client is gone,
//! and says goodbye when the server stops.

use std::convert::Infallible;
use std::env;
use std::io;

use axum::Router;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use curium::kernel::{GroupRef, select};
use curium::net::{TcpListener, stopping};
use curium::prelude::{Duration, Result, TaskGroup, finally, run, sleep};
use curium::signal::{SIGINT, SIGTERM, until_signal};
use curium_hyper::{local, serve_router};
use futures::channel::mpsc::{Sender, channel};
use futures::{Stream, StreamExt};

async fn count(mut events: Sender<Event>) -> Result<()> {
    for number in 0.. {
        select! {
            slept = sleep(Duration::from_millis(200)) => slept?,
            stop = stopping() => {
                stop?;
                let _ = events.try_send(Event::default().event("goodbye").data("the server stops"));
                return Ok(());
            }
        }
        // A client that does not read is left out.
        let _ = events.try_send(Event::default().data(number.to_string()));
    }
    Ok(())
}

/// The stream is `Send`, and its producer is not: `local` is in between.
fn events(group: GroupRef<io::Error>) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let (sender, receiver) = channel(16);
    let producer = local(group, async move {
        finally(count(sender), async |how| {
            println!("a client is done: {how:?}");
            Result::Ok(())
        })
        .await
    });
    receiver.map(move |event| {
        let _kept = &producer; // dropped with the stream, which cancels the task
        Ok(event)
    })
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    run(async || {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        let server = TaskGroup::scope(async |group| {
            let router = Router::new().route("/", get(async move || Sse::new(events(group))));
            serve_router(listener, router).drain(Duration::from_secs(10)).await
        });
        match until_signal([SIGINT, SIGTERM], server)?.await {
            Ok(ended) => ended,
            Err(signalled) => {
                println!("{signalled}, every client has been sent a goodbye");
                Ok(())
            }
        }
    })
}
