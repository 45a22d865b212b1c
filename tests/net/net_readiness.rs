//! When an operation on a socket is tried, and when a virtual clock waits for a socket.

use std::fs;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use curium::net::UnixStream;
use futures::FutureExt;
use kernel::{shield, spawn, testing, timeout_after};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use crate::support::both;
use crate::support::connections;

/// N1: a write is tried at once also when a parked reader has registered the socket.
#[test]
fn a_write_beside_a_parked_read_is_tried_at_once() {
    both::run(async || {
        let (stream, _theirs) = both::from_peer().await?;
        let mut buf = [0; 8];
        let mut read = Box::pin(stream.read(&mut buf));
        assert!(futures::poll!(read.as_mut()).is_pending());
        let mut write = Box::pin(stream.write(b"x"));
        assert!(futures::poll!(write.as_mut()).is_ready(), "the write was not tried");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// C1, N1: a write that need not park completes although a cancellation is pending.
#[test]
fn a_write_that_can_be_done_is_done_although_a_cancel_is_pending() {
    both::run(async || {
        let (stream, _theirs) = both::from_peer().await?;
        let task = spawn(async move {
            let mut buf = [0; 8];
            let mut read = Box::pin(stream.read(&mut buf));
            let parked = shield(async { futures::poll!(read.as_mut()) }).await;
            assert!(parked.is_pending());
            stream.write(b"x").await
        });
        task.request_cancel();
        assert_eq!(task.join().await?.unwrap(), 1);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// K8: with a socket parked, the clock does not jump before the reactor was silent. An event that
/// wakes no task also counts as activity.
#[test]
fn the_clock_does_not_jump_while_the_peer_is_about_to_answer() {
    // If a busy machine delays the peer for longer than the silence, the attempt proves nothing:
    // try again.
    let answered = (0..200).filter(|_| answered_in_time()).take(5).count();
    assert_eq!(answered, 5, "the clock has always jumped");
}

/// One question and answer. False if it was silent for so long that the clock was right to jump.
fn answered_in_time() -> bool {
    testing::run(async || {
        let (stream, mut theirs) = connections::from_std().await?;
        let peer = std::thread::spawn(move || {
            let mut byte = [0];
            theirs.read_exact(&mut byte).unwrap();
            // Real threads are under test: the answer takes a moment.
            std::thread::sleep(Duration::from_millis(3));
            theirs.write_all(&byte).unwrap();
        });
        let started = Instant::now();
        stream.write_all(b"x").await?;
        let mut buf = [0; 8];
        let answer = timeout_after(Duration::from_secs(1), stream.read(&mut buf)).await;
        let took = started.elapsed();
        peer.join().unwrap();
        let Ok(answer) = answer else {
            assert!(took >= Duration::from_millis(10), "the clock has jumped after {took:?}");
            return Ok(false);
        };
        assert_eq!(answer?, 1);
        Ok::<bool, io::Error>(true)
    })
    .unwrap()
}

/// N9, N1: a read ends at bytes that came with a descriptor. The next one gets those that follow,
/// although no event tells of them.
#[test]
fn bytes_behind_a_descriptor_are_read() {
    kernel::run(async || {
        let (one, other) = UnixStream::pair()?;
        let mut buf = [0; 100];
        assert!(other.read(&mut buf).now_or_never().is_none());
        one.as_fd(|fd| {
            let null = fs::File::open("/dev/null")?;
            let sent = [null.as_fd()];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&sent)));
            let bytes = [IoSlice::new(b"first")];
            Ok(rustix::net::sendmsg(fd, &bytes, &mut control, SendFlags::empty())?)
        })?;
        one.write_all(b"second").await?;
        assert_eq!(other.read(&mut buf).await?, 5);
        let next = timeout_after(Duration::from_secs(5), other.read(&mut buf)).await;
        assert_eq!(&buf[..next.expect("it is there")?], b"second");
        Ok::<_, io::Error>(())
    })
    .unwrap();
}
