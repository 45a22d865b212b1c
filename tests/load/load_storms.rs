//! Tasks that are always ready, sockets that are always readable, and timers that are due together:
//! a task that waits for a timer or a socket beside them is late by a bounded number of polls.
//!
//! Counted in polls, not in time, so that a busy machine has no influence.

#![cfg(unix)]

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use kernel::{
    GroupRef, TaskCancelled, TaskGroup, cancellable, sleep_until, spawn, testing, yield_now,
};
use net::TcpStream;
use sync::Event;

/// Polls between two looks at timers and sockets.
const LOOK: u64 = 64;

/// A pair of sockets: what one end writes is readable at the other when the write returns, which
/// TCP does not guarantee. `TcpStream` reads and writes any socket.
fn pair() -> io::Result<(TcpStream, UnixStream)> {
    let (one, other) = UnixStream::pair()?;
    Ok((TcpStream::from_std(OwnedFd::from(one).into())?, other))
}

/// Counts polls, and records in which of them a given moment had passed.
#[derive(Default)]
struct Watch {
    polls: Cell<u64>,
    moment: Cell<Option<Instant>>,
    over_at: Cell<Option<u64>>,
}

impl Watch {
    fn poll(&self) {
        self.polls.set(self.polls.get() + 1);
        let over = self.moment.get().is_some_and(|moment| Instant::now() >= moment);
        if over && self.over_at.get().is_none() {
            self.over_at.set(Some(self.polls.get()));
        }
    }

    /// Watches for a moment.
    fn set(&self, moment: Instant) {
        self.over_at.set(None);
        self.moment.set(Some(moment));
    }

    /// The polls since a task could have seen that the moment had passed.
    fn late(&self) -> u64 {
        self.over_at.get().map_or(0, |over| self.polls.get() - over)
    }

    /// The same future, with its polls counted.
    async fn counted<F: Future>(self: Rc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|cx| {
            self.poll();
            future.as_mut().poll(cx)
        })
        .await
    }
}

type Endless = io::Result<()>;

async fn always_ready() -> Endless {
    let event = Event::new();
    event.set();
    loop {
        event.wait().await?;
    }
}

async fn plays(mine: Rc<Event>, theirs: Rc<Event>) -> Endless {
    loop {
        mine.wait().await?;
        mine.clear();
        theirs.set();
    }
}

async fn wakes_itself() -> Endless {
    let restless = poll_fn(|cx| {
        cx.waker().wake_by_ref();
        Poll::Pending::<Endless>
    });
    cancellable(restless).await?
}

async fn yields() -> Endless {
    loop {
        yield_now().await?;
    }
}

/// A byte that is peeked and never read.
async fn always_readable() -> Endless {
    let (stream, mut other) = pair()?;
    other.write_all(b"!")?;
    loop {
        stream.peek(&mut [0]).await?;
    }
}

/// The end of a stream stays readable.
async fn at_the_end() -> Endless {
    let (stream, other) = pair()?;
    drop(other);
    loop {
        stream.read(&mut [0]).await?;
    }
}

/// Two tasks that send each other a byte through the reactor.
async fn throws(ends: Rc<[TcpStream; 2]>, mine: usize) -> Endless {
    loop {
        ends[mine].write_all(b"!").await?;
        ends[mine].read_exact(&mut [0]).await?;
    }
}

/// Some tasks of each kind. Returns how many tasks there are.
fn spinners(g: GroupRef<io::Error>, watch: &Rc<Watch>, times: usize) -> io::Result<u64> {
    let before = kernel::tasks().len();
    for _ in 0..times {
        let (ping, pong) = (Rc::new(Event::new()), Rc::new(Event::new()));
        ping.set();
        g.spawn_daemon(watch.clone().counted(plays(ping.clone(), pong.clone())));
        g.spawn_daemon(watch.clone().counted(plays(pong, ping)));
        let (left, right) = pair()?;
        let right = TcpStream::from_std(OwnedFd::from(right).into())?;
        let ends = Rc::new([left, right]);
        g.spawn_daemon(watch.clone().counted(throws(ends.clone(), 0)));
        g.spawn_daemon(watch.clone().counted(throws(ends, 1)));
        g.spawn_daemon(watch.clone().counted(always_ready()));
        g.spawn_daemon(watch.clone().counted(wakes_itself()));
        g.spawn_daemon(watch.clone().counted(yields()));
        g.spawn_daemon(watch.clone().counted(always_readable()));
        g.spawn_daemon(watch.clone().counted(at_the_end()));
    }
    Ok((kernel::tasks().len() - before) as u64)
}

/// K2, K1: beside tasks and sockets that are always ready, a timer is late by at most 64 polls,
/// until the kernel looks at it, and one poll of each task that was ready then.
#[test]
fn a_timer_beside_spinners_is_late_by_a_bounded_number_of_polls() {
    kernel::run(async || {
        TaskGroup::scope(async |g| {
            let watch = Rc::new(Watch::default());
            let others = spinners(g, &watch, 10)?;
            for n in 0..500 {
                let moment = kernel::now() + Duration::from_micros(n % 50);
                watch.set(moment);
                sleep_until(moment).await?;
                let late = watch.late();
                assert!(late <= LOOK + others, "{late} polls late, beside {others} tasks");
            }
            assert!(watch.polls.get() > 500, "the others ran");
            Ok::<(), io::Error>(())
        })
        .await
    })
    .unwrap();
}

/// K2, K1: so is a reader.
#[test]
fn a_reader_beside_spinners_is_late_by_a_bounded_number_of_polls() {
    kernel::run(async || {
        TaskGroup::scope(async |g| {
            let watch = Rc::new(Watch::default());
            let others = spinners(g, &watch, 10)?;
            let (stream, mut peer) = pair()?;
            let written_at = Rc::new(Cell::new(0));
            let (theirs, at) = (watch.clone(), written_at.clone());
            let reader = g.spawn(async move {
                let mut latest = 0;
                while stream.read(&mut [0]).await? > 0 {
                    latest = latest.max(theirs.polls.get() - at.get());
                }
                Ok::<u64, io::Error>(latest)
            });
            for n in 0..200 {
                written_at.set(watch.polls.get());
                peer.write_all(b"!")?;
                for _ in 0..2 + n % 5 {
                    yield_now().await?;
                }
            }
            drop(peer);
            let latest = reader.join().await?.unwrap();
            assert!(latest <= LOOK + others, "{latest} polls late, beside {others} tasks");
            Ok(())
        })
        .await
    })
    .unwrap();
}

/// K2: while very many timers are due, sockets are served in between: a byte that comes in the
/// middle is read after at most twice the polls between two looks.
#[test]
fn a_reader_is_served_while_very_many_timers_are_due() {
    const MANY: u64 = 300_000;
    testing::run(async || {
        let (stream, peer) = pair()?;
        let (fired, read_at) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
        let (theirs, at) = (fired.clone(), read_at.clone());
        let reader = spawn(async move {
            stream.read(&mut [0]).await?;
            at.set(Some(theirs.get()));
            Ok::<(), io::Error>(())
        });
        let due = kernel::now() + Duration::from_secs(1);
        let peer = Rc::new(peer);
        for n in 0..MANY {
            let (fired, peer) = (fired.clone(), peer.clone());
            spawn(async move {
                sleep_until(due).await?;
                fired.set(n);
                if n == MANY / 2 {
                    (&*peer).write_all(b"!").unwrap();
                }
                Ok::<_, TaskCancelled>(())
            });
        }
        testing::settle().await?;
        testing::advance(Duration::from_secs(1)).await?;
        reader.join().await?.unwrap();
        let late = read_at.get().unwrap_or(MANY) - MANY / 2;
        assert!(late <= 2 * LOOK, "{late} timers were served before it read");
        Ok::<(), io::Error>(())
    })
    .unwrap();
}
