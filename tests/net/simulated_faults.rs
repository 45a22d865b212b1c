//! Faults of the simulated network, and what it does with packets.

use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{self, Kernel, TaskError, testing};
use curium::net::UdpSocket;
use curium::net::simulated::{Host, SimulatedNet};
use curium::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// Runs `main` with a simulated network of two hosts, and checks that nothing is left.
#[track_caller]
fn run<T>(seed: u64, main: impl AsyncFnOnce(SimulatedNet, [Host; 2]) -> T) -> T {
    let builder = Kernel::builder().seed(seed).simulated_net();
    testing::run_with(builder, async || {
        let net = SimulatedNet::current();
        let hosts = [net.host("one"), net.host("other")];
        main(net, hosts).await
    })
}

/// A connection from `one` to `other`, and its listener.
async fn connected([one, other]: &[Host; 2]) -> io::Result<(TcpStream, TcpStream, TcpListener)> {
    let listener = other.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
    let stream = one.run(async || TcpStream::connect("other:80").await).await?;
    let accepted = listener.accept().await?.0;
    Ok((stream, accepted, listener))
}

/// V3: a partition holds the bytes of a connection back, and they arrive in order after it.
#[test]
fn a_partition_holds_bytes_back_until_it_is_healed() {
    run(1, async |net, hosts| {
        let (stream, accepted, _listener) = connected(&hosts).await?;
        stream.write_all(b"on its way").await?;
        net.partition(&hosts[0], &hosts[1]);
        stream.write_all(b", held").await?;
        drop(stream);
        let mut buf = [0; 64];
        let waits = timeout_after(Duration::from_secs(60), accepted.read(&mut buf)).await;
        assert!(waits.is_err(), "{waits:?}");
        net.heal();
        let mut got = Vec::new();
        loop {
            match accepted.read(&mut buf).await? {
                0 => break,
                n => got.extend_from_slice(&buf[..n]),
            }
        }
        assert_eq!(got, b"on its way, held");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3: a connection that gets no answer is given up, and a partition refuses no connect.
#[test]
fn a_partition_that_lasts_ends_a_connection() {
    run(1, async |net, hosts| {
        let (stream, accepted, _listener) = connected(&hosts).await?;
        net.partition(&hosts[0], &hosts[1]);
        let begun = kernel::now();
        stream.write_all(b"hello?").await?;
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(kernel::now() - begun >= Duration::from_secs(924));
        let connect = hosts[0].run(async || TcpStream::connect("other:80").await);
        assert_eq!(connect.await.unwrap_err().kind(), ErrorKind::TimedOut);
        net.heal();
        // Nothing of it arrives later.
        assert!(timeout_after(Duration::from_secs(60), accepted.read(&mut [0])).await.is_err());
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3, N7: a reset ends both ends of a connection, also a task that waits there.
#[test]
fn a_reset_ends_both_ends() {
    run(1, async |net, hosts| {
        let (stream, accepted, _listener) = connected(&hosts).await?;
        let reader = spawn(async move { accepted.read(&mut [0]).await });
        testing::settle().await?;
        net.reset(&hosts[0], &hosts[1]);
        let Err(TaskError::Failed(error)) = reader.join().await? else { panic!("it was reset") };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_eq!(stream.read(&mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        // The error is reported once (N1). Then the stream is over.
        assert_eq!(stream.read(&mut [0]).await?, 0);
        assert_eq!(stream.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3: a crash ends the sockets of a host, and a peer learns of it when it sends. The host can be
/// used again at once.
#[test]
fn a_crash_is_seen_by_a_peer_that_sends() {
    run(1, async |net, hosts| {
        let (stream, accepted, listener) = connected(&hosts).await?;
        let server = spawn(async move { listener.accept().await.map(drop) });
        testing::settle().await?;
        net.crash(&hosts[1]);
        let Err(TaskError::Failed(error)) = server.join().await? else { panic!("it has crashed") };
        assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
        assert!(accepted.write(b"x").await.is_err());
        assert!(timeout_after(Duration::from_secs(60), stream.read(&mut [0])).await.is_err());
        stream.write_all(b"are you there?").await?;
        let error = stream.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        connected(&hosts).await?;
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3, N6: an accept outlives a shortage of descriptors, and what needs a socket fails meanwhile.
#[test]
fn an_accept_outlives_a_simulated_shortage() {
    run(1, async |net, [one, other]| {
        let listener = other.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
        net.shortage(&other);
        let refused = other.run(async || TcpListener::bind("0.0.0.0:81").await).await.unwrap_err();
        assert!(refused.to_string().contains("Too many open files"), "{refused}");
        let stream = one.run(async || TcpStream::connect("other:80").await).await?;
        let accepter = spawn(async move { listener.accept().await });
        sleep(Duration::from_secs(1)).await?;
        assert!(!accepter.is_done());
        net.heal();
        assert_eq!(accepter.await?.1, stream.local_addr()?);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3: a writer waits when the capacity is used, until the reader has read and the news is there.
#[test]
fn a_full_connection_holds_its_writer() {
    run(1, async |net, hosts| {
        net.capacity(10);
        net.latency(5 * MS..=5 * MS);
        let (stream, accepted, _listener) = connected(&hosts).await?;
        assert_eq!(stream.write(&[7; 64]).await?, 10);
        let begun = kernel::now();
        let waits = timeout_after(Duration::from_secs(1), stream.write(&[7; 64])).await;
        assert!(waits.is_err());
        assert_eq!(accepted.read(&mut [0; 4]).await?, 4);
        assert_eq!(stream.write(&[7; 64]).await?, 4);
        assert_eq!(kernel::now() - begun, Duration::from_secs(1) + 5 * MS);
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// V3: bytes arrive in the sizes that were set, and in order.
#[test]
fn bytes_arrive_in_chunks() {
    run(3, async |net, hosts| {
        net.chunks(1..=3);
        let (stream, accepted, _listener) = connected(&hosts).await?;
        let sent: Vec<u8> = (0..200).collect();
        let expected = sent.clone();
        let writer = spawn(async move { Ok::<_, io::Error>(stream.write_all(&sent).await?) });
        let (mut got, mut sizes) = (Vec::new(), [0; 65]);
        loop {
            let mut buf = [0; 64];
            let n = accepted.read(&mut buf).await?;
            got.extend_from_slice(&buf[..n]);
            sizes[n] += 1;
            if n == 0 {
                break;
            }
        }
        assert_eq!(got, expected);
        assert!(sizes[1..=3].iter().all(|count| *count > 0), "{sizes:?}");
        writer.await
    })
    .unwrap();
}

/// V3: a full queue of a listener holds a connect up, and does not refuse it.
#[test]
fn a_connect_waits_for_room_at_the_listener() {
    run(1, async |_net, [one, other]| {
        let listener = other.run(async || TcpListener::bind("0.0.0.0:80").await).await?;
        let mut streams = Vec::new();
        let waiting = one
            .run(async || {
                loop {
                    let connect = spawn(TcpStream::connect("other:80"));
                    if timeout_after(Duration::from_secs(5), connect.wait()).await.is_err() {
                        return Ok::<_, io::Error>(connect);
                    }
                    streams.push(connect.await?);
                    assert!(streams.len() < 10_000, "the queue does not fill");
                }
            })
            .await?;
        listener.accept().await?;
        waiting.await.map(drop)
    })
    .unwrap();
}

/// V3: datagrams are lost and doubled as often as was set, and overtake each other.
#[test]
fn datagrams_are_lost_doubled_and_overtaken() {
    let got = run(5, async |net, [one, other]| {
        net.latency(MS..=20 * MS);
        net.loss(0.25);
        net.duplication(0.25);
        let receiver = other.run(async || UdpSocket::bind("0.0.0.0:53").await).await?;
        let sender = one.run(async || UdpSocket::bind("0.0.0.0:0").await).await?;
        for number in 0..100_u8 {
            sender.send_to(&[number], (other.ip(), 53)).await?;
            sleep(MS).await?;
        }
        net.heal();
        sleep(Duration::from_secs(1)).await?;
        let mut got = Vec::new();
        while let Ok(one) = timeout_after(MS, receiver.recv(&mut [0])).await {
            one?;
            got.push(());
        }
        let text = net.trace();
        let count = |what: &str| text.lines().filter(|line| line.ends_with(what)).count();
        assert_eq!(count("datagram 1"), got.len());
        assert_eq!(got.len() + count("(lost)"), 100 + count("(doubled)"));
        assert!(count("(lost)") > 10 && count("(doubled)") > 5, "{text}");
        Ok::<_, io::Error>(text)
    });
    let text = got.unwrap();
    let sent = text.lines().filter(|line| line.ends_with("datagram 1"));
    assert!(sent.count() > 50);
}

/// V3: names have the addresses that they were given, and others are unknown.
#[test]
fn names_are_looked_up_in_the_network() {
    run(1, async |net, hosts| {
        let (stream, _, _listener) = connected(&hosts).await?;
        // The second address answers: the host listens on addresses of IPv4.
        assert_eq!(stream.peer_addr()?, (hosts[1].ip(), 80).into());
        net.name("service.example", [hosts[1].ip()]);
        hosts[0].run(async || TcpStream::connect(("service.example", 80)).await).await?;
        let unknown = TcpStream::connect("nothing.example:80").await.unwrap_err();
        assert_eq!(unknown.kind(), ErrorKind::NotFound);
        assert!(unknown.to_string().contains("nothing.example"), "{unknown}");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}

/// A program with faults, whose trace is compared.
fn traced(seed: u64) -> String {
    run(seed, async |net, hosts| {
        net.latency(MS..=20 * MS);
        net.chunks(1..=16);
        let (stream, accepted, _listener) = connected(&hosts).await?;
        let stream = Rc::new(stream);
        let echo = spawn(async move {
            let mut buf = [0; 64];
            loop {
                match accepted.read(&mut buf).await? {
                    0 => return Ok::<_, io::Error>(()),
                    n => accepted.write_all(&buf[..n]).await?,
                }
            }
        });
        let writer = spawn({
            let stream = stream.clone();
            async move {
                for _ in 0..20 {
                    stream.write_all(&[7; 40]).await?;
                    sleep(MS).await?;
                }
                stream.shutdown(std::net::Shutdown::Write)
            }
        });
        sleep(5 * MS).await?;
        net.partition(&hosts[0], &hosts[1]);
        sleep(Duration::from_secs(5)).await?;
        net.heal();
        let mut total = 0;
        loop {
            match stream.read(&mut [0; 64]).await? {
                0 => break,
                n => total += n,
            }
        }
        assert_eq!(total, 800);
        writer.await?;
        echo.await?;
        Ok::<_, io::Error>(net.trace())
    })
    .unwrap()
}

/// V3: the same seed gives the same trace, and another seed another one.
#[test]
fn the_same_seed_gives_the_same_trace() {
    let first = traced(7);
    assert_eq!(first, traced(7));
    assert_ne!(first, traced(8));
    for what in ["syn", "syn ack", "data", "fin", "(held)"] {
        assert!(first.contains(what), "{what} in {first}");
    }
}
