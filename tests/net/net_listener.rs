//! `net::TcpListener` and connecting: addresses, errors that name them, and interrupted waits.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use kernel::{Task, TaskError, cancelled, sleep, spawn, testing, timeout_after};
use net::{TcpListener, TcpStream};

use crate::support::both::{self, Peer};
use crate::support::time::SECOND;

/// A task that accepts one connection and gives the peer's address.
fn accepter(listener: &Rc<TcpListener>) -> Task<SocketAddr, io::Error> {
    let listener = listener.clone();
    spawn(async move { Ok(listener.accept().await?.1) })
}

/// N1: connections that are queued are accepted without parking, in order, with the peer's address.
#[test]
fn queued_connections_are_accepted_in_order() {
    both::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(Peer::connect(address)?);
        }
        for client in &clients {
            let (stream, peer) = listener.accept().now_or_never().expect("one is queued")?;
            assert_eq!(peer, client.local_addr()?);
            assert_eq!(stream.peer_addr()?, peer);
            assert_eq!(stream.local_addr()?, address);
        }
        assert!(listener.accept().now_or_never().is_none());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4, C2: a cancelled or timed-out accept loses no connection.
#[test]
fn a_cancelled_accept_leaves_the_connection_for_the_next_one() {
    both::run(async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let task = accepter(&listener);
        testing::settle().await?;
        assert_eq!(task.state().to_string(), "ACCEPT");
        task.cancel().await?;
        assert!(matches!(task.join().await?, Err(TaskError::Cancelled(_))));
        assert!(timeout_after(SECOND, listener.accept()).await.is_err());
        let client = Peer::connect(listener.local_addr()?)?;
        let (_stream, peer) = timeout_after(SECOND, listener.accept()).await??;
        assert_eq!(peer, client.local_addr()?);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4, C1: a connection that comes together with a cancellation is accepted once, by this call or
/// the next.
#[test]
fn an_accept_that_races_with_a_cancel_loses_no_connection() {
    for look_first in [true, false] {
        both::run(async || {
            let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
            let task = accepter(&listener);
            testing::settle().await?;
            let client = Peer::connect(listener.local_addr()?)?;
            if look_first {
                kernel::yield_now().await?;
            }
            task.request_cancel();
            let peer = match task.join().await? {
                Ok(peer) => peer,
                Err(TaskError::Cancelled(_)) => listener.accept().await?.1,
                Err(other) => panic!("{other:?}"),
            };
            assert_eq!(peer, client.local_addr()?, "{look_first}");
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
}

/// C1: a queued connection is accepted although a cancellation is pending.
#[test]
fn an_accept_that_need_not_park_wins_over_a_pending_cancel() {
    both::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let client = Peer::connect(listener.local_addr()?)?;
        let task = spawn(async move {
            let (_stream, peer) = listener.accept().await?;
            Ok::<_, io::Error>((peer, sleep(SECOND).await.is_err()))
        });
        task.request_cancel();
        assert_eq!(task.join().await?.unwrap(), (client.local_addr()?, true));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N5: a close wakes the task that accepts, and frees the address.
#[test]
fn close_wakes_the_parked_accepter() {
    both::run(async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let address = listener.local_addr()?;
        let task = accepter(&listener);
        testing::settle().await?;
        listener.close();
        let Err(TaskError::Failed(error)) = task.join().await? else { panic!("it was closed") };
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(listener.local_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N3: a second accepter is refused, and the first is not affected.
#[test]
fn a_second_accepter_is_refused_and_the_first_is_unharmed() {
    both::run(async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let first = accepter(&listener);
        testing::settle().await?;
        assert_eq!(listener.accept().await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        let client = Peer::connect(listener.local_addr()?)?;
        assert_eq!(first.join().await?.unwrap(), client.local_addr()?);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1: a connection whose peer sent something and closed before the accept is still accepted, and
/// read to its end.
#[test]
fn a_connection_that_is_over_before_it_is_accepted_can_still_be_read() {
    both::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut client = Peer::connect(listener.local_addr()?)?;
        client.write_all(b"bye")?;
        drop(client);
        testing::settle().await?;
        let (stream, _) = listener.accept().await?;
        let mut buf = [0; 64];
        assert_eq!(stream.read(&mut buf).await?, 3);
        assert_eq!(stream.read(&mut buf).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N2: a listener moves to another thread's kernel.
#[test]
fn a_listener_moves_to_another_threads_kernel() {
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        assert!(timeout_after(SECOND, listener.accept()).await.is_err());
        let elsewhere = kernel::run_in_thread(move || {
            kernel::run(async || Ok::<_, io::Error>(listener.accept().await?.1))
        });
        let elsewhere = spawn(elsewhere);
        kernel::yield_now().await?;
        let stream = TcpStream::connect(address).await?;
        let accepted = elsewhere.join().await?.unwrap()?;
        assert_eq!(accepted, stream.local_addr()?);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// Errors of binding and of connecting name the address.
#[test]
fn errors_name_the_address() {
    both::run(async || {
        let deaf = both::deaf().await?;
        let refused = TcpStream::connect(deaf).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(refused.to_string().contains(&deaf.to_string()), "{refused}");
        let taken = TcpListener::bind("127.0.0.1:0").await?;
        let address = taken.local_addr()?;
        let in_use = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(in_use.kind(), ErrorKind::AddrInUse);
        assert!(in_use.to_string().contains(&address.to_string()), "{in_use}");
        let nonsense = TcpStream::connect("no port at all").await.unwrap_err();
        assert!(nonsense.to_string().contains("no port at all"), "{nonsense}");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// K8: a name is looked up on another thread, and a virtual clock waits for that. The first address
/// that accepts is used.
#[test]
fn a_name_is_looked_up() {
    both::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let by_pair = timeout_after(SECOND, TcpStream::connect(("localhost", port))).await??;
        assert_eq!(by_pair.peer_addr()?.port(), port);
        let by_text = TcpStream::connect(format!("localhost:{port}")).await?;
        assert_eq!(by_text.peer_addr()?, listener.local_addr()?);
        let refused =
            TcpStream::connect(("localhost", both::deaf().await?.port())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// How many sockets of this system wait for an answer to their connect to `port`.
#[cfg(target_os = "linux")]
fn half_open(port: u16) -> usize {
    const SYN_SENT: &str = "02";
    let remote = format!("0100007F:{port:04X}");
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    columns.filter(|line| line[2] == remote && line[3] == SYN_SENT).count()
}

/// N4: a connect that is cancelled, or times out, while the peer does not answer, closes its
/// socket.
#[cfg(target_os = "linux")]
#[test]
fn a_cancelled_connect_leaks_nothing() {
    testing::run(async || {
        // No task accepts here: when the backlog is full, further connects stay unanswered.
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut queued = Vec::new();
        let hanging = loop {
            let connect = spawn(TcpStream::connect(address));
            testing::settle().await?;
            if !connect.is_done() {
                break connect;
            }
            queued.push(connect.join().await?.unwrap());
            assert!(queued.len() < 10_000, "the backlog does not fill");
        };
        assert_eq!(hanging.state().to_string(), "CONNECT");
        assert_eq!(half_open(address.port()), 1);
        hanging.cancel().await?;
        let Err(TaskError::Cancelled(error)) = hanging.join().await? else { panic!("cancelled") };
        assert!(cancelled(&error).is_some());
        assert_eq!(half_open(address.port()), 0);
        assert!(timeout_after(Duration::ZERO, TcpStream::connect(address)).await.is_err());
        assert_eq!(half_open(address.port()), 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
