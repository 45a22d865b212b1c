//! `sync::Condition`: notifications, the lock around them, and waits that are interrupted.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{Task, TaskCancelled, TaskError, sleep, spawn, testing, timeout_after};
use sync::{Condition, Lock};
use tokio_test::{assert_pending, assert_ready_ok};

type Log = Rc<RefCell<Vec<u32>>>;

#[derive(Default)]
struct Shared {
    lock: Lock<u32>,
    changed: Condition,
}

/// A task that waits once and adds its number to the log when it has the lock again.
fn waiter(shared: &Rc<Shared>, log: &Log, n: u32) -> Task<(), TaskCancelled> {
    let (shared, log) = (shared.clone(), log.clone());
    spawn(async move {
        let guard = shared.lock.acquire().await?;
        let _guard = shared.changed.wait(guard).await?;
        log.borrow_mut().push(n);
        Ok(())
    })
}

/// Y2, Y4: `notify(n)` wakes the n oldest waiters, in order, and does not switch.
#[test]
fn notify_wakes_the_oldest_in_order() {
    testing::run(async || {
        let (shared, log) = (Rc::new(Shared::default()), Log::default());
        let tasks = [1, 2, 3, 4].map(|n| waiter(&shared, &log, n));
        testing::settle().await?;
        shared.changed.notify(2);
        assert!(log.borrow().is_empty(), "`notify` switched");
        testing::settle().await?;
        assert_eq!(*log.borrow(), [1, 2]);
        shared.changed.notify_all();
        for task in tasks {
            task.join().await?.unwrap();
        }
        assert_eq!(*log.borrow(), [1, 2, 3, 4]);
        assert!(!shared.lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y4: a notification without a waiter, or of more than there are, does nothing and is not
/// remembered.
#[test]
fn notifying_nobody_is_harmless() {
    testing::run(async || {
        let (shared, log) = (Rc::new(Shared::default()), Log::default());
        shared.changed.notify(3);
        shared.changed.notify_all();
        let task = waiter(&shared, &log, 1);
        testing::settle().await?;
        assert!(!task.is_done(), "an old notification woke it");
        shared.changed.notify(usize::MAX);
        task.join().await?.unwrap();
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: `wait_for` holds the lock whenever it checks, and returns at once if the predicate is true.
#[test]
fn wait_for_waits_until_the_predicate_holds() {
    testing::run(async || {
        let shared = Rc::new(Shared::default());
        let task = spawn({
            let shared = shared.clone();
            async move {
                let guard = shared.lock.acquire().await?;
                let guard = shared.changed.wait_for(guard, |n| *n == 0).await?;
                let guard = shared.changed.wait_for(guard, |n| *n >= 3).await?;
                Ok::<_, TaskCancelled>(*guard)
            }
        });
        for _ in 0..5 {
            testing::settle().await?;
            *shared.lock.acquire().await? += 1;
            shared.changed.notify(1);
        }
        assert_eq!(task.join().await?.unwrap(), 3);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C2, Y3: an interrupted wait has released the lock, and left the queue.
#[test]
fn an_interrupted_wait_has_given_the_lock_up() {
    testing::run(async || {
        let (shared, log) = (Rc::new(Shared::default()), Log::default());
        let guard = shared.lock.acquire().await?;
        let timed = timeout_after(Duration::from_secs(1), shared.changed.wait(guard)).await;
        assert!(timed.is_err());
        assert!(!shared.lock.is_held());
        let [cancelled, other] = [1, 2].map(|n| waiter(&shared, &log, n));
        testing::settle().await?;
        assert_eq!(cancelled.state().to_string(), "CONDITION_WAIT");
        cancelled.cancel().await?;
        assert!(matches!(cancelled.join().await?, Err(TaskError::Cancelled(_))));
        shared.changed.notify(1);
        other.join().await?.unwrap();
        assert_eq!(*log.borrow(), [2]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, C2, Y3: cancelled before its first poll, it never waits, and the lock is free.
#[test]
fn a_wait_that_begins_cancelled_gives_the_lock_up_at_once() {
    testing::run(async || {
        let shared = Rc::new(Shared::default());
        let task = spawn({
            let shared = shared.clone();
            async move {
                // The lock is free, so it is taken in spite of the cancellation.
                let guard = shared.lock.acquire().await.expect("it is free");
                shared.changed.wait(guard).await.map(drop)
            }
        });
        task.cancel().await?;
        assert!(matches!(task.join().await?, Err(TaskError::Cancelled(_))));
        assert!(!shared.lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, C3, Y3: if it is notified and cancelled in one tick, in either order, while the lock is
/// free, the wait ends with the lock, and the cancellation stays pending.
#[test]
fn notify_and_cancel_in_one_tick_give_the_lock_and_keep_the_cancel() {
    for notify_first in [true, false] {
        testing::run(async || {
            let shared = Rc::new(Shared::default());
            let task = spawn({
                let shared = shared.clone();
                async move {
                    let guard = shared.lock.acquire().await?;
                    let held = shared.changed.wait(guard).await.is_ok();
                    let cancelled = sleep(Duration::from_secs(1)).await.is_err();
                    Ok::<_, TaskCancelled>((held, cancelled))
                }
            });
            testing::settle().await?;
            if notify_first {
                shared.changed.notify(1);
                task.request_cancel();
            } else {
                task.request_cancel();
                shared.changed.notify(1);
            }
            assert_eq!(task.join().await?.unwrap(), (true, true), "{notify_first}");
            assert!(!shared.lock.is_held());
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// Y3: a notified waiter that is cancelled while it waits for the lock passes the notification on.
#[test]
fn a_notified_waiter_that_is_cancelled_before_it_has_the_lock_passes_it_on() {
    testing::run(async || {
        let (shared, log) = (Rc::new(Shared::default()), Log::default());
        let [first, second] = [1, 2].map(|n| waiter(&shared, &log, n));
        testing::settle().await?;
        let guard = shared.lock.acquire().await?;
        shared.changed.notify(1);
        testing::settle().await?;
        assert_eq!(first.state().to_string(), "LOCK_ACQUIRE");
        first.cancel().await?;
        drop(guard);
        second.join().await?.unwrap();
        assert_eq!(*log.borrow(), [2]);
        assert!(matches!(first.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3: a notified waiter that is dropped, before it ran or when it had just been handed the lock,
/// passes both on.
#[test]
fn a_notified_waiter_that_is_dropped_passes_notification_and_lock_on() {
    for lock_handed_over in [true, false] {
        testing::run(async || {
            let (shared, log) = (Rc::new(Shared::default()), Log::default());
            let [first, second] = [1, 2].map(|n| waiter(&shared, &log, n));
            testing::settle().await?;
            let guard = shared.lock.acquire().await?;
            shared.changed.notify(1);
            if lock_handed_over {
                testing::settle().await?;
                drop(guard);
                first.abort();
            } else {
                first.abort();
                drop(guard);
            }
            second.join().await?.unwrap();
            assert_eq!(*log.borrow(), [2], "{lock_handed_over}");
            assert!(matches!(first.join().await?, Err(TaskError::Aborted)));
            assert!(!shared.lock.is_held());
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// C12, Y3: without a kernel the lock is released at the first poll, or when the wait is dropped
/// before it.
#[test]
fn polled_by_hand_it_gives_the_lock_up_and_takes_it_again() {
    let (lock, changed) = (Lock::new(7), Condition::new());
    let unpolled = changed.wait(lock.try_acquire().unwrap());
    assert!(lock.is_held());
    drop(unpolled);
    assert!(!lock.is_held());
    let mut first = tokio_test::task::spawn(changed.wait(lock.try_acquire().unwrap()));
    assert!(lock.is_held(), "not polled yet");
    assert_pending!(first.poll());
    assert!(!lock.is_held());
    let mut second = tokio_test::task::spawn(changed.wait(lock.try_acquire().unwrap()));
    assert_pending!(second.poll());
    let guard = lock.try_acquire().unwrap();
    changed.notify(1);
    assert!(first.is_woken() && !second.is_woken());
    assert_pending!(first.poll());
    drop(guard);
    assert!(first.is_woken());
    drop(first);
    assert!(second.is_woken(), "the notification was passed on");
    assert_eq!(*assert_ready_ok!(second.poll()), 7);
}

/// K3, Y3: a predicate that panics ends its task, and the lock is free.
#[test]
fn a_panicking_predicate_releases_the_lock() {
    testing::run(async || {
        let shared = Rc::new(Shared::default());
        let task = spawn({
            let shared = shared.clone();
            async move {
                let guard = shared.lock.acquire().await?;
                shared.changed.wait_for(guard, |_| panic!("in the predicate")).await.map(drop)
            }
        });
        assert!(matches!(task.join().await?, Err(TaskError::Panicked(_))));
        assert!(!shared.lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
