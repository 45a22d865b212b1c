//! Conversations through a proxy that splits, delays and loses data: every byte arrives in order,
//! or an end or an error comes at the right position, and nothing hangs.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use futures::future::join;
use kernel::{Kernel, Task, spawn, timeout_after};
use net::{TcpListener, TcpStream};

use crate::support::proxy::{Loss, Numbers, Plan, Proxy};

const SEEDS: std::ops::Range<u64> = 0..20;

/// A deadline, so that a fault is a failure and not a hang.
const LONG: Duration = Duration::from_secs(100);

/// Runs on the real clock, because there are threads on the other side. Names the seed if it fails.
fn run_seed<T>(seed: u64, main: impl AsyncFnOnce() -> io::Result<T>) -> T {
    let kernel = Kernel::builder().seed(seed);
    let ended = kernel.run(async || timeout_after(LONG, main()).await);
    match ended {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => panic!("seed {seed}: {error}"),
        Err(_) => panic!("seed {seed}: it hangs"),
    }
}

/// Takes one connection and runs `handler` on it.
async fn server<H, T>(handler: H) -> io::Result<(SocketAddr, Task<T, io::Error>)>
where
    H: AsyncFnOnce(TcpStream) -> io::Result<T> + 'static,
    T: 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let serving = async move {
        let stream = listener.accept().await?.0;
        stream.set_nodelay(true)?;
        handler(stream).await
    };
    Ok((address, spawn(serving)))
}

/// Small writes are sent at once. Otherwise the system gathers them and the tests take long.
async fn client(proxy: &Proxy) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(proxy.address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends back what comes until its end, in pieces of at most `piece`.
async fn echo(stream: &TcpStream, piece: usize) -> io::Result<usize> {
    let mut buf = vec![0; piece];
    let mut echoed = 0;
    loop {
        match stream.read(&mut buf).await? {
            0 => break,
            n => {
                stream.write_all(&buf[..n]).await?;
                echoed += n;
            }
        }
    }
    stream.shutdown(Shutdown::Write)?;
    Ok(echoed)
}

/// Lines of all lengths, as many as make `total` bytes or a few more.
fn lines(numbers: &mut Numbers, total: usize) -> Vec<u8> {
    let mut text = Vec::new();
    while text.len() < total {
        let len = [0, 1, 30, 200, 3000][numbers.below(5)];
        text.extend((0..numbers.below(len + 1)).map(|_| b'a' + numbers.below(26) as u8));
        text.push(b'\n');
    }
    text
}

/// Reads to the end of the stream, or to the error that replaced it.
async fn rest(stream: &TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut got = Vec::new();
    let mut buf = [0; 777];
    loop {
        match stream.read(&mut buf).await {
            Ok(0) => return (got, None),
            Ok(n) => got.extend_from_slice(&buf[..n]),
            Err(error) => return (got, Some(error.kind())),
        }
    }
}

#[test]
fn a_plan_follows_from_its_seed_alone() {
    let listed = |plan: &Plan| {
        let ways = [&plan.up, &plan.down];
        ways.map(|way| (way.chops().take(500).collect::<Vec<_>>(), way.loss))
    };
    let mut losses = [0, 0];
    for seed in SEEDS {
        let plan = listed(&Plan::lossy(seed, 1000));
        assert_eq!(plan, listed(&Plan::lossy(seed, 1000)));
        assert_ne!(plan[0].0, plan[1].0, "seed {seed}: both directions alike");
        assert_ne!(plan, listed(&Plan::lossy(seed + 1, 1000)));
        let whole = listed(&Plan::whole(seed));
        assert_eq!((&whole[0].0, &whole[1].0), (&plan[0].0, &plan[1].0), "other chops");
        assert!(whole.iter().all(|way| way.1.is_none()));
        assert!(plan.iter().all(|way| way.0.iter().all(|chop| (1..=4096).contains(&chop.len))));
        let lost: Vec<_> = plan.iter().filter_map(|way| way.1).collect();
        assert!(lost.len() == 1 && lost[0].0 < 1000, "seed {seed}: {lost:?}");
        losses[usize::from(lost[0].1 == Loss::Cut)] += 1;
    }
    assert!(losses.iter().all(|count| *count > 0), "one kind of loss only: {losses:?}");
}

/// N1, N3: lines that are echoed through the proxy come back complete and in order, while the two
/// halves of one stream write and read at once.
#[test]
fn every_line_comes_back_through_a_proxy_that_chops() {
    for seed in SEEDS {
        let mut numbers = Numbers::new(seed);
        let sent = lines(&mut numbers, 20_000);
        let (piece, room) = (1 + numbers.below(5000), 1 + numbers.below(5000));
        let (got, echoed, passed) = run_seed(seed, async || {
            let (address, server) = server(async move |stream| echo(&stream, piece).await).await?;
            let proxy = Proxy::before(address, Plan::whole(seed))?;
            let mut stream = client(&proxy).await?;
            let (read, write) = stream.split();
            let reading = async {
                let (mut got, mut buf) = (Vec::new(), vec![0; room]);
                loop {
                    match read.read(&mut buf).await? {
                        0 => return Ok::<_, io::Error>(got),
                        n => got.extend_from_slice(&buf[..n]),
                    }
                }
            };
            let writing = async {
                for line in sent.split_inclusive(|byte| *byte == b'\n') {
                    write.write_all(line).await?;
                }
                write.shutdown()
            };
            let (got, written) = join(reading, writing).await;
            written?;
            Ok((got?, server.join().await?.unwrap(), proxy.passed()?))
        });
        assert!(got == sent, "seed {seed}: other lines came back, or in another order");
        assert_eq!((echoed, passed), (sent.len(), [sent.len(); 2]), "seed {seed}");
    }
}

/// Messages, each after its length.
fn messages(numbers: &mut Numbers) -> Vec<Vec<u8>> {
    let mut message = || {
        let most = [1, 10, 300, 4000][numbers.below(4)];
        let len = numbers.below(most);
        (0..len).map(|_| numbers.below(256) as u8).collect()
    };
    (0..20).map(|_| message()).collect()
}

async fn send(stream: &TcpStream, message: &[u8]) -> io::Result<()> {
    stream.write_all(&(message.len() as u32).to_be_bytes()).await?;
    Ok(stream.write_all(message).await?)
}

async fn receive(stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    stream.read_exact(&mut len).await?;
    let mut message = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// N1: questions and answers with a length prefix, by `read_exact` and `write_all`, however the
/// bytes are split. Then comes the end, and it stays the end.
#[test]
fn every_message_is_whole_through_a_proxy_that_chops() {
    for seed in SEEDS {
        let messages = messages(&mut Numbers::new(seed));
        let count = messages.len();
        run_seed(seed, async || {
            let (address, server) = server(async move |stream| {
                for _ in 0..count {
                    let mut message = receive(&stream).await?;
                    message.reverse();
                    send(&stream, &message).await?;
                }
                stream.read(&mut [0]).await
            })
            .await?;
            let proxy = Proxy::before(address, Plan::whole(seed))?;
            let stream = client(&proxy).await?;
            for message in &messages {
                send(&stream, message).await?;
                let mut answer = receive(&stream).await?;
                answer.reverse();
                assert!(answer == *message, "seed {seed}: another answer");
            }
            stream.shutdown(Shutdown::Write)?;
            assert_eq!(server.join().await?.unwrap(), 0, "seed {seed}: more than was sent");
            for _ in 0..3 {
                assert_eq!(stream.read(&mut [0]).await?, 0, "seed {seed}: no end");
            }
            proxy.passed().map(drop)
        });
    }
}

/// N1: `read_exact` over a stream that the proxy ends in the middle says how many bytes there were,
/// and those are at the front of the buffer.
#[test]
fn read_exact_says_where_the_proxy_ended_the_stream() {
    for seed in SEEDS {
        let mut numbers = Numbers::new(seed);
        let sent: Vec<u8> = (0..5000).map(|_| 1 + numbers.below(255) as u8).collect();
        let at = numbers.below(sent.len());
        let mut plan = Plan::whole(seed);
        plan.down.loss = Some((at, Loss::End));
        run_seed(seed, async || {
            let out = sent.clone();
            let (address, server) = server(async move |stream| {
                stream.write_all(&out).await?;
                stream.shutdown(Shutdown::Write)?;
                stream.read(&mut [0]).await
            })
            .await?;
            let proxy = Proxy::before(address, plan)?;
            let stream = client(&proxy).await?;
            let mut buf = vec![0; sent.len()];
            let early = stream.read_exact(&mut buf).await.unwrap_err();
            assert_eq!(early.kind(), ErrorKind::UnexpectedEof, "seed {seed}");
            assert_eq!((early.read, early.len), (at, sent.len()), "seed {seed}");
            assert!(buf[..at] == sent[..at], "seed {seed}: other bytes");
            assert!(buf[at..].iter().all(|byte| *byte == 0), "seed {seed}: more bytes");
            assert_eq!(stream.read(&mut buf).await?, 0, "seed {seed}");
            drop(stream);
            assert_eq!(server.join().await?.unwrap(), 0);
            assert_eq!(proxy.passed()?, [0, at], "seed {seed}");
            Ok(())
        });
    }
}

/// N1, N7: an exchange whose connection is lost ends on both sides, with the end of the stream or
/// with an error that means just that. The data that arrived before is a prefix of what was sent,
/// and `write_all` never reports more bytes than there were.
#[test]
fn a_lost_connection_surfaces_on_both_sides_at_the_right_place() {
    for seed in SEEDS {
        let mut numbers = Numbers::new(seed);
        let sent = lines(&mut numbers, 30_000);
        let plan = Plan::lossy(seed, 20_000);
        let ends = [plan.up.loss, plan.down.loss];
        run_seed(seed, async || {
            let (address, server) = server(async |stream| {
                let echoed = echo(&stream, 512).await.map_err(|error| error.kind());
                Ok((echoed, rest(&stream).await.1))
            })
            .await?;
            let proxy = Proxy::before(address, plan)?;
            let stream = client(&proxy).await?;
            let (got, written) = join(rest(&stream), async {
                let written = stream.write_all(&sent).await;
                // Nothing to shut down if the connection is gone.
                let _ = stream.shutdown(Shutdown::Write);
                written
            })
            .await;
            drop(stream);
            let (echoed, after) = server.join().await?.unwrap();
            let passed = proxy.passed()?;
            let (got, error) = got;
            assert!(sent.starts_with(&got), "seed {seed}: other bytes");
            assert!(got.len() <= passed[1], "seed {seed}: more than passed the proxy");
            for (way, end) in ends.into_iter().enumerate() {
                if let Some((at, loss)) = end {
                    assert!(passed[way] <= at, "seed {seed}: not lost");
                    if loss == Loss::End {
                        assert_eq!(passed[way], at, "seed {seed}: lost too early");
                        assert_eq!(got.len(), at, "seed {seed}: not what passed");
                        assert_eq!((error, written.is_ok()), (None, true), "seed {seed}");
                    }
                }
            }
            if let Err(error) = written {
                assert_eq!(error.len, sent.len());
                assert!(error.written < error.len, "seed {seed}: {error}");
                assert!(gone(error.source.kind()), "seed {seed}: {error}");
            }
            let kinds = [echoed.err(), after, error];
            assert!(kinds.into_iter().flatten().all(gone), "seed {seed}: {kinds:?}");
            Ok(())
        });
    }
}

/// Errors that mean that the connection has ended.
fn gone(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected)
}
