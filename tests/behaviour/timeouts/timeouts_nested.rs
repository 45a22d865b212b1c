//! Nested timeouts: no call mistakes the expiry of another for its own (T2 to T5, C4, C8).

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use kernel::{
    CancelReason, TaskCancelled, TaskError, TaskTimeout, ignore_after, shield, sleep, spawn,
    testing, timeout_after,
};

use crate::support::time::secs;

type Slept = Result<(), TaskCancelled>;

/// How long `timed` takes, in seconds, and its result.
async fn clocked<T>(timed: impl Future<Output = T>) -> (T, u64) {
    let started = kernel::now();
    let value = timed.await;
    (value, (kernel::now() - started).as_secs())
}

/// T3: an outer expiry passes an inner call as an error of its body, with the reason of a timeout.
#[test]
fn an_outer_expiry_is_not_the_inner_ones() {
    testing::run(async || {
        let seen = Cell::new(None);
        let body = async {
            let inner = timeout_after(secs(5), sleep(Duration::MAX)).await;
            let cancelled = inner.expect("not the inner call's time").unwrap_err();
            seen.set(Some(cancelled.reason()));
            Err::<(), _>(cancelled)
        };
        let (outer, seconds) = clocked(timeout_after(secs(1), body)).await;
        assert_eq!(outer.unwrap_err().limit(), secs(1));
        assert_eq!(seen.take(), Some(CancelReason::Timeout));
        assert_eq!(seconds, 1);
    });
}

/// T3: the inner call's own expiry is caught inside, and the outer call continues.
#[test]
fn an_inner_timeout_is_caught_inside() {
    testing::run(async || {
        let body = async {
            assert!(timeout_after(secs(1), sleep(Duration::MAX)).await.is_err());
            assert!(timeout_after(secs(1), sleep(Duration::MAX)).await.is_err());
            sleep(secs(1)).await?;
            Ok::<_, TaskCancelled>(7)
        };
        assert_eq!(clocked(timeout_after(secs(5), body)).await, (Ok(Ok(7)), 3));
    });
}

/// T3: an inner timeout that `?` passes on is an ordinary error of the outer call's body.
#[test]
fn an_inner_timeout_passed_on_is_an_error_of_the_outer_body() {
    testing::run(async || {
        let body = async { timeout_after(secs(1), endless()).await? };
        let outer: Result<io::Result<()>, TaskTimeout> = timeout_after(secs(5), body).await;
        assert_eq!(outer.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);

        let body = async {
            let inner: Result<Slept, TaskTimeout> = timeout_after(secs(1), sleep(secs(9))).await;
            inner.map(|_| ())
        };
        let outer: Result<Result<(), TaskTimeout>, _> = timeout_after(secs(5), body).await;
        assert_eq!(outer.unwrap().unwrap_err().limit(), secs(1));
    });
}

async fn endless() -> io::Result<()> {
    Ok(sleep(Duration::MAX).await?)
}

/// T3: if both are pending when a leaf would park, the outermost is delivered, not the inner one.
#[test]
fn of_two_that_run_out_together_the_outermost_is_delivered() {
    testing::run(async || {
        for inner_limit in [1, 2] {
            let body = async {
                // Held back until both are pending.
                let inner = timeout_after(secs(inner_limit), async {
                    shield(sleep(secs(3))).await?;
                    sleep(Duration::MAX).await
                });
                inner.await.expect("the outer one was delivered")
            };
            let outer = timeout_after(secs(2), body).await;
            assert_eq!(outer.unwrap_err().limit(), secs(2));
        }
    });
}

/// T3: the same without a shield, due in one tick, whichever was armed first.
#[test]
fn two_deadlines_in_one_tick_are_the_outermosts() {
    testing::run(async || {
        let body = async { timeout_after(secs(2), sleep(Duration::MAX)).await.unwrap() };
        assert_eq!(timeout_after(secs(2), body).await.unwrap_err().limit(), secs(2));
        let body = async {
            sleep(secs(1)).await?;
            timeout_after(secs(1), sleep(Duration::MAX)).await.unwrap()
        };
        assert_eq!(timeout_after(secs(2), body).await.unwrap_err().limit(), secs(2));
    });
}

/// T3, T4: a longer inner limit neither extends nor delays the outer one.
#[test]
fn an_inner_limit_cannot_extend_an_outer_one() {
    testing::run(async || {
        let deepest = timeout_after(Duration::MAX, sleep(secs(100)));
        let inner = async { timeout_after(secs(50), deepest).await.unwrap().unwrap() };
        let (outer, seconds) = clocked(timeout_after(secs(1), inner)).await;
        assert_eq!(outer.unwrap_err().limit(), secs(1));
        assert_eq!(seconds, 1);
    });
}

/// T3: an outer expiry in the cleanup of an inner one stays that of the outer call.
#[test]
fn an_outer_expiry_in_the_cleanup_of_an_inner_one_is_the_outers() {
    testing::run(async || {
        let body = async {
            let inner = timeout_after(secs(1), async {
                sleep(Duration::MAX).await.unwrap_err();
                sleep(secs(10)).await
            });
            inner.await.expect("its cleanup ended in the outer's error")
        };
        let (outer, seconds) = clocked(timeout_after(secs(3), body)).await;
        assert_eq!(outer.unwrap_err().limit(), secs(3));
        assert_eq!(seconds, 3);
    });
}

/// T5: an outer expiry that was swallowed inside an inner call is delivered again after that call.
#[test]
fn an_expiry_swallowed_in_an_inner_call_comes_again_after_it() {
    testing::run(async || {
        let steps = Cell::new(0);
        let body = async {
            let inner = timeout_after(secs(50), async {
                sleep(Duration::MAX).await.unwrap_err();
                // Inside that call the cleanup is not interrupted.
                sleep(secs(4)).await?;
                steps.set(1);
                Ok::<_, TaskCancelled>("swallowed")
            });
            assert_eq!(inner.await, Ok(Ok("swallowed")));
            sleep(secs(100)).await
        };
        let (outer, seconds) = clocked(timeout_after(secs(1), body)).await;
        assert_eq!(outer.unwrap_err().limit(), secs(1));
        assert_eq!((steps.get(), seconds), (1, 5));
    });
}

/// T5: also from two calls deep, through an error that hides it, and out of an `ignore_after`.
#[test]
fn a_hidden_outer_expiry_comes_again_however_it_was_hidden() {
    testing::run(async || {
        let hide = async || {
            sleep(Duration::MAX).await.unwrap_err();
            Err::<(), _>(io::Error::other("hidden"))
        };
        let two_deep = async {
            let middle = timeout_after(secs(60), async {
                let inner = timeout_after(secs(50), hide()).await;
                assert_eq!(inner.unwrap().unwrap_err().to_string(), "hidden");
                // The innermost call has returned, so the expiry is delivered again in the middle
                // one, and swallowed there.
                assert!(sleep(secs(9)).await.is_err());
                Ok::<_, TaskCancelled>(())
            });
            assert_eq!(middle.await, Ok(Ok(())));
            sleep(secs(9)).await
        };
        assert_eq!(clocked(timeout_after(secs(1), two_deep)).await.1, 1);

        let ignoring = async {
            assert!(ignore_after(secs(50), hide()).await.is_err());
            sleep(secs(9)).await
        };
        assert!(timeout_after(secs(1), ignoring).await.is_err());
    });
}

/// T5: also out of an inner call that was dropped during its cleanup.
#[test]
fn an_outer_expiry_comes_again_when_the_inner_call_is_dropped() {
    testing::run(async || {
        let body = async {
            {
                let mut inner = pin!(timeout_after(secs(50), async {
                    sleep(Duration::MAX).await.unwrap_err();
                    sleep(secs(100)).await
                }));
                let stop = pin!(shield(sleep(secs(2))));
                let raced = futures::future::select(inner.as_mut(), stop).await;
                assert!(matches!(raced, futures::future::Either::Right(_)));
            }
            sleep(secs(100)).await
        };
        let (outer, seconds) = clocked(timeout_after(secs(1), body)).await;
        assert!(outer.is_err());
        assert_eq!(seconds, 2);
    });
}

/// T5: swallowed in its own body, it is not delivered again, and does not bound the cleanup.
#[test]
fn an_expiry_swallowed_in_its_own_body_leaves_the_cleanup_alone() {
    testing::run(async || {
        let body = async {
            sleep(Duration::MAX).await.unwrap_err();
            for _ in 0..3 {
                sleep(secs(5)).await?;
            }
            let inner = timeout_after(secs(1), sleep(Duration::MAX)).await;
            assert!(inner.is_err(), "a timeout of the cleanup is its own");
            sleep(secs(5)).await?;
            Ok::<_, TaskCancelled>("clean")
        };
        assert_eq!(clocked(timeout_after(secs(1), body)).await, (Ok(Ok("clean")), 22));
    });
}

/// C4, T5: a task's own cancel that was swallowed inside a timeout is not delivered again.
#[test]
fn a_cancel_swallowed_in_a_timeout_does_not_come_again() {
    testing::run(async || {
        let task = spawn(async {
            let inner = timeout_after(secs(50), async {
                sleep(Duration::MAX).await.unwrap_err();
                Ok::<_, TaskCancelled>(())
            });
            inner.await.unwrap()?;
            sleep(secs(5)).await
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        task.join().await.unwrap().unwrap();
    });
}

/// C8, T2: a timeout in the cleanup of a cancelled task returns its own error.
#[test]
fn a_timeout_in_the_cleanup_of_a_cancelled_task_is_its_own() {
    testing::run(async || {
        let task = spawn(async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            let save = timeout_after(secs(2), sleep(Duration::MAX)).await;
            assert!(save.is_err(), "the cleanup's time ran out");
            Err::<(), _>(cancelled)
        });
        testing::settle().await.unwrap();
        let (ended, seconds) = clocked(task.cancel()).await;
        ended.unwrap();
        assert_eq!(seconds, 2);
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
    });
}

/// T3: a cancel of the task passes all its timeouts, also those that have expired.
#[test]
fn a_cancel_of_the_task_is_nobodys_timeout() {
    testing::run(async || {
        for own_expiry_first in [false, true] {
            let task = spawn(async move {
                let body = async {
                    if own_expiry_first {
                        sleep(Duration::MAX).await.unwrap_err();
                    }
                    sleep(Duration::MAX).await
                };
                let inner = timeout_after(secs(1), body).await;
                inner.expect("it was the cancel").inspect_err(|error| {
                    assert!(matches!(error.reason(), CancelReason::Requested { .. }));
                })
            });
            sleep(Duration::from_millis(if own_expiry_first { 1500 } else { 500 })).await.unwrap();
            task.cancel().await.unwrap();
            assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
        }
    });
}

/// T3: `ignore_after` inside other calls, and other calls inside it: `None` is only its own expiry.
#[test]
fn ignore_after_gives_none_for_its_own_time_at_every_nesting() {
    testing::run(async || {
        for (inner, outer) in [(1, 3), (3, 1), (2, 2)] {
            let body = async { ignore_after(secs(inner), sleep(Duration::MAX)).await };
            let ended = ignore_after(secs(outer), body).await;
            let expected = if inner < outer { Some(None) } else { None };
            assert_eq!(ended, Ok(expected), "{inner} in {outer}");

            let body = async { ignore_after(secs(inner), sleep(Duration::MAX)).await };
            let timed = timeout_after(secs(outer), body).await;
            assert_eq!(timed.is_ok(), inner < outer, "{inner} in {outer}");

            let body = async {
                match timeout_after(secs(inner), sleep(Duration::MAX)).await {
                    Err(TaskTimeout { .. }) => Ok("inner"),
                    Ok(slept) => slept.map(|()| "slept"),
                }
            };
            let expected = if inner < outer { Some("inner") } else { None };
            let ended: Result<_, TaskCancelled> = ignore_after(secs(outer), body).await;
            assert_eq!(ended, Ok(expected), "{inner} in {outer}");
        }
    });
}

/// A body that counts how often it is polled.
fn counted<F: Future>(polls: Rc<Cell<usize>>, body: F) -> impl Future<Output = F::Output> {
    let mut body = Box::pin(body);
    std::future::poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        body.as_mut().poll(cx)
    })
}

/// T1, C2: ten thousand timeouts in one `FuturesUnordered`: each expiry wakes only its own body.
#[test]
fn ten_thousand_timeouts_of_one_task_each_wake_their_own_body() {
    const MANY: u64 = 10_000;
    testing::run(async || {
        let polls = Rc::new(Cell::new(0));
        let mut timeouts: FuturesUnordered<_> = (0..MANY)
            .map(|n| {
                let body = counted(polls.clone(), sleep(Duration::MAX));
                async move { (n, timeout_after(secs(1 + n), body).await.is_err()) }
            })
            .collect();
        let mut next = 0;
        while let Some(ended) = timeouts.next().await {
            assert_eq!(ended, (next, true));
            next += 1;
        }
        assert_eq!(next, MANY);
        // Once to park and once to end. The budget makes one in a hundred yield first.
        let polls = polls.get() as u64;
        assert!((2 * MANY..2 * MANY + MANY / 50).contains(&polls), "{polls} polls");
    });
}
