//! The poll functions of a registration, beside each other and beside leaves.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use curium::io::{Direction, Registration};
use curium::kernel::testing;
use curium::kernel::{Report, Task, TaskCancelled, TaskError, cancellable, spawn, yield_now};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::reports;

type Source = Registration<mio::net::UnixStream>;

/// A source, and the other end as a blocking socket.
fn source() -> (Rc<Source>, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    (Rc::new(Registration::new(mio::net::UnixStream::from_std(ours))), theirs)
}

/// Reads a byte without a leaf.
async fn poll_byte(source: &Source) -> io::Result<u8> {
    let mut buf = [0];
    let read = poll_fn(|cx| source.poll_io(Direction::Read, cx, |mut s| s.read(&mut buf)));
    assert_eq!(read.await?, 1);
    Ok(buf[0])
}

/// Reads a byte with a leaf.
async fn leaf_byte(source: &Source) -> io::Result<u8> {
    let mut buf = [0];
    assert_eq!(source.io(Direction::Read, "READ", |mut s| s.read(&mut buf)).await?, 1);
    Ok(buf[0])
}

async fn settle<T: 'static, E: 'static>(tasks: &[&Task<T, E>]) {
    for _ in 0..3 {
        yield_now().await.unwrap();
    }
    assert!(tasks.iter().all(|task| !task.is_done()));
}

/// I1: a poll that would block is woken by the next event, and its task shows as `POLL_READ`,
/// also if it polls with the waker of a combinator.
#[test]
fn a_poll_is_woken_by_an_event_and_shown() {
    testing::run(async || {
        for in_combinator in [false, true] {
            let (source, mut theirs) = source();
            let polls = source.clone();
            let task = spawn(async move {
                if in_combinator {
                    let mut all: FuturesUnordered<_> = [poll_byte(&polls)].into_iter().collect();
                    return all.next().await.unwrap();
                }
                poll_byte(&polls).await
            });
            settle(&[&task]).await;
            assert_eq!(task.state().to_string(), "POLL_READ");
            assert_eq!(task.parked_at(), None);
            theirs.write_all(b"x")?;
            assert_eq!(task.await?, b'x');
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1: a poll for writing is woken when there is room again.
#[test]
fn a_poll_for_writing_waits_for_room() {
    testing::run(async || {
        let (source, mut theirs) = source();
        let polls = source.clone();
        let task = spawn(async move {
            let mut written = 0;
            while written < 1 << 20 {
                let bytes = [1; 1 << 14];
                let write = |mut s: &mio::net::UnixStream| s.write(&bytes);
                written += poll_fn(|cx| polls.poll_io(Direction::Write, cx, write)).await?;
            }
            polls.close();
            Ok::<_, io::Error>(written)
        });
        settle(&[&task]).await;
        assert_eq!(task.state().to_string(), "POLL_WRITE");
        let reader = std::thread::spawn(move || theirs.read_to_end(&mut Vec::new()).unwrap());
        let written = task.await?;
        assert_eq!(reader.join().unwrap(), written);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1, C9: a poll never returns a cancellation, and its task is reported as any other that is
/// cancelled without a leaf. The leaf around a poll is cancelled.
#[test]
fn a_poll_is_not_cancelled_but_the_leaf_around_it_is() {
    let foreign = |report: &Report<'_>| match report {
        Report::Foreign(task) => Some(task.state.to_string()),
        _ => None,
    };
    let (_, reported) = reports::picked(curium::Kernel::builder(), foreign, async || {
        let (source, mut theirs) = source();
        let polls = source.clone();
        let bare = spawn(async move { poll_byte(&polls).await });
        settle(&[&bare]).await;
        bare.request_cancel();
        testing::advance(std::time::Duration::from_secs(2)).await.unwrap();
        assert!(!bare.is_done());
        theirs.write_all(b"x").unwrap();
        assert_eq!(bare.join().await.unwrap().unwrap(), b'x');

        let polls = source.clone();
        let inside = spawn(async move {
            cancellable(poll_byte(&polls)).await??;
            Ok::<_, io::Error>(())
        });
        settle(&[&inside]).await;
        inside.cancel().await.unwrap();
        assert!(matches!(inside.join().await.unwrap(), Err(TaskError::Cancelled(_))));
        theirs.write_all(b"y").unwrap();
        assert_eq!(poll_byte(&source).await.unwrap(), b'y', "the next poll gets the byte");
    });
    assert_eq!(reported, ["POLL_READ"]);
}

/// I1: of two polls of one direction, the last one is woken.
#[test]
fn the_last_poll_of_a_direction_is_woken() {
    testing::run(async || {
        let (source, mut theirs) = source();
        let done = Rc::new(RefCell::new(Vec::new()));
        let tasks: Vec<_> = (0..3)
            .map(|number| {
                let (polls, done) = (source.clone(), done.clone());
                spawn(async move {
                    let byte = cancellable(poll_byte(&polls)).await??;
                    done.borrow_mut().push((number, byte));
                    Ok::<_, io::Error>(())
                })
            })
            .collect();
        settle(&tasks.iter().collect::<Vec<_>>()).await;
        theirs.write_all(b"ab")?;
        tasks[2].wait().await?;
        settle(&[&tasks[0], &tasks[1]]).await;
        assert_eq!(done.take(), [(2, b'a')]);
        assert_eq!(poll_byte(&source).await?, b'b');
        for task in &tasks[..2] {
            task.cancel().await?;
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1: a poll that is made again before anything has come waits on, with the waiter of the first,
/// and what comes between two polls is not missed.
#[test]
fn a_poll_that_is_made_again_waits_on() {
    testing::run(async || {
        let (source, mut theirs) = source();
        for round in 0..3 {
            let polls = source.clone();
            let mut first = pin!(poll_byte(&polls));
            for _ in 0..round {
                let pending = poll_fn(|cx| Poll::Ready(first.as_mut().poll(cx).is_pending())).await;
                assert!(pending);
                yield_now().await?;
            }
            theirs.write_all(b"x")?;
            if round == 1 {
                yield_now().await?;
            }
            assert_eq!(cancellable(first).await??, b'x');
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1, N3: a poll beside a parked leaf is refused, and the leaf is unharmed. Another direction is
/// free.
#[test]
fn a_poll_beside_a_parked_leaf_is_refused() {
    testing::run(async || {
        let (source, mut theirs) = source();
        let reads = source.clone();
        let leaf = spawn(async move { leaf_byte(&reads).await });
        settle(&[&leaf]).await;
        assert_eq!(poll_byte(&source).await.unwrap_err().kind(), ErrorKind::ResourceBusy);
        let tried = source.attempt_io(Direction::Read, |mut s| s.read(&mut [0]));
        assert_eq!(tried.unwrap_err().kind(), ErrorKind::ResourceBusy);
        poll_fn(|cx| source.poll_io(Direction::Write, cx, |mut s| s.write(b"w"))).await?;
        theirs.write_all(b"x")?;
        assert_eq!(leaf.await?, b'x');
        theirs.write_all(b"y")?;
        assert_eq!(poll_byte(&source).await?, b'y');
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1: a leaf that parks takes the direction from a poll, whose task is woken and is refused. So it
/// is also if the leaf comes with its budget spent.
#[test]
fn a_leaf_takes_the_direction_from_a_poll() {
    for spent in [false, true] {
        testing::run(async || {
            let (source, mut theirs) = source();
            let polls = source.clone();
            let poll = spawn(async move { poll_byte(&polls).await });
            settle(&[&poll]).await;
            let reads = source.clone();
            let leaf = spawn(async move {
                if spent {
                    let (full, _theirs) = self::source();
                    for _ in 0..128 {
                        full.io(Direction::Write, "WRITE", |_| Ok(())).await?;
                    }
                }
                leaf_byte(&reads).await
            });
            let refused = poll.await.unwrap_err();
            assert!(refused.to_string().contains("another task already waits"), "{refused}");
            assert!(!leaf.is_done());
            theirs.write_all(b"x")?;
            assert_eq!(leaf.await?, b'x');
            Ok::<(), io::Error>(())
        })
        .unwrap();
    }
}

/// I1: a leaf that need not park leaves a poll of another task alone.
#[test]
fn a_leaf_that_completes_leaves_a_poll_alone() {
    testing::run(async || {
        let (source, mut theirs) = source();
        let polls = source.clone();
        let poll = spawn(async move { poll_byte(&polls).await });
        settle(&[&poll]).await;
        theirs.write_all(b"xy")?;
        // The event wakes the poll, and it is queued behind this task.
        while poll.state().to_string() == "POLL_READ" {
            yield_now().await?;
        }
        let first = leaf_byte(&source).await?;
        assert_eq!([first, poll.await?], *b"xy");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1, N2: what a poll left behind does not hold a source in its kernel. When the source moves, the
/// task that has polled is woken, and moves it back.
#[test]
fn a_source_moves_to_another_kernel_after_a_pending_poll() {
    testing::run(async || {
        let (source, mut theirs) = source();
        let source = Rc::into_inner(source).unwrap();
        let pending = poll_fn(|cx| Poll::Ready(source.poll_ready(Direction::Read, cx)));
        assert!(pending.await.is_ready(), "nothing is known of a new source");
        let pending = poll_fn(|cx| {
            Poll::Ready(source.poll_io(Direction::Read, cx, |mut s| s.read(&mut [0])))
        });
        assert!(pending.await.is_pending());
        let (moved, byte) = std::thread::spawn(move || {
            let read = curium::run(async || {
                let read = spawn(async move {
                    let byte = poll_byte(&source).await?;
                    Ok::<_, io::Error>((source, byte))
                });
                settle(&[&read]).await;
                theirs.write_all(b"x")?;
                let (source, byte) = read.await?;
                Ok::<_, io::Error>(((source, theirs), byte))
            });
            read.unwrap()
        })
        .join()
        .unwrap();
        let (source, mut theirs) = moved;
        assert_eq!(byte, b'x');
        theirs.write_all(b"y")?;
        assert_eq!(poll_byte(&source).await?, b'y');
        // The message of the other kernel that the source has left comes meanwhile.
        testing::settle().await?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1, K2: polls that are always ready count against the budget.
#[test]
fn polls_count_against_the_budget() {
    testing::run(async || {
        let (source, _theirs) = source();
        let counts = Rc::new(RefCell::new(Vec::new()));
        let counted = counts.clone();
        let task = spawn(async move {
            let mut left = 300;
            let mut polls = Vec::new();
            poll_fn(|cx| {
                let before = left;
                while left > 0 {
                    if source.poll_io(Direction::Write, cx, |_| Ok(())).is_pending() {
                        polls.push(before - left);
                        return Poll::Pending;
                    }
                    left -= 1;
                }
                polls.push(before - left);
                Poll::Ready(())
            })
            .await;
            *counted.borrow_mut() = polls;
            Ok::<_, TaskCancelled>(())
        });
        task.await?;
        assert_eq!(counts.take(), [128, 128, 44]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// I1: what an attempt finds blocked is waited for by the next poll, without another attempt.
#[test]
fn an_attempt_that_would_block_is_remembered() {
    testing::run(async || {
        let (source, mut theirs) = source();
        let read = |mut s: &mio::net::UnixStream| s.read(&mut [0]);
        let blocked = source.attempt_io(Direction::Read, read).unwrap_err();
        assert_eq!(blocked.kind(), ErrorKind::WouldBlock);
        let (polls, tries) = (source.clone(), Rc::new(Cell::new(0)));
        let tried = tries.clone();
        let task = spawn(async move {
            poll_fn(|cx| {
                polls.poll_io(Direction::Read, cx, |_| {
                    tried.set(tried.get() + 1);
                    Ok(())
                })
            })
            .await
        });
        settle(&[&task]).await;
        assert_eq!(tries.get(), 0);
        theirs.write_all(b"x")?;
        task.await?;
        assert_eq!(tries.get(), 1);
        poll_fn(|cx| source.poll_ready(Direction::Read, cx)).await?;
        source.attempt_io(Direction::Read, |mut s| s.read(&mut [0]))?;
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// I1, N5: a close wakes a task that has polled, and it gets an error.
#[test]
fn a_close_wakes_a_poll() {
    testing::run(async || {
        let (source, _theirs) = source();
        let polls = source.clone();
        let task = spawn(async move { poll_byte(&polls).await });
        settle(&[&task]).await;
        source.close();
        let closed = task.await.unwrap_err();
        assert!(closed.to_string().contains("closed"), "{closed}");
        let tried = source.attempt_io(Direction::Read, |_| Ok(())).unwrap_err();
        assert_eq!(tried.kind(), ErrorKind::NotConnected);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
