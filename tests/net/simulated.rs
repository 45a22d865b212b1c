//! The simulated network: connections, and what their hosts see of them.

use std::io::{self, ErrorKind};
use std::time::Duration;

use curium::kernel::{self, Kernel, TaskCancelled, TaskGroup, testing};
use curium::net::simulated::SimulatedNet;
use curium::prelude::*;

/// Runs `main` with a simulated network, and checks that nothing is left.
#[track_caller]
fn run<T>(seed: u64, main: impl AsyncFnOnce(SimulatedNet) -> T) -> T {
    let builder = Kernel::builder().seed(seed).simulated_net();
    testing::run_with(builder, async || main(SimulatedNet::current()).await)
}

/// V3: connections between hosts carry bytes and their end, and the clock counts the latency.
#[test]
fn a_connection_between_hosts_takes_its_latency() {
    run(1, async |net| {
        let ms = Duration::from_millis;
        net.latency(ms(10)..=ms(10));
        let (server, client) = (net.host("server"), net.host("client"));
        let listener = server.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
        let address = (server.ip(), 80);
        let echo = spawn(async move {
            let (stream, _) = listener.accept().await?;
            let mut buf = [0; 100];
            loop {
                match stream.read(&mut buf).await? {
                    0 => return Ok::<_, io::Error>(()),
                    n => stream.write_all(&buf[..n]).await?,
                }
            }
        });
        let begun = kernel::now();
        client
            .run(async || {
                let stream = TcpStream::connect(address).await?;
                assert_eq!(stream.local_addr()?.ip(), client.ip());
                assert_eq!(kernel::now() - begun, ms(20));
                stream.write_all(b"hello").await?;
                let mut buf = [0; 5];
                stream.read_exact(&mut buf).await?;
                assert_eq!((&buf, kernel::now() - begun), (b"hello", ms(40)));
                Ok::<_, io::Error>(())
            })
            .await?;
        echo.await
    })
    .unwrap();
}

/// V3: a port without a listener refuses, and an address without a host does not answer.
#[test]
fn an_address_that_nothing_has_does_not_answer() {
    run(1, async |net| {
        let host = net.host("there");
        let refused = TcpStream::connect((host.ip(), 80)).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let begun = kernel::now();
        let silent = TcpStream::connect("10.9.9.9:80").await.unwrap_err();
        assert_eq!(silent.kind(), ErrorKind::TimedOut);
        assert_eq!(kernel::now() - begun, Duration::from_secs(127));
    });
}

/// V3, K8: tasks that wait for each other on simulated sockets alone are in a deadlock.
#[test]
fn two_readers_of_one_connection_are_in_a_deadlock() {
    let run = || {
        run(1, async |_| {
            let listener = TcpListener::bind("127.0.0.1:80").await?;
            let one = TcpStream::connect("127.0.0.1:80").await?;
            let (other, _) = listener.accept().await?;
            let mut buf = [0];
            TaskGroup::<io::Error>::scope(async |g| {
                g.spawn(async move { other.read(&mut [0]).await.map(drop) });
                one.read(&mut buf).await.map(drop)
            })
            .await
        })
    };
    let panic = std::panic::catch_unwind(run).unwrap_err();
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.starts_with("deadlock") && text.contains("READ"), "{text}");
}

/// V3, N2: a simulated socket belongs to its kernel.
#[test]
fn a_simulated_socket_is_refused_in_another_kernel() {
    let kernel = Kernel::builder().simulated_net().build().unwrap();
    let stream = kernel.run(async || {
        let _listener = TcpListener::bind("127.0.0.1:80").await?;
        TcpStream::connect("127.0.0.1:80").await
    });
    let stream = stream.unwrap();
    std::thread::spawn(move || {
        let error = kernel::run(async || stream.read(&mut [0]).await).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("belongs to the kernel"), "{error}");
    })
    .join()
    .unwrap();
    kernel.run(async || Ok::<_, TaskCancelled>(())).unwrap();
    kernel.shutdown();
}

/// V3, N9: datagrams between hosts keep their bounds; a closed port is an error of the peer.
#[test]
fn datagrams_reach_their_host() {
    use curium::net::UdpSocket;
    run(1, async |net| {
        let (one, other) = (net.host("one"), net.host("other"));
        let receiver = one.run(async || UdpSocket::bind("0.0.0.0:53").await).await?;
        let sender = other.run(async || UdpSocket::bind("0.0.0.0:0").await).await?;
        sender.connect((one.ip(), 53)).await?;
        sender.send(b"").await?;
        sender.send(b"hello").await?;
        let mut buf = [0; 3];
        let mut sizes = Vec::new();
        for _ in 0..2 {
            let (got, from) = receiver.recv_from(&mut buf).await?;
            assert_eq!(from, sender.local_addr()?);
            sizes.push((got.len, got.truncated));
        }
        sizes.sort_unstable();
        assert_eq!(sizes, [(0, false), (3, true)]);
        receiver.close();
        sender.send(b"late").await?;
        let error = sender.recv(&mut buf).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3: a loopback is that of a host, and so are the ports.
#[test]
fn hosts_have_loopbacks_and_ports_of_their_own() {
    run(1, async |net| {
        let (one, other) = (net.host("one"), net.host("other"));
        let bind = async || TcpListener::bind("127.0.0.1:80").await;
        let listener = one.run(bind).await?;
        let refused = other.run(async || TcpStream::connect("127.0.0.1:80").await).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let from_outside = other.run(async || TcpStream::connect((one.ip(), 80)).await).await;
        assert_eq!(from_outside.unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let stream = one.run(async || TcpStream::connect("localhost:80").await).await?;
        assert_eq!(listener.accept().await?.1, stream.local_addr()?);

        other.run(bind).await?;
        for taken in ["127.0.0.1:80", "0.0.0.0:80"] {
            let taken = one.run(async || TcpListener::bind(taken).await).await.unwrap_err();
            assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        }
        let elsewhere = one.run(async || TcpListener::bind((other.ip(), 80)).await).await;
        assert_eq!(elsewhere.unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        listener.close();
        one.run(bind).await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3: hosts reach each other over IPv6 as well, by the first address of a name.
#[test]
fn a_name_leads_to_ipv6_first() {
    run(1, async |net| {
        let server = net.host("server");
        let listener = server.run(async || TcpListener::bind("[::]:80").await).await?;
        let stream = TcpStream::connect("server:80").await?;
        assert_eq!(stream.peer_addr()?, (server.ip_v6(), 80).into());
        assert_eq!(listener.accept().await?.1, stream.local_addr()?);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3: on the real clock, packets take real time.
#[test]
fn the_latency_holds_on_the_real_clock() {
    let ms = Duration::from_millis(1);
    let begun = std::time::Instant::now();
    let exchanged = Kernel::builder().simulated_net().run(async || {
        let net = SimulatedNet::current();
        net.latency(2 * ms..=3 * ms);
        let server = net.host("server");
        let listener = server.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
        let stream = TcpStream::connect((server.ip(), 80)).await?;
        stream.write_all(b"x").await?;
        listener.accept().await?.0.read(&mut [0]).await
    });
    assert_eq!(exchanged.unwrap(), 1);
    // There, back, and there.
    assert!(begun.elapsed() >= 6 * ms);
}

/// V3: a listener that is closed resets what it has not accepted, and a connect that gives up
/// leaves nothing on its way.
#[test]
fn a_closed_listener_resets_its_queue() {
    run(1, async |net| {
        let server = net.host("server");
        let listener = server.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
        let stream = TcpStream::connect((server.ip(), 80)).await?;
        listener.close();
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);

        let listener = server.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
        let mut queued = Vec::new();
        let silent = loop {
            match TcpStream::connect((server.ip(), 80)).await {
                Ok(stream) => queued.push(stream),
                Err(error) => break error,
            }
        };
        assert_eq!((silent.kind(), queued.len()), (ErrorKind::TimedOut, 1024));
        drop((listener, queued));
        let lines = net.trace().lines().count();
        sleep(Duration::from_secs(60)).await?;
        // The connect that was given up is tried once more at most.
        assert!(net.trace().lines().skip(lines).filter(|it| it.ends_with("syn")).count() <= 1);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
