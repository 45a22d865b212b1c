//! `sync::Barrier`.

use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskCancelled, sleep, spawn, testing};
use sync::Barrier;
use tokio_test::{assert_pending, assert_ready_ok};

use crate::support::log::Log;
use crate::support::time::secs;

/// Y9, Y2: when the last comes, all go on, in order of arrival, and one of them is the leader. The
/// barrier is then used again.
#[test]
fn tasks_wait_for_each_other_again_and_again() {
    testing::run(async || {
        let (barrier, log) = (Rc::new(Barrier::new(3)), Log::default());
        let tasks = [1, 2, 3].map(|n| {
            let (barrier, log) = (barrier.clone(), log.clone());
            spawn(async move {
                for round in 0..2 {
                    sleep(secs(n)).await?;
                    let leads = barrier.wait().await?.is_leader();
                    log.push(format!("{round}: {n} {leads}"));
                }
                Ok::<_, TaskCancelled>(())
            })
        });
        testing::settle().await?;
        for task in tasks {
            task.await?;
        }
        let mut lines = log.take();
        lines[..3].sort_unstable();
        lines[3..].sort_unstable();
        let expected =
            ["0: 1 false", "0: 2 false", "0: 3 true", "1: 1 false", "1: 2 false", "1: 3 true"];
        assert_eq!(lines, expected);
        assert_eq!(barrier.statistics().passed, 2);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y9: with 0 or 1 no task waits.
#[test]
fn a_barrier_of_one_holds_up_no_task() {
    for n in [0, 1] {
        let barrier = Barrier::new(n);
        assert!(barrier.wait().now_or_never().unwrap().unwrap().is_leader());
        assert!(format!("{barrier:?}").contains("waiting: 0"));
    }
}

/// Y9, Y3: a waiter that is cancelled or dropped has not come. One that is dropped after the last
/// has come does not hold up the others.
#[test]
fn a_waiter_that_leaves_has_not_come() {
    let barrier = Barrier::new(3);
    let mut waits = [(); 3].map(|()| tokio_test::task::spawn(barrier.wait()));
    assert_pending!(waits[0].poll());
    assert_pending!(waits[1].poll());
    let [first, mut second, mut third] = waits;
    drop(first);
    assert_pending!(third.poll());
    let now = barrier.statistics();
    assert_eq!((now.n, now.waiting, now.passed), (3, 2, 0));
    assert!(barrier.wait().now_or_never().unwrap().unwrap().is_leader());
    drop(second.is_woken().then_some(third));
    assert!(!assert_ready_ok!(second.poll()).is_leader());
    assert_eq!(barrier.statistics().waiting, 0);
}

/// C1, C2: a cancelled waiter gets the error, unless the last had come before.
#[test]
fn a_wait_whose_last_has_come_ends_well() {
    testing::run(async || {
        for comes in [true, false] {
            let barrier = Rc::new(Barrier::new(2));
            let task = spawn({
                let barrier = barrier.clone();
                async move { Ok::<_, TaskCancelled>(barrier.wait().await.is_ok()) }
            });
            testing::settle().await?;
            assert_eq!(task.state().to_string(), "BARRIER_WAIT");
            if comes {
                assert!(barrier.wait().await?.is_leader());
            }
            task.cancel().await?;
            assert_eq!(task.await?, comes);
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
