//! `sync::Lock`: order, hand-over, and waiters and holders that are cancelled, dropped or panic.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{Task, TaskCancelled, TaskError, sleep, spawn, testing, timeout_after, yield_now};
use sync::Lock;
use tokio_test::{assert_pending, assert_ready_ok};

type Log = Rc<RefCell<Vec<u32>>>;

/// A task that adds its number to the log once it has the lock, and yields before it releases the
/// lock.
fn locker(lock: &Rc<Lock<()>>, log: &Log, n: u32) -> Task<(), TaskCancelled> {
    let (lock, log) = (lock.clone(), log.clone());
    spawn(async move {
        let guard = lock.acquire().await?;
        log.borrow_mut().push(n);
        yield_now().await?;
        drop(guard);
        Ok(())
    })
}

/// Y2: the waiters get the lock in the order in which they came.
#[test]
fn waiters_get_the_lock_in_order_of_arrival() {
    testing::run(async || {
        let (lock, log) = (Rc::new(Lock::new(())), Log::default());
        let guard = lock.acquire().await?;
        let tasks = [1, 2, 3, 4].map(|n| locker(&lock, &log, n));
        testing::settle().await?;
        drop(guard);
        for task in tasks {
            task.join().await?.unwrap();
        }
        assert_eq!(*log.borrow(), [1, 2, 3, 4]);
        assert!(!lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2, Y4: a release hands the lock to the oldest waiter without switching to it. No other task,
/// the releaser included, can take it first.
#[test]
fn a_release_hands_over_and_nobody_barges_in() {
    testing::run(async || {
        let (lock, log) = (Rc::new(Lock::new(())), Log::default());
        let guard = lock.acquire().await?;
        let waiter = locker(&lock, &log, 1);
        testing::settle().await?;
        drop(guard);
        assert!(log.borrow().is_empty(), "the release switched");
        assert!(lock.is_held());
        assert!(lock.try_acquire().is_none());
        let guard = lock.acquire().await?;
        log.borrow_mut().push(2);
        assert_eq!(*log.borrow(), [1, 2]);
        drop(guard);
        waiter.join().await?.unwrap();
        assert!(lock.try_acquire().is_some());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: two tasks that lock in a loop take turns.
#[test]
fn two_tasks_that_lock_in_a_loop_alternate() {
    testing::run(async || {
        let (lock, log) = (Rc::new(Lock::new(())), Log::default());
        let tasks = [1, 2].map(|n| {
            let (lock, log) = (lock.clone(), log.clone());
            spawn(async move {
                for _ in 0..3 {
                    let _guard = lock.acquire().await?;
                    log.borrow_mut().push(n);
                    yield_now().await?;
                }
                Ok::<(), TaskCancelled>(())
            })
        });
        for task in tasks {
            task.join().await?.unwrap();
        }
        assert_eq!(*log.borrow(), [1, 2, 1, 2, 1, 2]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3, C2: a waiter that is cancelled before its first poll or while parked leaves the queue
/// without a trace.
#[test]
fn a_cancelled_waiter_is_skipped() {
    testing::run(async || {
        let (lock, log) = (Rc::new(Lock::new(())), Log::default());
        let guard = lock.acquire().await?;
        let unpolled = locker(&lock, &log, 1);
        unpolled.request_cancel();
        let [parked, last] = [2, 3].map(|n| locker(&lock, &log, n));
        testing::settle().await?;
        assert_eq!(parked.state().to_string(), "LOCK_ACQUIRE");
        parked.cancel().await?;
        assert!(matches!(unpolled.join().await?, Err(TaskError::Cancelled(_))));
        assert!(matches!(parked.join().await?, Err(TaskError::Cancelled(_))));
        drop(guard);
        last.join().await?.unwrap();
        assert_eq!(*log.borrow(), [3]);
        assert!(!lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, C3, Y3: if it is handed the lock and cancelled in one tick, in either order, the waiter has
/// the lock, and the cancellation is delivered at the next await point that parks.
#[test]
fn hand_over_and_cancel_in_one_tick_give_the_lock_and_keep_the_cancel() {
    for release_first in [true, false] {
        testing::run(async || {
            let lock = Rc::new(Lock::new(()));
            let guard = lock.acquire().await?;
            let task = spawn({
                let lock = lock.clone();
                async move {
                    let held = lock.acquire().await.is_ok();
                    let cancelled = sleep(Duration::from_secs(1)).await.is_err();
                    Ok::<_, TaskCancelled>((held, cancelled))
                }
            });
            testing::settle().await?;
            if release_first {
                drop(guard);
                task.request_cancel();
            } else {
                task.request_cancel();
                drop(guard);
            }
            assert_eq!(task.join().await?.unwrap(), (true, true), "{release_first}");
            assert!(!lock.is_held());
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// Y3: a waiter that was handed the lock and is dropped before it ran passes it on.
#[test]
fn a_dropped_waiter_passes_the_lock_on() {
    testing::run(async || {
        let (lock, log) = (Rc::new(Lock::new(())), Log::default());
        let guard = lock.acquire().await?;
        let [first, second] = [1, 2].map(|n| locker(&lock, &log, n));
        testing::settle().await?;
        drop(guard);
        first.abort();
        second.join().await?.unwrap();
        assert_eq!(*log.borrow(), [2]);
        let last = lock.acquire().await?;
        let alone = locker(&lock, &log, 3);
        testing::settle().await?;
        drop(last);
        alone.abort();
        assert!(!lock.is_held(), "without a waiter it is free");
        assert!(matches!(first.join().await?, Err(TaskError::Aborted)));
        assert!(matches!(alone.join().await?, Err(TaskError::Aborted)));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3, K3: a holder that panics releases the lock, which is not poisoned.
#[test]
fn a_panicking_holder_releases_the_lock() {
    testing::run(async || {
        let lock = Rc::new(Lock::new(1));
        let holder = spawn({
            let lock = lock.clone();
            async move {
                let mut guard = lock.acquire().await?;
                *guard = 2;
                yield_now().await?;
                if *guard == 2 {
                    panic!("while holding the lock");
                }
                Ok::<_, TaskCancelled>(())
            }
        });
        yield_now().await?;
        let guard = lock.acquire().await?;
        assert_eq!(*guard, 2);
        assert!(matches!(holder.join().await?, Err(TaskError::Panicked(_))));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C4, Y3: a cancelled holder keeps the lock until its own cleanup releases it.
#[test]
fn a_cancelled_holder_keeps_the_lock_while_it_cleans_up() {
    testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let holder = spawn({
            let lock = lock.clone();
            async move {
                let _guard = lock.acquire().await?;
                let cancelled = sleep(Duration::from_secs(60)).await;
                sleep(Duration::from_secs(5)).await?;
                cancelled
            }
        });
        testing::settle().await?;
        holder.request_cancel();
        testing::advance(Duration::from_secs(4)).await?;
        assert!(lock.try_acquire().is_none());
        assert!(timeout_after(Duration::from_millis(500), lock.acquire()).await.is_err());
        testing::advance(Duration::from_secs(1)).await?;
        assert!(lock.try_acquire().is_some());
        assert!(matches!(holder.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C12, Y2, Y3: without a kernel: order, hand-over, and waiters dropped in every state.
#[test]
fn polled_by_hand_it_hands_over_and_passes_on() {
    let lock = Lock::new(0);
    let mut holder = tokio_test::task::spawn(lock.acquire());
    let guard = assert_ready_ok!(holder.poll());
    let mut waiters = [0; 4].map(|_| tokio_test::task::spawn(lock.acquire()));
    drop(tokio_test::task::spawn(lock.acquire()));
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }
    let [first, second, mut third, mut fourth] = waiters;
    drop(first);
    drop(guard);
    assert!(second.is_woken(), "the oldest that is left");
    assert!(!third.is_woken());
    drop(second);
    assert!(third.is_woken(), "it was passed on");
    assert_pending!(fourth.poll());
    let mut guard = assert_ready_ok!(third.poll());
    *guard += 1;
    assert!(lock.try_acquire().is_none());
    drop(guard);
    assert_eq!(*assert_ready_ok!(fourth.poll()), 1);
}

/// Y2: in any order of the ready tasks, one at a time holds the lock and all tasks finish.
#[test]
fn in_any_order_of_tasks_one_holds_the_lock_at_a_time() {
    testing::run_seeds(0..20, async |_seed| {
        let lock = Rc::new(Lock::new(0));
        let tasks: Vec<_> = (0..10)
            .map(|_| {
                let lock = lock.clone();
                spawn(async move {
                    let mut guard = lock.acquire().await?;
                    let seen = *guard;
                    yield_now().await?;
                    *guard = seen + 1;
                    Ok::<_, TaskCancelled>(())
                })
            })
            .collect();
        for task in tasks {
            task.join().await.unwrap().unwrap();
        }
        assert_eq!(*lock.acquire().await.unwrap(), 10);
    });
}
