//! Which of several cancellations an error passes on, and which leaves get one that is pending
//! again (C13, C16, T3, T5).

use std::time::Duration;

use futures::future::join;
use futures::stream::{FuturesUnordered, StreamExt};
use kernel::{
    TaskCancelled, TaskError, check_cancellation, sleep, spawn, testing, timeout_after,
    unless_cancelled, yield_now,
};

use crate::support::time::secs;

/// An error of a program, which the kernel cannot inspect.
#[derive(Debug, thiserror::Error)]
enum Own {
    #[error("cancelled")]
    Cancelled(#[from] TaskCancelled),
}

/// An error that names the cancellation and does not keep it.
#[derive(Debug)]
struct Bare;

impl From<TaskCancelled> for Bare {
    fn from(_: TaskCancelled) -> Self {
        Bare
    }
}

/// Parks until it is cancelled.
async fn cancelled_here() -> TaskCancelled {
    sleep(Duration::MAX).await.expect_err("nothing else ends this")
}

/// C16, T3: a cancellation that was delivered before an inner timeout began, and that the cleanup
/// still holds, does not hide that the error is the inner one's own.
#[test]
fn an_earlier_cancellation_of_the_task_does_not_hide_the_inner_timeout() {
    testing::run(async || {
        let task = spawn(async {
            let held = cancelled_here().await;
            let outer = timeout_after(secs(1), async {
                let inner = timeout_after(secs(2), async {
                    // The outer expiry is swallowed.
                    drop(cancelled_here().await);
                    Err::<(), Own>(cancelled_here().await.into())
                });
                assert!(inner.await.is_err(), "the time of the inner call ran out");
                Ok::<(), TaskCancelled>(())
            });
            outer.await.expect("it swallowed its expiry").unwrap();
            Err::<(), TaskCancelled>(held)
        });
        yield_now().await.unwrap();
        task.cancel().await.unwrap();
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
    });
}

/// T5: of two outer expiries that were delivered inside, the dropped one comes again, although a
/// copy of the other is left and the error does not show which it passes on.
#[test]
fn the_dropped_one_of_two_outer_expiries_comes_again() {
    testing::run(async || {
        let mut outermost = None;
        let settled = timeout_after(secs(1), async {
            let middle = timeout_after(secs(2), async {
                let inner = timeout_after(secs(3), async {
                    outermost = Some(cancelled_here().await);
                    drop(cancelled_here().await);
                    Err::<(), Own>(cancelled_here().await.into())
                });
                let passed_on = inner.await.expect("the outermost has expired");
                assert!(passed_on.is_err());
                Ok::<_, TaskCancelled>(check_cancellation().is_some())
            });
            middle.await.expect("its body ends well")
        });
        let pending = settled.await.unwrap().unwrap();
        assert!(pending, "the middle one was swallowed inside");
        drop(outermost);
    });
}

/// C13, C2: a cancellation that one arm puts back reaches an arm that has parked since.
#[test]
fn a_cancellation_that_is_put_back_reaches_a_parked_arm() {
    testing::run(async || {
        let task = spawn(async {
            let parks_again = async {
                drop(cancelled_here().await);
                cancelled_here().await
            };
            let puts_back = async {
                let cancelled = cancelled_here().await;
                sleep(secs(1)).await.unwrap();
                cancelled.put_back();
            };
            let (cancelled, ()) = join(parks_again, puts_back).await;
            Err::<(), _>(cancelled)
        });
        yield_now().await.unwrap();
        task.cancel().await
    })
    .unwrap();
}

/// C13, C2: the same in the scope of a timeout, if each arm has a waker of its own.
#[test]
fn an_expiry_that_is_put_back_reaches_a_parked_arm() {
    let arms = async {
        let mut arms: FuturesUnordered<_> = [false, true].into_iter().map(puts_back).collect();
        while arms.next().await.is_some() {}
        Ok::<_, TaskCancelled>(())
    };
    testing::run(async || timeout_after(secs(1), arms).await).unwrap().unwrap();
}

async fn puts_back(later: bool) {
    let cancelled = cancelled_here().await;
    if later {
        sleep(secs(1)).await.unwrap();
        cancelled.put_back();
    } else {
        drop(cancelled);
        drop(cancelled_here().await);
    }
}

/// T5, C2: an expiry that is pending again when an arm leaves its inner call reaches an arm that
/// has parked since.
#[test]
fn an_expiry_that_comes_again_reaches_a_parked_arm() {
    let arms = async {
        let parks_again = async {
            drop(cancelled_here().await);
            drop(cancelled_here().await);
        };
        let swallows = async {
            let inner = timeout_after(secs(60), async {
                drop(cancelled_here().await);
                sleep(secs(1)).await
            });
            inner.await.unwrap().unwrap();
        };
        join(parks_again, swallows).await;
        Ok::<_, TaskCancelled>(())
    };
    testing::run(async || timeout_after(secs(1), arms).await).unwrap().unwrap();
}

/// C16, C19: a cancellation that was only looked at, and not delivered, is passed on by no error.
#[test]
fn a_cancellation_that_was_only_looked_at_is_not_passed_on() {
    testing::run(async || {
        let settled = timeout_after(Duration::ZERO, async {
            assert!(check_cancellation().is_some());
            assert!(unless_cancelled::<(), Bare>(Err(Bare)).is_ok(), "none was delivered");
            Ok::<_, TaskCancelled>(())
        });
        settled.await.unwrap()
    })
    .unwrap();
}
