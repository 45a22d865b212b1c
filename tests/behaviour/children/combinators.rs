//! `gather`, `race`, `first_ok` and `as_completed` (S5).

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::AssertUnwindSafe;

use curium::prelude::*;
use curium::{as_completed, check_cancellation, first_ok, gather, gather_all, now, race, testing};
use futures::{FutureExt, Stream, StreamExt};

use crate::support::log::Log;
use crate::support::reports;
use crate::support::time::secs;

fn oops(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}

async fn after<T>(seconds: u64, value: T) -> io::Result<T> {
    sleep(secs(seconds)).await?;
    Ok(value)
}

async fn fails_after(seconds: u64, text: &str) -> io::Result<u32> {
    sleep(secs(seconds)).await?;
    Err(oops(text))
}

/// Parked until it is cancelled; then it cleans up for ten seconds.
async fn tidy(log: &Log) -> io::Result<u32> {
    let Err(cancelled) = sleep(Duration::MAX).await else { return Ok(0) };
    sleep(secs(10)).await?;
    log.push("clean");
    Err(cancelled.into())
}

/// S5: `gather` gives the values in order, of futures of any type that borrow.
#[test]
fn gather_gives_the_values_in_order() {
    testing::run(async || {
        let started = now();
        let text = String::from("borrowed");
        let ready = gather((async { Ok::<_, io::Error>(1) }, async { Ok(text.as_str()) }));
        assert_eq!(ready.await.unwrap(), (1, "borrowed"));
        assert_eq!(now(), started);
        let one = after(2, text.as_str());
        let gathered = gather((one, after(1, 'x'), async { Ok(()) }, async {
            yield_now().await?;
            Ok(2.5)
        }));
        assert_eq!(gathered.await.unwrap(), ("borrowed", 'x', (), 2.5));
        assert_eq!(now() - started, secs(2));
        let all = gather_all((0..3).rev().map(|n| after(n, n)));
        assert_eq!(all.await.unwrap(), [2, 1, 0]);
        let none = gather_all(Vec::<std::future::Ready<io::Result<()>>>::new());
        assert_eq!(none.await.unwrap(), []);
    });
}

/// S5, K1: a yield in a future that is gathered lets other tasks run.
#[test]
fn a_yield_in_a_gather_is_a_yield() {
    testing::run(async || {
        let log = Log::default();
        let theirs = log.clone();
        let task = spawn(async move {
            theirs.push("task");
            Ok::<_, TaskCancelled>(())
        });
        let yields = async || {
            yield_now().await?;
            log.push("arm");
            Ok::<_, TaskCancelled>(())
        };
        gather((yields(), yields())).await.unwrap();
        task.await.unwrap();
        assert_eq!(log.take(), ["task", "arm", "arm"]);
    });
}

/// S5, G1: the first failure cancels the others, which are awaited; at the first poll as well.
#[test]
fn a_failure_in_a_gather_cancels_the_others() {
    testing::run(async || {
        for delay in [0, 1] {
            let (log, started) = (Log::default(), now());
            let fails = async {
                if delay > 0 {
                    sleep(secs(delay)).await?;
                }
                Err::<u8, _>(oops("first"))
            };
            let gathered = gather((tidy(&log), fails, tidy(&log)));
            assert_eq!(gathered.await.unwrap_err().to_string(), "first");
            // At the first poll, the last one was not begun.
            let begun = if delay == 0 { 1 } else { 2 };
            assert_eq!(log.take(), vec!["clean"; begun]);
            assert_eq!(now() - started, secs(10 + delay));
        }
        let log = Log::default();
        let all = gather_all([tidy(&log).boxed_local(), fails_after(1, "second").boxed_local()]);
        assert_eq!(all.await.unwrap_err().to_string(), "second");
        assert_eq!(log.take(), ["clean"]);
    });
}

/// S5, G1, T6: so does a cancellation of the caller.
#[test]
fn a_cancelled_gather_awaits_its_futures() {
    testing::run(async || {
        let (log, started) = (Log::default(), now());
        let gathered = timeout_after(secs(1), gather((tidy(&log), after(0, 1))));
        assert!(gathered.await.is_err());
        assert_eq!(log.take(), ["clean"]);
        assert_eq!(now() - started, secs(11));
    });
}

/// S5, G3: a panic is resumed after the others have ended; at the first poll as well.
#[test]
fn a_panic_in_a_gather_waits_for_the_others() {
    testing::run(async || {
        for delay in [0, 1] {
            let log = Log::default();
            let panics = async {
                if delay > 0 {
                    sleep(secs(delay)).await?;
                }
                if delay < 2 {
                    panic!("an arm");
                }
                Ok(())
            };
            let gathered = AssertUnwindSafe(gather((tidy(&log), panics))).catch_unwind().await;
            let payload = gathered.unwrap_err();
            assert_eq!(payload.downcast_ref::<&str>(), Some(&"an arm"));
            assert_eq!(log.take(), ["clean"]);
        }
    });
}

/// S5: the first of a race to end wins, a failure too; the others are cancelled and awaited.
#[test]
fn the_losers_of_a_race_are_awaited() {
    testing::run(async || {
        let (log, started) = (Log::default(), now());
        let raced = race((tidy(&log), after(1, 7))).await.unwrap();
        assert_eq!((raced.first.unwrap(), raced.winner, raced.late.len()), (7, 1, 0));
        assert_eq!(log.take(), ["clean"]);
        assert_eq!(now() - started, secs(11));
        let raced = race(vec![fails_after(2, "slow"), fails_after(1, "quick")]).await.unwrap();
        assert_eq!((raced.first.unwrap_err().to_string(), raced.winner), ("quick".to_owned(), 1));
    });
}

/// S5: what a loser of a race has completed with all the same comes out, and so does the real error
/// of its cleanup.
#[test]
fn what_a_loser_completes_with_comes_out_too() {
    testing::run(async || {
        let completes = async {
            sleep(Duration::MAX).await.ok();
            Ok(1)
        };
        let cleanup = async {
            sleep(Duration::MAX).await.ok();
            Err(oops("the cleanup"))
        };
        let raced = race((completes, after(1, 2), cleanup, tidy(&Log::default()))).await.unwrap();
        assert_eq!((raced.first.unwrap(), raced.winner), (2, 1));
        let late: Vec<_> = raced.late.iter().map(|late| format!("{late:?}")).collect();
        assert_eq!(late.len(), 2);
        assert!(late.contains(&"Ok(1)".to_owned()), "{late:?}");
        assert!(late.iter().any(|late| late.contains("the cleanup")), "{late:?}");
    });
}

/// S5: a race of which one is ready at once ends at once. Those behind it are not begun.
#[test]
fn a_race_that_is_decided_at_once_begins_no_others() {
    testing::run(async || {
        let queue = Queue::unbounded();
        queue.try_put(1).unwrap();
        queue.try_put(2).unwrap();
        let (one, two) = (queue.get(), queue.get());
        let raced = race((one, two)).await.unwrap();
        assert_eq!((raced.first, raced.winner, raced.late), (Ok(1), 0, vec![]));
        assert_eq!(queue.get().await, Ok(2));
        let log = Log::default();
        let raced = race((tidy(&log), async { Ok(3) })).await.unwrap();
        assert_eq!((raced.first.unwrap(), raced.winner), (3, 1));
        assert_eq!(log.take(), ["clean"]);
    });
}

/// S5, C1: if the caller is cancelled, the futures are cancelled and awaited. What one of them
/// completes with is returned, and the cancellation stays pending.
#[test]
fn a_cancelled_race_loses_no_value() {
    testing::run(async || {
        let ended = spawn(async {
            let log = Log::default();
            let raced = race((tidy(&log), tidy(&log))).await;
            assert_eq!(log.take(), ["clean", "clean"]);
            raced.map(drop)
        });
        sleep(secs(1)).await.unwrap();
        ended.cancel().await.unwrap();
        assert!(ended.await.is_err());
        let kept = spawn(async {
            let completes = async {
                sleep(Duration::MAX).await.ok();
                Ok::<_, TaskCancelled>("kept")
            };
            let raced = race((sleep(Duration::MAX).map(|ended| ended.map(|()| "")), completes));
            let value = raced.await?.first?;
            assert!(check_cancellation().is_some());
            assert!(sleep(secs(1)).await.is_err());
            Ok::<_, TaskCancelled>(value)
        });
        sleep(secs(1)).await.unwrap();
        kept.cancel().await.unwrap();
        assert_eq!(kept.await, Ok("kept"));
    });
}

/// S5: the first success ends the others; if there is none, every error comes out, in order.
#[test]
fn first_ok_gives_the_first_success_or_all_errors() {
    testing::run(async || {
        let log = Log::default();
        let mixed = [
            fails_after(1, "spared").boxed_local(),
            tidy(&log).boxed_local(),
            after(2, 7).boxed_local(),
        ];
        assert_eq!(first_ok(mixed).await.unwrap(), 7);
        assert_eq!(log.take(), ["clean"]);
        let failing = [fails_after(2, "two"), fails_after(1, "one"), fails_after(3, "three")];
        let errors = first_ok(failing).await.unwrap_err();
        assert_eq!(errors.first.to_string(), "one");
        let others: Vec<_> = errors.others.iter().map(ToString::to_string).collect();
        assert_eq!(others, ["two", "three"]);
    });
}

/// S5, C6: the error of a future that is cancelled alone, by its id, is that of the combinator.
#[test]
fn a_future_that_is_cancelled_alone_ends_its_combinator() {
    testing::run(async || {
        for kind in 0..4 {
            let cancels = spawn(async {
                sleep(secs(1)).await?;
                let sleeps = |info: &&curium::TaskInfo| info.state.to_string() == "EVENT_WAIT";
                let all = curium::tasks();
                let arm = all.iter().find(sleeps).expect("an arm");
                curium::handle().request_cancel(arm.id).unwrap();
                Ok::<_, TaskCancelled>(())
            });
            let event = Event::new();
            let arm = async {
                yield_now().await?; // from here on it is a child
                event.wait().await
            };
            let is_cancelled = match kind {
                0 => gather((arm, sleep(secs(2)))).await.is_err(),
                1 => gather_all([arm]).await.is_err(),
                2 => first_ok([arm]).await.is_err(),
                _ => race((arm, sleep(secs(2)))).await.unwrap().first.is_err(),
            };
            assert!(is_cancelled, "{kind}");
            assert!(check_cancellation().is_none());
            cancels.await.unwrap();
        }
    });
}

/// S5: outputs come in the order of ending, failures among them; a wait that was cancelled loses
/// none.
#[test]
fn outputs_come_as_they_are_completed() {
    testing::run(async || {
        let text = String::from("x");
        let borrows = &text;
        let mut outputs = as_completed([3, 1, 2].map(|n| async move {
            sleep(secs(n)).await?;
            if n == 2 { Err(oops("two")) } else { Ok(format!("{n}{borrows}")) }
        }));
        assert!(timeout_after(secs(0), outputs.next()).await.is_err());
        assert_eq!(outputs.next().await.unwrap().unwrap().unwrap(), "1x");
        assert_eq!(outputs.next().await.unwrap().unwrap().unwrap_err().to_string(), "two");
        assert_eq!(outputs.next().await.unwrap().unwrap().unwrap(), "3x");
        assert!(outputs.next().await.unwrap().is_none());
        assert!(outputs.next().await.unwrap().is_none());
    });
}

/// S5: the outputs are a stream; a cancellation is an item of it, and loses none.
#[test]
fn outputs_are_a_stream() {
    testing::run(async || {
        let mut outputs = as_completed([3, 1, 2].map(|n| async move {
            sleep(secs(n)).await?;
            Ok::<_, TaskCancelled>(n)
        }));
        assert_eq!(outputs.size_hint(), (3, Some(3)));
        let cut = timeout_after(secs(0), async {
            StreamExt::next(&mut outputs).await.expect("an item").map(drop)
        });
        assert!(cut.await.is_err());
        let first = StreamExt::next(&mut outputs).await;
        assert_eq!(first, Some(Ok(Ok(1))));
        // The wait of the stream and that of `next` may alternate.
        assert!(StreamExt::next(&mut outputs).now_or_never().is_none());
        assert_eq!(outputs.next().await, Ok(Some(Ok(2))));
        let left: Vec<_> = outputs.collect().await;
        assert_eq!(left, [Ok(Ok(3))]);
    });
}

/// S5, S4: outputs that are dropped drop the futures that have not ended; a panic goes to `next`.
#[test]
fn dropped_outputs_drop_their_futures() {
    struct Dropped<'a>(&'a Cell<u32>);
    impl Drop for Dropped<'_> {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }
    let ((), reports) = reports::texts(async || {
        let dropped = Cell::new(0);
        let mut outputs = as_completed((0..3).map(|n| {
            let guard = Dropped(&dropped);
            async move {
                let _guard = guard;
                sleep(secs(n)).await?;
                assert!(n > 0, "an arm");
                Ok::<_, TaskCancelled>(n)
            }
        }));
        let panicked = AssertUnwindSafe(outputs.next()).catch_unwind().await;
        assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"an arm"));
        assert_eq!(outputs.next().await, Ok(Some(Ok(1))));
        assert_eq!(dropped.get(), 2);
        drop(outputs);
        assert_eq!(dropped.get(), 3);
        assert_eq!(curium::tasks().len(), 1);
    });
    assert_eq!(reports, [] as [String; 0]);
}

/// S5: the losers of a race in a scope may borrow from the scope around it.
#[test]
fn combinators_nest_in_scopes() {
    testing::run(async || {
        let seen = RefCell::new(Vec::new());
        scope(async |s| {
            for n in 1..=3 {
                let seen = &seen;
                s.spawn(async move {
                    let ((), raced) = gather((sleep(secs(n)), async {
                        race((sleep(secs(n)), sleep(secs(9)))).await
                    }))
                    .await?;
                    seen.borrow_mut().push((n, raced.winner));
                    raced.first
                });
            }
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(seen.take(), [(1, 0), (2, 0), (3, 0)]);
    });
}
