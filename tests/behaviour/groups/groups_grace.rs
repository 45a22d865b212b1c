//! The grace of a group: members that do not end once they are cancelled are aborted (G12, C10).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    CancelReason, Kernel, Report, Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, WaitPolicy,
    sleep, spawn, testing, timeout_after,
};

use crate::support::reports;
use crate::support::time::secs;

pub(super) type Group = TaskGroup<TaskCancelled>;

/// Swallows its cancel and every other error for ever.
pub(super) async fn stubborn() -> Result<(), TaskCancelled> {
    loop {
        sleep(secs(1000)).await.ok();
    }
}

/// Cleans up for so many seconds.
pub(super) async fn cleans_up(seconds: u64) -> Result<(), TaskCancelled> {
    let slept = sleep(Duration::MAX).await;
    sleep(secs(seconds)).await?;
    slept
}

async fn fails() -> Result<(), TaskCancelled> {
    // The cancellation of another task is a failure.
    let other = spawn(sleep(Duration::MAX));
    testing::settle().await?;
    other.cancel().await?;
    other.await
}

/// Runs `main`. Gives its value, the seconds that it took, and how many tasks were aborted because
/// a grace was over. No other report may come.
pub(super) fn bounded<T>(main: impl AsyncFnOnce() -> T) -> (T, u64, usize) {
    let aborted = |report: &Report<'_>| match report {
        Report::OutOfGrace(task) => Some(task.id),
        other => panic!("not expected: {other}"),
    };
    let ((value, took), aborted) = reports::picked(Kernel::builder(), aborted, async || {
        let started = kernel::now();
        let value = main().await;
        (value, (kernel::now() - started).as_secs())
    });
    (value, took, aborted.len())
}

/// G12: a group that fails, whose owner is cancelled, or whose body fails, waits for a member that
/// swallows its cancel for the grace only. So does one whose policy is satisfied.
#[test]
fn every_way_out_of_a_group_is_bounded_by_its_grace() {
    let ended = bounded(async || {
        Group::scope_within(secs(5), async |g| {
            g.spawn(stubborn());
            g.spawn(fails());
            Ok(())
        })
        .await
        .is_err()
    });
    assert_eq!(ended, (true, 5, 1), "a member fails");
    let ended = bounded(async || {
        let scope = Group::scope_within(secs(5), async |g| {
            g.spawn(stubborn());
            g.spawn(cleans_up(4));
            sleep(Duration::MAX).await
        });
        timeout_after(secs(1), scope).await.is_err()
    });
    assert_eq!(ended, (true, 6, 1), "the time of the owner runs out");
    let ended = bounded(async || {
        let owner = spawn(Group::scope_within(secs(5), async |g| {
            g.spawn(stubborn());
            Ok(())
        }));
        sleep(secs(1)).await.unwrap();
        owner.cancel().await.unwrap();
        owner.end()
    });
    assert_eq!(ended, (Some(TaskEnd::Cancelled), 6, 1), "the owner is cancelled");
    let ended = bounded(async || {
        Group::scope_within(secs(5), async |g| {
            g.spawn(stubborn());
            fails().await
        })
        .await
        .is_err()
    });
    assert_eq!(ended, (true, 5, 1), "the body fails");
    let ended = bounded(async || {
        Group::scope_with(WaitPolicy::Any, async |g| {
            g.set_grace(secs(5));
            g.spawn(stubborn());
            g.spawn(sleep(secs(2)));
            Ok(3)
        })
        .await
    });
    assert_eq!(ended, (Ok(3), 7, 1), "enough members have ended");
}

/// G12: without a grace such a group waits as long as the member takes.
#[test]
fn a_group_without_a_grace_waits() {
    let ended = bounded(async || {
        let scope = Group::scope(async |g| {
            g.spawn(cleans_up(1000));
            sleep(Duration::MAX).await
        });
        timeout_after(secs(1), scope).await.is_err()
    });
    assert_eq!(ended, (true, 1001, 0));
}

/// G12: the grace does not bound the work of the members, only their cleanup. Those that end in
/// time are awaited and not reported.
#[test]
fn members_that_end_in_time_are_left_alone() {
    let ended = bounded(async || {
        Group::scope_within(secs(5), async |g| {
            let long = g.spawn(sleep(secs(1000)));
            g.spawn_daemon(cleans_up(4));
            long.await
        })
        .await
    });
    assert_eq!(ended, (Ok(()), 1004, 0));
}

/// G12, G7: a daemon that swallows its cancel is aborted, too.
#[test]
fn a_daemon_out_of_grace_is_aborted() {
    let ended = bounded(async || {
        Group::scope_within(secs(5), async |g| {
            g.spawn_daemon(stubborn());
            g.spawn(sleep(secs(1)));
            Ok(1)
        })
        .await
    });
    assert_eq!(ended, (Ok(1), 6, 1));
}

/// G12, C10: the report names the member and where it is parked. Its outcome is `Aborted`, and the
/// failures of the group are what they would have been.
#[test]
fn an_aborted_member_is_reported_and_is_no_failure() {
    let ((), reports) = reports::texts(async || {
        let member = Rc::new(RefCell::new(None));
        let theirs = member.clone();
        let failed = Group::scope_within(secs(5), async move |g| {
            *theirs.borrow_mut() = Some(g.spawn(stubborn()));
            g.spawn(async { Err::<(), _>(fails().await.unwrap_err()) });
            sleep(Duration::MAX).await
        });
        assert!(matches!(failed.await.unwrap_err().reason(), CancelReason::Requested { .. }));
        let member: Task<(), TaskCancelled> = member.take().unwrap();
        assert!(matches!(member.join().await.unwrap(), Err(TaskError::Aborted)));
    });
    let [report] = &reports[..] else { panic!("{reports:?}") };
    assert!(report.contains("stubborn") && report.contains("groups_grace.rs"), "{report}");
}

/// G12: the grace counts from the cancellation of the members, also while the body still cleans up.
/// So a body that waits for the member that does not end is not held up either.
#[test]
fn the_grace_counts_while_the_body_still_runs() {
    let ended = bounded(async || {
        let started = kernel::now();
        let group = Group::scope_within(secs(5), async |g| {
            let stubborn = g.spawn(stubborn());
            g.spawn(fails());
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            stubborn.wait().await.unwrap();
            assert_eq!(stubborn.end(), Some(TaskEnd::Aborted));
            assert_eq!(kernel::now() - started, secs(5));
            sleep(secs(10)).await?;
            Err::<(), _>(cancelled)
        });
        group.await.is_err()
    });
    assert_eq!(ended, (true, 15, 1));
}

/// G12, G4: a group inside an aborted member goes with it. A group in the body has a grace of its
/// own, or none.
#[test]
fn nested_groups_are_bounded_by_the_grace_around_them() {
    let ended = bounded(async || {
        let alive = Rc::new(Cell::new(0));
        let counted = |alive: &Rc<Cell<i32>>| {
            let alive = alive.clone();
            async move {
                alive.set(alive.get() + 1);
                let _alive = Defer(move || alive.set(alive.get() - 1));
                stubborn().await
            }
        };
        let scope = Group::scope_within(secs(5), async |g| {
            for _ in 0..2 {
                let inner = [counted(&alive), counted(&alive)];
                g.spawn(Group::scope(async |g| {
                    inner.into_iter().for_each(|member| drop(g.spawn(member)));
                    Ok(())
                }));
            }
            sleep(Duration::MAX).await
        });
        assert!(timeout_after(secs(1), scope).await.is_err());
        assert_eq!(alive.get(), 0);
    });
    assert_eq!(ended, ((), 6, 2), "the inner members are dropped with their groups");
    let ended = bounded(async || {
        let scope = Group::scope_within(secs(5), async |g| {
            g.spawn(cleans_up(3));
            Group::scope_within(secs(20), async |g| {
                g.spawn(stubborn());
                sleep(Duration::MAX).await
            })
            .await
        });
        timeout_after(secs(1), scope).await.is_err()
    });
    assert_eq!(ended, (true, 24, 1), "first the group in the body, then this one");
}

/// Runs a closure when it is dropped.
pub(super) struct Defer<F: FnMut()>(pub(super) F);

impl<F: FnMut()> Drop for Defer<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// G12: a group that was made by `new` has a grace by `set_grace`: at its `join`, and from the
/// first failure, even if nothing awaits the group then.
#[test]
fn a_group_without_a_block_has_a_grace_too() {
    let ended = bounded(async || {
        let group = Group::with(WaitPolicy::None);
        group.set_grace(secs(5));
        group.spawn(stubborn());
        group.join().await
    });
    assert_eq!(ended, (Ok(()), 5, 1));
    let ended = bounded(async || {
        let group = Group::new();
        group.set_grace(secs(5));
        let member = group.spawn(stubborn());
        group.spawn(fails());
        sleep(secs(6)).await.unwrap();
        assert_eq!(member.end(), Some(TaskEnd::Aborted));
        group.join_all().await.unwrap_err().others.len()
    });
    assert_eq!(ended, (0, 6, 1));
}

/// G12, G1: the members of a group with many are aborted together.
#[test]
fn many_members_are_aborted_together() {
    let ended = bounded(async || {
        let scope = Group::scope_within(secs(5), async |g| {
            for at in 0..1000 {
                g.spawn(
                    async move { if at % 2 == 0 { stubborn().await } else { cleans_up(2).await } },
                );
            }
            sleep(Duration::MAX).await
        });
        timeout_after(secs(1), scope).await.is_err()
    });
    assert_eq!(ended, (true, 6, 500));
}
