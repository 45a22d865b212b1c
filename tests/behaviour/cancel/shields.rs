//! A shield holds back every cancellation from outside, and nothing else (C7).

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use kernel::{
    CancelReason, Task, TaskCancelled, TaskError, TaskTimeout, check_cancellation, shield,
    shield_for, sleep, spawn, testing, timeout_after, yield_now,
};

use crate::support::time::secs;

type Slept = Result<(), TaskCancelled>;

/// Cancels a task after `seconds`. Gives its result, and the time of its end in seconds.
async fn cancelled_after<T: 'static>(
    seconds: u64,
    body: impl Future<Output = T> + 'static,
) -> (T, u64) {
    let started = kernel::now();
    let task: Task<T, TaskCancelled> = spawn(async move { Ok(body.await) });
    sleep(secs(seconds)).await.unwrap();
    task.request_cancel();
    let value = task.join().await.unwrap().unwrap();
    (value, (kernel::now() - started).as_secs())
}

/// C7: inside nothing is delivered. The first leaf that would park after the shield gets the error,
/// once.
#[test]
fn a_cancel_is_held_back_until_the_first_await_after_the_shield() {
    testing::run(async || {
        let body = async {
            let inside = shield(async {
                let slept = sleep(secs(5)).await;
                let yielded = yield_now().await;
                slept.is_ok() && yielded.is_ok()
            });
            let inside = inside.await;
            let after = sleep(secs(100)).await.is_err();
            let later = sleep(secs(1)).await.is_ok();
            [inside, after, later]
        };
        assert_eq!(cancelled_after(1, body).await, ([true; 3], 6));
    });
}

/// C7: a cancel that came before the shield was entered is held back as well.
#[test]
fn a_cancel_that_is_pending_already_is_held_back_too() {
    testing::run(async || {
        let body = async {
            let inside = shield(sleep(secs(5))).await.is_ok();
            let after = sleep(secs(100)).await.is_err();
            [inside, after]
        };
        assert_eq!(cancelled_after(0, body).await, ([true; 2], 5));
    });
}

/// C7: shields nest. Leaving an inner one delivers nothing.
#[test]
fn only_leaving_the_outermost_shield_lets_it_through() {
    testing::run(async || {
        let body = async {
            let inside = shield(async {
                let deepest = shield(sleep(secs(2))).await.is_ok();
                let between = sleep(secs(2)).await.is_ok();
                let again = shield(sleep(secs(2))).await.is_ok();
                [deepest, between, again]
            });
            let inside = inside.await;
            (inside, sleep(secs(100)).await.is_err())
        };
        assert_eq!(cancelled_after(1, body).await, (([true; 3], true), 6));
    });
}

/// C7: a timeout outside is held back like a cancel. After the shield it ends its own call.
#[test]
fn a_timeout_outside_is_held_back() {
    testing::run(async || {
        let started = kernel::now();
        let body = async {
            assert!(shield(sleep(secs(5))).await.is_ok());
            sleep(secs(100)).await
        };
        let timed: Result<Slept, TaskTimeout> = timeout_after(secs(1), body).await;
        assert!(timed.is_err());
        assert_eq!(kernel::now() - started, secs(5));
    });
}

/// C7: a timeout that begins inside works, and its error is that of its own call.
#[test]
fn a_timeout_inside_works() {
    testing::run(async || {
        let started = kernel::now();
        let timed = shield(timeout_after(secs(1), sleep(Duration::MAX))).await;
        assert_eq!(timed.unwrap_err().limit(), secs(1));
        assert_eq!(kernel::now() - started, secs(1));
    });
}

/// C7: a timeout that expires inside never replaces a cancel that is held back.
#[test]
fn a_timeout_inside_does_not_overwrite_a_held_back_cancel() {
    testing::run(async || {
        let body = async {
            let inside = shield(async {
                let timed = timeout_after(secs(5), sleep(Duration::MAX)).await.is_err();
                let pending = check_cancellation().map(|held| held.reason());
                let next = sleep(secs(1)).await.is_ok();
                (timed, pending, next)
            });
            let (timed, pending, next) = inside.await;
            assert!(matches!(pending, Some(CancelReason::Requested { .. })));
            let after = sleep(secs(100)).await.unwrap_err().reason();
            [timed, next, matches!(after, CancelReason::Requested { .. })]
        };
        assert_eq!(cancelled_after(1, body).await, ([true; 3], 6));
    });
}

/// C7, T3: of a cancel and timeouts that were all held back, the cancel is delivered first.
#[test]
fn of_several_held_back_the_outermost_comes_first() {
    testing::run(async || {
        let body = async {
            let mut reasons = Vec::new();
            let within = async {
                assert!(shield(sleep(secs(5))).await.is_ok());
                for _ in 0..3 {
                    reasons.push(sleep(secs(1)).await.map_err(|error| error.reason()));
                }
                Ok::<_, TaskCancelled>(())
            };
            let ended = timeout_after(secs(2), within).await;
            assert!(matches!(ended, Ok(Ok(()))), "it swallowed all of them");
            reasons
        };
        let (reasons, seconds) = cancelled_after(1, body).await;
        assert!(matches!(reasons[0], Err(CancelReason::Requested { .. })), "{reasons:?}");
        assert_eq!(reasons[1..], [Err(CancelReason::Timeout), Ok(())]);
        assert_eq!(seconds, 6);
    });
}

/// C7: a bounded shield counts from its entry, not from the cancel. Its body continues.
#[test]
fn a_bounded_shield_ends_counted_from_its_entry() {
    testing::run(async || {
        let body = async {
            assert!(sleep(secs(1)).await.is_ok());
            let inside = shield_for(secs(5), async {
                let held = sleep(secs(100)).await.is_err();
                let cleanup = sleep(secs(10)).await.is_ok();
                [held, cleanup]
            });
            (inside.await, sleep(secs(1)).await.is_ok())
        };
        assert_eq!(cancelled_after(4, body).await, (([true; 2], true), 17));
    });
}

/// C7: once its time is up it holds nothing back. Before, it is a shield like any other.
#[test]
fn a_bounded_shield_that_ran_out_lets_a_later_cancel_through() {
    testing::run(async || {
        let body = async { shield_for(secs(1), sleep(secs(100))).await.is_err() };
        assert_eq!(cancelled_after(3, body).await, (true, 3));
        let body = async {
            let inside = shield_for(secs(9), sleep(secs(5))).await.is_ok();
            [inside, sleep(secs(100)).await.is_err()]
        };
        assert_eq!(cancelled_after(3, body).await, ([true; 2], 5));
    });
}

/// C2, C7: when a bounded shield ends, every leaf that is parked in it gets the error.
#[test]
fn the_end_of_a_bounded_shield_reaches_all_leaves_parked_in_it() {
    testing::run(async || {
        let body = async {
            let arm = async || {
                // Parked again after the cancel, and before the shield ends.
                let before = sleep(secs(2)).await.is_ok();
                [before, sleep(secs(100)).await.is_err()]
            };
            shield_for(secs(5), async { futures::join!(arm(), arm()) }).await
        };
        assert_eq!(cancelled_after(1, body).await, (([true; 2], [true; 2]), 5));
    });
}

/// C7: without a limit, or inside another shield, the end of a bounded shield delivers nothing.
#[test]
fn a_bounded_shield_inside_another_one_ends_alone() {
    testing::run(async || {
        let body = async {
            let inside = shield(shield_for(secs(1), sleep(secs(5))));
            let endless = shield_for(Duration::MAX, sleep(secs(5)));
            let inside = inside.await.is_ok();
            let endless = endless.await.is_ok();
            [inside, endless, sleep(secs(100)).await.is_err()]
        };
        assert_eq!(cancelled_after(2, body).await, ([true; 3], 10));
    });
}

/// C7: an endless shield inside a bounded one still holds when the bounded one ends.
#[test]
fn a_shield_inside_a_bounded_one_outlives_it() {
    testing::run(async || {
        let body = async {
            let inside = shield_for(secs(1), async {
                let deepest = shield(sleep(secs(5))).await.is_ok();
                [deepest, sleep(secs(100)).await.is_err()]
            });
            inside.await
        };
        assert_eq!(cancelled_after(2, body).await, ([true; 2], 5));
    });
}

/// C7: tasks spawned inside do not inherit the shield.
#[test]
fn children_do_not_inherit_a_shield() {
    testing::run(async || {
        let ended = shield(async {
            let child = spawn(sleep(Duration::MAX));
            testing::settle().await.unwrap();
            child.cancel().await.unwrap();
            child.join().await.unwrap()
        });
        assert!(matches!(ended.await, Err(TaskError::Cancelled(_))));
    });
}

/// C7: a shield covers only its own body, not the arms beside it.
#[test]
fn a_shield_covers_one_arm_of_a_join() {
    testing::run(async || {
        let body = async {
            let shielded = shield(sleep(secs(5)));
            let (shielded, beside) = futures::join!(shielded, sleep(secs(100)));
            // The cancel was delivered to the other arm, so nothing is pending.
            [shielded.is_ok(), beside.is_err(), sleep(secs(1)).await.is_ok()]
        };
        assert_eq!(cancelled_after(1, body).await, ([true; 3], 6));
    });
}

/// C7: a leaf that was parked inside a shield when the cancel came, and is then awaited outside,
/// gets it once.
#[test]
fn a_leaf_carried_out_of_a_shield_gets_the_error_once() {
    testing::run(async || {
        let body = async {
            let mut carried = pin!(sleep(secs(100)));
            shield(async {
                assert!(futures::poll!(carried.as_mut()).is_pending());
                sleep(secs(2)).await.unwrap();
                assert!(futures::poll!(carried.as_mut()).is_pending());
            })
            .await;
            let outside = carried.await.is_err();
            [outside, sleep(secs(1)).await.is_ok()]
        };
        assert_eq!(cancelled_after(1, body).await, ([true; 2], 3));
    });
}

/// C7: a leaf parked outside and carried into a shield is held back there.
#[test]
fn a_leaf_carried_into_a_shield_is_held_back() {
    testing::run(async || {
        let body = async {
            let mut carried = pin!(sleep(secs(3)));
            assert!(futures::poll!(carried.as_mut()).is_pending());
            let inside = shield(carried).await.is_ok();
            [inside, sleep(secs(100)).await.is_err(), sleep(secs(1)).await.is_ok()]
        };
        assert_eq!(cancelled_after(1, body).await, ([true; 3], 4));
    });
}

/// C7: the check shows what is held back and leaves it pending. After the delivery it shows
/// nothing.
#[test]
fn the_check_sees_a_pending_cancel_and_leaves_it() {
    testing::run(async || {
        assert_eq!(check_cancellation(), None);
        let body = async {
            let before = check_cancellation().is_none();
            let inside = shield(async {
                sleep(secs(5)).await.unwrap();
                check_cancellation().is_some() && check_cancellation().is_some()
            });
            let inside = inside.await;
            let outside = check_cancellation().is_some();
            let delivered = sleep(secs(100)).await.is_err();
            [before, inside, outside, delivered, check_cancellation().is_none()]
        };
        assert_eq!(cancelled_after(1, body).await, ([true; 5], 5));
    });
}

/// C7: it shows a timeout that is held back, while the task is inside that timeout.
#[test]
fn the_check_sees_a_timeout_that_is_held_back() {
    testing::run(async || {
        let body = async {
            shield(sleep(secs(5))).await.unwrap();
            Ok::<_, TaskCancelled>(check_cancellation().map(|held| held.reason()))
        };
        let held = timeout_after(secs(1), body).await.unwrap().unwrap();
        assert_eq!(held, Some(CancelReason::Timeout));
        assert_eq!(check_cancellation(), None, "that timeout has been left");
    });
}

/// C7: a panic inside ends the shield.
#[test]
fn a_panic_leaves_the_shield() {
    testing::run(async || {
        let body = async {
            let panics = shield(async {
                sleep(secs(2)).await.unwrap();
                panic!("inside");
            });
            let caught = AssertUnwindSafe(panics).catch_unwind().await;
            let caught: Result<(), _> = caught;
            [caught.is_err(), sleep(secs(100)).await.is_err()]
        };
        assert_eq!(cancelled_after(1, body).await, ([true; 2], 2));
    });
}

/// C7: outside a kernel a shield does nothing, and there is nothing to check.
#[test]
fn outside_a_kernel_a_shield_only_runs_its_body() {
    assert_eq!(check_cancellation(), None);
    assert_eq!(tokio_test::block_on(shield(async { 7 })), 7);
    assert_eq!(tokio_test::block_on(shield_for(secs(1), async { 8 })), 8);
}
