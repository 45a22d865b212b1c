//! Which members a group waits for before it cancels the rest (G5).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use kernel::{CancelReason, TaskEnd, TaskGroup, WaitPolicy, cancelled, sleep, testing};

use crate::support::time::secs;

async fn wins(after: u64) -> io::Result<u64> {
    sleep(secs(after)).await?;
    Ok(after)
}

async fn fails(after: u64, text: &'static str) -> io::Result<u64> {
    sleep(secs(after)).await?;
    Err(io::Error::other(text))
}

/// G5: `All` waits for the slowest.
#[test]
fn all_waits_for_all() {
    testing::run(async || {
        let started = kernel::now();
        let ends = TaskGroup::<io::Error>::scope_with(WaitPolicy::All, async |g| {
            Ok([g.spawn(wins(1)), g.spawn(wins(3)), g.spawn(wins(2))])
        })
        .await
        .unwrap()
        .map(|task| task.end());
        assert_eq!(ends, [Some(TaskEnd::Ok); 3]);
        assert_eq!(kernel::now() - started, secs(3));
        assert_eq!(WaitPolicy::default(), WaitPolicy::All);
    });
}

/// G5: `Any` waits for the first to end, and cancels the rest because the group ends.
#[test]
fn any_waits_for_the_first() {
    testing::run(async || {
        let reason = Rc::new(RefCell::new(None));
        let theirs = reason.clone();
        let started = kernel::now();
        let ends = TaskGroup::<io::Error>::scope_with(WaitPolicy::Any, async |g| {
            let slow = g.spawn(async move {
                let cancelled = sleep(secs(9)).await.unwrap_err();
                *theirs.borrow_mut() = Some(cancelled.reason());
                Err::<u64, _>(cancelled.into())
            });
            Ok([slow, g.spawn(wins(1)), g.spawn(wins(5))])
        })
        .await
        .unwrap()
        .map(|task| task.end());
        assert_eq!(ends, [Some(TaskEnd::Cancelled), Some(TaskEnd::Ok), Some(TaskEnd::Cancelled)]);
        assert_eq!(reason.take(), Some(CancelReason::GroupEnded));
        assert_eq!(kernel::now() - started, secs(1));
    });
}

/// G5: also if that member fails.
#[test]
fn any_counts_a_failure_as_an_end() {
    testing::run(async || {
        let mut slow = None;
        let ended = TaskGroup::<io::Error>::scope_with(WaitPolicy::Any, async |g| {
            slow = Some(g.spawn(wins(5)));
            g.spawn(fails(1, "first to end"));
            Ok(())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "first to end");
        assert_eq!(slow.unwrap().end(), Some(TaskEnd::Cancelled));
    });
}

/// G5: a member that ends while the body still runs counts. The others are cancelled when the body
/// ends.
#[test]
fn any_is_satisfied_by_one_that_ended_during_the_body() {
    testing::run(async || {
        let started = kernel::now();
        let slow = TaskGroup::<io::Error>::scope_with(WaitPolicy::Any, async |g| {
            g.spawn(wins(1));
            let slow = g.spawn(wins(100));
            sleep(secs(5)).await?;
            assert!(!slow.is_done(), "cancelled before the body had ended");
            Ok(slow)
        })
        .await
        .unwrap();
        assert_eq!(slow.end(), Some(TaskEnd::Cancelled));
        assert_eq!(kernel::now() - started, secs(5));
    });
}

/// G5, G2: `FirstOk` takes the first success. Earlier failures cancel no task.
#[test]
fn first_ok_overlooks_failures() {
    testing::run(async || {
        let started = kernel::now();
        let ends = TaskGroup::<io::Error>::scope_with(WaitPolicy::FirstOk, async |g| {
            let one = g.spawn(fails(1, "one"));
            let two = g.spawn(fails(2, "two"));
            Ok([one, two, g.spawn(wins(3)), g.spawn(wins(4))])
        })
        .await
        .unwrap()
        .map(|task| task.end());
        let failed = Some(TaskEnd::Failed);
        assert_eq!(ends, [failed, failed, Some(TaskEnd::Ok), Some(TaskEnd::Cancelled)]);
        assert_eq!(kernel::now() - started, secs(3));
    });
}

/// G5, G2: the body continues, too, while other members may still succeed.
#[test]
fn a_failure_under_first_ok_leaves_the_body_alone() {
    testing::run(async || {
        let value = TaskGroup::<io::Error>::scope_with(WaitPolicy::FirstOk, async |g| {
            g.spawn(fails(1, "one"));
            let two = g.spawn(wins(3));
            sleep(secs(2)).await?;
            Ok(two.join().await?.unwrap())
        })
        .await;
        assert_eq!(value.unwrap(), 3);
    });
}

/// G5, G2: if all fail, the first failure is returned. The last one cancels the body.
#[test]
fn first_ok_returns_the_first_failure_if_all_fail() {
    testing::run(async || {
        let ended = TaskGroup::<io::Error>::scope_with(WaitPolicy::FirstOk, async |g| {
            g.spawn(fails(3, "three"));
            g.spawn(fails(1, "one"));
            g.spawn(fails(2, "two"));
            Ok(())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "one");

        let started = kernel::now();
        let ended = TaskGroup::<io::Error>::scope_with(WaitPolicy::FirstOk, async |g| {
            g.spawn(fails(1, "one"));
            g.spawn(fails(2, "two"));
            let delivered = sleep(Duration::MAX).await.unwrap_err();
            assert_eq!(delivered.reason(), CancelReason::GroupFailed);
            Err::<(), _>(delivered.into())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "one");
        assert_eq!(kernel::now() - started, secs(2));
    });
}

/// G5: a success that came before the last failure is a success.
#[test]
fn first_ok_is_content_with_an_early_success() {
    testing::run(async || {
        TaskGroup::<io::Error>::scope_with(WaitPolicy::FirstOk, async |g| {
            g.spawn(wins(1));
            g.spawn(fails(2, "too late to matter"));
            sleep(secs(3)).await?;
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// G5, G3: a panic is not overlooked like a failure.
#[test]
fn first_ok_does_not_overlook_a_panic() {
    testing::run(async || {
        let owner = kernel::spawn(async {
            TaskGroup::<io::Error>::scope_with(WaitPolicy::FirstOk, async |g| {
                g.spawn(async {
                    sleep(secs(1)).await.unwrap();
                    assert_eq!(1, 2, "a member panicked");
                });
                g.spawn(wins(2));
                Ok(())
            })
            .await
        });
        assert_eq!(owner.wait().await, Ok(()));
        assert_eq!(owner.end(), Some(TaskEnd::Panicked));
        assert!(owner.join().await.unwrap().is_err());
    });
}

/// G5: `None` waits for no member, except for the cleanup of those that it cancels.
#[test]
fn none_cancels_at_once_and_awaits_the_cleanup() {
    testing::run(async || {
        let started = kernel::now();
        let ends = TaskGroup::<io::Error>::scope_with(WaitPolicy::None, async |g| {
            let one = g.spawn(wins(5));
            let two = g.spawn(async {
                let cancelled = sleep(secs(9)).await.unwrap_err();
                sleep(secs(2)).await?;
                Err::<u64, _>(cancelled.into())
            });
            testing::settle().await?;
            Ok([one, two])
        })
        .await
        .unwrap()
        .map(|task| task.end());
        assert_eq!(ends, [Some(TaskEnd::Cancelled); 2]);
        assert_eq!(kernel::now() - started, secs(2));
    });
}

/// G5, C2: `None` cancels members that have never run: they run to their first park.
#[test]
fn none_lets_a_new_member_run_to_its_first_park() {
    testing::run(async || {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let theirs = seen.clone();
        TaskGroup::<io::Error>::scope_with(WaitPolicy::None, async |g| {
            g.spawn(async move {
                theirs.borrow_mut().push("began");
                sleep(secs(1)).await?;
                theirs.borrow_mut().push("slept");
                Ok(())
            });
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(seen.take(), ["began"]);
    });
}

/// G5: the same policies for a `new()` group.
#[test]
fn a_group_of_its_own_has_policies_too() {
    testing::run(async || {
        let any = TaskGroup::<io::Error>::with(WaitPolicy::Any);
        let (quick, slow) = (any.spawn(wins(1)), any.spawn(wins(9)));
        any.join().await.unwrap();
        assert_eq!((quick.end(), slow.end()), (Some(TaskEnd::Ok), Some(TaskEnd::Cancelled)));

        let first_ok = TaskGroup::<io::Error>::with(WaitPolicy::FirstOk);
        first_ok.spawn(fails(2, "two"));
        first_ok.spawn(fails(1, "one"));
        assert_eq!(first_ok.join().await.unwrap_err().to_string(), "one");

        let none = TaskGroup::<io::Error>::with(WaitPolicy::None);
        let slow = none.spawn(wins(9));
        none.join().await.unwrap();
        assert_eq!(slow.end(), Some(TaskEnd::Cancelled));

        let all = TaskGroup::<io::Error>::new();
        let slow = all.spawn(wins(9));
        all.join().await.unwrap();
        assert_eq!(slow.end(), Some(TaskEnd::Ok));
    });
}

/// G5, C6: under `Any` a member that was cancelled by hand has ended, and is not a failure.
#[test]
fn a_member_cancelled_by_hand_satisfies_any() {
    testing::run(async || {
        let others = TaskGroup::<io::Error>::scope_with(WaitPolicy::Any, async |g| {
            let one = g.spawn(wins(9));
            let two = g.spawn(wins(5));
            testing::settle().await?;
            one.request_cancel();
            Ok((one, two))
        })
        .await;
        let (one, two) = others.unwrap();
        assert_eq!((one.end(), two.end()), (Some(TaskEnd::Cancelled), Some(TaskEnd::Cancelled)));
        let error = one.join().await.unwrap().unwrap_err();
        assert!(cancelled(&error).is_some(), "{error:?}");
    });
}
