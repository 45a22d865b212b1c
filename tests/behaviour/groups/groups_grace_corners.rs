//! The grace of a group: changed, zero, and beside other graces and late members (G12).

use std::time::Duration;

use kernel::{
    GroupRef, Task, TaskCancelled, TaskEnd, WaitPolicy, check_cancellation, sleep, spawn,
    spawn_named, testing, timeout_after, yield_now,
};

use super::groups_grace::{Defer, Group, bounded, cleans_up, stubborn};
use crate::support::time::secs;

/// G12: a grace that is set while the members are being cancelled counts from then. The greatest
/// duration takes it away.
#[test]
fn the_grace_can_be_changed() {
    let ended = bounded(async || {
        let scope = Group::scope(async |g| {
            g.spawn(async move {
                sleep(Duration::MAX).await.unwrap_err();
                sleep(secs(10)).await?;
                g.set_grace(secs(5));
                stubborn().await
            });
            sleep(Duration::MAX).await
        });
        timeout_after(secs(1), scope).await.is_err()
    });
    assert_eq!(ended, (true, 16, 1), "set late");
    let ended = bounded(async || {
        let scope = Group::scope_within(secs(5), async |g| {
            g.spawn(async move {
                sleep(Duration::MAX).await.unwrap_err();
                sleep(secs(4)).await?;
                g.set_grace(Duration::MAX);
                sleep(secs(1000)).await
            });
            sleep(Duration::MAX).await
        });
        timeout_after(secs(1), scope).await.is_err()
    });
    assert_eq!(ended, (true, 1005, 0), "taken away");
}

/// G12, T7: a grace of zero is an abort of the members that are left.
#[test]
fn a_grace_of_zero_aborts() {
    let ended = bounded(async || {
        let scope = Group::scope_within(Duration::ZERO, async |g| {
            g.spawn(stubborn());
            g.spawn(cleans_up(1));
            sleep(Duration::MAX).await
        });
        timeout_after(secs(1), scope).await.is_err()
    });
    assert_eq!(ended, (true, 1, 2));
}

/// G12, G7: a member that is spawned when the grace is over gets none: by a destructor of an
/// aborted member, or by another task before the owner runs again.
#[test]
fn members_that_come_after_the_grace_are_aborted() {
    let ended = bounded(async || {
        let group = Group::with(WaitPolicy::None);
        group.set_grace(secs(5));
        let g = group.by_ref();
        group.spawn(async move {
            let _spawns = Defer(move || drop(g.spawn(stubborn())));
            stubborn().await
        });
        group.join().await
    });
    assert_eq!(ended, (Ok(()), 5, 2), "spawned by a destructor");
    let ended = bounded(async || {
        let group = Group::with(WaitPolicy::None);
        group.set_grace(secs(5));
        group.spawn(stubborn());
        let g = group.by_ref();
        // Wakes when the grace is over, and runs before the owner.
        let other: Task<(), TaskCancelled> = spawn(async move {
            sleep(secs(5)).await?;
            spawn_until_closed(g).await
        });
        testing::settle().await.unwrap();
        let ended = group.join().await;
        other.await.unwrap();
        ended
    });
    assert!(ended.0.is_ok() && ended.1 == 5, "{ended:?}");
    assert!(ended.2 >= 2, "none was spawned after the grace");
}

async fn spawn_until_closed(g: GroupRef<TaskCancelled>) -> Result<(), TaskCancelled> {
    for _ in 0..3 {
        let Ok(member) = g.try_spawn(stubborn()) else { break };
        drop(member);
        yield_now().await?;
    }
    Ok(())
}

/// G12: the owner may be polled by another executor.
#[test]
fn the_owner_may_be_polled_with_another_waker() {
    let ended = bounded(async || {
        let scope = |grace| {
            Group::scope_within(secs(grace), async |g| {
                g.spawn(stubborn());
                sleep(Duration::MAX).await
            })
        };
        let both = async {
            let (one, two) = futures::join!(scope(3), scope(7));
            one.and(two)
        };
        timeout_after(secs(1), both).await.is_err()
    });
    assert_eq!(ended, (true, 8, 2));
}

/// G12, C10: of the grace of a group and a `cancel_within` of its owner, the first that is over
/// counts.
#[test]
fn of_two_graces_the_first_that_is_over_counts() {
    let owner = |grace| {
        spawn_named(
            "owner",
            Group::scope_within(secs(grace), async |g| {
                g.spawn(stubborn());
                Ok(())
            }),
        )
    };
    let ended = bounded(async || {
        let owner = owner(5);
        sleep(secs(1)).await.unwrap();
        owner.cancel_within(secs(20)).await.unwrap();
        owner.end()
    });
    assert_eq!(ended, (Some(TaskEnd::Cancelled), 6, 1));
    let ended = bounded(async || {
        let owner = owner(20);
        sleep(secs(1)).await.unwrap();
        owner.cancel_within(secs(5)).await.unwrap();
        owner.end()
    });
    assert_eq!(ended, (Some(TaskEnd::Aborted), 6, 1));
}

/// G12, K5: at a shutdown the grace of a group bounds its members as well.
#[test]
fn the_grace_holds_in_a_shutdown() {
    let ((), took, aborted) = bounded(async || {
        spawn(Group::scope_within(secs(5), async |g| {
            g.spawn(stubborn());
            assert!(check_cancellation().is_none());
            Ok(())
        }));
        testing::settle().await.unwrap();
    });
    assert_eq!((took, aborted), (0, 1), "main had ended before");
}

/// G12: a grace that is set once the group has ended leaves no timer, and one of many years is
/// none.
#[test]
fn a_grace_of_an_ended_group_and_one_without_end_arm_nothing() {
    testing::run(async || {
        let group = kernel::TaskGroup::<TaskCancelled>::new();
        let failed = spawn(sleep(Duration::MAX));
        group.spawn(async move {
            failed.cancel().await?;
            failed.await
        });
        assert!(group.join().await.is_err());
        group.set_grace(secs(5));
        let endless = Duration::from_secs(u64::MAX);
        let group = Group::scope_within(endless, async |g| {
            g.spawn(cleans_up(1));
            Ok(())
        });
        assert!(timeout_after(secs(1), group).await.is_err());
    });
}
