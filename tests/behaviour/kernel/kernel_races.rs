//! Cancel and completion in one tick, scopes that expire together, and cleanups that never end (C1,
//! C2, C3, C7, C10, T3).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use kernel::{
    CancelReason, Kernel, Report, Task, TaskCancelled, TaskEnd, TaskGroup, TaskTimeout, shield,
    sleep, spawn, spawn_named, testing, timeout_after,
};
use sync::{Event, Lock, Queue, Semaphore};

use crate::support::reports;
use crate::support::time::secs;

/// Where a task finds another task, or itself, that is spawned later.
type Slot<T> = Rc<RefCell<Option<Rc<Task<T, TaskCancelled>>>>>;

type Waiting = LocalBoxFuture<'static, Result<(), TaskCancelled>>;

/// A parked leaf, and a function that hands it what it waits for.
type Case = (&'static str, Waiting, Box<dyn FnOnce()>);

fn cases() -> Vec<Case> {
    let event = Rc::new(Event::new());
    let set = event.clone();
    // Leaked, so that a guard can be kept in a closure.
    let lock: &'static Lock<()> = Box::leak(Box::default());
    let guard = lock.try_acquire().unwrap();
    let semaphore = Rc::new(Semaphore::new(0));
    let add = semaphore.clone();
    let empty = Rc::new(Queue::unbounded());
    let put = empty.clone();
    let full = Rc::new(Queue::bounded(1));
    full.try_put(1).unwrap();
    let take = full.clone();
    let acquire = async move { semaphore.acquire().await.map(drop) };
    vec![
        ("wait", async move { event.wait().await }.boxed_local(), Box::new(move || set.set())),
        ("lock", lock.acquire().map(|got| got.map(drop)).boxed_local(), {
            Box::new(move || drop(guard))
        }),
        ("acquire", acquire.boxed_local(), Box::new(move || add.add_permits(1))),
        ("get", async move { empty.get().await.map(drop) }.boxed_local(), {
            Box::new(move || put.try_put(1).unwrap())
        }),
        ("put", async move { full.put(2).await }.boxed_local(), {
            Box::new(move || assert_eq!(take.try_get(), Some(1)))
        }),
        ("sleep", sleep(Duration::MAX).boxed_local(), Box::new(|| ())),
    ]
}

/// A task in a leaf. It returns whether the leaf completed and whether the cancel is still pending.
fn in_leaf(waiting: Waiting) -> Task<(bool, bool), TaskCancelled> {
    spawn(async move {
        let completed = waiting.await.is_ok();
        let pending = sleep(secs(1)).await.is_err();
        Ok((completed, pending))
    })
}

/// C1, C3: first handed over and then cancelled, in one tick: the leaf completes, and the cancel
/// stays pending.
#[test]
fn handed_over_and_then_cancelled_completes_and_stays_pending() {
    testing::run(async || {
        for (name, waiting, hand_over) in cases() {
            let task = in_leaf(waiting);
            testing::settle().await.unwrap();
            hand_over();
            task.request_cancel();
            let error = task.join().await.unwrap().unwrap();
            let completes = name != "sleep";
            assert_eq!(error, (completes, completes), "{name}");
        }
    });
}

/// C1, C3: and in the opposite order.
#[test]
fn cancelled_and_then_handed_over_completes_and_stays_pending() {
    testing::run(async || {
        for (name, waiting, hand_over) in cases() {
            let task = in_leaf(waiting);
            testing::settle().await.unwrap();
            task.request_cancel();
            hand_over();
            let error = task.join().await.unwrap().unwrap();
            let completes = name != "sleep";
            assert_eq!(error, (completes, completes), "{name}");
        }
    });
}

/// C1: a join of a task that ended in the very tick of the cancel.
#[test]
fn a_join_of_a_task_that_ended_completes_although_cancelled() {
    testing::run(async || {
        for cancel_first in [true, false] {
            let parked = Rc::new(spawn(sleep(Duration::MAX)));
            let theirs = parked.clone();
            let task = in_leaf(async move { theirs.wait().await }.boxed_local());
            testing::settle().await.unwrap();
            if cancel_first {
                task.request_cancel();
            }
            parked.abort();
            task.request_cancel();
            assert_eq!(task.join().await.unwrap().unwrap(), (true, true));
        }
    });
}

/// C1: a sleep completes whose time is up although the task was cancelled in the same tick.
#[test]
fn a_sleep_that_is_over_completes_although_cancelled() {
    testing::run(async || {
        let due = kernel::now() + secs(1);
        let sleeping: Slot<(bool, bool)> = Rc::default();
        let theirs = sleeping.clone();
        // Armed first, so it runs first when both are due, and cancels the other.
        let canceller = spawn(async move {
            kernel::sleep_until(due).await?;
            theirs.borrow().as_ref().unwrap().request_cancel();
            Ok::<_, TaskCancelled>(())
        });
        testing::settle().await.unwrap();
        let sleep = kernel::sleep_until(due).boxed_local();
        *sleeping.borrow_mut() = Some(Rc::new(in_leaf(sleep)));
        canceller.join().await.unwrap().unwrap();
        let task = sleeping.take().unwrap();
        assert_eq!(task.join().await.unwrap().unwrap(), (true, true));
    });
}

/// T3: of nested timeouts that expire in one tick, the outermost is delivered, once.
#[test]
fn of_timeouts_due_together_the_outermost_is_delivered_once() {
    testing::run(async || {
        let deliveries = Rc::new(Cell::new(0));
        let body = async {
            let first = sleep(Duration::MAX).await.unwrap_err();
            assert_eq!(first.reason(), CancelReason::Timeout);
            deliveries.set(deliveries.get() + 1);
            Err::<(), _>(first)
        };
        let inner = async { timeout_after(secs(1), body).await };
        let ended = timeout_after(secs(1), async {
            match inner.await {
                Ok(Err(cancelled)) => Err::<(), _>(cancelled),
                other => panic!("the inner one took it: {other:?}"),
            }
        })
        .await;
        assert!(matches!(ended, Err(TaskTimeout { .. })), "{ended:?}");
        assert_eq!(deliveries.get(), 1);
        assert_eq!(sleep(secs(1)).await, Ok(()));
    });
}

/// C7, T3: with a cancel and a timeout both pending outside a shield, the task's own comes first,
/// and once.
#[test]
fn behind_a_shield_the_tasks_own_cancel_comes_before_the_timeout() {
    testing::run(async || {
        let task = spawn(async {
            let ended = timeout_after(secs(1), async {
                shield(sleep(secs(5))).await?;
                let delivered = sleep(Duration::MAX).await.unwrap_err();
                Err::<(), _>(delivered)
            })
            .await;
            match ended {
                Ok(Err(error)) => Ok::<_, TaskCancelled>(error.reason()),
                other => panic!("not the task's own: {other:?}"),
            }
        });
        testing::advance(secs(2)).await.unwrap();
        task.request_cancel();
        let reason = task.join().await.unwrap().unwrap();
        let by = Some(kernel::current_task().id);
        assert_eq!(reason, CancelReason::Requested { by });
    });
}

/// C10: a cleanup that never ends, and a loop that retries for ever, are aborted by the grace. The
/// report names the task and the location.
#[test]
fn who_swallows_every_cancel_falls_to_the_grace() {
    let pick = |report: &Report<'_>| match report {
        Report::OutOfGrace(task) => Some(task.to_string()),
        _ => None,
    };
    let builder = Kernel::builder().shutdown_grace(secs(10));
    let ((), reports) = reports::picked(builder, pick, async || {
        let retries = spawn_named("retries", async {
            while sleep(secs(3600)).await.is_err() {}
            Ok::<_, TaskCancelled>(())
        });
        drop(spawn_named("never clean", async {
            sleep(Duration::MAX).await.ok();
            sleep(Duration::MAX).await
        }));
        testing::settle().await.unwrap();
        retries.cancel_within(secs(1)).await.unwrap();
        assert_eq!(retries.end(), Some(TaskEnd::Aborted));
    });
    assert_eq!(reports.len(), 2, "{reports:?}");
    for (report, name) in reports.iter().zip(["retries", "never clean"]) {
        assert!(report.contains(name) && report.contains(file!()), "{report}");
        assert!(report.contains("SLEEP"), "{report}");
    }
}

/// C3, Y3: the losing arm of a `select!` that held an item passes it on.
#[test]
fn a_select_loser_that_was_handed_an_item_passes_it_on() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        let event = Rc::new(Event::new());
        let (theirs, ring) = (queue.clone(), event.clone());
        let task = spawn(async move {
            futures::select_biased! {
                rung = ring.wait().fuse() => rung,
                item = theirs.get().fuse() => panic!("the item won: {item:?}"),
            }
        });
        testing::settle().await.unwrap();
        queue.try_put("kept").unwrap();
        event.set();
        task.join().await.unwrap().unwrap();
        assert_eq!(queue.try_get(), Some("kept"));
    });
}

/// C5, C9: a task may cancel its parent, two tasks each other, a task twice or an ended one,
/// without a deadlock.
#[test]
fn who_cancels_whom_is_no_deadlock() {
    testing::run(async || {
        let slots: [Slot<()>; 2] = Default::default();
        for me in 0..2 {
            let other = slots[1 - me].clone();
            *slots[me].borrow_mut() = Some(Rc::new(spawn(async move {
                sleep(secs(1)).await?;
                let other = other.borrow().clone().unwrap();
                other.cancel().await?;
                other.cancel().await
            })));
        }
        let [one, two] = slots.map(|slot| slot.take().unwrap());
        assert_eq!((one.wait().await, two.wait().await), (Ok(()), Ok(())));
        one.cancel().await.unwrap();

        let ended = TaskGroup::<TaskCancelled>::scope(async |g| {
            let parent: Slot<()> = Rc::default();
            let theirs = parent.clone();
            let task = Rc::new(g.spawn(async move {
                let child = spawn(async move {
                    let parent = theirs.borrow().clone().unwrap();
                    parent.cancel().await
                });
                child.join().await?.unwrap();
                Ok(())
            }));
            *parent.borrow_mut() = Some(task.clone());
            task.wait().await?;
            Ok(task.end())
        });
        assert_eq!(ended.await, Ok(Some(TaskEnd::Cancelled)));
    });
}
