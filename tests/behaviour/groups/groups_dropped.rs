//! A group that is dropped before its end drops its members (G4).

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use kernel::{Kernel, Report, Task, TaskCancelled, TaskEnd, TaskGroup, sleep, spawn, testing};

use crate::support::log::Log;
use crate::support::reports;
use crate::support::time::secs;

/// Logs when it is dropped.
struct Dropped {
    name: String,
    log: Log,
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.log.push(&*self.name);
    }
}

fn guard(log: &Log, name: impl Into<String>) -> Dropped {
    Dropped { name: name.into(), log: log.clone() }
}

/// Parked with a guard; a cleanup, which a drop does not run, would show in the log.
async fn parked(guard: Dropped) -> Result<(), TaskCancelled> {
    let delivered = sleep(Duration::MAX).await;
    guard.log.push("a cleanup ran");
    delivered
}

/// G4: the members of a losing arm of `select!` are gone when the drop returns, without their
/// cleanup.
#[test]
fn a_select_loser_takes_its_members_along() {
    testing::run(async || {
        let log = Log::default();
        let group = TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(parked(guard(&log, "one")));
            g.spawn(parked(guard(&log, "two")));
            sleep(Duration::MAX).await
        });
        let won = select(Box::pin(sleep(secs(1))), Box::pin(group)).await;
        let Either::Left((_, loser)) = won else {
            panic!("the group won");
        };
        assert_eq!(kernel::tasks().len(), 3);
        drop(loser);
        let mut dropped = log.take();
        dropped.sort();
        assert_eq!(dropped, ["one", "two"]);
        assert_eq!(kernel::tasks().len(), 1);
    });
}

/// G4: so are those of a group that is dropped while it waits for its members, or tears them down.
#[test]
fn a_group_dropped_at_its_end_takes_its_members_along() {
    testing::run(async || {
        for in_tear_down in [false, true] {
            let log = Log::default();
            let theirs = log.clone();
            let group = TaskGroup::<io::Error>::scope(async move |g| {
                let guard = guard(&theirs, "member");
                g.spawn(async move {
                    sleep(Duration::MAX).await.ok();
                    sleep(Duration::MAX).await?;
                    drop(guard);
                    Ok(())
                });
                testing::settle().await?;
                if in_tear_down { Err(io::Error::other("the body")) } else { Ok(()) }
            });
            let won = select(Box::pin(sleep(secs(1))), Box::pin(group)).await;
            assert!(matches!(won, Either::Left(_)));
            assert_eq!(log.take(), [] as [String; 0]);
            drop(won);
            assert_eq!(log.take(), ["member"]);
            assert_eq!(kernel::tasks().len(), 1);
        }
    });
}

/// A task that owns a group of one, whose member owns a group of one, and so on.
fn nest(depth: u32, log: Log) -> futures::future::LocalBoxFuture<'static, Nested> {
    Box::pin(async move {
        let _guard = guard(&log, format!("owner {depth}"));
        TaskGroup::<TaskCancelled>::scope(async |g| {
            if depth > 0 {
                g.spawn(nest(depth - 1, log.clone()));
            }
            sleep(Duration::MAX).await
        })
        .await
    })
}

type Nested = Result<(), TaskCancelled>;

/// G4: nested groups are emptied by the abort of the outermost owner, before it returns.
#[test]
fn an_abort_empties_nested_groups() {
    testing::run(async || {
        let log = Log::default();
        let owner = spawn(nest(3, log.clone()));
        testing::settle().await.unwrap();
        assert_eq!(kernel::tasks().len(), 5);
        owner.abort();
        let mut dropped = log.take();
        dropped.sort();
        assert_eq!(dropped, ["owner 0", "owner 1", "owner 2", "owner 3"]);
        assert_eq!(owner.end(), Some(TaskEnd::Aborted));
        assert_eq!(kernel::tasks().len(), 1);
    });
}

/// G4: the end of a member is `Aborted`, and a task that joins it gets that.
#[test]
fn who_joins_a_dropped_member_is_told() {
    testing::run(async || {
        let log = Log::default();
        let group = TaskGroup::<TaskCancelled>::new();
        let member = Rc::new(group.spawn(parked(guard(&log, "member"))));
        let theirs = member.clone();
        let joiner = spawn(async move {
            let error = theirs.join().await?;
            Ok::<_, TaskCancelled>(error.unwrap_err().to_string())
        });
        testing::settle().await.unwrap();
        drop(group);
        assert_eq!(log.take(), ["member"]);
        assert_eq!(member.end(), Some(TaskEnd::Aborted));
        assert_eq!(joiner.join().await.unwrap().unwrap(), "the task was aborted");
    });
}

/// G4: a member that has never run is dropped unpolled.
#[test]
fn a_member_that_never_ran_is_dropped_unpolled() {
    testing::run(async || {
        let log = Log::default();
        let group = TaskGroup::<TaskCancelled>::new();
        group.spawn_daemon(parked(guard(&log, "daemon")));
        group.spawn(parked(guard(&log, "member")));
        drop(group);
        assert_eq!(log.take(), ["member", "daemon"]);
    });
}

/// G4: a member that aborts its owner is running. It is dropped when its poll ends, and not later.
#[test]
fn a_member_that_is_running_goes_when_its_poll_ends() {
    testing::run(async || {
        let log = Log::default();
        let owner: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
        let (theirs, mine) = (owner.clone(), log.clone());
        *owner.borrow_mut() = Some(spawn(async move {
            TaskGroup::<TaskCancelled>::scope(async |g| {
                g.spawn(parked(guard(&mine, "sibling")));
                let (log, owner) = (mine.clone(), theirs.clone());
                g.spawn(async move {
                    let guard = guard(&log, "the running member");
                    sleep(secs(1)).await?;
                    owner.borrow().as_ref().unwrap().abort();
                    log.push("still running");
                    sleep(Duration::ZERO).await.ok();
                    log.push("ran on");
                    drop(guard);
                    Ok(())
                });
                sleep(Duration::MAX).await
            })
            .await
        }));
        testing::advance(secs(2)).await.unwrap();
        assert_eq!(log.take(), ["sibling", "still running", "the running member"]);
        assert_eq!(owner.take().unwrap().end(), Some(TaskEnd::Aborted));
        assert_eq!(kernel::tasks().len(), 1);
    });
}

/// G4: a member that ends in that very poll keeps its own outcome.
#[test]
fn a_running_member_that_ends_in_its_poll_ends_well() {
    testing::run(async || {
        let group = Rc::new(RefCell::new(Some(TaskGroup::<TaskCancelled>::new())));
        let theirs = group.clone();
        let member = group.borrow().as_ref().unwrap().spawn(async move {
            let group = theirs.take();
            drop(group);
            Ok("well")
        });
        testing::settle().await.unwrap();
        assert_eq!(member.join().await.unwrap().unwrap(), "well");
    });
}

/// G4, G7: the destructor of a member cannot spawn in the dropped group.
#[test]
fn a_destructor_cannot_spawn_in_the_dropped_group() {
    struct Spawns(kernel::GroupRef<TaskCancelled>, Rc<Cell<Option<bool>>>);
    impl Drop for Spawns {
        fn drop(&mut self) {
            self.1.set(Some(self.0.try_spawn(sleep(Duration::MAX)).is_err()));
        }
    }
    testing::run(async || {
        let refused = Rc::new(Cell::new(None));
        let group = TaskGroup::<TaskCancelled>::new();
        let guard = Spawns(group.by_ref(), refused.clone());
        group.spawn(async move {
            let _guard = guard;
            sleep(Duration::MAX).await
        });
        testing::settle().await.unwrap();
        drop(group);
        assert_eq!(refused.get(), Some(true));
        assert_eq!(kernel::tasks().len(), 1);
    });
}

/// G4, G3: the failures that a dropped group had kept are reported.
#[test]
fn a_dropped_group_reports_the_failures_that_it_had_kept() {
    let ((), reports) = reports::failures(async || {
        let group = TaskGroup::<io::Error>::new();
        group.spawn(async { Err::<(), _>(io::Error::other("kept")) });
        testing::settle().await.unwrap();
        drop(group);
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("kept"), "{reports:?}");
}

/// G4, K3: a member whose destructor panics does not keep the others alive.
#[test]
fn a_destructor_that_panics_does_not_keep_the_others() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("a destructor");
        }
    }
    let panics = Rc::new(Cell::new(0));
    let sink = panics.clone();
    let builder = Kernel::builder().on_report(move |report| {
        if let Report::PanicOutsideTask { message, .. } = report {
            assert_eq!(*message, "a destructor");
            sink.set(sink.get() + 1);
        }
    });
    testing::run_with(builder, async || {
        let log = Log::default();
        let group = TaskGroup::<TaskCancelled>::new();
        group.spawn(parked(guard(&log, "old")));
        group.spawn(async {
            let _guard = Panics;
            sleep(Duration::MAX).await
        });
        group.spawn(parked(guard(&log, "young")));
        testing::settle().await.unwrap();
        drop(group);
        assert_eq!(log.take(), ["young", "old"]);
        assert_eq!(kernel::tasks().len(), 1);
    });
    assert_eq!(panics.get(), 1);
}

/// G4: a forgotten group is only a leak: the shutdown ends its members, and the exit report names
/// it.
#[test]
#[allow(clippy::mem_forget)]
fn a_forgotten_group_is_a_leak_that_the_exit_report_names() {
    let log = Log::default();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        testing::run(async || {
            let group = TaskGroup::<TaskCancelled>::new();
            group.spawn(parked(guard(&log, "member")));
            testing::settle().await.unwrap();
            std::mem::forget(group);
        });
    }));
    assert_eq!(log.take(), ["a cleanup ran", "member"]);
    let payload = ran.unwrap_err();
    let message = payload.downcast_ref::<String>().unwrap();
    assert!(message.contains("groups: 1") && message.contains("tasks: 0"), "{message}");
}
