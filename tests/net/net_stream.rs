//! `net::TcpStream`: reading, writing, ends of streams, and the effects of a cancellation.
//! `net_stream_sharing.rs` tests several users of one socket.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskError, cancelled, sleep, spawn, testing, timeout_after};

use crate::support::both;
use crate::support::time::SECOND;

/// N1: when a peer sends five bytes and closes at once, a big buffer gets five bytes, then the end,
/// in whatever state the reader was when they came.
#[test]
fn no_end_of_stream_is_lost_after_a_short_read() {
    for (parked_before, parked_now) in [(false, false), (true, false), (false, true)] {
        both::run(async || {
            let (stream, mut peer) = both::to_peer().await?;
            let stream = Rc::new(stream);
            if parked_before {
                assert!(timeout_after(SECOND, stream.read(&mut [0; 9])).await.is_err());
            }
            let reader = spawn({
                let stream = stream.clone();
                async move {
                    let mut buf = [0; 4096];
                    let mut counts = Vec::new();
                    for _ in 0..3 {
                        counts.push(stream.read(&mut buf).await?);
                    }
                    Ok::<_, io::Error>((counts, buf[..5].to_vec()))
                }
            });
            if parked_now {
                testing::settle().await?;
                assert_eq!(reader.state().to_string(), "READ");
            }
            peer.write_all(b"hello")?;
            drop(peer);
            let ended = timeout_after(SECOND, reader.join()).await.expect("it was not woken");
            let (counts, bytes) = ended?.unwrap();
            assert_eq!(counts, [5, 0, 0], "{parked_before} {parked_now}");
            assert_eq!(bytes, b"hello");
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
}

/// N1: an end that comes after the short read wakes the reader that parked again.
#[test]
fn an_end_of_stream_that_comes_later_wakes_the_reader() {
    both::run(async || {
        let (stream, mut peer) = both::to_peer().await?;
        let reader = spawn(async move {
            let mut buf = [0; 4096];
            Ok::<_, io::Error>((stream.read(&mut buf).await?, stream.read(&mut buf).await?))
        });
        testing::settle().await?;
        peer.write_all(b"hello")?;
        testing::settle().await?;
        assert_eq!(reader.state().to_string(), "READ");
        drop(peer);
        let ended = timeout_after(SECOND, reader.join()).await.expect("it was not woken");
        assert_eq!(ended?.unwrap(), (5, 0));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1: the first attempt reads what has arrived. Bytes that do not fit stay readable without a new
/// event.
#[test]
fn what_is_there_is_read_without_parking() {
    both::run(async || {
        let (stream, mut peer) = both::to_peer().await?;
        assert!(timeout_after(SECOND, stream.read(&mut [0; 4])).await.is_err());
        peer.write_all(b"abcdefgh")?;
        testing::advance(SECOND).await?;
        for expected in [b"abcd", b"efgh"] {
            let mut buf = [0; 4];
            let n = stream.read(&mut buf).now_or_never().expect("it need not park")?;
            assert_eq!(&buf[..n], expected);
        }
        assert!(stream.read(&mut [0; 4]).now_or_never().is_none());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1: a shutdown of one direction ends only that one.
#[test]
fn a_half_closed_connection_still_carries_the_other_direction() {
    both::run(async || {
        let (stream, mut peer) = both::to_peer().await?;
        stream.write_all(b"question").await?;
        stream.shutdown(Shutdown::Write)?;
        let mut question = String::new();
        peer.read_to_string(&mut question)?;
        assert_eq!(question, "question");
        peer.write_all(b"answer")?;
        peer.shutdown(Shutdown::Write)?;
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"answer");
        assert_eq!(stream.read(&mut answer).await?, 0);
        assert!(stream.write(b"more").await.is_err());
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N7: writing to a peer that is gone is an error, not a signal.
#[test]
fn writing_to_a_closed_peer_is_an_error() {
    both::run(async || {
        let (stream, peer) = both::to_peer().await?;
        drop(peer);
        let mut failed = None;
        for _ in 0..10 {
            if let Err(error) = stream.write_all(b"anybody there?").await {
                failed = Some(error);
                break;
            }
            testing::settle().await?;
        }
        let failed = failed.expect("the peer is gone");
        let kinds = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(kinds.contains(&failed.source.kind()), "{failed}");
        assert_eq!((failed.written, failed.len), (0, 14));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N7, N1: a peer that resets the connection ends a parked read with an error.
#[test]
fn a_reset_wakes_the_reader_with_an_error() {
    both::run(async || {
        let (stream, peer) = both::to_peer().await?;
        stream.write_all(b"never read").await?;
        let stream = Rc::new(stream);
        let reader = spawn({
            let stream = stream.clone();
            async move { stream.read(&mut [0; 9]).await }
        });
        testing::settle().await?;
        // Closed with unread bytes: the system resets the connection.
        drop(peer);
        match reader.join().await? {
            Err(TaskError::Failed(error)) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
            other => panic!("{other:?}"),
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4: a cancelled read, and one that timed out, leave the bytes for the next one.
#[test]
fn a_cancelled_read_leaves_the_bytes_for_the_next_one() {
    both::run(async || {
        let (stream, mut peer) = both::to_peer().await?;
        let stream = Rc::new(stream);
        let reader = spawn({
            let stream = stream.clone();
            async move { stream.read(&mut [0; 64]).await }
        });
        testing::settle().await?;
        reader.cancel().await?;
        let Err(TaskError::Cancelled(error)) = reader.join().await? else {
            panic!("it was cancelled");
        };
        assert!(cancelled(&error).is_some());
        assert_eq!(error.kind(), ErrorKind::Other);
        assert!(timeout_after(SECOND, stream.read(&mut [0; 64])).await.is_err());
        peer.write_all(b"kept")?;
        let mut buf = [0; 64];
        assert_eq!(timeout_after(SECOND, stream.read(&mut buf)).await??, 4);
        assert_eq!(&buf[..4], b"kept");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4, C1: a cancel that races with the bytes has exactly one outcome, and the bytes are read once.
#[test]
fn a_cancel_that_races_with_the_bytes_loses_none() {
    for seed in 0..10 {
        both::run_with(
            || kernel::Kernel::builder().seed(seed),
            async || {
                let (stream, mut peer) = both::to_peer().await?;
                let stream = Rc::new(stream);
                let reader = spawn({
                    let stream = stream.clone();
                    async move {
                        let mut buf = [0; 64];
                        let n = stream.read(&mut buf).await?;
                        Ok::<_, io::Error>(buf[..n].to_vec())
                    }
                });
                testing::settle().await?;
                peer.write_all(b"once")?;
                if seed % 2 == 0 {
                    kernel::yield_now().await?;
                }
                reader.request_cancel();
                let mut got = match reader.join().await? {
                    Ok(bytes) => bytes,
                    Err(TaskError::Cancelled(_)) => Vec::new(),
                    Err(other) => panic!("{other:?}"),
                };
                drop(peer);
                let mut buf = [0; 64];
                loop {
                    match stream.read(&mut buf).await? {
                        0 => break,
                        n => got.extend_from_slice(&buf[..n]),
                    }
                }
                assert_eq!(got, b"once");
                Ok::<(), io::Error>(())
            },
        )
        .unwrap();
    }
}

/// C1, N4: a read that need not park returns its bytes although a cancellation is pending.
#[test]
fn a_read_that_has_bytes_returns_them_and_the_cancel_stays() {
    both::run(async || {
        let (stream, mut peer) = both::to_peer().await?;
        peer.write_all(b"first")?;
        testing::settle().await?;
        let task = spawn(async move {
            let n = stream.read(&mut [0; 64]).await?;
            Ok::<_, io::Error>((n, sleep(SECOND).await.is_err()))
        });
        task.request_cancel();
        assert_eq!(task.join().await?.unwrap(), (5, true));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N4, T1: a `write_all` that times out says how many bytes were written, and the peer gets exactly
/// those.
#[test]
fn a_timed_out_write_all_says_how_much_went_out() {
    both::run(async || {
        let (stream, mut peer) = both::to_peer().await?;
        let sent: Vec<u8> = (0..64_000_000_u32).map(|n| (n % 251) as u8).collect();
        let written = Cell::new(None);
        let write = async {
            let result = stream.write_all(&sent).await;
            if let Err(error) = &result {
                assert!(cancelled(error).is_some());
                written.set(Some((error.written, error.len)));
            }
            result
        };
        assert!(timeout_after(SECOND, write).await.is_err());
        let (written, len) = written.get().expect("the peer read nothing, so it is incomplete");
        assert_eq!(len, sent.len());
        drop(stream);
        let mut got = Vec::new();
        peer.read_to_end(&mut got)?;
        assert_eq!(got.len(), written);
        assert!(got == sent[..written], "other bytes than were sent");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// C6: as an `io::Error`, a cancelled `write_all` still holds its count and its cancellation.
#[test]
fn a_cancelled_write_all_passes_through_an_io_error() {
    both::run(async || {
        let (stream, peer) = both::to_peer().await?;
        let task = spawn(async move { Ok(stream.write_all(&vec![0; 64_000_000]).await?) });
        testing::settle().await?;
        task.cancel().await?;
        let error: io::Error = match task.join().await? {
            Err(TaskError::Cancelled(error)) => error,
            other => panic!("{other:?}"),
        };
        assert!(cancelled(&error).is_some());
        assert!(!matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock));
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<net::WriteAllError>());
        assert!(inner.is_some_and(|inner| inner.written > 0 && inner.written < inner.len));
        drop(peer);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N1: `read_exact` fills its whole buffer, or says how much there was. `peek` consumes nothing.
#[test]
fn read_exact_reports_an_early_end_and_peek_consumes_nothing() {
    both::run(async || {
        let (stream, mut peer) = both::to_peer().await?;
        peer.write_all(b"abc")?;
        drop(peer);
        let mut buf = [0; 8];
        assert_eq!(stream.peek(&mut buf).await?, 3);
        assert_eq!(&buf[..3], b"abc");
        let early = stream.read_exact(&mut buf).await.unwrap_err();
        assert_eq!(early.kind(), ErrorKind::UnexpectedEof);
        assert!(early.to_string().contains("3 of 8"), "{early}");
        assert_eq!(stream.peek(&mut buf).await?, 0);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
