//! Two handlers of axum that take their time: `index1_index2 [ADDRESS]`.
//!
//! `/index1` blocks a thread for two seconds, as code of a library may; `/index2` waits as a task.
//! Neither holds the other up, nor `/`, which answers at once. Of a client that hangs up, the
//! handler is cancelled and cleans up.

use std::env;
use std::io;
use std::thread;

use axum::Router;
use axum::routing::get;
use curium::kernel::{GroupRef, run_in_thread};
use curium::net::TcpListener;
use curium::prelude::*;
use curium::signal::{SIGINT, SIGTERM, until_signal};
use curium_hyper::{local, serve_router};

const LONG: Duration = Duration::from_secs(2);

/// Blocks a thread, and not the server.
async fn index1() -> Result<&'static str> {
    run_in_thread(|| {
        thread::sleep(LONG);
        "index1: a thread has slept\n"
    })
    .await
}

/// Waits as a task. It hears it if its client has gone.
async fn index2() -> Result<&'static str> {
    finally(sleep(LONG), async |how| {
        println!("index2: {how:?}");
        Ok::<_, TaskCancelled>(())
    })
    .await?;
    Ok("index2: a task has slept\n")
}

/// Handlers of axum are `Send`, and what waits in Curium is not: `local` is in between.
fn routes(group: GroupRef<io::Error>) -> Router {
    let text = |ended: Result<&'static str>| ended.map_err(|cancelled| cancelled.to_string());
    Router::new()
        .route("/", get(async || "index\n"))
        .route(
            "/index1",
            get(async move || local(group, async move { text(index1().await) }).await),
        )
        .route(
            "/index2",
            get(async move || local(group, async move { text(index2().await) }).await),
        )
}

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    run(async || {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        let server = TaskGroup::scope(async |group| {
            serve_router(listener, routes(group)).drain(Duration::from_secs(10)).await
        });
        match until_signal([SIGINT, SIGTERM], server)?.await {
            Ok(ended) => ended,
            Err(signalled) => {
                println!("{signalled}, every request is answered");
                Ok(())
            }
        }
    })
}
