//! Very many timeouts round one leaf. The unit tests of the scopes count that their cost is linear
//! in their number. These tests check that every call returns the right result.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kernel::{
    CancelReason, TaskCancelled, TaskTimeout, shield, sleep, spawn, testing, timeout_after,
};

const DEPTH: u32 = 2_000;

type Body = Pin<Box<dyn Future<Output = Result<u32, TaskCancelled>>>>;

/// `body` in so many timeouts. Each passes on how many of the timeouts inside it passed a
/// cancellation on. One that expired itself starts again at 0.
fn nested(depth: u32, limit: Duration, body: Body) -> Body {
    (0..depth).fold(body, |inner, _| {
        Box::pin(async move {
            match timeout_after(limit, inner).await {
                Ok(ended) => ended.map(|passed| passed + 1),
                Err(TaskTimeout { .. }) => Ok(0),
            }
        })
    })
}

fn on_a_large_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(512 << 20).spawn(test).unwrap();
    thread.join().unwrap();
}

/// T3, T4: all deadlines come at once, and only the outermost timeout expires.
#[test]
fn of_many_timeouts_that_expire_together_the_outermost_ran_out() {
    on_a_large_stack(|| {
        testing::run(async || {
            let body: Body = Box::pin(async {
                let cancelled = sleep(Duration::MAX).await.unwrap_err();
                assert_eq!(cancelled.reason(), CancelReason::Timeout);
                Err(cancelled)
            });
            let second = Duration::from_secs(1);
            let mut all = nested(DEPTH, second, body);
            assert_eq!(all.as_mut().await?, 0);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    });
}

/// C2, C8: a cancellation passes all of them, and the leaf gets it once.
#[test]
fn a_cancellation_passes_many_timeouts() {
    on_a_large_stack(|| {
        testing::run(async || {
            let body: Body = Box::pin(sleep_for_good());
            let task = spawn(nested(DEPTH, Duration::from_secs(1), body));
            testing::settle().await?;
            task.cancel().await?;
            assert!(task.join().await?.is_err());
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    });
}

async fn sleep_for_good() -> Result<u32, TaskCancelled> {
    sleep(Duration::MAX).await.map(|()| 0)
}

/// C7: a shield inside many expired timeouts holds each of them back. The first leaf after it gets
/// the outermost.
#[test]
fn a_shield_inside_many_timeouts_that_ran_out_holds_them_back() {
    on_a_large_stack(|| {
        testing::run(async || {
            let body: Body = Box::pin(async {
                shield(async {
                    for _ in 0..10 {
                        sleep(Duration::from_secs(1)).await?;
                    }
                    Ok::<(), TaskCancelled>(())
                })
                .await?;
                sleep(Duration::MAX).await.map(|()| 0)
            });
            assert_eq!(nested(DEPTH, Duration::from_secs(1), body).await?, 0);
            assert_eq!(kernel::tasks().len(), 1);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    });
}

/// T5, C2: with foreign wakers between the timeouts, each leaf of a `join!` deep inside gets the
/// error.
#[test]
fn two_leaves_of_a_join_inside_many_timeouts_are_both_told() {
    on_a_large_stack(|| {
        testing::run(async || {
            let body: Body = Box::pin(async {
                let leaf = || sleep(Duration::MAX);
                let (a, b) = futures::future::join(leaf(), leaf()).await;
                assert!(a.is_err() && b.is_err());
                a.map(|()| 0)
            });
            assert_eq!(nested(DEPTH, Duration::from_secs(1), body).await?, 0);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    });
}
