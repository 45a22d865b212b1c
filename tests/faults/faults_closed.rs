//! Sockets that are closed in the very turn in which an event for them arrives, whose slot is
//! reused, or which have a duplicate.

#![cfg(target_os = "linux")]

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream as StdStream;
use std::rc::Rc;
use std::time::Duration;

use kernel::{Kernel, Task, TaskError, TaskState, sleep, spawn, testing, timeout_after};
use net::{TcpListener, TcpStream};

use crate::support::children;
use crate::support::tasks::cycles;
use crate::support::time::SECOND;

const SEEDS: std::ops::Range<u64> = 0..64;

/// A connection of plain sockets, both ends.
fn ends() -> io::Result<(StdStream, StdStream)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let there = StdStream::connect(listener.local_addr()?)?;
    Ok((listener.accept()?.0, there))
}

/// One end as a stream of Curium, the other as a plain socket.
fn pair() -> io::Result<(Rc<TcpStream>, StdStream)> {
    let (here, there) = ends()?;
    Ok((Rc::new(TcpStream::from_std(here)?), there))
}

fn reader(stream: &Rc<TcpStream>) -> Task<Vec<u8>, io::Error> {
    let stream = stream.clone();
    spawn(async move {
        let mut buf = [0; 64];
        let n = stream.read(&mut buf).await?;
        Ok(buf[..n].to_vec())
    })
}

/// A task that acts when a byte comes on its own connection, and the other end of that.
fn when_a_byte_comes<T: 'static>(
    act: impl AsyncFnOnce() -> io::Result<T> + 'static,
) -> io::Result<(Task<T, io::Error>, StdStream)> {
    let (trigger, there) = pair()?;
    let task = spawn(async move {
        trigger.read(&mut [0]).await?;
        act().await
    });
    Ok((task, there))
}

/// Runs a race once for each seed. The race returns whether the waiter came first. Both orders must
/// occur.
fn race(name: &str, mut once: impl AsyncFnMut() -> io::Result<bool>) {
    let mut first = 0;
    for seed in SEEDS {
        first += u64::from(testing::run_with(Kernel::builder().seed(seed), &mut once).unwrap());
    }
    assert!(first > 0 && first < SEEDS.end, "{name}: first {first} times of {}", SEEDS.end);
}

/// The outcome of a waiter whose handle was closed as its event came: it was first, or got the
/// error.
fn told_or_first<T>(ended: Result<T, TaskError<io::Error>>) -> Option<T> {
    match ended {
        Ok(value) => Some(value),
        Err(TaskError::Failed(error)) if error.kind() == ErrorKind::NotConnected => None,
        Err(other) => panic!("{other:?}"),
    }
}

/// N5: a stream that is closed in the turn in which its bytes come gives its reader the bytes or an
/// error.
#[test]
fn a_stream_closed_as_its_bytes_come_leaves_no_reader_behind() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    race("read", async || {
        let (stream, mut peer) = pair()?;
        let waiter = reader(&stream);
        let (closer, mut trigger) = when_a_byte_comes(async move || {
            stream.close();
            Ok(())
        })?;
        testing::settle().await?;
        trigger.write_all(b"x")?;
        peer.write_all(b"both at once")?;
        closer.join().await?.unwrap();
        let read = told_or_first(waiter.join().await?);
        assert!(read.as_ref().is_none_or(|read| read == b"both at once"), "{read:?}");
        Ok(read.is_some())
    });
}

/// N5: so a writer when room comes.
#[test]
fn a_stream_closed_as_room_comes_leaves_no_writer_behind() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    race("write", async || {
        let (stream, mut peer) = pair()?;
        peer.set_nonblocking(true)?;
        let full = vec![0; 1 << 20];
        // Until nothing more can be sent, and everything sent has arrived.
        while timeout_after(SECOND, stream.write_all(&full)).await.is_ok() {}
        let waiter = spawn({
            let stream = stream.clone();
            async move { stream.write(b"more").await }
        });
        let (closer, mut trigger) = when_a_byte_comes(async move || {
            stream.close();
            Ok(())
        })?;
        testing::settle().await?;
        assert_eq!(waiter.state(), TaskState::Parked("WRITE"));
        let mut sink = vec![0; 1 << 20];
        while peer.read(&mut sink).is_ok_and(|n| n > 0) {}
        trigger.write_all(b"x")?;
        closer.join().await?.unwrap();
        Ok(told_or_first(waiter.join().await?).is_some())
    });
}

/// N5: so an accepter when a connection comes.
#[test]
fn a_listener_closed_as_a_connection_comes_leaves_no_accepter_behind() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    race("accept", async || {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").await?);
        let address = listener.local_addr()?;
        let waiter = spawn({
            let listener = listener.clone();
            async move { listener.accept().await }
        });
        let (closer, mut trigger) = when_a_byte_comes(async move || {
            listener.close();
            Ok(())
        })?;
        testing::settle().await?;
        let client = StdStream::connect(address)?;
        trigger.write_all(b"x")?;
        closer.join().await?.unwrap();
        let accepted = told_or_first(waiter.join().await?);
        let ours = client.local_addr()?;
        assert!(accepted.as_ref().is_none_or(|(_, peer)| *peer == ours), "{accepted:?}");
        Ok(accepted.is_some())
    });
}

/// N5, C2: a task that reads and writes at once gets the error in both.
#[test]
fn a_close_tells_both_leaves_of_one_task() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    testing::run(async || {
        let (stream, _peer) = pair()?;
        let both = spawn({
            let stream = stream.clone();
            async move {
                let (mut buf, full) = ([0; 8], vec![0; 64 << 20]);
                let (read, wrote) = futures::join!(stream.read(&mut buf), stream.write_all(&full));
                let wrote = wrote.unwrap_err().source;
                Ok::<_, io::Error>((read.unwrap_err().kind(), wrote.kind()))
            }
        });
        testing::settle().await?;
        stream.close();
        let error = both.join().await?.unwrap();
        assert_eq!(error, (ErrorKind::NotConnected, ErrorKind::NotConnected));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// N8: two sockets are ready in one batch. The task that the first event wakes closes the second
/// socket and waits on a new one in the same slot. The new one is neither woken nor taken as ready.
#[test]
fn a_place_that_is_taken_within_a_batch_keeps_nothing_of_the_last_tenant() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    let (mut victims_first, rounds) = (0, 2);
    for seed in SEEDS {
        victims_first += testing::run_with(Kernel::builder().seed(seed), async || {
            let mut victims_first = 0;
            for _ in 0..rounds {
                victims_first += u64::from(a_place_changes_hands().await?);
            }
            Ok::<u64, io::Error>(victims_first)
        })
        .unwrap();
    }
    assert!(victims_first > 0 && victims_first < SEEDS.end * rounds, "{victims_first}");
}

/// One round; true if the reader of the second socket came before it was closed.
async fn a_place_changes_hands() -> io::Result<bool> {
    let (second, mut second_peer) = pair()?;
    let (third, mut third_peer) = pair()?;
    let victim = reader(&second);
    let (killer, mut trigger) = when_a_byte_comes(async move || {
        second.close();
        Ok(reader(&third))
    })?;
    testing::settle().await?;
    trigger.write_all(b"x")?;
    second_peer.write_all(b"for the last occupant")?;
    let occupant = killer.join().await?.unwrap();
    let read = told_or_first(victim.join().await?);
    assert!(read.as_ref().is_none_or(|read| read == b"for the last occupant"), "{read:?}");
    // A late event for the last occupant may find its socket closed.
    let _ = second_peer.write_all(b"once more");
    testing::settle().await?;
    assert_eq!(occupant.state(), TaskState::Parked("READ"));
    assert_eq!(cycles(&occupant), 1);
    third_peer.write_all(b"mine")?;
    assert_eq!(occupant.join().await?.unwrap(), b"mine");
    Ok(read.is_some())
}

/// Runs a body alone in a child, so that no other code takes a number that becomes free.
fn alone(name: &str, body: impl AsyncFnOnce() -> io::Result<()>) {
    if !children::ran_alone(name) {
        testing::run(body).unwrap();
    }
}

/// N8: a stream that has a duplicate leaves the poll when it is closed. The same file can be
/// registered again under the same number.
#[test]
fn a_stream_comes_back_from_its_duplicate() {
    alone(children::this_test!(), async || {
        let (here, mut there) = ends()?;
        for round in 0..3 {
            let stream = Rc::new(TcpStream::from_std(here.try_clone()?)?);
            let reader = reader(&stream);
            testing::settle().await?;
            there.write_all(&[round])?;
            assert_eq!(reader.join().await?.unwrap(), [round]);
            stream.close();
        }
        Ok(())
    });
}

/// N8: so does a stream that has lent its descriptor.
#[test]
fn a_stream_that_lent_its_descriptor_comes_back_from_a_duplicate() {
    alone(children::this_test!(), async || {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut there = StdStream::connect(listener.local_addr()?)?;
        let mut stream = listener.accept().await?.0;
        for round in 0..3 {
            let here = stream.as_fd(|fd| fd.try_clone_to_owned())?;
            let shared = Rc::new(stream);
            let reader = reader(&shared);
            testing::settle().await?;
            there.write_all(&[round])?;
            assert_eq!(reader.join().await?.unwrap(), [round]);
            shared.close();
            // The number that has just become free.
            stream = TcpStream::from_std(StdStream::from(here.try_clone()?))?;
        }
        Ok(())
    });
}

/// N8: so does a listener.
#[test]
fn a_listener_comes_back_from_its_duplicate() {
    alone(children::this_test!(), async || {
        let theirs = std::net::TcpListener::bind("127.0.0.1:0")?;
        for _ in 0..3 {
            let listener = Rc::new(TcpListener::from_std(theirs.try_clone()?)?);
            let accepter = spawn({
                let listener = listener.clone();
                async move { listener.accept().await.map(|(_, peer)| peer) }
            });
            testing::settle().await?;
            let client = StdStream::connect(theirs.local_addr()?)?;
            assert_eq!(accepter.join().await?.unwrap(), client.local_addr()?);
            listener.close();
        }
        Ok(())
    });
}

/// N8, K2: events on the duplicates of closed sockets do not wake the kernel.
#[test]
fn the_duplicates_of_closed_sockets_do_not_wake_the_kernel() {
    let name = children::this_test!();
    if children::role().is_some() {
        return kernel::run(async || {
            let theirs = std::net::TcpListener::bind("127.0.0.1:0")?;
            let (here, mut there) = ends()?;
            let listener = TcpListener::from_std(theirs.try_clone()?)?;
            let stream = TcpStream::from_std(here.try_clone()?)?;
            // Both are registered, because both had to wait.
            let millisecond = Duration::from_millis(1);
            assert!(timeout_after(millisecond, listener.accept()).await.is_err());
            assert!(timeout_after(millisecond, stream.read(&mut [0])).await.is_err());
            listener.close();
            drop(stream);
            kernel::run_in_thread(move || {
                // The kernel waits only for this thread.
                for _ in 0..500 {
                    drop(StdStream::connect(theirs.local_addr().unwrap()).unwrap());
                    theirs.accept().unwrap();
                    there.write_all(b"x").unwrap();
                    (&here).read_exact(&mut [0]).unwrap();
                }
            })
            .await?;
            sleep(millisecond).await?;
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
    let options = ["-e", "trace=?epoll_wait,?epoll_pwait,?epoll_pwait2"];
    let Some(trace) = children::traced(name, "child", &options) else { return };
    let waits = trace.lines().filter(|line| line.starts_with("epoll_")).count();
    assert!(waits < 50, "{waits} waits for a thousand events of others");
}
