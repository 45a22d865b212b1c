//! Datagrams over Unix sockets (N9).

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::rc::Rc;

use curium::kernel::testing;
use curium::net::UnixDatagram;
use curium::prelude::*;

use crate::support::dirs::TempDir;
use crate::support::time::SECOND;

/// How many datagrams a queue may hold, for sure. The system allows 10, if it is not set otherwise.
const MANY: u32 = 10_000;

/// Sends numbers to the receiver until its queue is full; returns how many there are.
async fn fill(sender: &UnixDatagram, to: &SocketAddr) -> io::Result<u32> {
    for number in 0..MANY {
        let datagram = number.to_le_bytes();
        if ignore_after(SECOND, sender.send_to(&datagram, to)).await?.is_none() {
            return Ok(number);
        }
    }
    panic!("the queue has no end");
}

async fn number(socket: &UnixDatagram) -> io::Result<u32> {
    let mut buf = [0; 4];
    assert_eq!(socket.recv(&mut buf).await?.len, 4);
    Ok(u32::from_le_bytes(buf))
}

/// N9: datagrams keep their bounds and name their sender, who may have no name. An empty one is
/// data.
#[test]
fn datagrams_keep_their_bounds() {
    let dir = TempDir::new();
    let (here, there) = (dir.of("here"), dir.of("there"));
    run(async || {
        let (one, other) = (UnixDatagram::bind(&here)?, UnixDatagram::bind(&there)?);
        let nameless = UnixDatagram::unbound()?;
        let mut buf = [0; 16];
        for datagram in [&b"one"[..], b"", b"three"] {
            one.send_to(datagram, &there).await?;
            nameless.send_to(datagram, &there).await?;
        }
        for expected in [&b"one"[..], b"", b"three"] {
            let (peeked, _) = other.peek_from(&mut buf).await?;
            assert_eq!(&buf[..peeked.len], expected);
            let (got, from) = other.recv_from(&mut buf).await?;
            assert_eq!((&buf[..got.len], got.truncated), (expected, false));
            assert_eq!(from.as_pathname(), Some(&*here));
            let (got, from) = other.recv_from(&mut buf).await?;
            assert!(&buf[..got.len] == expected && from.is_unnamed());
        }
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: a datagram that does not fit into the buffer is cut, and the receiver learns it. A large one
/// is whole in a buffer that is large enough.
#[test]
fn a_datagram_that_was_cut_says_so() {
    run(async || {
        let (one, other) = UnixDatagram::pair()?;
        let mut small = [0; 4];
        for (datagram, expected) in [("four", (4, false)), ("fives", (4, true)), ("", (0, false))] {
            one.send(datagram.as_bytes()).await?;
            let (peeked, _) = other.peek_from(&mut small).await?;
            let got = other.recv(&mut small).await?;
            assert_eq!((got.len, got.truncated), expected);
            assert_eq!(peeked, got);
            assert!(datagram.as_bytes().starts_with(&small[..got.len]));
        }
        one.send(b"lost").await?;
        let got = other.recv(&mut []).await?;
        assert_eq!((got.len, got.truncated), (0, true));
        let large = vec![7; 100_000];
        let mut buf = vec![0; large.len()];
        one.send(&large).await?;
        let got = other.recv(&mut buf).await?;
        assert_eq!((got.len, got.truncated), (large.len(), false));
        assert!(buf == large);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: a socket with an abstract name is sent to, is a peer, and answers.
#[test]
fn abstract_names_are_addresses_of_datagrams() {
    run(async || {
        let name = |of| {
            SocketAddr::from_abstract_name(format!("curium datagrams {of} {}", std::process::id()))
        };
        let (server, client) = (UnixDatagram::bind(name(1)?)?, UnixDatagram::bind(name(2)?)?);
        client.connect(name(1)?)?;
        assert_eq!(client.peer_addr()?.as_abstract_name(), name(1)?.as_abstract_name());
        client.send(b"ping").await?;
        let mut buf = [0; 16];
        let (got, from) = server.recv_from(&mut buf).await?;
        assert_eq!(from.as_abstract_name(), name(2)?.as_abstract_name());
        server.send_to(&buf[..got.len], &from).await?;
        assert_eq!(client.recv(&mut buf).await?.len, 4);
        assert_eq!(&buf[..4], b"ping");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9, N3, N4: a datagram to a full queue waits until there is room, and is not sent if that wait
/// is cancelled. No other one is sent meanwhile. All arrive in order.
#[test]
fn a_send_waits_for_room_at_the_receiver() {
    let dir = TempDir::new();
    testing::run(async || {
        let receiver = UnixDatagram::bind(dir.of("receiver"))?;
        let to = receiver.local_addr()?;
        let sender = Rc::new(UnixDatagram::unbound()?);
        let room = fill(&sender, &to).await?;
        let sends = |value: u32| {
            let (sender, to) = (sender.clone(), to.clone());
            spawn(async move { sender.send_to(&value.to_le_bytes(), to).await })
        };
        let cancelled = sends(MANY);
        testing::settle().await?;
        cancelled.cancel().await?;
        let waiting = sends(room);
        testing::settle().await?;
        for second in [sender.send_to(b"2", &to).await, sender.send(b"2").await] {
            assert_eq!(second.unwrap_err().kind(), ErrorKind::ResourceBusy);
        }
        for expected in 0..=room {
            assert_eq!(number(&receiver).await?, expected);
        }
        waiting.await?;
        assert!(ignore_after(SECOND, number(&receiver)).await?.is_none());
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N1, N9: a send to the peer parks while the peer's queue is full, and an event wakes it.
#[test]
fn a_send_to_the_peer_is_woken_by_an_event() {
    let dir = TempDir::new();
    testing::run(async || {
        let receiver = UnixDatagram::bind(dir.of("receiver"))?;
        let (sender, sent) = (UnixDatagram::unbound()?, Rc::new(Cell::new(0)));
        sender.connect(dir.of("receiver"))?;
        let counts = sent.clone();
        let sending = spawn(async move {
            for number in 0..MANY {
                sender.send(&number.to_le_bytes()).await?;
                counts.set(number + 1);
            }
            Ok::<_, io::Error>(())
        });
        testing::settle().await?;
        assert_eq!(sending.state().to_string(), "SEND");
        let room = sent.get();
        for expected in 0..room + 5 {
            assert_eq!(number(&receiver).await?, expected);
        }
        assert!(sent.get() >= room + 4);
        sending.cancel().await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9, N5: a send to where no socket is fails. A close wakes a receiver, and what is shut down is
/// not sent on.
#[test]
fn a_datagram_without_a_receiver_is_an_error() {
    let dir = TempDir::new();
    let path = dir.of("gone");
    testing::run(async || {
        let (one, other) = UnixDatagram::pair()?;
        let missing = one.connect(&path).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.to_string().contains(path.to_str().unwrap()), "{missing}");
        let sender = UnixDatagram::unbound()?;
        assert_eq!(sender.send_to(b"1", &path).await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(sender.send(b"1").await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(sender.send_to(b"1", "").await.unwrap_err().kind(), ErrorKind::InvalidInput);
        drop(UnixDatagram::bind(&path)?);
        let refused = sender.send_to(b"1", path.as_path()).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let bound = UnixDatagram::bind(&path).unwrap_err();
        assert_eq!(bound.kind(), ErrorKind::AddrInUse);
        assert!(bound.to_string().contains(path.to_str().unwrap()), "{bound}");

        one.shutdown(Shutdown::Write)?;
        assert_eq!(one.send(b"1").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let other = Rc::new(other);
        let closed = other.clone();
        let receiver = spawn(async move { closed.recv(&mut [0; 8]).await });
        testing::settle().await?;
        other.close();
        let TaskError::Failed(error) = receiver.join().await?.unwrap_err() else {
            panic!("it has failed");
        };
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
