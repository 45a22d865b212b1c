//! How a server of HTTP stops, and what a cancellation does to code that waits inside hyper.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};

use curium::kernel::{self, Task, TaskGroup, now, sleep, spawn, timeout_after};
use curium::net::{Serve, TcpListener, TcpStream};
use curium_hyper::{serve, serve_connection};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::kit::{Counts, bound, head, http2_client, http2_get, quiet, rest, secs, sent};

fn server(listener: TcpListener, counts: &Rc<Counts>) -> Serve {
    let counts = counts.clone();
    serve(listener, service_fn(move |request| counts.clone().handle(request)))
}

/// A request that is not answered.
fn ended(answer: &io::Result<String>) -> io::Result<()> {
    assert!(answer.is_err(), "{answer:?}");
    Ok(())
}

async fn cancel_after<E: 'static>(seconds: u64, server: &Task<(), E>) -> io::Result<()> {
    sleep(secs(seconds)).await?;
    Ok(server.cancel().await?)
}

/// E2: a server that is cancelled answers what has begun to arrive, over both protocols, and
/// refuses what is new; connections without a request are closed at once.
#[test]
fn requests_in_flight_are_answered_when_the_server_stops() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let counts = Rc::new(Counts::default());
        let begun = now();
        TaskGroup::scope(async |group| {
            let serving = group.spawn(server(listener, &counts).drain(secs(10)));
            let silent = sent(address, "").await?;
            let partial = sent(address, "GET / HT").await?;
            let kept = sent(address, &head("/0")).await?;
            let busy = sent(address, &head("/3")).await?;
            let mut client = http2_client(group, address).await?;
            let answer = group.spawn(async move { http2_get(&mut client, "/4").await });
            group.spawn(async move { cancel_after(1, &serving).await });
            for idle in [silent, kept] {
                rest(&idle).await?;
                assert_eq!(now() - begun, secs(1));
            }
            partial.write_all(b"TP/1.1\r\nhost: here\r\n\r\n").await?;
            assert!(rest(&partial).await?.ends_with("worked 0 s"));
            assert!(TcpStream::connect(address).await.is_err());
            let text = rest(&busy).await?;
            assert!(text.contains("connection: close") && text.ends_with("worked 3 s"), "{text}");
            assert_eq!(now() - begun, secs(3));
            assert_eq!(answer.await?, "worked 4 s");
            Ok::<_, io::Error>(())
        })
        .await?;
        assert_eq!((now() - begun, counts.answered.get()), (secs(4), 4));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// E2, E1: when the time to drain is over, handlers get the error where they wait and clean up,
/// over both protocols, and the server awaits them.
#[test]
fn handlers_clean_up_when_the_time_to_drain_is_over() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let counts = Rc::new(Counts::default());
        let begun = now();
        TaskGroup::scope(async |group| {
            let serving = spawn(server(listener, &counts).drain(secs(10)));
            let _busy = sent(address, &head("/1000")).await?;
            let mut client = http2_client(group, address).await?;
            group.spawn(async move { ended(&http2_get(&mut client, "/1000").await) });
            cancel_after(1, &serving).await?;
            assert_eq!(now() - begun, secs(12), "one second, the time to drain, the cleanup");
            Ok::<_, io::Error>(())
        })
        .await?;
        let Counts { started, cleaned, alive, .. } = &*counts;
        assert_eq!((started.get(), cleaned.get(), alive.get()), (2, 2, 0));
        assert_eq!(kernel::tasks().len(), 1);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// E2: a connection whose first poll had another waker is still woken when the server stops.
#[test]
fn a_connection_that_was_polled_elsewhere_hears_that_the_server_stops() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let counts = Rc::new(Counts::default());
        let theirs = counts.clone();
        let handler = async move |stream: TcpStream, _| {
            let counts = theirs.clone();
            let service = service_fn(move |request| counts.clone().handle(request));
            let mut serving = pin!(serve_connection(stream, service, |_| ()));
            let elsewhere = &mut Context::from_waker(Waker::noop());
            assert!(serving.as_mut().poll(elsewhere).is_pending());
            serving.await
        };
        let server = spawn(listener.serve(handler).drain(secs(10)));
        let idle = sent(address, "").await?;
        sleep(secs(1)).await?;
        let begun = now();
        server.cancel().await?;
        assert_eq!(now(), begun, "an idle connection does not hold up the end");
        rest(&idle).await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// Where a connection is parked inside hyper when it is cancelled.
async fn cancelled_while_parked(
    client: impl AsyncFnOnce(SocketAddr) -> io::Result<Vec<TcpStream>>,
) -> io::Result<()> {
    let (listener, address) = bound().await?;
    let service = service_fn(async |request: Request<Incoming>| {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await?.to_bytes();
        let answer = if path == "/large" { vec![b'x'; 10_000_000].into() } else { body };
        Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::new(answer)))
    });
    let server = spawn(async move {
        let (stream, _) = listener.accept().await?;
        let served = serve_connection(stream, service, |_| ()).await;
        served.map_err(io::Error::other)
    });
    let _streams = client(address).await?;
    sleep(secs(1)).await?;
    assert!(!server.is_done());
    let begun = now();
    server.cancel().await?;
    assert_eq!(now(), begun, "it is not held up");
    assert!(server.join().await?.is_err());
    Ok(())
}

/// E2: a cancellation ends a connection at once, wherever it is parked inside hyper: before the
/// first byte, in the head, in the body, while it writes, between two requests, in the preface of
/// HTTP/2 and after it.
#[test]
fn a_cancel_ends_a_connection_wherever_hyper_waits() {
    let post = "POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\nhalf";
    let settings = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0";
    let (kept, large) = (head("/"), head("/large"));
    for bytes in ["", "PRI * HT", "GET / HT", post, &kept, &large, settings] {
        quiet(async || {
            cancelled_while_parked(async |address| Ok(vec![sent(address, bytes).await?])).await
        })
        .unwrap_or_else(|error| panic!("{bytes:?}: {error}"));
    }
}

/// E2: a handler that swallows the cancellation is answered for, and its connection then ends.
#[test]
fn a_connection_ends_although_its_handler_swallows_the_cancel() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let service = service_fn(async |_: Request<Incoming>| {
            let slept = sleep(secs(1000)).await;
            Ok::<_, io::Error>(Response::new(format!("it was cancelled: {}", slept.is_err())))
        });
        let server = spawn(serve(listener, service));
        let stream = sent(address, &head("/")).await?;
        cancel_after(1, &server).await?;
        let text = rest(&stream).await?;
        assert!(text.ends_with("it was cancelled: true"), "{text}");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// E1: a timeout around a server ends it with all that hyper spawned.
#[test]
fn a_timeout_around_a_server_ends_its_streams() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let counts = Rc::new(Counts::default());
        TaskGroup::scope(async |group| {
            let theirs = counts.clone();
            let limited = group.spawn(async move {
                let ended = timeout_after(secs(5), server(listener, &theirs)).await;
                assert!(ended.is_err());
                Ok::<_, io::Error>(())
            });
            let mut client = http2_client(group, address).await?;
            for path in ["/1000", "/2000"] {
                let mut client = client.clone();
                group.spawn(async move { ended(&http2_get(&mut client, path).await) });
            }
            assert!(http2_get(&mut client, "/3000").await.is_err());
            limited.await
        })
        .await?;
        assert_eq!((counts.cleaned.get(), counts.alive.get()), (3, 0));
        assert_eq!(kernel::tasks().len(), 1);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
