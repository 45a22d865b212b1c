//! One suite for streams of every kind: what I1 and I2 promise of a stream, through the traits of
//! `futures-io`, of tokio and of hyper.
//!
//! A new kind of stream is a test with one line, as in `both_ways(UnixStream::pair)`. A check
//! takes ends of a connection as boxes, so the suite is compiled once.

// Each test binary uses a part of this.
#![allow(dead_code, unused_imports)]

#[path = "buggy.rs"]
pub(crate) mod buggy;
#[path = "checks.rs"]
mod checks;
#[path = "checks_both_ways.rs"]
mod checks_both_ways;
#[path = "other_traits.rs"]
mod other_traits;
#[path = "poll_calls.rs"]
mod poll_calls;

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use curium::io::{AsyncRead, AsyncWrite};
use curium::kernel::{Kernel, sleep, testing};
use curium::net::simulated::SimulatedNetExt;
use futures::future::{Either, select};

use crate::support::time::MS;
pub(crate) use other_traits::{ThroughHyper, ThroughTokio};

pub(crate) type Writer = Box<dyn AsyncWrite + Unpin>;
pub(crate) type Reader = Box<dyn AsyncRead + Unpin>;
pub(crate) type BothWays = Box<dyn Stream>;

/// A stream for both directions.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// The name of a check, and the check, which panics if it fails.
type Check = (&'static str, fn(&Kind));

type Made<T> = Pin<Box<dyn Future<Output = io::Result<T>>>>;
type Connect<T> = Rc<dyn Fn() -> Made<T>>;

/// How to make connected streams of one kind.
#[derive(Clone)]
pub(crate) struct Kind {
    /// The traits through which it is used.
    traits: &'static str,
    /// A writer, and a reader of what it writes.
    one_way: Connect<(Writer, Reader)>,
    both_ways: Option<Connect<(BothWays, BothWays)>>,
    /// `close` ends the direction. Otherwise only the drop does.
    closes: bool,
    /// Runs are alike, so that it can be swept.
    is_swept: bool,
    /// The ends are sockets of the simulated network.
    is_simulated: bool,
    /// Threads take part, for which a virtual clock waits.
    in_real_time: bool,
}

/// A kind of streams for both directions, through the traits of `futures-io`.
pub(crate) fn plain_both_ways<A: Stream + 'static, B: Stream + 'static>(
    connect: impl AsyncFn() -> io::Result<(A, B)> + 'static,
) -> Kind {
    of_both_ways("futures-io", &Rc::new(connect), |a| Box::new(a), |b| Box::new(b))
}

/// A kind of streams for both directions, through each of the traits.
pub(crate) fn both_ways<A, B>(connect: impl AsyncFn() -> io::Result<(A, B)> + 'static) -> Vec<Kind>
where
    A: Stream + tokio::io::AsyncRead + tokio::io::AsyncWrite,
    A: hyper::rt::Read + hyper::rt::Write + 'static,
    B: Stream + tokio::io::AsyncRead + tokio::io::AsyncWrite,
    B: hyper::rt::Read + hyper::rt::Write + 'static,
{
    let connect = Rc::new(connect);
    let tokio = |a| -> BothWays { Box::new(ThroughTokio(a)) };
    let hyper = |a| -> BothWays { Box::new(ThroughHyper(a)) };
    vec![
        of_both_ways("futures-io", &connect, |a| Box::new(a), |b| Box::new(b)),
        of_both_ways("tokio", &connect, tokio, |b| Box::new(ThroughTokio(b))),
        of_both_ways("hyper", &connect, hyper, |b| Box::new(ThroughHyper(b))),
    ]
}

fn of_both_ways<A: 'static, B: 'static>(
    traits: &'static str,
    connect: &Rc<impl AsyncFn() -> io::Result<(A, B)> + 'static>,
    a: fn(A) -> BothWays,
    b: fn(B) -> BothWays,
) -> Kind {
    let both_ways = connected(connect, a, b);
    let ends = both_ways.clone();
    let one_way: Connect<(Writer, Reader)> = Rc::new(move || {
        let ends = ends();
        Box::pin(async move {
            let (a, b) = ends.await?;
            Ok((Box::new(a) as Writer, Box::new(b) as Reader))
        })
    });
    Kind { both_ways: Some(both_ways), ..of_one_way(traits, one_way) }
}

/// A kind of streams of which one end writes and the other one reads, through these traits alone.
pub(crate) fn plain_one_way<W: AsyncWrite + Unpin + 'static, R: AsyncRead + Unpin + 'static>(
    traits: &'static str,
    connect: impl AsyncFn() -> io::Result<(W, R)> + 'static,
) -> Kind {
    of_one_way(traits, connected(&Rc::new(connect), |w| Box::new(w), |r| Box::new(r)))
}

/// A kind of streams of which one end writes and the other one reads, through each of the traits.
pub(crate) fn one_way<W, R>(connect: impl AsyncFn() -> io::Result<(W, R)> + 'static) -> Vec<Kind>
where
    W: AsyncWrite + tokio::io::AsyncWrite + hyper::rt::Write + Unpin + 'static,
    R: AsyncRead + tokio::io::AsyncRead + hyper::rt::Read + Unpin + 'static,
{
    let connect = Rc::new(connect);
    let kind = |traits, w: fn(W) -> Writer, r: fn(R) -> Reader| {
        of_one_way(traits, connected(&connect, w, r))
    };
    vec![
        kind("futures-io", |w| Box::new(w), |r| Box::new(r)),
        kind("tokio", |w| Box::new(ThroughTokio(w)), |r| Box::new(ThroughTokio(r))),
        kind("hyper", |w| Box::new(ThroughHyper(w)), |r| Box::new(ThroughHyper(r))),
    ]
}

fn of_one_way(traits: &'static str, one_way: Connect<(Writer, Reader)>) -> Kind {
    Kind {
        traits,
        one_way,
        both_ways: None,
        closes: true,
        is_swept: true,
        is_simulated: false,
        in_real_time: false,
    }
}

fn connected<A: 'static, B: 'static, X: 'static, Y: 'static>(
    connect: &Rc<impl AsyncFn() -> io::Result<(A, B)> + 'static>,
    a: fn(A) -> X,
    b: fn(B) -> Y,
) -> Connect<(X, Y)> {
    let connect = connect.clone();
    Rc::new(move || {
        let connect = connect.clone();
        Box::pin(async move {
            let ends = (*connect)().await?;
            Ok((a(ends.0), b(ends.1)))
        })
    })
}

impl Kind {
    /// A `close` does not end the direction.
    pub(crate) fn ends_when_dropped(mut self) -> Self {
        self.closes = false;
        self
    }

    /// Other processes take part, so runs are not alike.
    pub(crate) fn not_swept(mut self) -> Self {
        self.is_swept = false;
        self
    }

    /// Threads take part, so runs are not alike, and a virtual clock would wait for the threads.
    pub(crate) fn in_real_time(mut self) -> Self {
        (self.in_real_time, self.is_swept) = (true, false);
        self
    }

    /// The ends are sockets of the simulated network.
    pub(crate) fn simulated(mut self) -> Self {
        (self.is_simulated, self.is_swept) = (true, false);
        self
    }

    async fn connect(&self) -> (Writer, Reader) {
        (self.one_way)().await.expect("the ends can be connected")
    }

    async fn connect_both_ways(&self) -> Option<(BothWays, BothWays)> {
        match &self.both_ways {
            Some(connect) => Some(connect().await.expect("the ends can be connected")),
            None => None,
        }
    }

    /// Runs a check in a kernel. One that does not end is a failure.
    fn run(&self, check: impl AsyncFnOnce(Kind) -> io::Result<()> + 'static) {
        let kind = self.clone();
        let check: Made<()> = Box::pin(async move { check(kind).await });
        let builder = match self.is_simulated {
            true => Kernel::builder().seed(1).simulated_net(),
            false => Kernel::builder(),
        };
        match self.in_real_time {
            true => builder.run(async move || end_of(check, 100 * MS).await),
            // Each millisecond passes when nothing can run and the system reports nothing for ten.
            false => testing::run_with(builder, async move || end_of(check, MS).await),
        }
    }
}

/// Waits for the end of a check, for so long 500 times.
async fn end_of(check: Made<()>, time: Duration) {
    let patience = pin!(async {
        for _ in 0..500 {
            sleep(time).await.expect("it is not cancelled");
        }
    });
    match select(check, patience).await {
        Either::Left((ended, _)) => ended.expect("no call fails"),
        Either::Right(_) => panic!("it waits for ever"),
    }
}

fn all_checks() -> impl Iterator<Item = &'static Check> {
    checks::CHECKS.iter().chain(checks_both_ways::CHECKS)
}

/// Why streams of a kind fail a check, if they do.
fn failure(kind: &Kind, check: fn(&Kind)) -> Option<String> {
    let panic = catch_unwind(AssertUnwindSafe(|| check(kind))).err()?;
    let text = panic.downcast_ref::<String>().map(String::as_str);
    Some(text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned())
}

/// Checks streams through each of the traits. All failures are listed.
#[track_caller]
pub(crate) fn conform(kinds: impl IntoIterator<Item = Kind>) {
    let mut all = Vec::new();
    for kind in kinds {
        for (name, check) in all_checks() {
            let failed = failure(&kind, *check);
            all.extend(failed.map(|text| format!("{name}, through {}: {text}", kind.traits)));
        }
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

/// Checks that streams with a bug fail the check of that name.
#[track_caller]
pub(crate) fn fails(kind: &Kind, name: &str) {
    let (_, check) = all_checks().find(|check| check.0 == name).expect("a check of that name");
    assert!(failure(kind, *check).is_some(), "the bug is not found");
}
