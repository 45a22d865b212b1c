//! Timeouts and groups round each other: an expiry cancels the members, and a group's body is an
//! inner call like any other (C8, T3, T5, T6).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{CancelReason, TaskCancelled, TaskGroup, ignore_after, sleep, testing, timeout_after};

use crate::support::time::secs;

/// The reasons for which members were cancelled.
type Reasons = Rc<RefCell<Vec<CancelReason>>>;

async fn member(reasons: Reasons) -> Result<(), TaskCancelled> {
    let cancelled = sleep(Duration::MAX).await.unwrap_err();
    reasons.borrow_mut().push(cancelled.reason());
    Err(cancelled)
}

/// T5, T6: if the group's body swallows an outer expiry, it is delivered again where the group
/// waits, and cancels the members.
#[test]
fn an_expiry_swallowed_in_a_groups_body_comes_again_at_its_end() {
    testing::run(async || {
        let started = kernel::now();
        let reasons = Reasons::default();
        let theirs = reasons.clone();
        let group = TaskGroup::<TaskCancelled>::scope(async move |g| {
            g.spawn(member(theirs.clone()));
            assert!(sleep(Duration::MAX).await.is_err());
            sleep(secs(2)).await?;
            Ok(())
        });
        assert!(timeout_after(secs(1), group).await.is_err());
        assert_eq!(reasons.take(), [CancelReason::GroupEnded]);
        assert_eq!(kernel::now() - started, secs(3));
    });
}

/// T5: a timeout that expired round a group whose body returned `Ok` is delivered after it.
#[test]
fn an_expiry_swallowed_in_an_empty_groups_body_comes_again_after_it() {
    testing::run(async || {
        let started = kernel::now();
        let body = async {
            TaskGroup::<TaskCancelled>::scope(async |_| {
                assert!(sleep(Duration::MAX).await.is_err());
                Ok(())
            })
            .await?;
            sleep(secs(100)).await
        };
        assert!(timeout_after(secs(1), body).await.is_err());
        assert_eq!(kernel::now() - started, secs(1));
    });
}

/// T3: a group's failure passes the timeouts in its body, also one that has expired.
#[test]
fn a_failing_group_is_nobodys_timeout() {
    testing::run(async || {
        for limit in [5, 1] {
            let seen = RefCell::new(None);
            let ended = TaskGroup::<std::io::Error>::scope(async |g| {
                g.spawn(async {
                    sleep(secs(2)).await?;
                    Err::<(), _>(std::io::Error::other("the member's"))
                });
                let inner = timeout_after(secs(limit), async {
                    if limit == 1 {
                        assert!(sleep(Duration::MAX).await.is_err());
                    }
                    sleep(Duration::MAX).await
                });
                let cancelled = inner.await.expect("not the time").unwrap_err();
                *seen.borrow_mut() = Some(cancelled.reason());
                Err::<(), _>(cancelled.into())
            });
            assert_eq!(ended.await.unwrap_err().to_string(), "the member's");
            assert_eq!(seen.take(), Some(CancelReason::GroupFailed));
        }
    });
}

/// T6: a timeout in the body of a group does not affect the members.
#[test]
fn a_timeout_in_the_body_leaves_the_members_alone() {
    testing::run(async || {
        let ended = TaskGroup::<TaskCancelled>::scope(async |g| {
            let quick = g.spawn(async {
                sleep(secs(5)).await?;
                Ok(7)
            });
            assert_eq!(ignore_after(secs(1), sleep(Duration::MAX)).await, Ok(None));
            assert!(timeout_after(secs(1), quick.join()).await.is_err());
            Ok(quick.join().await?.unwrap())
        });
        assert_eq!(ended.await, Ok(7));
    });
}

/// T3, T6: a timeout in a member does not affect the others.
#[test]
fn a_timeout_in_a_member_is_its_own() {
    testing::run(async || {
        let group = TaskGroup::<TaskCancelled>::scope(async |g| {
            let timed =
                g.spawn(async { Ok(timeout_after(secs(1), sleep(secs(9))).await.is_err()) });
            sleep(secs(5)).await?;
            Ok(timed.join().await?.unwrap())
        });
        assert_eq!(timeout_after(secs(50), group).await, Ok(Ok(true)));
    });
}

/// C8, T6: members do not inherit the timeouts round their group. The expiry cancels their owner,
/// and the end of the group cancels them.
#[test]
fn members_are_told_that_their_group_ended() {
    testing::run(async || {
        let reasons = Reasons::default();
        let group = TaskGroup::<TaskCancelled>::new();
        group.spawn(member(reasons.clone()));
        group.spawn(member(reasons.clone()));
        assert!(timeout_after(secs(1), group.join()).await.is_err());
        assert_eq!(reasons.take(), [CancelReason::GroupEnded; 2]);
    });
}
