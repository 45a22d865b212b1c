//! The client with a pool of hyper-util.

use std::cell::Cell;
use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;

use curium::kernel::{self, TaskGroup, cancellable, now, sleep, spawn, timeout_after};
use curium::net::Serve;
use curium_hyper::{Connector, client, serve_connection};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;

use crate::kit::{Counts, add_one, bound, quiet, secs};

type Anything = Box<dyn Error + Send + Sync>;

/// A server that counts its connections.
async fn server(counts: &Rc<Counts>, connections: &Rc<Cell<usize>>) -> (Serve, SocketAddr) {
    let (listener, address) = bound().await.unwrap();
    let (counts, connections) = (counts.clone(), connections.clone());
    let server = listener.serve(async move |stream, _| {
        add_one(&connections);
        let counts = counts.clone();
        let service = service_fn(move |request| counts.clone().handle(request));
        serve_connection(stream, service, |_| ()).await
    });
    (server, address)
}

async fn get(
    client: &Client<Connector<Anything>, Empty<Bytes>>,
    address: SocketAddr,
    path: &str,
) -> Result<String, Anything> {
    let uri = format!("http://{address}{path}").parse()?;
    let answer = cancellable(client.get(uri)).await??;
    let body = cancellable(answer.into_body().collect()).await??.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// E1: connections are kept and used again, do not keep their group open, and end with it.
#[test]
fn a_pool_keeps_connections_and_ends_with_its_group() {
    quiet(async || {
        let (counts, connections) = <(Rc<Counts>, Rc<Cell<usize>>)>::default();
        let (server, address) = server(&counts, &connections).await;
        let server = spawn(server);
        let begun = now();
        TaskGroup::scope(async |group| {
            let client = client(group);
            for _ in 0..3 {
                assert_eq!(get(&client, address, "/0").await?, "worked 0 s");
                sleep(secs(1)).await?;
            }
            assert_eq!(connections.get(), 1);
            let both = curium::gather((get(&client, address, "/1"), get(&client, address, "/1")));
            both.await?;
            assert_eq!(connections.get(), 2);
            Ok::<_, Anything>(())
        })
        .await?;
        assert_eq!(now() - begun, secs(4), "idle connections do not hold it up");
        server.cancel().await?;
        assert_eq!((counts.answered.get(), kernel::tasks().len()), (5, 1));
        Ok::<_, Anything>(())
    })
    .unwrap();
}

/// E2: a request is cancelled where it waits in hyper. Its connection is closed, and the server
/// hears that.
#[test]
fn a_client_that_is_cancelled_ends_its_request() {
    quiet(async || {
        let (counts, connections) = <(Rc<Counts>, Rc<Cell<usize>>)>::default();
        let (server, address) = server(&counts, &connections).await;
        let server = spawn(server);
        TaskGroup::scope(async |group| {
            let client = client(group);
            let begun = now();
            let limited = timeout_after(secs(1), get(&client, address, "/1000")).await;
            assert!(limited.is_err());
            assert_eq!(now() - begun, secs(1));
            sleep(secs(1)).await?;
            assert_eq!((counts.started.get(), counts.alive.get()), (1, 0), "the server hears it");
            assert_eq!(get(&client, address, "/0").await?, "worked 0 s");
            assert_eq!(connections.get(), 2);
            Ok::<_, Anything>(())
        })
        .await?;
        server.cancel().await?;
        Ok::<_, Anything>(())
    })
    .unwrap();
}

/// What cannot be connected to is an error that says why, and leaves the client as it was.
#[test]
fn a_connect_that_fails_is_an_error_of_the_request() {
    quiet(async || {
        TaskGroup::scope(async |group| {
            let client = client::<Empty<Bytes>, Anything>(group);
            let nobody: SocketAddr = "127.0.0.1:9".parse()?;
            let refused = get(&client, nobody, "/").await.unwrap_err();
            let root = refused.source().expect("a cause").to_string();
            assert!(root.contains("127.0.0.1:9"), "{root}");
            let uri = "https://127.0.0.1:9/".parse()?;
            let refused = cancellable(client.get(uri)).await?.unwrap_err();
            assert!(refused.source().expect("a cause").to_string().contains("http only"));
            Ok::<_, Anything>(())
        })
        .await
    })
    .unwrap();
}
