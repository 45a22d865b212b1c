//! Datagrams over UDP (N9).

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use curium::cancelled;
use curium::net::{Received, UdpSocket};
use curium::prelude::*;
use rustix::net::sockopt;

use crate::support::both;

const LOCAL: &str = "127.0.0.1:0";

async fn pair() -> io::Result<(UdpSocket, UdpSocket)> {
    Ok((UdpSocket::bind(LOCAL).await?, UdpSocket::bind(LOCAL).await?))
}

fn shown(received: Received) -> (usize, bool) {
    (received.len, received.truncated)
}

/// N9: datagrams keep their bounds and name their sender. An empty one is data.
#[test]
fn datagrams_keep_their_bounds() {
    both::run(async || {
        let (one, other) = pair().await?;
        let to = other.local_addr()?;
        for datagram in [&b"one"[..], b"", b"three"] {
            one.send_to(datagram, to).await?;
        }
        let mut buf = [0; 16];
        for expected in [&b"one"[..], b"", b"three"] {
            let (got, from) = other.recv_from(&mut buf).await?;
            assert_eq!((&buf[..got.len], got.truncated), (expected, false));
            assert_eq!(from, one.local_addr()?);
        }
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: a datagram that does not fit into the buffer is cut, and the receiver learns it; one that
/// fits exactly is whole, and so is the largest one.
#[test]
fn a_datagram_that_was_cut_says_so() {
    both::run(async || {
        let (one, other) = pair().await?;
        let to = other.local_addr()?;
        let mut small = [0; 4];
        for (datagram, expected) in [("four", (4, false)), ("fives", (4, true)), ("", (0, false))] {
            one.send_to(datagram.as_bytes(), to).await?;
            let (peeked, from) = other.peek_from(&mut small).await?;
            assert_eq!((shown(peeked), from), (expected, one.local_addr()?));
            assert_eq!(shown(other.peek(&mut small).await?), expected);
            assert_eq!(shown(other.recv(&mut small).await?), expected);
            assert!(datagram.as_bytes().starts_with(&small[..expected.0]));
        }
        one.send_to(b"lost", to).await?;
        assert_eq!(shown(other.recv(&mut []).await?), (0, true));

        let largest = vec![7; 65_507];
        let mut large = vec![0; 65_535];
        for size in [65_507, 65_535] {
            one.send_to(&largest, to).await?;
            assert_eq!(shown(other.recv(&mut large[..size]).await?), (65_507, false));
            assert_eq!(large[..65_507], largest);
        }
        let error = one.send_to(&large, to).await.unwrap_err();
        assert_eq!(rustix::io::Errno::from_io_error(&error), Some(rustix::io::Errno::MSGSIZE));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: a socket with a peer receives from it alone, and may get another peer.
#[test]
fn a_connected_socket_receives_from_its_peer_alone() {
    both::run(async || {
        let (one, other) = pair().await?;
        let third = UdpSocket::bind(LOCAL).await?;
        let error = one.send(b"x").await.unwrap_err();
        assert_eq!(rustix::io::Errno::from_io_error(&error), Some(rustix::io::Errno::DESTADDRREQ));
        one.connect(other.local_addr()?).await?;
        assert_eq!(one.peer_addr()?, other.local_addr()?);
        third.send_to(b"stranger", one.local_addr()?).await?;
        other.send_to(b"peer", one.local_addr()?).await?;
        let mut buf = [0; 16];
        let got = one.recv(&mut buf).await?;
        assert_eq!(&buf[..got.len], b"peer");
        one.send(b"answer").await?;
        let got = other.recv(&mut buf).await?;
        assert_eq!(&buf[..got.len], b"answer");

        one.connect(third.local_addr()?).await?;
        one.send(b"again").await?;
        let (got, from) = third.recv_from(&mut buf).await?;
        assert_eq!((&buf[..got.len], from), (&b"again"[..], one.local_addr()?));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: that a port is closed is an error of the next call of the socket that has it as its peer. It
/// harms no other socket, and the socket can be used on.
#[test]
fn a_closed_port_is_an_error_of_the_next_call_alone() {
    both::run(async || {
        let (one, other) = pair().await?;
        let peer = UdpSocket::bind(LOCAL).await?;
        let address = peer.local_addr()?;
        one.connect(address).await?;
        drop(peer);
        // Its datagram is lost as well, and no call fails.
        other.send_to(b"lost", address).await?;
        other.send_to(b"kept", other.local_addr()?).await?;

        let (mut buf, mut more) = ([0; 16], [0; 16]);
        one.send(b"lost").await?;
        let refused = one.recv(&mut buf).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let got = other.recv(&mut more).await?;
        assert_eq!(&more[..got.len], b"kept");

        let again = UdpSocket::bind(address).await?;
        one.send(b"heard").await?;
        let got = again.recv(&mut buf).await?;
        assert_eq!(&buf[..got.len], b"heard");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9, N4, T1: a receive that times out has consumed nothing.
#[test]
fn a_receive_that_is_cut_short_loses_no_datagram() {
    both::run(async || {
        let (one, other) = pair().await?;
        let mut buf = [0; 8];
        let cut = timeout_after(Duration::ZERO, other.recv(&mut buf)).await;
        assert!(cut.is_err());
        one.send_to(b"here", other.local_addr()?).await?;
        let got = other.recv(&mut buf).await?;
        assert_eq!(&buf[..got.len], b"here");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9, N3, N5: one task receives at a time. A close wakes it with an error, and ends the socket.
#[test]
fn a_second_receiver_is_refused_and_a_close_wakes_the_first() {
    both::run(async || {
        let socket = std::rc::Rc::new(UdpSocket::bind(LOCAL).await.unwrap());
        let receiver = spawn({
            let socket = socket.clone();
            async move { socket.recv(&mut [0; 8]).await.map(drop) }
        });
        curium::testing::settle().await.unwrap();
        let busy = socket.recv_from(&mut [0; 8]).await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
        socket.close();
        assert_eq!(receiver.await.unwrap_err().kind(), ErrorKind::NotConnected);
        let closed = socket.send_to(b"x", ([127, 0, 0, 1], 1)).await.unwrap_err();
        assert_eq!(closed.kind(), ErrorKind::NotConnected);
        assert_eq!(socket.local_addr().unwrap_err().kind(), ErrorKind::NotConnected);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9, C1: a task that waits for a datagram is cancelled there, and shows where it waits.
#[test]
fn a_waiting_receiver_is_cancelled() {
    both::run(async || {
        let receiver = spawn(async {
            let socket = UdpSocket::bind(LOCAL).await?;
            socket.recv_from(&mut [0; 8]).await.map(drop)
        });
        curium::testing::settle().await.unwrap();
        let tasks = curium::tasks();
        let parked = tasks.iter().flat_map(|task| &task.parked).map(|at| at.kind);
        assert!(parked.into_iter().any(|kind| kind == "RECV_FROM"));
        receiver.cancel().await.unwrap();
        match receiver.join().await.unwrap() {
            Err(TaskError::Cancelled(error)) => assert!(cancelled(&error).is_some()),
            other => panic!("{other:?}"),
        }
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9, I1: the poll functions are no leaves: a leaf around one is cancelled, and no datagram is
/// lost by that.
#[test]
fn a_poll_of_a_socket_waits_for_a_datagram() {
    both::run(async || {
        let (one, other) = (UdpSocket::bind(LOCAL).await?, UdpSocket::bind(LOCAL).await?);
        let to = other.local_addr()?;
        let recv = async || {
            let mut buf = [0; 8];
            let recv = poll_fn(|cx| other.poll_recv_from(cx, &mut buf));
            let (received, from) = curium::cancellable(recv).await??;
            io::Result::Ok((buf[..received.len].to_vec(), from))
        };
        let begun = curium::now();
        assert!(timeout_after(Duration::from_secs(1), recv()).await.is_err());
        assert_eq!(curium::now() - begun, Duration::from_secs(1));
        let send = poll_fn(|cx| one.poll_send_to(cx, b"here", to));
        let (received, ()) = curium::gather((recv(), send)).await?;
        assert_eq!(received, (b"here".to_vec(), one.local_addr()?));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9: a broadcast needs the option, and a datagram to a group reaches those that have joined it.
#[test]
fn broadcasts_and_groups() {
    run(async || {
        let one = UdpSocket::bind("0.0.0.0:0").await?;
        let everybody = SocketAddr::from((Ipv4Addr::BROADCAST, 9));
        let refused = one.send_to(b"x", everybody).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        one.set_broadcast(true)?;
        // Whether there is a network to send it to depends on the machine.
        if let Err(error) = one.send_to(b"x", everybody).await {
            assert_ne!(error.kind(), ErrorKind::PermissionDenied);
        }

        let group = Ipv4Addr::new(239, 1, 2, 3);
        let member = UdpSocket::bind("0.0.0.0:0").await?;
        member.join_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
        one.as_fd(|fd| Ok(sockopt::set_ip_multicast_if(fd, &Ipv4Addr::LOCALHOST)?))?;
        one.send_to(b"all", (group, member.local_addr()?.port())).await?;
        let mut buf = [0; 8];
        let got = member.recv(&mut buf).await?;
        assert_eq!(&buf[..got.len], b"all");
        member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST)?;
        assert!(member.leave_multicast_v4(group, Ipv4Addr::LOCALHOST).is_err());

        let member = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await?;
        let group = Ipv6Addr::new(0xff11, 0, 0, 0, 0, 0, 0, 1);
        member.join_multicast_v6(group, 1)?;
        member.leave_multicast_v6(group, 1)?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// N9, N4: a bind names every address that it tried. A socket of std is taken over.
#[test]
fn a_bind_that_fails_names_the_address() {
    run(async || {
        let taken = std::net::UdpSocket::bind(LOCAL)?;
        let address = taken.local_addr()?;
        let error = UdpSocket::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot bind {address}: ")), "{error}");

        let socket = UdpSocket::from_std(taken)?;
        socket.send_to(b"self", address).await?;
        assert_eq!(shown(socket.recv(&mut [0; 4]).await?), (4, false));
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
