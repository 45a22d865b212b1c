//! Options of TCP sockets: set before they are bound or connected, and on live connections.

use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use kernel::{spawn, testing};
use net::{Keepalive, TcpListener, TcpOptions, TcpStream};
use rustix::net::sockopt;

use crate::support::connections::{ours, to_std};
use crate::support::time::secs;

/// Fails unless each of `parts` is in the text of the error.
#[track_caller]
fn assert_names(error: &io::Error, parts: &[&str]) {
    for part in parts {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
}

fn probes() -> Keepalive {
    Keepalive::after(secs(60)).interval(secs(10)).retries(3)
}

/// N11: a connection has its options and its local address before it connects.
#[test]
fn a_connection_has_the_options_that_it_was_made_with() {
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let options = TcpOptions::new()
            .nodelay(true)
            .ttl(5)
            .keepalive(probes())
            .send_buffer_size(50_000)
            .recv_buffer_size(40_000)
            .local_addr((Ipv4Addr::new(127, 0, 0, 7), 0))
            .linger(Duration::ZERO);
        let stream = options.connect(listener.local_addr()?).await?;
        assert!(stream.nodelay()?);
        assert_eq!(stream.ttl()?, 5);
        assert_eq!(stream.keepalive()?, Some(probes()));
        assert_eq!(stream.linger()?, Some(Duration::ZERO));
        let (_accepted, peer) = listener.accept().await?;
        assert_eq!(peer, stream.local_addr()?);
        assert_eq!(peer.ip(), Ipv4Addr::new(127, 0, 0, 7));
        let (sends, receives) = stream.as_fd(|fd| {
            Ok((sockopt::socket_send_buffer_size(fd)?, sockopt::socket_recv_buffer_size(fd)?))
        })?;
        // Linux doubles them.
        assert!([50_000, 100_000].contains(&sends), "{sends}");
        assert!([40_000, 80_000].contains(&receives), "{receives}");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11: what a listener accepts has the options of the listener.
#[test]
fn an_accepted_connection_has_the_options_of_its_listener() {
    testing::run(async || {
        let options = TcpOptions::new().nodelay(true).keepalive(probes()).ttl(9).backlog(4);
        let listener = options.bind("127.0.0.1:0").await?;
        let _client = TcpStream::connect(listener.local_addr()?).await?;
        let (stream, _) = listener.accept().await?;
        assert!(stream.nodelay()?);
        assert_eq!(stream.keepalive()?, Some(probes()));
        assert_eq!(stream.ttl()?, 9);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11: listeners share an address if each of them asks for it, and only then.
#[test]
fn listeners_share_a_port_if_each_asks_for_it() {
    testing::run(async || {
        let shared = TcpOptions::new().reuse_port(true);
        let first = shared.clone().bind("127.0.0.1:0").await?;
        let address = first.local_addr()?;
        let _second = shared.bind(address).await?;
        let error = TcpListener::bind(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11: a listener on an IPv6 address serves that family only, if it is asked to. A machine may
/// have IPv6 switched off.
#[test]
fn an_ipv6_listener_leaves_the_port_to_ipv4() {
    testing::run(async || {
        let options = TcpOptions::new().only_v6(true);
        let Ok(listener) = options.clone().bind((Ipv6Addr::UNSPECIFIED, 0)).await else {
            println!("skipped: no IPv6");
            return Ok(());
        };
        let port = listener.local_addr()?.port();
        // For IPv4 the option does nothing.
        let _other = options.bind((Ipv4Addr::UNSPECIFIED, port)).await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11: an option that the system refuses is an error that names it and the address.
#[test]
fn an_option_that_is_refused_is_named() {
    testing::run(async || {
        let address: SocketAddr = "127.0.0.1:9".parse().expect("an address");
        let refused = [
            ("ttl", TcpOptions::new().ttl(300)),
            ("linger", TcpOptions::new().linger(secs(1))),
            ("keepalive", TcpOptions::new().keepalive(Keepalive::after(secs(1 << 40)))),
        ];
        for (name, options) in refused {
            let name = format!("the option {name}: ");
            let error = options.clone().connect(address).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            assert_names(&error, &["cannot connect to 127.0.0.1:9", &name]);
            let error = options.bind(address).await.unwrap_err();
            assert_names(&error, &["cannot listen on 127.0.0.1:9", &name]);
        }
        let elsewhere = TcpOptions::new().local_addr((Ipv4Addr::new(192, 0, 2, 1), 0));
        let error = elsewhere.connect(address).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
        assert_names(&error, &["127.0.0.1:9", "the option local_addr: "]);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11: the options of a live connection can be read and changed. An error names the option and
/// the peer.
#[test]
fn the_options_of_a_live_connection_change() {
    testing::run(async || {
        let (stream, other) = ours().await?;
        assert!(!stream.nodelay()? && !other.nodelay()?);
        stream.set_nodelay(true)?;
        assert!(stream.nodelay()?);
        assert_eq!(stream.keepalive()?, None);
        stream.set_keepalive(Some(probes()))?;
        assert_eq!(stream.keepalive()?, Some(probes()));
        stream.set_keepalive(None)?;
        assert_eq!(stream.keepalive()?, None);
        stream.set_ttl(7)?;
        assert_eq!(stream.ttl()?, 7);
        let error = stream.set_ttl(0).unwrap_err();
        let peer = stream.peer_addr()?;
        assert_names(&error, &["the option ttl of the connection to", &peer.to_string()]);
        let error = stream.set_linger(Some(secs(1))).unwrap_err();
        assert_eq!((error.kind(), stream.linger()?), (ErrorKind::InvalidInput, None));
        stream.close();
        assert_eq!(stream.ttl().unwrap_err().kind(), ErrorKind::NotConnected);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11: a time of a fraction of a second, which the system cannot have, is rounded up.
#[test]
fn times_of_probes_are_rounded_up_to_seconds() {
    testing::run(async || {
        let (stream, _other) = ours().await?;
        let shortly = Duration::from_millis(1500);
        stream.set_keepalive(Some(Keepalive::after(shortly).interval(shortly).retries(1)))?;
        let rounded = Keepalive::after(secs(2)).interval(secs(2)).retries(1);
        assert_eq!(stream.keepalive()?, Some(rounded));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N11, N5: a reset is an error at the peer, and wakes the tasks that are parked on the stream.
#[test]
fn a_reset_is_an_error_at_both_ends() {
    testing::run(async || {
        let (stream, mut theirs) = to_std().await?;
        let stream = std::rc::Rc::new(stream);
        let reader = spawn({
            let stream = stream.clone();
            async move { stream.read(&mut [0; 9]).await }
        });
        testing::settle().await?;
        stream.reset()?;
        assert_eq!(reader.await.unwrap_err().kind(), ErrorKind::NotConnected);
        assert_eq!(theirs.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.reset().unwrap_err().kind(), ErrorKind::NotConnected);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
