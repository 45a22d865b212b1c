//! The two doors to foreign futures, and the futures that a timeout takes (C17).

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::stream::{FuturesUnordered, StreamExt};
use kernel::{
    CancelReason, Task, TaskCancelled, TaskError, TaskTimeout, cancellable, cancellable_after,
    cancellable_inside, ignore_after, shield, sleep, spawn, testing, timeout_after, yield_now,
};

use crate::support::time::secs;

/// Waits for ever. Cleans up for three seconds if it is cancelled, and counts the seconds.
async fn cleans_up(cleaned: Rc<Cell<u32>>) -> Result<(), TaskCancelled> {
    let ended = sleep(Duration::MAX).await;
    for _ in 0..3 {
        sleep(secs(1)).await?;
        cleaned.set(cleaned.get() + 1);
    }
    ended
}

/// C17: `cancellable` drops what is inside at once. A leaf inside does not see the cancellation.
#[test]
fn cancellable_drops_its_future_without_a_cleanup() {
    testing::run(async || {
        let (cleaned, seen) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        let (counter, saw) = (cleaned.clone(), seen.clone());
        let task = spawn(cancellable(async move {
            let ended = cleans_up(counter).await;
            saw.set(true);
            ended
        }));
        testing::settle().await.unwrap();
        let started = kernel::now();
        task.cancel().await.unwrap();
        assert_eq!((cleaned.get(), seen.get()), (0, false));
        assert_eq!(kernel::now(), started);
    });
}

/// C17: a timeout inside `cancellable` works.
#[test]
fn a_timeout_inside_cancellable_works() {
    testing::run(async || {
        let inner = cancellable(timeout_after(secs(1), sleep(Duration::MAX)));
        assert!(matches!(inner.await, Ok(Err(TaskTimeout { .. }))));
    });
}

/// C17: a leaf that two tasks share through `cancellable` does not see the cancel of one of them.
#[test]
fn the_cancel_of_one_task_does_not_reach_a_shared_leaf() {
    testing::run(async || {
        let shared = sleep(secs(5)).map(|slept| slept.map_err(|gone| gone.reason())).shared();
        let started = kernel::now();
        let one = spawn(cancellable(shared.clone()));
        let two = spawn(cancellable(shared));
        testing::settle().await.unwrap();
        one.cancel().await.unwrap();
        assert!(one.await.is_err());
        assert_eq!(two.await, Ok(Ok(())));
        assert_eq!(kernel::now() - started, secs(5));
    });
}

/// C17: leaves inside `cancellable_inside` get the cancellation and clean up.
#[test]
fn leaves_inside_the_second_door_clean_up() {
    testing::run(async || {
        let cleaned = Rc::new(Cell::new(0));
        let counter = cleaned.clone();
        let task = spawn(async move {
            let jobs: FuturesUnordered<_> =
                [cleans_up(counter.clone()), cleans_up(counter)].into_iter().collect();
            cancellable_inside(jobs.map(|ended| ended.is_err()).collect::<Vec<bool>>()).await
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(task.await, Ok(vec![true, true]));
        assert_eq!(cleaned.get(), 6);
    });
}

/// C17: the second door drops its future if no leaf is parked inside.
#[test]
fn the_second_door_drops_a_future_without_leaves() {
    testing::run(async || {
        let task = spawn(cancellable_inside(pending::<()>()));
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert!(task.await.is_err());
        let late = timeout_after(secs(1), cancellable_inside(pending::<()>())).await;
        assert!(late.is_err());
    });
}

/// C17, C7: a leaf in a shield inside holds the second door open until it ends.
#[test]
fn a_shield_inside_the_second_door_is_kept() {
    testing::run(async || {
        let task = spawn(cancellable_inside(async {
            let kept = shield(sleep(secs(5))).await;
            (kept.is_ok(), sleep(Duration::MAX).await.is_err())
        }));
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(task.await, Ok((true, true)));
    });
}

/// C17: `cancellable_after` is both in one call.
#[test]
fn a_foreign_future_with_a_limit_is_one_call() {
    testing::run(async || {
        assert!(cancellable_after(secs(1), pending::<()>()).await.is_err());
        assert_eq!(cancellable_after(secs(1), std::future::ready(7)).await, Ok(Ok(7)));
        let task = spawn(async {
            match cancellable_after(secs(9), pending::<()>()).await {
                Ok(Err(cancelled)) => Err::<(), _>(cancelled),
                other => panic!("{other:?}"),
            }
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        let reason = task.await.unwrap_err().reason();
        assert!(matches!(reason, CancelReason::Requested { .. }));
    });
}

/// C17: timeouts and doors take what can be awaited: a task, for example.
#[test]
fn timeouts_and_doors_take_what_can_be_awaited() {
    testing::run(async || {
        let task = spawn(async { Ok::<_, TaskCancelled>(7) });
        assert_eq!(timeout_after(secs(1), &task).await, Ok(Ok(7)));
        let slow = spawn(sleep(secs(9)));
        assert_eq!(ignore_after(secs(1), &slow).await, Ok(None));
        assert_eq!(cancellable(slow).await, Ok(Ok(())));
    });
}

/// C17, C4: a cleanup inside the second door may await a foreign future, also if one was awaited
/// before the cancellation.
#[test]
fn a_foreign_await_in_a_cleanup_inside_the_second_door_is_not_cut() {
    testing::run(async || {
        let (first, before) = oneshot::channel();
        let (second, after) = oneshot::channel();
        let task = spawn(cancellable_inside(async move {
            let one = before.await;
            let slept = sleep(Duration::MAX).await;
            (one, slept.is_err(), after.await)
        }));
        testing::settle().await.unwrap();
        first.send(1).unwrap();
        testing::settle().await.unwrap();
        task.request_cancel();
        testing::settle().await.unwrap();
        second.send(2).expect("the cleanup waits for it");
        assert_eq!(task.await, Ok((Ok(1), true, Ok(2))));
    });
}

/// C17: whether a leaf is parked inside the second door is seen at each poll anew, also beside a
/// leaf outside that parks first.
#[test]
fn the_second_door_sees_which_leaf_is_inside() {
    testing::run(async || {
        let (first, before) = oneshot::channel();
        let cleaned = Rc::new(Cell::new(0));
        let counter = cleaned.clone();
        let foreign_then_leaf = spawn(cancellable_inside(async move {
            before.await.unwrap();
            cleans_up(counter).await.is_err()
        }));
        let leaf_then_foreign = spawn(timeout_after(secs(9), async {
            let door = cancellable_inside(async {
                sleep(secs(1)).await.unwrap();
                pending::<()>().await;
            });
            door.await
        }));
        let beside_a_leaf = spawn(async {
            let door = cancellable_inside(pending::<()>());
            Ok::<_, TaskCancelled>(futures::join!(sleep(Duration::MAX), door))
        });
        testing::settle().await.unwrap();
        first.send(()).unwrap();
        sleep(secs(2)).await.unwrap();
        let started = kernel::now();
        leaf_then_foreign.cancel().await.unwrap();
        beside_a_leaf.cancel().await.unwrap();
        assert_eq!(kernel::now(), started, "neither holds a leaf inside");
        assert!(leaf_then_foreign.join().await.unwrap().is_ok());
        let (slept, door) = beside_a_leaf.join().await.unwrap().unwrap();
        assert!(slept.is_err() && door.is_err());
        foreign_then_leaf.cancel().await.unwrap();
        assert_eq!(foreign_then_leaf.await, Ok(true));
        assert_eq!(cleaned.get(), 3);
    });
}

/// C17, C7: a leaf that parks inside `cancellable` after a foreign wait does not see the
/// cancellation either, and a timeout around it is the one that expires.
#[test]
fn a_leaf_after_a_foreign_wait_inside_cancellable_is_dropped_unseen() {
    testing::run(async || {
        let seen = Rc::new(Cell::new(false));
        let (first, before) = oneshot::channel();
        let saw = seen.clone();
        let limited = spawn(timeout_after(
            secs(5),
            cancellable(async move {
                before.await.unwrap();
                let slept = sleep(Duration::MAX).await;
                saw.set(true);
                slept
            }),
        ));
        testing::settle().await.unwrap();
        first.send(()).unwrap();
        let started = kernel::now();
        let ended = limited.join().await.unwrap().unwrap_err();
        assert_eq!(kernel::now() - started, secs(5));
        assert!(format!("{ended:?}").contains("TaskTimeout"), "{ended:?}");
        assert!(!seen.get());
    });
}

/// What is inside the innermost door of a nest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Ready,
    Leaf,
    Foreign,
    Panics,
}

/// A door, a timeout and a door around it.
async fn nest(
    inside: Inside,
) -> Result<Result<Result<(), TaskCancelled>, TaskTimeout>, TaskCancelled> {
    let body = async move {
        match inside {
            Inside::Ready => Ok(()),
            Inside::Leaf => sleep(secs(2)).await,
            Inside::Foreign => pending().await,
            Inside::Panics => panic!("inside"),
        }
    };
    let limited = timeout_after(secs(5), async { cancellable(body).await? });
    cancellable(limited).await
}

/// C17, C7, C9: in a nest of doors and timeouts each does its part, whichever of them a leaf has
/// opened. What comes after the nest, also after a panic in it, is in none of them.
#[test]
fn doors_and_timeouts_in_a_nest_are_left_as_they_were_entered() {
    testing::run(async || {
        for inside in [Inside::Ready, Inside::Leaf, Inside::Foreign, Inside::Panics] {
            let begun = kernel::now();
            let ended = AssertUnwindSafe(nest(inside)).catch_unwind().await;
            let took = (kernel::now() - begun).as_secs();
            match inside {
                Inside::Ready => assert!(matches!((ended, took), (Ok(Ok(Ok(Ok(())))), 0))),
                Inside::Leaf => assert!(matches!((ended, took), (Ok(Ok(Ok(Ok(())))), 2))),
                Inside::Foreign => assert!(matches!((ended, took), (Ok(Ok(Err(_))), 5))),
                Inside::Panics => assert!(matches!((ended, took), (Err(_), 0))),
            }
            let task = spawn(async move {
                let nested = AssertUnwindSafe(nest(inside)).catch_unwind().await;
                // Parks in the slot of the task, and so in no scope.
                (nested.is_err(), sleep(Duration::MAX).await).1
            });
            sleep(secs(7)).await.unwrap();
            let info = kernel::tasks().into_iter().find(|it| it.id == task.id()).unwrap();
            assert_eq!(info.parked.len(), 1);
            task.cancel().await.unwrap();
            assert!(task.join().await.unwrap().is_err(), "{inside:?}: the cancellation is lost");
        }
    });
}

/// C17: a task that is cancelled in the poll of a foreign future leaves it at once.
#[test]
fn a_task_that_cancels_itself_inside_a_door_gets_the_error_there() {
    testing::run(async || {
        let me: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
        let mine = me.clone();
        let task = spawn(async move {
            let foreign = poll_fn(|_| {
                mine.borrow().as_ref().unwrap().request_cancel();
                Poll::<()>::Pending
            });
            let door = cancellable(cancellable(foreign)).await;
            assert!(door.is_err(), "the outer door is the one that the task is at");
            door.map(drop)
        });
        *me.borrow_mut() = Some(task);
        testing::settle().await.unwrap();
        let task = me.take().unwrap();
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
    });
}

/// C17: outside the poll of a task a door is no door: in a destructor that runs between two polls,
/// and without a kernel.
#[test]
fn a_door_outside_of_a_task_only_passes_the_poll_on() {
    fn polls_doors() -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut ready = pin!(cancellable(cancellable(async { 7 })));
        let mut parked = pin!(cancellable(cancellable(yield_now())));
        let first = parked.as_mut().poll(cx);
        let event = sync::Event::new();
        let mut leaf = pin!(cancellable(event.wait()));
        leaf.as_mut().poll(cx).is_pending()
            && ready.as_mut().poll(cx) == Poll::Ready(Ok(Ok(7)))
            && first.is_pending()
    }
    struct AtTheEnd(Rc<Cell<u32>>);
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            self.0.set(self.0.get() + u32::from(polls_doors()));
        }
    }
    assert!(polls_doors());
    let polled = Rc::new(Cell::new(0));
    testing::run(async || {
        // The value of a task is dropped between two polls if nobody has asked for it.
        let value = AtTheEnd(polled.clone());
        drop(spawn(async move { Ok::<_, TaskCancelled>(value) }));
        testing::settle().await.unwrap();
        assert_eq!(polled.get(), 1);
        let slept = timeout_after(secs(1), sleep(secs(2))).await;
        assert!(matches!(slept, Err(TaskTimeout { .. })));
    });
}
