//! Peers that behave badly: one that never reads, sends byte by byte, half-closes, or closes with
//! bytes unread. No byte is lost, no task spins, and timeouts fire.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use kernel::{TaskError, cancelled, sleep, spawn, testing, timeout_after};
use net::TcpStream;

use crate::support::connections;
use crate::support::tasks::cycles;
use crate::support::time::SECOND;

/// More than the system buffers for a peer that does not read.
const MUCH: usize = 16_000_000;

async fn pair() -> io::Result<(Rc<TcpStream>, std::net::TcpStream)> {
    let (stream, peer) = connections::to_std().await?;
    Ok((Rc::new(stream), peer))
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

/// Closes with bytes unread, which the system turns into a reset.
fn reset(peer: std::net::TcpStream) -> io::Result<()> {
    assert_eq!(peer.peek(&mut [0])?, 1, "there is nothing unread");
    drop(peer);
    Ok(())
}

/// N1, T1, C4: a peer that never reads parks the writer, once. Each timeout fires and says how many
/// bytes were written, and a task that continues from there writes the complete stream.
#[test]
fn a_peer_that_never_reads_parks_the_writer_and_time_outs_fire() {
    testing::run(async || {
        let (stream, mut peer) = pair().await?;
        let out = Rc::new(pattern(MUCH));
        let written = Rc::new(Cell::new(0));
        let writer = spawn({
            let (out, written) = (out.clone(), written.clone());
            async move {
                let mut timed_out = 0;
                while written.get() < MUCH {
                    let attempt = timeout_after(SECOND, async {
                        let all = stream.write_all(&out[written.get()..]).await;
                        written
                            .set(written.get() + all.as_ref().map_or_else(|e| e.written, |()| 0));
                        all
                    });
                    match attempt.await {
                        Ok(Ok(())) => written.set(MUCH),
                        Ok(Err(error)) => return Err(error.into()),
                        Err(_) => timed_out += 1,
                    }
                }
                Ok::<u32, io::Error>(timed_out)
            }
        });
        sleep(SECOND * 10 + SECOND / 2).await?;
        assert_eq!(writer.state().to_string(), "WRITE");
        let taken = written.get();
        assert!(taken > 0 && taken < MUCH, "{taken} bytes went out");
        // Ten timeouts: one poll each to get the error and to park again, and few others.
        assert!(cycles(&writer) < 100, "it was polled {} times", cycles(&writer));
        let reading = std::thread::spawn(move || {
            let mut got = vec![0; MUCH];
            peer.read_exact(&mut got).map(|()| got)
        });
        assert!(writer.join().await?.unwrap() >= 10);
        assert!(reading.join().unwrap()? == *out, "another stream than was written");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1, T7: a peer that sends byte by byte: each byte wakes the reader once, a `read_exact` without
/// a limit gets them all, and a timeout round it counts for the whole call, not for each byte.
#[test]
fn a_peer_that_trickles_gives_its_bytes_one_by_one_and_cannot_extend_a_time_out() {
    testing::run(async || {
        let (stream, peer) = pair().await?;
        let trickle = |text: &'static [u8]| {
            let mut peer = peer.try_clone()?;
            Ok::<_, io::Error>(spawn(async move {
                for byte in text {
                    sleep(SECOND).await?;
                    peer.write_all(&[*byte])?;
                }
                Ok::<(), io::Error>(())
            }))
        };
        let reader = spawn({
            let stream = stream.clone();
            async move {
                let mut buf = [0; 10];
                stream.read_exact(&mut buf).await?;
                sleep(Duration::MAX).await?;
                Ok::<_, io::Error>(())
            }
        });
        trickle(b"0123456789")?.join().await?.unwrap();
        testing::settle().await?;
        assert_eq!(reader.state().to_string(), "SLEEP");
        assert!(cycles(&reader) <= 12, "it was polled {} times", cycles(&reader));
        let _more = trickle(b"abcdefghij")?;
        let mut buf = [0; 10];
        let limit = SECOND * 7 / 2;
        let (whole, before) = (stream.read_exact(&mut buf), kernel::now());
        assert!(timeout_after(limit, whole).await.is_err(), "each byte gave it more time");
        assert_eq!(kernel::now() - before, limit);
        assert_eq!(&buf, b"abc\0\0\0\0\0\0\0");
        stream.read_exact(&mut buf[3..]).await?;
        assert_eq!(&buf, b"abcdefghij");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1: a peer that half-closes still reads everything that is written afterwards. Its end of the
/// stream stays the end here, for `read`, `peek` and `read_exact`, and none of them parks.
#[test]
fn a_peer_that_half_closes_still_reads_and_its_end_stays_the_end() {
    testing::run(async || {
        let (stream, mut peer) = pair().await?;
        peer.write_all(b"last words")?;
        peer.shutdown(Shutdown::Write)?;
        let writer = spawn({
            let stream = stream.clone();
            async move { Ok::<_, io::Error>(stream.write_all(&pattern(MUCH)).await?) }
        });
        let mut buf = [0; 64];
        assert_eq!(stream.read(&mut buf).await?, 10);
        for _ in 0..3 {
            assert_eq!(stream.read(&mut buf).await?, 0);
            assert_eq!(stream.peek(&mut buf).await?, 0);
            let end = stream.read_exact(&mut buf).await.unwrap_err();
            assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
            assert_eq!((end.read, end.len), (0, 64));
            testing::settle().await?;
        }
        assert_eq!(writer.state().to_string(), "WRITE");
        assert!(cycles(&writer) < 20, "a hang-up that spins: {} polls", cycles(&writer));
        let reading = std::thread::spawn(move || {
            let mut got = vec![0; MUCH];
            peer.read_exact(&mut got).map(|()| got)
        });
        writer.join().await?.unwrap();
        assert!(reading.join().unwrap()? == pattern(MUCH), "another stream than was written");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1, N7: a reset wakes the parked reader and the parked writer, each with an error, once. Later
/// calls fail or are at the end, and never park.
#[test]
fn a_reset_ends_a_parked_reader_and_a_parked_writer() {
    testing::run(async || {
        let (stream, peer) = pair().await?;
        let reader = spawn({
            let stream = stream.clone();
            async move { stream.read(&mut [0; 9]).await }
        });
        let writer = spawn({
            let stream = stream.clone();
            async move { stream.write_all(&pattern(MUCH)).await }
        });
        testing::settle().await?;
        let states = [reader.state(), writer.state()].map(|state| state.to_string());
        assert_eq!(states, ["READ", "WRITE"]);
        reset(peer)?;
        let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        let mut kinds = Vec::new();
        match reader.join().await? {
            // The system reports each error once. The second call finds that the connection has
            // ended.
            Ok(n) => assert_eq!(n, 0),
            Err(TaskError::Failed(error)) => kinds.push(error.kind()),
            Err(other) => panic!("{other:?}"),
        }
        let Err(TaskError::Failed(error)) = writer.join().await? else { panic!("it is gone") };
        assert!(error.written > 0 && error.written < MUCH, "{error}");
        kinds.push(error.source.kind());
        assert!(kinds.iter().all(|kind| gone.contains(kind)), "{kinds:?}");
        assert!(kinds.contains(&ErrorKind::ConnectionReset), "{kinds:?}");
        for _ in 0..3 {
            assert_eq!(stream.read(&mut [0; 9]).await?, 0);
            let error = stream.write(b"anybody?").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1: what a peer had sent before it reset the connection is read first, and the error comes after
/// it, also for `read_exact`.
#[test]
fn what_came_before_a_reset_is_read_before_the_error() {
    for parked in [false, true] {
        testing::run(async || {
            let (stream, mut peer) = pair().await?;
            stream.write_all(b"unread").await?;
            let reader = spawn({
                let stream = stream.clone();
                async move {
                    let mut buf = [0; 8];
                    let n = stream.read(&mut buf).await?;
                    assert_eq!(&buf[..n], b"last");
                    stream.read_exact(&mut buf).await.map_err(io::Error::from)
                }
            });
            if parked {
                testing::settle().await?;
            }
            peer.write_all(b"last")?;
            reset(peer)?;
            let Err(TaskError::Failed(error)) = reader.join().await? else { panic!("it is gone") };
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{parked}");
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
}

/// C1, C3, N1: with a reset and a cancel at once, the reader that was woken with the error returns
/// it, and its cancel stays for the next await point.
#[test]
fn a_reset_that_was_delivered_wins_over_a_cancel() {
    testing::run(async || {
        let (stream, peer) = pair().await?;
        stream.write_all(b"unread").await?;
        let reader = spawn(async move {
            let read = stream.read(&mut [0; 8]).await.map_err(|error| error.kind());
            Ok::<_, io::Error>((read, sleep(SECOND).await.is_err()))
        });
        testing::settle().await?;
        reset(peer)?;
        for _ in 0..1_000_000 {
            if reader.state().to_string() == "READY" {
                break;
            }
            kernel::yield_now().await?;
        }
        assert_eq!(reader.state().to_string(), "READY");
        reader.request_cancel();
        let ended = reader.join().await?.unwrap();
        assert_eq!(ended, (Err(ErrorKind::ConnectionReset), true));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// C9, N1: tasks that are parked on idle connections, or on ones whose peer has closed, cost no
/// polls while other connections are busy.
#[test]
fn a_hang_up_beside_others_that_talk_costs_no_polls() {
    testing::run(async || {
        let (full, full_peer) = pair().await?;
        full_peer.shutdown(Shutdown::Write)?;
        let writer = spawn(async move { full.write_all(&pattern(MUCH)).await });
        let (idle, _idle_peer) = pair().await?;
        let reader = spawn(async move { idle.read(&mut [0]).await });
        testing::settle().await?;
        let before = [cycles(&writer), cycles(&reader)];
        let (talk, mut peer) = pair().await?;
        for n in 0..200 {
            talk.write_all(&[n]).await?;
            let mut byte = [0];
            peer.read_exact(&mut byte)?;
            peer.write_all(&byte)?;
            assert_eq!((talk.read(&mut byte).await?, byte), (1, [n]));
        }
        assert_eq!([cycles(&writer), cycles(&reader)], before);
        drop(full_peer);
        let Err(TaskError::Failed(error)) = writer.join().await? else { panic!("it is gone") };
        assert!(cancelled(&error).is_none(), "{error}");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
