//! A scope that is dropped before its end drops its children with it (S4, G4).

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use curium::prelude::*;
use curium::{Child, Kernel, Scope, TaskEnd, tasks, testing};
use futures::future::{Either, select};

use crate::support::log::Log;
use crate::support::reports;
use crate::support::time::secs;

/// Logs when it is dropped.
struct Dropped<'a> {
    name: &'static str,
    log: &'a Log,
}

impl Drop for Dropped<'_> {
    fn drop(&mut self) {
        self.log.push(self.name);
    }
}

/// Parked with a guard; a cleanup, which a drop does not run, would show in the log.
async fn parked(log: &Log, name: &'static str) -> Result<()> {
    let _guard = Dropped { name, log };
    let delivered = sleep(Duration::MAX).await;
    log.push("a cleanup ran");
    delivered
}

/// S4: the children of a losing arm of `select` are gone when the drop returns, without their
/// cleanup, the youngest first, after the body.
#[test]
fn a_dropped_scope_takes_its_children_along() {
    testing::run(async || {
        let log = Log::default();
        let losing = Box::pin(scope(async |s| {
            let _guard = Dropped { name: "body", log: &log };
            s.spawn(parked(&log, "old"));
            let left = s.spawn(parked(&log, "cancelled"));
            s.spawn(parked(&log, "young"));
            yield_now().await?;
            left.request_cancel();
            s.spawn(parked(&log, "never polled"));
            sleep(Duration::MAX).await
        }));
        // The scope is left in the poll that has queued its children.
        let won = select(Box::pin(yield_now()), losing).await;
        let Either::Left((_, loser)) = won else { panic!("the scope won") };
        assert_eq!(tasks().len(), 4);
        drop(loser);
        assert_eq!(log.take(), ["body", "young", "cancelled", "old"]);
        assert_eq!(tasks().len(), 1);
    });
}

/// S4: so are those of a scope that waits for its children, or tears them down.
#[test]
fn a_scope_dropped_at_its_end_takes_its_children_along() {
    testing::run(async || {
        for in_tear_down in [false, true] {
            let log = Log::default();
            let losing = Box::pin(scope(async |s| {
                s.spawn(async {
                    let _guard = Dropped { name: "child", log: &log };
                    sleep(Duration::MAX).await.ok();
                    sleep(Duration::MAX).await
                });
                yield_now().await?;
                if in_tear_down { spawn(cancelled()).await } else { Ok(()) }
            }));
            let won = select(Box::pin(sleep(secs(1))), losing).await;
            assert!(matches!(won, Either::Left(_)));
            assert_eq!(log.take(), [] as [String; 0]);
            drop(won);
            assert_eq!(log.take(), ["child"]);
            assert_eq!(tasks().len(), 1);
        }
    });
}

/// Ends in the cancellation of another task.
async fn cancelled() -> Result<()> {
    let other = spawn(sleep(Duration::MAX));
    other.cancel().await?;
    other.await
}

/// S4: an abort of the task drops the children of nested scopes before it returns.
#[test]
fn an_abort_drops_the_children_of_nested_scopes() {
    testing::run(async || {
        let log = Log::default();
        let shared = log.clone();
        let owner = spawn(async move {
            scope(async |s| {
                s.spawn(async {
                    scope(async |inner| {
                        inner.spawn(parked(&shared, "inner"));
                        Ok(())
                    })
                    .await
                });
                s.spawn(parked(&shared, "outer"));
                Ok::<_, TaskCancelled>(())
            })
            .await
        });
        testing::settle().await.unwrap();
        assert_eq!(tasks().len(), 5);
        owner.abort();
        assert_eq!(log.take(), ["outer", "inner"]);
        assert_eq!(owner.end(), Some(TaskEnd::Aborted));
        assert_eq!(tasks().len(), 1);
    });
}

/// S4: a task that waits for a dropped child gets `Aborted`.
#[test]
fn a_join_of_a_dropped_child_gives_aborted() {
    testing::run(async || {
        let handle: Rc<RefCell<Option<Child<(), TaskCancelled>>>> = Rc::default();
        let theirs = handle.clone();
        let owner = spawn(async move {
            scope(async |s| {
                theirs.replace(Some(s.spawn(sleep(Duration::MAX))));
                Ok::<_, TaskCancelled>(())
            })
            .await
        });
        testing::settle().await.unwrap();
        let join = handle.borrow().as_ref().unwrap().join();
        let joiner =
            spawn(async move { Ok::<_, TaskCancelled>(join.await?.unwrap_err().to_string()) });
        testing::settle().await.unwrap();
        owner.abort();
        assert_eq!(joiner.await.unwrap(), "the task was aborted");
        assert_eq!(handle.take().unwrap().end(), Some(TaskEnd::Aborted));
    });
}

/// S4, K6: the destructor of a child cannot start a child; its panic is reported, and the other
/// children are dropped all the same.
#[test]
fn a_destructor_cannot_start_a_child() {
    struct Starts(Scope<'static, TaskCancelled>);
    impl Drop for Starts {
        fn drop(&mut self) {
            self.0.spawn(sleep(Duration::MAX));
        }
    }
    let ((), reports) = reports::texts(async || {
        let log = Log::default();
        let shared = Box::leak(Box::new(log.clone()));
        let owner = spawn(async move {
            scope(async |s| {
                s.spawn(parked(shared, "old"));
                let starts = Starts(s.clone());
                s.spawn(async move {
                    let _starts = starts;
                    sleep(Duration::MAX).await
                });
                Ok::<_, TaskCancelled>(())
            })
            .await
        });
        testing::settle().await.unwrap();
        owner.abort();
        assert_eq!(log.take(), ["old"]);
        assert_eq!(tasks().len(), 1);
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("the scope has ended"), "{reports:?}");
}

/// S4: a scope that is leaked is never polled again. Its children hold up no shutdown.
#[test]
fn a_leaked_scope_holds_up_no_shutdown() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    kernel.run(async || {
        let mut leaked: Pin<Box<dyn Future<Output = Result<()>>>> = Box::pin(scope(async |s| {
            s.spawn(sleep(secs(9)));
            Ok(())
        }));
        assert!(futures::poll!(leaked.as_mut()).is_pending());
        assert_eq!(tasks().len(), 2);
        #[allow(clippy::mem_forget, reason = "this is the test")]
        std::mem::forget(leaked);
        sleep(secs(10)).await.unwrap();
    });
    kernel.shutdown();
}

/// S4, S2: a scope may move to another task between two polls, and its children go with it.
#[test]
fn a_scope_moves_to_another_task() {
    testing::run(async || {
        let log = Log::default();
        let shared = log.clone();
        let mut moves: Pin<Box<dyn Future<Output = Result<()>>>> = Box::pin(async move {
            scope(async |s| {
                for name in ["one", "two"] {
                    let log = &shared;
                    s.spawn(async move {
                        sleep(secs(1)).await?;
                        yield_now().await?;
                        log.push(name);
                        Ok(())
                    });
                }
                Ok(())
            })
            .await
        });
        assert!(futures::poll!(moves.as_mut()).is_pending());
        spawn(moves).await.unwrap();
        assert_eq!(log.take(), ["one", "two"]);
    });
}
