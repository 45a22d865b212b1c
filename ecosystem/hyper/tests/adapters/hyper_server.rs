//! A server of HTTP: what it answers, what it limits, what it reports.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;

use curium::kernel::{self, TaskCancelled, TaskGroup, now, sleep, spawn};
use curium::net::TcpListener;
use curium_hyper::{serve, serve_with, upgraded};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};

use crate::kit::{Counts, bound, head, http2_client, http2_get, quiet, rest, run, secs, sent};

/// Both protocols come over one port, and requests of one connection of HTTP/2 run beside each
/// other.
#[test]
fn both_protocols_are_served_on_one_port() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let counts = Rc::new(Counts::default());
        let theirs = counts.clone();
        TaskGroup::scope(async |group| {
            let server = serve(listener, service_fn(move |it| theirs.clone().handle(it)));
            group.spawn_daemon(server);
            let stream = sent(address, &(head("/0") + &head("/1"))).await?;
            let mut client = http2_client(group, address).await?;
            let begun = now();
            let mut other = client.clone();
            let slow = group.spawn(async move { http2_get(&mut other, "/5").await });
            assert_eq!(http2_get(&mut client, "/3").await?, "worked 3 s");
            assert_eq!(now() - begun, secs(3));
            assert_eq!(slow.await?, "worked 5 s");
            assert_eq!(now() - begun, secs(5));
            stream.shutdown(std::net::Shutdown::Write)?;
            let text = rest(&stream).await?;
            assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 2, "{text}");
            Ok::<_, io::Error>(())
        })
        .await?;
        assert_eq!((counts.answered.get(), counts.alive.get()), (4, 0));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// A client that does not send its request is dropped after 30 s, or what was set; one that does
/// not show its protocol after 30 s.
#[test]
fn a_client_that_is_too_slow_is_dropped() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let hello = service_fn(async |_: Request<Incoming>| {
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let set = |builder: &mut curium_hyper::Builder| {
            builder.http1().header_read_timeout(secs(5));
        };
        let (first, second) = (serve(listener, hello), bound_elsewhere().await?);
        let (first, other) = (spawn(first), second.local_addr()?);
        let second = spawn(serve_with(second, hello, set));
        for (address, limit) in [(address, 30), (other, 5)] {
            let begun = now();
            let stream = sent(address, "GET / HTTP/1.1\r\nslow: lor").await?;
            for byte in ["i", "s", " "] {
                sleep(secs(1)).await?;
                stream.write_all(byte.as_bytes()).await?;
            }
            rest(&stream).await?;
            assert_eq!(now() - begun, secs(limit));
        }
        for bytes in ["", "G", "PRI * HT"] {
            let (begun, stream) = (now(), sent(address, bytes).await?);
            rest(&stream).await?;
            assert_eq!(now() - begun, secs(30), "{bytes}");
        }
        first.cancel().await?;
        second.cancel().await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// The time for the head of a request counts from the last answer, however many were before. The
/// time that a handler takes does not count.
#[test]
fn the_time_for_a_head_counts_from_the_last_answer() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let counts = Rc::new(Counts::default());
        let theirs = counts.clone();
        let server = spawn(serve(listener, service_fn(move |it| theirs.clone().handle(it))));
        let begun = now();
        let stream = sent(address, &head("/0")).await?;
        for seconds in ["/1", "/50", "/2"] {
            sleep(secs(20)).await?;
            stream.write_all(head(seconds).as_bytes()).await?;
        }
        assert_eq!(rest(&stream).await?.matches("worked").count(), 4);
        // At 40 s, 50 s of work, 2 s more, and then the limit.
        assert_eq!(now() - begun, secs(40 + 50 + 2 + 30));
        server.cancel().await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

async fn bound_elsewhere() -> io::Result<TcpListener> {
    TcpListener::bind("127.0.0.1:81").await
}

/// That a client hangs up in whatever moment, or does not speak HTTP, is not reported. Its
/// handler is dropped.
#[test]
fn a_client_that_hangs_up_is_not_reported() {
    quiet(async || {
        let (listener, address) = bound().await?;
        let counts = Rc::new(Counts::default());
        let theirs = counts.clone();
        let server = spawn(serve(listener, service_fn(move |it| theirs.clone().handle(it))));
        let whole = head("/1000");
        for bytes in ["", "G", "nonsense\r\n\r\n", &whole[..20], &whole, "PRI * HTTP/2.0\r\n\r\n"] {
            sent(address, bytes).await?.close();
            let stream = sent(address, bytes).await?;
            sleep(secs(1)).await?;
            stream.reset()?;
            sleep(secs(1)).await?;
        }
        assert_eq!((counts.alive.get(), kernel::tasks().len()), (0, 2), "{counts:?}");
        assert!(counts.started.get() > 0);
        server.cancel().await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// The errors of a service and of a body are reported, and so is a panic. Each ends its own
/// connection, and others are served on.
#[test]
fn a_fault_of_the_server_is_reported() {
    let (ended, reports) = run(async || {
        let (listener, address) = bound().await?;
        let service = service_fn(async |request: Request<Incoming>| match request.uri().path() {
            "/fails" => Err(io::Error::other("the service fails")),
            "/panics" => panic!("the service panics"),
            _ => {
                let body = async { Err::<Frame<Bytes>, _>(io::Error::other("the body fails")) };
                Ok(Response::new(StreamBody::new(Once(Some(Box::pin(body)))).boxed_unsync()))
            }
        });
        let server = spawn(serve(listener, service));
        for path in ["/fails", "/panics", "/body"] {
            rest(&sent(address, &head(path)).await?).await?;
        }
        server.cancel().await?;
        Ok::<_, io::Error>(())
    });
    ended.unwrap();
    assert_eq!(reports.len(), 3, "{reports:?}");
    for (report, text) in reports.iter().zip(["service fails", "service panics", "body fails"]) {
        assert!(report.contains(text), "{report}");
    }
}

/// A stream of one item.
struct Once<F>(Option<F>);

impl<F: Future + Unpin> futures::Stream for Once<F> {
    type Item = F::Output;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<F::Output>> {
        let Some(item) = &mut self.0 else { return std::task::Poll::Ready(None) };
        let item = std::task::ready!(std::pin::Pin::new(item).poll(cx));
        self.0 = None;
        std::task::Poll::Ready(Some(item))
    }
}

/// An upgraded connection leaves the server with the bytes that came early.
#[test]
fn an_upgrade_takes_the_stream_out_of_the_server() {
    quiet(async || {
        let (listener, address) = bound().await?;
        TaskGroup::scope(async |group| {
            let service = service_fn(move |mut request: Request<Incoming>| async move {
                let upgrade = hyper::upgrade::on(&mut request);
                group.spawn(async move {
                    let (stream, early) = upgraded(upgrade).await.map_err(io::Error::other)?;
                    assert_eq!(early, "early");
                    stream.write_all(b"upgraded").await.map_err(io::Error::from)
                });
                let answer = Response::builder().status(101).header("upgrade", "curium");
                Ok::<_, TaskCancelled>(answer.body(String::new()).expect("a response"))
            });
            group.spawn_daemon(serve(listener, service));
            let head = "GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: curium\r\n\r\nearly";
            let text = rest(&sent(address, head).await?).await?;
            assert!(text.starts_with("HTTP/1.1 101"), "{text}");
            assert!(text.ends_with("\r\n\r\nupgraded"), "{text}");
            Ok::<_, io::Error>(())
        })
        .await
    })
    .unwrap();
}
