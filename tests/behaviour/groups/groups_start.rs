//! Members that say when they are ready: `start` (G9).

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use curium::kernel::{self, Ready, testing};
use curium::{
    CancelReason, TaskCancelled, TaskGroup, WaitPolicy, ignore_after, shield, sleep, spawn,
    timeout_after,
};
use futures::FutureExt;

use crate::support::reports;
use crate::support::time::secs;

type Group = TaskGroup<Failed>;

#[derive(Debug, PartialEq, thiserror::Error)]
enum Failed {
    #[error("{0}")]
    Cancelled(#[from] TaskCancelled),
    #[error("{0}")]
    Own(&'static str),
}

impl Failed {
    fn reason(&self) -> Option<CancelReason> {
        match self {
            Failed::Cancelled(cancelled) => Some(cancelled.reason()),
            Failed::Own(_) => None,
        }
    }
}

/// Is ready with its number after a second, and ends so many seconds later.
async fn server(ready: Ready<u32>, number: u32, seconds: u64) -> Result<(), Failed> {
    sleep(secs(1)).await?;
    ready.set(number);
    sleep(secs(seconds)).await?;
    Ok(())
}

/// Counts its ends, cleanup included, which takes a second.
async fn cleans_up(ended: Rc<Cell<u32>>) -> Result<(), TaskCancelled> {
    let slept = sleep(Duration::MAX).await;
    shield(sleep(secs(1))).await?;
    ended.set(ended.get() + 1);
    slept
}

fn seconds_since(begun: Instant) -> u64 {
    (kernel::now() - begun).as_secs()
}

/// G9: `start` returns the value when the member has set it, and the group waits for the member.
#[test]
fn start_returns_when_the_member_is_ready() {
    testing::run(async || {
        let begun = kernel::now();
        Group::scope(async |g| {
            assert_eq!(g.start(async |ready| server(ready, 7, 4).await).await?, 7);
            assert_eq!(seconds_since(begun), 1);
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(seconds_since(begun), 5);
    });
}

/// G9: the group does not count the member before it is ready.
#[test]
fn a_member_counts_from_when_it_is_ready() {
    testing::run(async || {
        let group = Group::new();
        let starting = group.start(async |ready| server(ready, 1, 1).await);
        let mut starting = std::pin::pin!(starting.fuse());
        assert!(starting.as_mut().now_or_never().is_none());
        assert!(group.is_empty());
        assert_eq!(starting.await, Ok(1));
        assert_eq!(group.len(), 1);
        group.join().await.unwrap();
    });
}

/// G9: a failure before that comes out of `start` alone: it neither fails the group nor satisfies
/// its policy.
#[test]
fn a_failure_before_that_is_returned_by_start_alone() {
    testing::run(async || {
        let ended = Group::scope_with(WaitPolicy::Any, async |g| {
            let sibling = g.spawn(async { Ok(sleep(secs(5)).await?) });
            let failed = g.start(async |ready: Ready<()>| {
                sleep(secs(1)).await?;
                drop(ready);
                Err::<(), _>(Failed::Own("no port"))
            });
            assert_eq!(failed.await, Err(Failed::Own("no port")));
            sleep(secs(1)).await?;
            assert!(!sibling.is_done());
            Ok(sibling)
        });
        let sibling = ended.await.unwrap();
        assert_eq!(sibling.await, Ok(()));
    });
}

/// G9: so is a panic.
#[test]
fn a_panic_before_that_goes_on_in_start_alone() {
    testing::run(async || {
        Group::scope(async |g| {
            let sibling = g.spawn(async { Ok(sleep(secs(5)).await?) });
            let starting =
                g.start(async |_: Ready<()>| -> Result<(), Failed> { panic!("no port") });
            let panic = std::panic::AssertUnwindSafe(starting).catch_unwind().await;
            assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"no port"));
            sibling.await
        })
        .await
        .unwrap();
    });
}

/// G9, G2: once it is ready, its failure is the group's.
#[test]
fn a_failure_after_that_fails_the_group() {
    testing::run(async || {
        let ended = Group::scope(async |g| {
            g.start(async |ready| {
                ready.set(());
                sleep(secs(1)).await?;
                Err::<(), _>(Failed::Own("broken"))
            })
            .await?;
            Ok(sleep(Duration::MAX).await?)
        });
        assert_eq!(ended.await, Err(Failed::Own("broken")));
    });
}

/// G9, C1: a member that is ready in the tick in which the caller is cancelled was started.
#[test]
fn a_member_that_is_ready_as_the_caller_is_cancelled_is_started() {
    testing::run(async || {
        let group = Rc::new(Group::new());
        let owner = group.clone();
        let starting = spawn(
            async move {
                let started = owner.start(async |ready| server(ready, 3, 1).await).await;
                (started, sleep(secs(1)).await.is_err())
            }
            .map(Ok::<_, TaskCancelled>),
        );
        testing::settle().await.unwrap();
        sleep(secs(1)).await.unwrap();
        starting.request_cancel();
        assert_eq!(starting.join().await.unwrap().unwrap(), (Ok(3), true));
        assert_eq!(group.len(), 1);
        group.join().await.unwrap();
    });
}

/// G9: a caller that is cancelled, or whose time is over, cancels the member and awaits its
/// cleanup. The group goes on.
#[test]
fn a_cancelled_start_awaits_the_cleanup_of_the_member() {
    testing::run(async || {
        let ended = Rc::new(Cell::new(0));
        Group::scope(async |g| {
            let ends = ended.clone();
            let starting = g.start(async move |ready: Ready<()>| {
                cleans_up(ends).await?;
                ready.set(());
                Ok::<_, Failed>(())
            });
            assert_eq!(ignore_after(secs(1), starting).await, Ok(None));
            assert_eq!(ended.get(), 1);
            Ok(sleep(secs(1)).await?)
        })
        .await
        .unwrap();
    });
}

/// G9, K6: a member whose cleanup then fails is reported.
#[test]
fn a_failed_cleanup_of_a_cancelled_start_is_reported() {
    let (ended, failures) = reports::failures(async || {
        Group::scope(async |g| {
            let starting = g.start(async |ready: Ready<()>| {
                sleep(Duration::MAX).await.ok();
                drop(ready);
                Err::<(), _>(Failed::Own("the cleanup"))
            });
            Ok(timeout_after(secs(1), starting).await.is_err())
        })
        .await
    });
    assert_eq!((ended, failures), (Ok(true), vec!["Own(\"the cleanup\")".to_owned()]));
}

/// G9: a call that is dropped cancels the member, and the group awaits it.
#[test]
fn a_dropped_start_cancels_the_member_and_the_group_awaits_it() {
    testing::run(async || {
        let ended = Rc::new(Cell::new(0));
        Group::scope(async |g| {
            let ends = ended.clone();
            let starting = g.start(async move |ready: Ready<()>| {
                let slept = cleans_up(ends).await;
                ready.set(());
                Ok::<_, Failed>(slept?)
            });
            assert!(starting.now_or_never().is_none());
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(ended.get(), 1);
    });
}

/// G9: so does one that is dropped with the value, which the caller does not get.
#[test]
fn a_start_that_is_dropped_with_its_value_cancels_the_member() {
    testing::run(async || {
        Group::scope(async |g| {
            let mut starting = Box::pin(g.start(async |ready| {
                ready.set(());
                Ok::<_, Failed>(sleep(Duration::MAX).await?)
            }));
            assert!(starting.as_mut().now_or_never().is_none());
            testing::settle().await?;
            drop(starting);
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// G9: a member that drops `ready` is awaited.
#[test]
fn a_member_that_drops_ready_is_awaited() {
    testing::run(async || {
        let begun = kernel::now();
        let ended = Group::scope(async |g| {
            g.start(async |ready: Ready<()>| {
                drop(ready);
                sleep(secs(3)).await?;
                Err::<(), _>(Failed::Own("late"))
            })
            .await
        });
        assert_eq!(ended.await, Err(Failed::Own("late")));
        assert_eq!(seconds_since(begun), 3);
    });
}

/// G9: a member that ends well and was never ready is a mistake of the program.
#[test]
#[should_panic(expected = "started at tests/behaviour/groups/groups_start.rs:")]
fn a_member_that_is_never_ready_is_a_panic_with_the_line_of_start() {
    let _ =
        testing::run(async || Group::scope(async |g| g.start(async |_: Ready<()>| ()).await).await);
}

/// G9, C6: a member that was cancelled before it is ready, and returns `()`, has not started.
#[test]
fn a_member_that_was_cancelled_before_is_not_started() {
    testing::run(async || {
        let started = Group::scope(async |g| {
            let id = Rc::new(Cell::new(None));
            let shown = id.clone();
            g.spawn(async move {
                sleep(secs(1)).await?;
                kernel::handle().request_cancel(shown.get().unwrap()).unwrap();
                Ok(())
            });
            let started = g.start(async move |_: Ready<()>| {
                id.set(Some(kernel::current_task().id));
                sleep(Duration::MAX).await.ok();
            });
            Ok(started.await.unwrap_err().reason())
        });
        let reason = started.await.unwrap().unwrap();
        assert!(matches!(reason, CancelReason::Requested { .. }), "{reason:?}");
    });
}

/// G9, G7: a group that has ended starts no member.
#[test]
#[should_panic(expected = "the group has ended")]
fn a_start_in_an_ended_group_is_a_panic() {
    testing::run(async || {
        let ended = Group::scope(async |g| Ok(g)).await.unwrap();
        let _ = ended.start(async |ready| server(ready, 1, 1).await).await;
    });
}

/// G9: the member has the name of its function, not of the wrapper.
#[test]
fn a_started_member_has_the_name_of_its_closure() {
    testing::run(async || {
        Group::scope(async |g| {
            let name = g.start(async |ready| {
                ready.set(kernel::current_task().name);
            });
            let name = name.await?;
            assert!(
                name.ends_with("groups_start::a_started_member_has_the_name_of_its_closure"),
                "{name}"
            );
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// G9: a member that has given its `ready` away and fails has not started: its failure comes out
/// of `start`. A value that is set later is dropped.
#[test]
fn a_member_that_ends_without_its_ready_has_not_started() {
    testing::run(async || {
        Group::scope(async |g| {
            let kept = Rc::new(Cell::new(None::<Ready<u32>>));
            let theirs = kept.clone();
            let started = g.start(async move |ready| {
                theirs.set(Some(ready));
                sleep(secs(1)).await?;
                Err::<(), _>(Failed::Own("before it was ready"))
            });
            assert_eq!(started.await, Err(Failed::Own("before it was ready")));
            kept.take().unwrap().set(1);
            Ok(())
        })
        .await
        .unwrap();
    });
}
