//! Spawning in a group: by which tasks, when, and what happens to late spawns (G7).

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    CancelReason, GroupEnded, GroupRef, TaskCancelled, TaskEnd, TaskGroup, sleep, spawn, testing,
    yield_now,
};

use crate::support::children;
use crate::support::time::secs;

async fn wins(after: u64) -> io::Result<u64> {
    sleep(secs(after)).await?;
    Ok(after)
}

/// A member that spawns two members, until `depth` is used up.
async fn splits(
    g: GroupRef<TaskCancelled>,
    depth: u32,
    leaves: Rc<Cell<u32>>,
) -> Result<(), TaskCancelled> {
    yield_now().await?;
    if depth == 0 {
        leaves.set(leaves.get() + 1);
        return Ok(());
    }
    for _ in 0..2 {
        let (g2, leaves) = (g, leaves.clone());
        g.spawn(boxed(g2, depth - 1, leaves));
    }
    Ok(())
}

/// Boxed, because a future cannot contain its own type.
fn boxed(
    g: GroupRef<TaskCancelled>,
    depth: u32,
    leaves: Rc<Cell<u32>>,
) -> futures::future::LocalBoxFuture<'static, Result<(), TaskCancelled>> {
    Box::pin(splits(g, depth, leaves))
}

/// G7, G1: members spawn members through the `g` that they captured, and the group waits for all.
#[test]
fn members_spawn_members_while_the_group_is_waited_for() {
    testing::run(async || {
        let leaves = Rc::new(Cell::new(0));
        TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(splits(g, 8, leaves.clone()));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(leaves.get(), 256);
        assert_eq!(kernel::tasks().len(), 1);
    });
}

/// G7: so in a `new()` group, by its name, while its owner is parked in `join`.
#[test]
fn a_group_of_its_own_takes_members_while_it_is_joined() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let g = group.by_ref();
        let grandchild = Rc::new(RefCell::new(None));
        let theirs = grandchild.clone();
        group.spawn(async move {
            sleep(secs(1)).await?;
            *theirs.borrow_mut() = Some(g.spawn(wins(5)));
            Ok(())
        });
        let started = kernel::now();
        group.join().await.unwrap();
        assert_eq!(kernel::now() - started, secs(6));
        assert_eq!(grandchild.take().unwrap().await.unwrap(), 5);
    });
}

/// G7: after the end of the group `spawn` panics, at the line of the call.
#[test]
fn spawning_in_an_ended_group_panics_and_names_the_place() {
    if children::ran_alone(children::this_test!()) {
        return;
    }
    thread_local! {
        static SITE: RefCell<Option<String>> = const { RefCell::new(None) };
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let site = info.location().map(ToString::to_string);
        SITE.with(|last| *last.borrow_mut() = site);
        before(info);
    }));
    let site = || SITE.with(|last| last.borrow_mut().take()).unwrap_or_default();
    testing::run(async || {
        let g = TaskGroup::<io::Error>::scope(async |g| Ok(g)).await.unwrap();
        let group = TaskGroup::<io::Error>::new();
        group.join().await.unwrap();
        let calls: [(u32, &dyn Fn()); 4] = [
            (line!(), &|| drop(g.spawn(wins(1)))),
            (line!(), &|| drop(g.spawn_daemon(wins(1)))),
            (line!(), &|| drop(group.spawn(wins(1)))),
            (line!(), &|| drop(group.spawn_daemon(wins(1)))),
        ];
        for (line, call) in calls {
            let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
            let message = payload.downcast_ref::<String>().unwrap();
            assert!(message.contains("the group has ended"), "{message}");
            let site = site();
            assert!(site.starts_with(&format!("{}:{line}:", file!())), "{site}, not {line}");
        }
        assert_eq!(kernel::tasks().len(), 1, "a task was spawned");
    });
}

/// G7: `try_spawn` gives an error instead, and drops the future.
#[test]
fn try_spawn_says_that_the_group_has_ended() {
    testing::run(async || {
        let held = Rc::new(());
        let g = TaskGroup::<io::Error>::scope(async |g| {
            assert_eq!(g.try_spawn(wins(1)).unwrap().join().await?.unwrap(), 1);
            Ok(g)
        })
        .await
        .unwrap();
        let theirs = held.clone();
        let refused = g.try_spawn(async move {
            drop(theirs);
            Ok::<(), io::Error>(())
        });
        assert_eq!(refused.map(|task| task.id()), Err(GroupEnded));
        assert_eq!(Rc::strong_count(&held), 1);

        let group = TaskGroup::<io::Error>::new();
        let member = group.try_spawn(wins(1)).unwrap();
        group.join().await.unwrap();
        assert_eq!(member.end(), Some(TaskEnd::Ok));
        assert!(group.try_spawn(wins(1)).is_err());
        assert!(GroupEnded.to_string().contains("has ended"));
    });
}

/// G7: the slot of an ended group may be reused. The old name does not reach the next group.
#[test]
fn the_name_of_an_ended_group_never_means_another() {
    testing::run(async || {
        let old = TaskGroup::<io::Error>::scope(async |g| Ok(g)).await.unwrap();
        let groups: Vec<_> = (0..3).map(|_| TaskGroup::<io::Error>::new()).collect();
        assert!(old.try_spawn(wins(1)).is_err());
        for group in groups {
            assert!(group.is_empty());
            group.join().await.unwrap();
        }
    });
}

/// G7, G1: a task that is spawned during the tear-down starts cancelled, and is awaited.
#[test]
fn a_member_spawned_during_the_tear_down_is_born_cancelled() {
    testing::run(async || {
        let log = Rc::new(RefCell::new(Vec::new()));
        let theirs = log.clone();
        let ended: io::Result<()> = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(async move {
                let delivered = sleep(Duration::MAX).await.unwrap_err();
                sleep(secs(1)).await?;
                let late = theirs.clone();
                g.spawn(async move {
                    late.borrow_mut().push("began".to_owned());
                    let delivered = sleep(Duration::MAX).await.unwrap_err();
                    sleep(secs(5)).await?;
                    late.borrow_mut().push(format!("{:?}", delivered.reason()));
                    Err::<(), _>(delivered.into())
                });
                theirs.borrow_mut().push("spawned".to_owned());
                Err::<(), _>(delivered.into())
            });
            testing::settle().await?;
            Err(io::Error::other("the body"))
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the body");
        assert_eq!(log.take(), ["spawned", "began", "GroupEnded"]);
        assert_eq!(kernel::tasks().len(), 1);
    });
}

/// G7, G2: after a member has failed, new members start cancelled, also while the body runs.
#[test]
fn a_member_spawned_after_a_failure_is_born_cancelled() {
    testing::run(async || {
        let reason = Rc::new(RefCell::new(None));
        let theirs = reason.clone();
        let ended: io::Result<()> = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(async { Err::<(), _>(io::Error::other("a member")) });
            let delivered = sleep(Duration::MAX).await.unwrap_err();
            let late = g.spawn(async move {
                let delivered = sleep(Duration::MAX).await.unwrap_err();
                *theirs.borrow_mut() = Some(delivered.reason());
                Err::<(), _>(delivered.into())
            });
            let end = late.join().await?;
            assert!(matches!(end, Err(kernel::TaskError::Cancelled(_))), "{end:?}");
            Err(delivered.into())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "a member");
        assert_eq!(reason.take(), Some(CancelReason::GroupFailed));
    });
}

/// G7, C1: a member that starts cancelled and need not park ends well.
#[test]
fn a_member_born_cancelled_that_need_not_park_ends_well() {
    testing::run(async || {
        let value = Rc::new(Cell::new(0));
        let theirs = value.clone();
        let ended: io::Result<()> = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(async move {
                let delivered = sleep(Duration::MAX).await.unwrap_err();
                let quick = g.spawn(async { Ok(42) });
                theirs.set(quick.await?);
                Err::<(), _>(delivered.into())
            });
            testing::settle().await?;
            Err(io::Error::other("the body"))
        })
        .await;
        assert!(ended.is_err());
        assert_eq!(value.get(), 42);
    });
}

/// G7, K5: during the shutdown a new member starts cancelled, and so does a new task.
#[test]
fn a_task_spawned_during_the_shutdown_is_born_cancelled() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let late = |seen: &Rc<RefCell<Vec<_>>>, name: &'static str| {
        let seen = seen.clone();
        async move {
            let delivered = sleep(Duration::MAX).await.unwrap_err();
            seen.borrow_mut().push((name, delivered.reason()));
            Err::<(), TaskCancelled>(delivered)
        }
    };
    testing::run(async || {
        let theirs = seen.clone();
        spawn(async move {
            TaskGroup::<TaskCancelled>::scope(async |g| {
                let delivered = sleep(Duration::MAX).await.unwrap_err();
                g.spawn(late(&theirs, "member"));
                spawn(late(&theirs, "task"));
                Err::<(), _>(delivered)
            })
            .await
        });
        testing::settle().await.unwrap();
    });
    let shutdown = CancelReason::Shutdown;
    assert_eq!(seen.take(), [("member", shutdown), ("task", shutdown)]);
}

/// G7, C12: a group that is polled outside a task of a kernel panics with the line of the call.
#[test]
fn a_group_outside_a_kernel_names_the_place() {
    let line = line!() + 1;
    let group = Box::pin(TaskGroup::<io::Error>::scope(async |_| Ok(())));
    let polled = catch_unwind(AssertUnwindSafe(|| tokio_test::task::spawn(group).poll()));
    let payload = polled.unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(message.contains(&format!("{}:{line}:", file!())), "{message}");
    assert!(message.contains("outside a kernel"), "{message}");
}

/// E1, G7: a daemon can be offered to a group that may have ended, which drops it then.
#[test]
fn a_daemon_is_refused_by_a_group_that_has_ended() {
    testing::run(async || {
        let cleaned = Rc::new(Cell::new(false));
        let theirs = cleaned.clone();
        let group = TaskGroup::<TaskCancelled>::scope(async |g| {
            let daemon = g.try_spawn_daemon(async move {
                let cancelled = sleep(Duration::MAX).await;
                theirs.set(true);
                cancelled
            });
            assert!(daemon.is_ok());
            testing::settle().await?;
            Ok(g)
        })
        .await
        .unwrap();
        assert!(cleaned.get(), "the group has not waited for it, and has ended it");
        let dropped = Rc::new(());
        let theirs = dropped.clone();
        let late = group.try_spawn_daemon(async move { drop(theirs) });
        assert_eq!(late.unwrap_err(), GroupEnded);
        assert_eq!(Rc::strong_count(&dropped), 1);
    });
}
