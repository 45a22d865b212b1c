//! Connections of a socket to itself: a connect to a loopback port without a listener succeeds if
//! the system chooses that port as the local port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use kernel::testing;
use net::{TcpListener, TcpStream};

use crate::support::children;

/// An unused port from the range for outgoing connections.
fn dead_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // Both ends are aborted, so that the port is not blocked for a minute.
    let (server, _) = listener.accept().unwrap();
    rustix::net::sockopt::set_socket_linger(&client, Some(std::time::Duration::ZERO)).unwrap();
    let port = client.local_addr().unwrap().port();
    drop((client, server));
    port
}

/// N4: every attempt to connect to a port without a listener is an error. The system chooses that
/// very port about once in as many attempts as it has ports.
#[test]
fn a_connect_to_a_dead_port_is_refused_however_often_it_is_tried() {
    testing::run(async || {
        let dead = SocketAddr::from((Ipv4Addr::LOCALHOST, dead_port()));
        for _ in 0..30_000 {
            if let Ok(stream) = TcpStream::connect(dead).await {
                // Another process may listen there by now.
                assert_ne!(stream.local_addr()?, stream.peer_addr()?, "it speaks to itself");
                break;
            }
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// The address of both ends of a connection, in the form in which `strace` replaces the result:
/// 127.0.0.1:1234.
const SAME: &str = "020004d27f0000010000000000000000";

/// Makes the system report a connection to itself: at the second and every further call of
/// `getsockname`, or at the second alone. The first is the listener's.
fn to_itself(name: &str, role: &str, when: &str) -> Option<children::Trace> {
    let local = format!("inject=getsockname:poke_exit=@arg2={SAME}:when={when}");
    let peer = format!("inject=getpeername:poke_exit=@arg2={SAME}");
    let trace = "trace=connect,getsockname,getpeername";
    children::traced(name, role, &["-e", trace, "-e", &local, "-e", &peer])
}

fn connects(trace: &children::Trace) -> usize {
    trace.calls(&["connect"]).filter(|call| call.contains("AF_INET")).count()
}

/// N4: a connection to itself is dropped, and the next attempt is returned.
#[test]
fn a_connection_to_itself_is_dropped_and_tried_again() {
    let name = children::this_test!();
    if children::role().is_some() {
        return testing::run(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let client = TcpStream::connect(address).await?;
            // The dropped connection is ahead in the queue.
            let (first, _) = listener.accept().await?;
            let gone = first.read(&mut [0]).await;
            assert_eq!(gone.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            client.write_all(b"x").await?;
            let (second, _) = listener.accept().await?;
            assert_eq!(second.read(&mut [0]).await?, 1);
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
    if let Some(trace) = to_itself(name, "once", "2") {
        assert_eq!(connects(&trace), 2, "{}", trace.text());
    }
}

/// N4: a port that gives only connections to itself is refused in the end.
#[test]
fn a_connect_that_always_meets_itself_is_refused() {
    let name = children::this_test!();
    if children::role().is_some() {
        return testing::run(async || {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            let refused = TcpStream::connect(address).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let text = refused.to_string();
            assert!(text.contains(&address.to_string()) && text.contains("itself"), "{text}");
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
    if let Some(trace) = to_itself(name, "always", "2+") {
        let tries = connects(&trace);
        assert!((2..=10).contains(&tries), "{tries} tries:\n{}", trace.text());
    }
}

/// N4: after a wait, a call never returns an error whose kind means "not yet", because a caller
/// that retries on it would wait for ever.
#[test]
fn a_connect_never_fails_with_would_block() {
    let name = children::this_test!();
    if children::role().is_some() {
        return testing::run(async || {
            let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
            let error = TcpStream::connect(address).await.unwrap_err();
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(error.to_string().contains("temporarily unavailable"), "{error}");
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
    let options = ["-e", "trace=connect", "-e", "inject=connect:error=EAGAIN"];
    if let Some(trace) = children::traced(name, "EAGAIN", &options) {
        assert!(trace.injected("EAGAIN") > 0, "{}", trace.text());
    }
}
