//! Connecting to several addresses of which some do not answer (N10).

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use curium::kernel::{Kernel, now, testing, timeout_after};
use curium::net::simulated::SimulatedNet;
use curium::net::{SimulatedNetExt, TcpListener, TcpOptions, TcpStream, resolve};

use crate::support::half_open::{Silent, assert_none_half_open};
use crate::support::time::SECOND;

/// N10: an address that does not answer costs 250 ms, and its socket is closed.
#[test]
fn a_silent_address_costs_a_quarter_of_a_second() {
    testing::run(async || {
        let (silent, deaf) = (Silent::new(), Silent::new());
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let answers = listener.local_addr()?;
        for (addresses, expected) in [
            (vec![silent.address, answers], 250),
            (vec![silent.address, deaf.address, answers], 500),
            (vec![answers, silent.address], 0),
        ] {
            let began = now();
            let stream = TcpStream::connect(&addresses[..]).await?;
            assert_eq!(now() - began, Duration::from_millis(expected));
            assert_eq!(stream.peer_addr()?, answers);
            assert_none_half_open([silent.address, deaf.address]);
            listener.accept().await?;
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N10: an address that refuses costs nothing, and with options the attempts are the same.
#[test]
fn an_address_that_refuses_costs_nothing() {
    testing::run(async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let answers = listener.local_addr()?;
        let began = now();
        let refuses = refusing()?;
        let options = TcpOptions::new().nodelay(true);
        let stream = options.connect(vec![refuses, answers]).await?;
        assert!(stream.nodelay()?);
        assert_eq!((stream.peer_addr()?, now() - began), (answers, Duration::ZERO));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// A port at which no socket listens any more.
fn refusing() -> io::Result<SocketAddr> {
    std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// N10, N4: the error names every address in the order of the attempts. A timeout closes the
/// sockets of all.
#[test]
fn an_error_and_a_timeout_end_every_attempt() {
    testing::run(async || {
        let (silent, deaf) = (Silent::new(), Silent::new());
        let both = vec![silent.address, deaf.address];
        assert!(timeout_after(SECOND, TcpStream::connect(both)).await.is_err());
        assert_none_half_open([silent.address, deaf.address]);
        let (one, other) = (refusing()?, refusing()?);
        let error = TcpStream::connect(vec![one, other]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let (text, first, second) = (error.to_string(), one.to_string(), other.to_string());
        let places = [text.find(&first), text.find(&second)].map(Option::unwrap);
        assert!(places[0] < places[1], "{error}");
        let error = TcpStream::connect(Vec::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N10: `resolve` gives the addresses of a name, and an address as it is. Its error names the name.
#[test]
fn a_name_is_resolved_and_an_address_is_as_it_is() {
    testing::run(async || {
        let found = resolve("localhost:7").await?;
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7));
        let address: SocketAddr = "192.0.2.1:9".parse().expect("an address");
        assert_eq!(resolve(address).await?, [address]);
        assert_eq!(resolve(vec![address; 2]).await?, [address; 2]);
        let error = resolve("127.0.0.1").await.unwrap_err();
        assert!(error.to_string().ends_with("give a port as well, as in \"host:port\""), "{error}");
        let error = resolve("no such name:80").await.unwrap_err();
        assert!(error.to_string().contains("\"no such name:80\""), "{error}");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N10: the addresses of a name are attempted in turns of the families, so that a family that does
/// not work costs one attempt, however many addresses it has.
#[test]
fn a_family_that_does_not_work_costs_one_attempt() {
    let builder = Kernel::builder().simulated_net();
    testing::run_with(builder, async || {
        let net = SimulatedNet::current();
        let ms = Duration::from_millis;
        net.latency(ms(10)..=ms(10));
        let server = net.host("server");
        // No host has the first two.
        let [gone, lost] = ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse().expect("an address"));
        net.name("service", [gone, lost, server.ip()]);
        let listener = server.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
        let began = now();
        let stream = TcpStream::connect("service:80").await?;
        // The look-up, the pause, and there and back.
        assert_eq!(now() - began, ms(20) + ms(250) + ms(20));
        assert_eq!(stream.peer_addr()?.ip(), server.ip());
        listener.accept().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
