//! The settings of a server: a limit of connections, the time to drain, the grace.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use kernel::{CancelScope, TaskError, cancelled, now, scope, select, sleep, spawn, testing};
use kernel::{timeout_after, yield_now};
use net::{Serve, TcpListener, TcpStream, is_stopping, stopping};

use crate::support::reports;
use crate::support::time::{SECOND, secs};

/// Echoes until the client leaves, or says goodbye when the server stops.
async fn polite(stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    let mut buf = [0; 64];
    loop {
        let n = select! {
            biased;
            stop = stopping() => {
                stop?;
                assert!(is_stopping());
                return Ok(stream.write_all(b"goodbye").await?);
            },
            read = stream.read(&mut buf) => read?,
        };
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buf[..n]).await?;
    }
}

/// Never ends, whatever happens.
async fn stubborn(_stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
    loop {
        sleep(SECOND).await.ok();
    }
}

async fn bound() -> io::Result<(Rc<TcpListener>, SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((Rc::new(listener), address))
}

/// A server on a listener of its own.
async fn own(make: impl FnOnce(TcpListener) -> Serve) -> io::Result<(Serve, SocketAddr)> {
    let (listener, address) = bound().await?;
    Ok((make(Rc::into_inner(listener).expect("it is not shared")), address))
}

/// A client that the server has accepted.
async fn connected(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.write_all(b"hi").await?;
    stream.read_exact(&mut [0; 2]).await?;
    Ok(stream)
}

/// N12: handlers learn that the server stops, and end by themselves. No connection is accepted
/// meanwhile. The server returns its cancellation when the last of them has ended.
#[test]
fn a_cancelled_server_lets_its_handlers_end() {
    testing::run(async || {
        let (server, address) = own(|listener| listener.serve(polite).drain(secs(9))).await?;
        let server = spawn(server);
        let clients = [connected(address).await?, connected(address).await?];
        let began = now();
        server.request_cancel();
        for client in &clients {
            client.read_exact(&mut [0; 7]).await?;
            assert_eq!(client.read(&mut [0; 9]).await?, 0);
        }
        let Err(TaskError::Cancelled(error)) = server.join().await? else { panic!("cancelled") };
        assert!(cancelled(&error).is_some());
        assert_eq!(now() - began, Duration::ZERO);
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N12: no connection is accepted while a server drains, and its listener is closed at once.
#[test]
fn a_server_that_drains_accepts_no_more() {
    testing::run(async || {
        let (server, address) =
            own(|listener| listener.serve(stubborn).drain(secs(9)).grace(SECOND)).await?;
        let server = spawn(server);
        let _client = TcpStream::connect(address).await?;
        testing::settle().await?;
        server.request_cancel();
        testing::settle().await?;
        assert_eq!(server.state().to_string(), "SERVE_DRAIN");
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N12, G12: handlers that do not end by themselves in time are cancelled, and those that do not
/// end after that are aborted at the end of the grace, and reported.
#[test]
fn a_server_cancels_its_handlers_and_then_aborts_them() {
    let (times, reports) = reports::texts(async || {
        let cancelled_at = Rc::new(Cell::new(None));
        let at = cancelled_at.clone();
        let began = now();
        let handler = async move |stream: TcpStream, peer: SocketAddr| {
            let mut first = [0; 1];
            stream.read_exact(&mut first).await?;
            if first == *b"s" {
                return stubborn(stream, peer).await;
            }
            let read = stream.read(&mut [0; 9]).await;
            at.set(Some(now() - began));
            read.map(drop)
        };
        let (server, address) =
            own(|listener| listener.serve(handler).drain(secs(9)).grace(secs(5))).await?;
        let server = spawn(server);
        let clients = [TcpStream::connect(address).await?, TcpStream::connect(address).await?];
        clients[0].write_all(b"p").await?;
        clients[1].write_all(b"s").await?;
        testing::settle().await?;
        server.cancel().await?;
        Ok::<_, io::Error>((cancelled_at.get(), now() - began))
    });
    assert_eq!(times.unwrap(), (Some(secs(9)), secs(14)));
    let of_grace = reports.iter().filter(|text| text.contains("grace"));
    assert_eq!(of_grace.count(), 1, "{reports:?}");
}

/// N12: a server stops in the same way when another task closes its listener, and is `Ok`.
#[test]
fn a_server_whose_listener_is_closed_drains() {
    testing::run(async || {
        let (listener, address) = bound().await?;
        let server = spawn(listener.clone().serve_shared(polite).drain(secs(9)));
        let client = connected(address).await?;
        listener.close();
        client.read_exact(&mut [0; 7]).await?;
        server.await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N12, C2: a cancellation that comes while a server drains ends the time to drain: the handlers
/// are cancelled, and the server returns it.
#[test]
fn a_cancel_while_draining_cancels_the_handlers() {
    testing::run(async || {
        let (listener, address) = bound().await?;
        let cleaned = Rc::new(Cell::new(false));
        let seen = cleaned.clone();
        let handler = async move |stream: TcpStream, _| {
            let read = stream.read(&mut [0; 9]).await.map(drop);
            sleep(SECOND).await?;
            seen.set(true);
            read
        };
        let server = spawn(listener.clone().serve_shared(handler).drain(Duration::MAX));
        let _client = TcpStream::connect(address).await?;
        testing::settle().await?;
        listener.close();
        testing::advance(secs(100)).await?;
        assert!(!server.is_done());
        server.cancel().await?;
        assert!(cleaned.get(), "the handler was not awaited");
        assert!(matches!(server.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N12, C8: a timeout around a server bounds its drain as well, also if the server was cancelled
/// by something else. The first of the two is what the server returns, and the other is not lost.
#[test]
fn a_timeout_bounds_the_drain_and_no_cancellation_is_lost() {
    testing::run(async || {
        let (server, address) =
            own(|listener| listener.serve(stubborn).drain(Duration::MAX).grace(SECOND)).await?;
        let stop = Rc::new(CancelScope::new());
        let began = now();
        let serving = spawn({
            let stop = stop.clone();
            async move {
                let serving = async { Ok::<_, io::Error>(stop.run(server).await.is_err()) };
                let stopped = timeout_after(secs(5), serving).await??;
                // The expiry came after the stop, and belongs to the timeout that was left.
                Ok::<_, io::Error>((stopped, yield_now().await.is_ok(), now() - began))
            }
        });
        let _client = TcpStream::connect(address).await?;
        testing::settle().await?;
        stop.cancel();
        assert_eq!(serving.await?, (true, true, secs(6)));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N12, C13: a server that was stopped by a scope of its own returns that. A cancellation of its
/// task that ended the drain is delivered at the next await point.
#[test]
fn the_second_cancellation_of_a_server_is_pending_again() {
    testing::run(async || {
        let (server, address) =
            own(|listener| listener.serve(polite_after(SECOND)).drain(secs(9))).await?;
        let stop = Rc::new(CancelScope::new());
        let serving = spawn({
            let stop = stop.clone();
            async move {
                let stopped = stop.run(server).await.is_err();
                Ok::<_, io::Error>((stopped, sleep(SECOND).await.is_err()))
            }
        });
        let _client = TcpStream::connect(address).await?;
        testing::settle().await?;
        stop.cancel();
        testing::settle().await?;
        serving.request_cancel();
        assert_eq!(serving.await?, (true, true));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// A handler that ends a while after it was cancelled.
fn polite_after(time: Duration) -> impl AsyncFn(TcpStream, SocketAddr) -> io::Result<()> {
    async move |stream, _| {
        let read = stream.read(&mut [0; 9]).await.map(drop);
        sleep(time).await?;
        read
    }
}

/// N12: a server serves at most so many connections at a time. The next one is accepted when one
/// ends, by whatever end.
#[test]
fn a_server_at_its_limit_accepts_the_next_when_one_ends() {
    testing::run(async || {
        let running = Rc::new(Cell::new(0));
        let most = Rc::new(Cell::new(0));
        let (seen, top) = (running.clone(), most.clone());
        let handler = async move |stream: TcpStream, _| {
            seen.set(seen.get() + 1);
            top.set(top.get().max(seen.get()));
            let mut buf = [0; 1];
            stream.read_exact(&mut buf).await?;
            seen.set(seen.get() - 1);
            if buf == *b"!" {
                return Err(io::Error::other("a bad mood"));
            }
            Ok::<_, io::Error>(())
        };
        let (server, address) = own(|listener| listener.serve(handler).limit(2)).await?;
        let server = spawn(server);
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(TcpStream::connect(address).await?);
        }
        for (n, client) in clients.iter().enumerate() {
            testing::settle().await?;
            assert_eq!(running.get(), 2.min(5 - n));
            let state = server.state().to_string();
            assert_eq!(state, if running.get() == 2 { "SERVE_LIMIT" } else { "ACCEPT" });
            client.write_all(if n == 1 { b"!" } else { b"." }).await?;
            assert_eq!(client.read(&mut [0; 9]).await?, 0);
        }
        assert_eq!(most.get(), 2);
        server.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N12, N5: a server at its limit notices that its listener is closed.
#[test]
fn a_server_at_its_limit_is_stopped_by_a_close() {
    testing::run(async || {
        let (listener, address) = bound().await?;
        let server = spawn(listener.clone().serve_shared(polite).limit(1).drain(secs(9)));
        let client = connected(address).await?;
        let waits = TcpStream::connect(address).await?;
        testing::settle().await?;
        listener.close();
        client.read_exact(&mut [0; 7]).await?;
        server.await?;
        // It was never accepted.
        assert!(!matches!(waits.read(&mut [0; 9]).await, Ok(n) if n > 0));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N12: a limit of 0 is a mistake.
#[test]
#[should_panic(expected = "would serve no connection")]
fn a_limit_of_no_connections_is_a_panic() {
    drop(net::tcp_server("127.0.0.1:0", polite).limit(0));
}

/// N12: a task that a handler spawns sees that the server stops, also a child that borrows. Code
/// outside a server waits until it is cancelled.
#[test]
fn the_tasks_of_a_handler_see_that_the_server_stops() {
    testing::run(async || {
        let handler = async |_stream: TcpStream, _peer| {
            assert!(!is_stopping());
            let spawned = spawn(async { stopping().await });
            scope(async |s| s.spawn(stopping_in_a_child()).await).await?;
            spawned.await?;
            assert!(is_stopping());
            Ok::<_, io::Error>(())
        };
        let (server, address) =
            own(|listener| listener.serve(handler).drain(Duration::MAX)).await?;
        let server = spawn(server);
        let client = TcpStream::connect(address).await?;
        testing::settle().await?;
        let outside = spawn(stopping());
        server.cancel().await?;
        assert_eq!(client.read(&mut [0; 9]).await?, 0);
        testing::settle().await?;
        assert!(!is_stopping());
        assert_eq!(outside.state().to_string(), "STOPPING");
        outside.cancel().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

async fn stopping_in_a_child() -> io::Result<()> {
    Ok(stopping().await?)
}

/// N12: two servers in one task stop on their own.
#[test]
fn servers_of_one_task_stop_on_their_own() {
    testing::run(async || {
        let ((one, of_one), (other, of_other)) = (bound().await?, bound().await?);
        let both = spawn({
            let one = one.clone().serve_shared(polite).drain(Duration::MAX);
            let other = other.clone().serve_shared(polite).drain(Duration::MAX);
            async move {
                let (one, other) = futures::join!(one, other);
                one.and(other)
            }
        });
        let (client, other_client) = (connected(of_one).await?, connected(of_other).await?);
        one.close();
        client.read_exact(&mut [0; 7]).await?;
        other_client.write_all(b"hi").await?;
        other_client.read_exact(&mut [0; 2]).await?;
        other.close();
        other_client.read_exact(&mut [0; 7]).await?;
        both.await
    })
    .unwrap();
}

/// N12, K5: a shutdown of the kernel cancels the handlers as it does every task, so there is no
/// time to drain.
#[test]
fn a_shutdown_cancels_the_handlers_of_a_server() {
    let cleaned = Rc::new(Cell::new(0));
    let seen = cleaned.clone();
    testing::run(async || {
        let handler = async move |stream: TcpStream, _| {
            let read = stream.read(&mut [0; 9]).await.map(drop);
            seen.set(seen.get() + usize::from(read.is_err()));
            read
        };
        let (server, address) =
            own(|listener| listener.serve(handler).drain(Duration::MAX)).await?;
        spawn(server);
        let client = TcpStream::connect(address).await?;
        testing::settle().await?;
        Ok::<_, io::Error>(client) // it does not leave before the shutdown
    })
    .unwrap();
    assert_eq!(cleaned.get(), 1);
}
