//! The end of a group on every path, and the effect of a failing member on the others (G1, G2).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    CancelReason, Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, TaskTimeout, shield, sleep,
    spawn, testing, timeout_after,
};

use crate::support::log::Log;
use crate::support::time::secs;

fn oops(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}

/// Parked until it is cancelled; then it cleans up for ten seconds.
async fn tidy(log: Log, name: &'static str) -> io::Result<()> {
    let Err(cancelled) = sleep(Duration::MAX).await else {
        return Ok(());
    };
    log.push(format!("{name} asked"));
    sleep(secs(10)).await?;
    log.push(format!("{name} clean"));
    Err(cancelled.into())
}

/// A task that owns a group of two and is parked in its body.
fn owner_in_its_body(log: &Log) -> Task<(), io::Error> {
    let log = log.clone();
    spawn(async move {
        TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(tidy(log.clone(), "old"));
            g.spawn(tidy(log.clone(), "young"));
            Ok(sleep(Duration::MAX).await?)
        })
        .await
    })
}

/// A task that owns a group of two and waits for them at its end.
fn owner_at_the_end(log: &Log) -> Task<(), io::Error> {
    let log = log.clone();
    spawn(async move {
        TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(tidy(log.clone(), "old"));
            g.spawn(tidy(log.clone(), "young"));
            Ok(())
        })
        .await
    })
}

/// Only main is left.
fn assert_nobody_else() {
    let left: Vec<String> = kernel::tasks().iter().map(ToString::to_string).collect();
    assert_eq!(left.len(), 1, "somebody is left: {left:?}");
}

const TOGETHER: [&str; 4] = ["young asked", "old asked", "young clean", "old clean"];

/// G1: a scope whose body returns `Ok` waits for all members, and gives the value of the body.
#[test]
fn a_scope_waits_for_its_members_and_gives_the_value_of_its_body() {
    testing::run(async || {
        let log = Log::default();
        let started = kernel::now();
        let value = TaskGroup::<io::Error>::scope(async |g| {
            for (name, time) in [("slow", 3), ("quick", 1)] {
                let log = log.clone();
                g.spawn(async move {
                    sleep(secs(time)).await?;
                    log.push(name);
                    Ok(())
                });
            }
            log.push("body");
            Ok(7)
        })
        .await;
        assert_eq!(value.unwrap(), 7);
        assert_eq!(log.take(), ["body", "quick", "slow"]);
        assert_eq!(kernel::now() - started, secs(3));
        assert_nobody_else();
    });
}

/// G1: members that cannot fail return nothing; a group without members ends at once.
#[test]
fn members_may_return_nothing_and_a_group_may_be_empty() {
    testing::run(async || {
        let hits = Rc::new(RefCell::new(0));
        TaskGroup::<TaskCancelled>::scope(async |g| {
            for _ in 0..3 {
                let hits = hits.clone();
                g.spawn(async move { *hits.borrow_mut() += 1 });
            }
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(*hits.borrow(), 3);
        let empty = TaskGroup::<TaskCancelled>::scope(async |_| Ok("empty")).await;
        assert_eq!(empty.unwrap(), "empty");
        let alone = TaskGroup::<TaskCancelled>::new();
        assert!(alone.is_empty());
        alone.join().await.unwrap();
    });
}

/// G1: an error of the body cancels the members together, the youngest first, and awaits their
/// cleanup.
#[test]
fn an_error_of_the_body_cancels_the_members_together_and_awaits_their_cleanup() {
    testing::run(async || {
        let log = Log::default();
        let started = kernel::now();
        let ended: io::Result<()> = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(tidy(log.clone(), "old"));
            g.spawn(tidy(log.clone(), "young"));
            sleep(secs(1)).await?;
            Err(oops("the body"))
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the body");
        assert_eq!(log.take(), TOGETHER);
        // Together, so it takes the time of one cleanup, not of two.
        assert_eq!(kernel::now() - started, secs(11));
        assert_nobody_else();
    });
}

/// G1: a panic of the body does not skip the cleanup of the members.
#[test]
fn a_panic_of_the_body_cancels_the_members_and_awaits_them_first() {
    testing::run(async || {
        let log = Log::default();
        let theirs = log.clone();
        let owner: Task<(), io::Error> = spawn(async move {
            TaskGroup::<io::Error>::scope(async |g| {
                g.spawn(tidy(theirs.clone(), "old"));
                g.spawn(tidy(theirs.clone(), "young"));
                sleep(secs(1)).await?;
                panic!("the body")
            })
            .await
        });
        let ended = owner.join().await.unwrap();
        let Err(TaskError::Panicked(panic)) = ended else {
            panic!("not a panic: {ended:?}");
        };
        assert_eq!(panic.message(), "the body");
        assert_eq!(log.take(), TOGETHER);
        assert_nobody_else();
    });
}

/// G1: a cancelled owner cancels its members, whether it is parked in the body or at the end.
#[test]
fn a_cancelled_owner_takes_its_members_along() {
    testing::run(async || {
        for owner_of_two in [owner_in_its_body, owner_at_the_end] {
            let log = Log::default();
            let owner = owner_of_two(&log);
            testing::settle().await.unwrap();
            let started = kernel::now();
            owner.cancel().await.unwrap();
            assert_eq!(kernel::now() - started, secs(10));
            assert_eq!(log.take(), TOGETHER);
            assert_eq!(owner.end(), Some(TaskEnd::Cancelled));
            assert_nobody_else();
        }
    });
}

/// G1, T6: a timeout round a group cancels its members and waits until they have ended.
#[test]
fn a_timeout_round_a_group_cancels_its_members() {
    testing::run(async || {
        let log = Log::default();
        let theirs = log.clone();
        let started = kernel::now();
        let group = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(tidy(theirs.clone(), "old"));
            g.spawn(tidy(theirs.clone(), "young"));
            Ok(())
        });
        let ended = timeout_after(secs(1), group).await;
        assert!(matches!(ended, Err(TaskTimeout { .. })), "{ended:?}");
        assert_eq!(log.take(), TOGETHER);
        assert_eq!(kernel::now() - started, secs(11));
        assert_nobody_else();
    });
}

/// G1: a second cancellation during the tear-down leaves no member behind.
#[test]
fn a_second_cancel_during_the_tear_down_leaves_nobody_behind() {
    testing::run(async || {
        for owner_of_two in [owner_in_its_body, owner_at_the_end] {
            let log = Log::default();
            let owner = owner_of_two(&log);
            testing::settle().await.unwrap();
            owner.request_cancel();
            testing::advance(secs(5)).await.unwrap();
            assert_eq!(log.take(), ["young asked", "old asked"]);
            owner.request_cancel();
            testing::settle().await.unwrap();
            assert!(!owner.is_done(), "the tear-down was interrupted");
            owner.cancel().await.unwrap();
            assert_eq!(log.take(), ["young clean", "old clean"]);
            assert_nobody_else();
        }
    });
}

/// G1, C4: a timeout first and then a cancel: the tear-down continues, and neither is lost.
#[test]
fn a_cancel_on_top_of_a_timeout_does_not_interrupt_the_tear_down() {
    testing::run(async || {
        let log = Log::default();
        let theirs = log.clone();
        let owner = spawn(async move {
            let group = TaskGroup::<io::Error>::scope(async |g| {
                g.spawn(tidy(theirs.clone(), "old"));
                g.spawn(tidy(theirs.clone(), "young"));
                Ok(sleep(Duration::MAX).await?)
            });
            let timed_out = timeout_after(secs(1), group).await.is_err();
            theirs.push(format!("timed out: {timed_out}"));
            // The cancel that came during the tear-down is still pending.
            sleep(secs(100)).await
        });
        testing::advance(secs(5)).await.unwrap();
        let started = kernel::now();
        owner.cancel().await.unwrap();
        assert_eq!(kernel::now() - started, secs(6));
        let mut expected = TOGETHER.to_vec();
        expected.push("timed out: true");
        assert_eq!(log.take(), expected);
        assert_eq!(owner.end(), Some(TaskEnd::Cancelled));
        assert_nobody_else();
    });
}

/// G1, C7: a cancel that waits behind a shield does not touch the group inside it.
#[test]
fn a_shielded_group_runs_to_its_end() {
    testing::run(async || {
        let log = Log::default();
        let theirs = log.clone();
        let owner = spawn(async move {
            shield(TaskGroup::<TaskCancelled>::scope(async |g| {
                g.spawn(async {
                    sleep(secs(2)).await?;
                    Ok(())
                });
                Ok(())
            }))
            .await?;
            theirs.push("the group has ended");
            sleep(secs(1)).await
        });
        testing::settle().await.unwrap();
        let started = kernel::now();
        owner.cancel().await.unwrap();
        assert_eq!(kernel::now() - started, secs(2));
        assert_eq!(log.take(), ["the group has ended"]);
    });
}

/// G1: `join` of a `new()` group waits for all, and a second `join` does nothing.
#[test]
fn joining_a_group_of_its_own_leaves_nobody() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let values: Vec<_> = (0..3)
            .map(|n| {
                group.spawn(async move {
                    sleep(secs(n)).await?;
                    Ok(n)
                })
            })
            .collect();
        assert_eq!(group.len(), 3);
        group.join().await.unwrap();
        assert!(group.is_empty());
        group.join().await.unwrap();
        let mut sum = 0;
        for value in values {
            sum += value.await.unwrap();
        }
        assert_eq!(sum, 3);
        assert_nobody_else();
    });
}

/// G1: a cancel of the task that is parked in `join` cancels the members and awaits them.
#[test]
fn a_cancelled_join_of_a_group_cancels_its_members() {
    testing::run(async || {
        let log = Log::default();
        let theirs = log.clone();
        let owner = spawn(async move {
            let group = TaskGroup::<io::Error>::new();
            group.spawn(tidy(theirs.clone(), "old"));
            group.spawn(tidy(theirs.clone(), "young"));
            let ended = group.join().await;
            theirs.push(format!("empty: {}", group.is_empty()));
            ended
        });
        testing::settle().await.unwrap();
        owner.cancel().await.unwrap();
        let mut expected = TOGETHER.to_vec();
        expected.push("empty: true");
        assert_eq!(log.take(), expected);
        assert_eq!(owner.end(), Some(TaskEnd::Cancelled));
    });
}

/// G2: the first failure cancels the siblings and the body, and the body gets the reason.
#[test]
fn the_first_failure_cancels_the_siblings_and_the_body() {
    testing::run(async || {
        let reasons = Rc::new(RefCell::new(Vec::new()));
        let theirs = reasons.clone();
        let ended = TaskGroup::<io::Error>::scope(async |g| {
            let seen = theirs.clone();
            g.spawn(async move {
                let cancelled = sleep(Duration::MAX).await.unwrap_err();
                seen.borrow_mut().push(("sibling", cancelled.reason()));
                Err::<(), _>(cancelled.into())
            });
            g.spawn(async {
                sleep(secs(1)).await?;
                Err::<(), _>(oops("first"))
            });
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            theirs.borrow_mut().push(("body", cancelled.reason()));
            Err::<(), _>(cancelled.into())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "first");
        let group_failed = CancelReason::GroupFailed;
        assert_eq!(reasons.take(), [("sibling", group_failed), ("body", group_failed)]);
        assert_nobody_else();
    });
}
