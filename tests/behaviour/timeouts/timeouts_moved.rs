//! Timeouts and leaves that move: between scopes, and between tasks (T1, T2, T4).

use std::cell::RefCell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use kernel::future::Timeout;
use kernel::{TaskCancelled, TaskTimeout, sleep, spawn, testing, timeout_after};

use crate::support::time::secs;

type Slept = Result<(), TaskCancelled>;
type Timed = Pin<Box<dyn Future<Output = Result<Slept, TaskTimeout>>>>;

/// C2, T1: a leaf that was parked before an expiry, and is then polled inside that timeout, gets
/// the error. A cancellation reaches every leaf that is parked when it comes, wherever the leaf was
/// made. It does so although the expiry was already delivered to another leaf.
#[test]
fn a_leaf_parked_before_an_expiry_and_polled_inside_after_it_gets_the_error() {
    testing::run(async || {
        let mut early = pin!(sleep(secs(100)));
        assert!(futures::poll!(early.as_mut()).is_pending());
        let started = kernel::now();
        let body = async {
            assert!(sleep(Duration::MAX).await.is_err());
            assert!(early.await.is_err());
            assert!(sleep(secs(1)).await.is_ok(), "a new leaf is new");
            Ok::<_, TaskCancelled>(kernel::now() - started)
        };
        assert_eq!(timeout_after(secs(1), body).await, Ok(Ok(secs(2))));
    });
}

/// T4: a leaf that is parked inside a timeout and carried out of it before the expiry is not
/// affected.
#[test]
fn a_leaf_carried_out_of_a_timeout_is_left_alone() {
    testing::run(async || {
        let mut carried = Box::pin(sleep(secs(5)));
        let body = async {
            assert!(futures::poll!(carried.as_mut()).is_pending());
            sleep(Duration::MAX).await
        };
        assert!(timeout_after(secs(1), body).await.is_err());
        assert_eq!(carried.await, Ok(()));
    });
}

/// T1: a leaf that is carried from one timeout into the next is bounded by the one it is in.
#[test]
fn a_leaf_is_bounded_by_the_timeout_that_polls_it() {
    testing::run(async || {
        let mut carried = Box::pin(sleep(secs(100)));
        let first = async {
            assert!(futures::poll!(carried.as_mut()).is_pending());
            Ok::<_, TaskCancelled>(())
        };
        assert_eq!(timeout_after(secs(1), first).await, Ok(Ok(())));
        let started = kernel::now();
        assert!(timeout_after(secs(5), carried).await.is_err());
        assert_eq!(kernel::now() - started, secs(5));
    });
}

/// Polls `timed` once, in another task, and gives it back.
async fn entered_elsewhere(mut timed: Timed) -> Timed {
    let task = spawn(async move {
        assert!(futures::poll!(timed.as_mut()).is_pending());
        Ok::<_, TaskCancelled>(timed)
    });
    task.join().await.unwrap().unwrap()
}

/// T1, T2: a timeout that begins in one task and is awaited in another fires there, in time.
#[test]
fn a_timeout_that_moves_to_another_task_fires_there() {
    testing::run(async || {
        let started = kernel::now();
        let timed = entered_elsewhere(Box::pin(timeout_after(secs(3), sleep(secs(9))))).await;
        sleep(secs(1)).await.unwrap();
        assert!(timed.await.is_err());
        assert_eq!(kernel::now() - started, secs(3));
    });
}

/// T1: also if it expired in between, while it was not polled.
#[test]
fn a_timeout_that_runs_out_on_its_way_to_another_task_has_run_out() {
    testing::run(async || {
        let timed = entered_elsewhere(Box::pin(timeout_after(secs(1), sleep(secs(9))))).await;
        sleep(secs(5)).await.unwrap();
        let now = kernel::now();
        assert!(timed.await.is_err());
        assert_eq!(kernel::now(), now);
    });
}

/// T3: a timeout that moves into another one is inside that one, and no longer in the first.
#[test]
fn a_timeout_that_moves_is_inside_the_timeout_that_polls_it() {
    testing::run(async || {
        let mut timed: Timed = Box::pin(timeout_after(secs(50), sleep(secs(100))));
        let first = async {
            assert!(futures::poll!(timed.as_mut()).is_pending());
            sleep(Duration::MAX).await
        };
        assert!(timeout_after(secs(1), first).await.is_err());
        // The expiry of the first timeout is over. The second one bounds it.
        let second = async { timed.await.expect("the outer one's time") };
        assert_eq!(timeout_after(secs(2), second).await.unwrap_err().limit(), secs(2));
    });
}

/// C2: a cancel of its first task does not affect it. A cancel of its new task does.
#[test]
fn a_timeout_that_moved_is_cancelled_with_the_task_that_polls_it() {
    testing::run(async || {
        let slot: Rc<RefCell<Option<Timed>>> = Rc::default();
        let theirs = slot.clone();
        let old = spawn(async move {
            let mut timed: Timed = Box::pin(timeout_after(secs(50), sleep(secs(100))));
            assert!(futures::poll!(timed.as_mut()).is_pending());
            *theirs.borrow_mut() = Some(timed);
            sleep(Duration::MAX).await
        });
        testing::settle().await.unwrap();
        let timed = slot.take().unwrap();
        let new = spawn(async move { Ok::<_, TaskCancelled>(timed.await) });
        testing::settle().await.unwrap();
        old.cancel().await.unwrap();
        testing::settle().await.unwrap();
        assert!(!new.is_done());
        assert_eq!(new.state().to_string(), "SLEEP");
        new.cancel().await.unwrap();
        let ended = new.join().await.unwrap().unwrap();
        assert!(ended.expect("it was the cancel").is_err());
    });
}

/// C4: a leaf that was parked in another task when this one was cancelled is new here. After the
/// delivery it works like any later leaf.
#[test]
fn a_leaf_from_another_task_is_new_to_a_cancelled_one() {
    testing::run(async || {
        for (hidden, as_only_leaf) in [(false, false), (false, true), (true, true)] {
            let mut carried: Pin<Box<dyn Future<Output = Slept>>> = match hidden {
                false => Box::pin(sleep(secs(5))),
                true => Box::pin(async { timeout_after(secs(9), sleep(secs(5))).await.unwrap() }),
            };
            let mut beside = pin!(sleep(secs(50)));
            if !as_only_leaf {
                assert!(futures::poll!(beside.as_mut()).is_pending());
            }
            assert!(futures::poll!(carried.as_mut()).is_pending());
            let task = spawn(async move {
                let cancelled = sleep(Duration::MAX).await;
                Ok::<_, TaskCancelled>((cancelled.is_err(), carried.await.is_ok()))
            });
            testing::settle().await.unwrap();
            task.request_cancel();
            assert_eq!(task.join().await.unwrap().unwrap(), (true, true));
        }
    });
}

/// T4: if it is dropped in another task than its first, also after that one ended, it leaves
/// nothing behind.
#[test]
fn a_timeout_dropped_in_another_task_leaves_nothing_behind() {
    testing::run(async || {
        let nested: Timeout<_> =
            timeout_after(secs(9), async { timeout_after(secs(5), sleep(secs(9))).await.unwrap() });
        let timed = entered_elsewhere(Box::pin(nested)).await;
        drop(timed);
        assert_eq!(sleep(secs(20)).await, Ok(()));
        let timed = entered_elsewhere(Box::pin(timeout_after(secs(1), sleep(secs(9))))).await;
        sleep(secs(2)).await.unwrap();
        drop(timed);
        assert!(kernel::current_task().parked.is_empty());
    });
}
