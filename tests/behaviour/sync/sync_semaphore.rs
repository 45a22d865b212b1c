//! `sync::Semaphore`: permits, order, and waiters that leave in every state.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use kernel::{Task, TaskCancelled, TaskError, sleep, spawn, testing, yield_now};
use sync::{BoundedSemaphore, Semaphore, TooManyPermits};
use tokio_test::{assert_pending, assert_ready_ok};

type Log = Rc<RefCell<Vec<usize>>>;

/// A task that acquires `n` permits, logs how many, and gives them back after a yield.
fn taker(semaphore: &Rc<Semaphore>, log: &Log, n: usize) -> Task<(), TaskCancelled> {
    let (semaphore, log) = (semaphore.clone(), log.clone());
    spawn(async move {
        let _permits = semaphore.acquire_many(n).await?;
        log.borrow_mut().push(n);
        yield_now().await
    })
}

/// Y2: waiters are served in order, so a request for many is not overtaken by requests for few.
#[test]
fn a_big_request_is_not_overtaken_by_small_ones() {
    testing::run(async || {
        let (semaphore, log) = (Rc::new(Semaphore::new(3)), Log::default());
        let all = semaphore.acquire_many(3).await?;
        let tasks = [3, 1, 2].map(|n| taker(&semaphore, &log, n));
        testing::settle().await?;
        drop(all);
        semaphore.add_permits(0);
        assert!(semaphore.try_acquire().is_none(), "all three were handed over");
        for task in tasks {
            task.join().await?.unwrap();
        }
        assert_eq!(*log.borrow(), [3, 1, 2]);
        assert_eq!(semaphore.available(), 3);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: a task that comes later gets no free permits while an older one waits for more.
#[test]
fn a_newcomer_does_not_take_the_permits_that_the_oldest_gathers() {
    testing::run(async || {
        let (semaphore, log) = (Rc::new(Semaphore::new(2)), Log::default());
        let one = semaphore.acquire().await?;
        let big = taker(&semaphore, &log, 2);
        testing::settle().await?;
        assert_eq!(semaphore.available(), 1);
        assert!(semaphore.try_acquire().is_none());
        let small = taker(&semaphore, &log, 1);
        testing::settle().await?;
        assert!(log.borrow().is_empty());
        drop(one);
        big.join().await?.unwrap();
        small.join().await?.unwrap();
        assert_eq!(*log.borrow(), [2, 1]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3: a waiter for many that is cancelled or dropped lets the smaller requests behind it through.
#[test]
fn a_big_waiter_that_leaves_lets_smaller_ones_through() {
    for dropped in [true, false] {
        testing::run(async || {
            let (semaphore, log) = (Rc::new(Semaphore::new(2)), Log::default());
            let one = semaphore.acquire().await?;
            let big = taker(&semaphore, &log, 2);
            let small = taker(&semaphore, &log, 1);
            testing::settle().await?;
            if dropped {
                big.abort();
            } else {
                big.cancel().await?;
            }
            small.join().await?.unwrap();
            assert_eq!(*log.borrow(), [1], "dropped: {dropped}");
            drop(one);
            assert_eq!(semaphore.available(), 2);
            assert!(big.join().await?.is_err());
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// Y4, Y2: a release serves as many waiters as it can, and does not switch to them.
#[test]
fn one_release_serves_several_waiters_without_switching() {
    testing::run(async || {
        let (semaphore, log) = (Rc::new(Semaphore::new(3)), Log::default());
        let all = semaphore.acquire_many(3).await?;
        let tasks = [1, 1, 1, 1].map(|n| taker(&semaphore, &log, n));
        testing::settle().await?;
        drop(all);
        assert!(log.borrow().is_empty(), "the release switched");
        yield_now().await?;
        assert_eq!(log.borrow().len(), 3);
        for task in tasks {
            task.join().await?.unwrap();
        }
        assert_eq!(semaphore.available(), 3);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3, C2: cancelled before its first poll, a waiter holds nothing.
#[test]
fn a_waiter_cancelled_before_its_first_poll_holds_nothing() {
    testing::run(async || {
        let (semaphore, log) = (Rc::new(Semaphore::new(1)), Log::default());
        let one = semaphore.acquire().await?;
        let task = taker(&semaphore, &log, 1);
        task.cancel().await?;
        drop(one);
        assert_eq!(semaphore.available(), 1);
        assert!(matches!(task.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, C3, Y3: if permits are granted and the waiter cancelled in one tick, in either order, the
/// permits are held, and the cancellation is delivered at the next await point that parks.
#[test]
fn grant_and_cancel_in_one_tick_give_the_permits_and_keep_the_cancel() {
    for grant_first in [true, false] {
        testing::run(async || {
            let semaphore = Rc::new(Semaphore::new(0));
            let task = spawn({
                let semaphore = semaphore.clone();
                async move {
                    let held = semaphore.acquire_many(2).await.map(|permits| permits.count());
                    let cancelled = sleep(Duration::from_secs(1)).await.is_err();
                    Ok::<_, TaskCancelled>((held.ok(), cancelled))
                }
            });
            testing::settle().await?;
            if grant_first {
                semaphore.add_permits(2);
                task.request_cancel();
            } else {
                task.request_cancel();
                semaphore.add_permits(2);
            }
            assert_eq!(task.join().await?.unwrap(), (Some(2), true), "{grant_first}");
            assert_eq!(semaphore.available(), 2);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// Y3: permits that were granted to a waiter which is then dropped go to the next waiters.
#[test]
fn permits_of_a_dropped_waiter_go_to_the_next() {
    testing::run(async || {
        let (semaphore, log) = (Rc::new(Semaphore::new(0)), Log::default());
        let tasks = [2, 1, 1].map(|n| taker(&semaphore, &log, n));
        testing::settle().await?;
        semaphore.add_permits(2);
        tasks[0].abort();
        testing::settle().await?;
        assert_eq!(*log.borrow(), [1, 1]);
        assert_eq!(semaphore.available(), 2);
        assert!(matches!(tasks[0].join().await?, Err(TaskError::Aborted)));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3, K3: a holder that panics gives its permits back.
#[test]
fn a_panicking_holder_gives_its_permits_back() {
    testing::run(async || {
        let semaphore = Rc::new(Semaphore::new(2));
        let holder = spawn({
            let semaphore = semaphore.clone();
            async move {
                let permits = semaphore.acquire_many(2).await?;
                assert_eq!(permits.count(), 1, "while holding two");
                Ok::<_, TaskCancelled>(())
            }
        });
        assert!(matches!(holder.join().await?, Err(TaskError::Panicked(_))));
        assert_eq!(semaphore.available(), 2);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C12, Y2, Y3: without a kernel: order, and waiters dropped before and after they were served.
#[test]
fn polled_by_hand_it_serves_in_order_and_passes_on() {
    let semaphore = Semaphore::new(0);
    drop(tokio_test::task::spawn(semaphore.acquire()));
    let mut first = tokio_test::task::spawn(semaphore.acquire_many(2));
    let mut second = tokio_test::task::spawn(semaphore.acquire());
    let mut third = tokio_test::task::spawn(semaphore.acquire());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    semaphore.add_permits(1);
    assert!(!first.is_woken() && !second.is_woken());
    semaphore.add_permits(1);
    assert!(first.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken() && third.is_woken());
    drop(second);
    assert_eq!(semaphore.available(), 1);
    let permits = assert_ready_ok!(third.poll());
    permits.forget();
    assert_eq!(semaphore.available(), 1, "forgotten permanently");
}

/// Y4: a request for zero permits never waits, unless an older waiter is queued.
#[test]
fn no_permits_at_all_are_there_at_once() {
    let semaphore = Semaphore::new(0);
    let mut nothing = tokio_test::task::spawn(semaphore.acquire_many(0));
    assert_eq!(assert_ready_ok!(nothing.poll()).count(), 0);
    let mut one = tokio_test::task::spawn(semaphore.acquire());
    assert_pending!(one.poll());
    let mut behind = tokio_test::task::spawn(semaphore.acquire_many(0));
    assert_pending!(behind.poll());
    drop(one);
    assert!(behind.is_woken());
    assert_eq!(assert_ready_ok!(behind.poll()).count(), 0);
}

/// Y2, K8: `acquire` takes one permit, queues behind an older request for more, and is shown at the
/// line of its caller.
#[test]
fn acquire_takes_one_permit_and_is_shown_at_its_callers_line() {
    testing::run(async || {
        let semaphore = Rc::new(Semaphore::new(1));
        let one = semaphore.acquire().await?;
        assert_eq!((one.count(), semaphore.available()), (1, 0));
        let theirs = semaphore.clone();
        let line = line!() + 1;
        let waits = spawn(async move { theirs.acquire().await.map(|one| one.count()) });
        testing::settle().await?;
        let info = kernel::tasks().into_iter().find(|info| info.id == waits.id()).expect("parked");
        assert_eq!((info.parked[0].site.file(), info.parked[0].site.line()), (file!(), line));
        assert!(semaphore.try_acquire_many(0).is_none(), "another one waits");
        drop(one);
        assert!(semaphore.try_acquire().is_none(), "the permit is the waiter's");
        assert_eq!(waits.join().await?.unwrap(), 1);
        assert_eq!(semaphore.try_acquire().map(|one| one.count()), Some(1));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y11: permits that guards hold count against the bound, and those that were taken out come back
/// once.
#[test]
fn a_bounded_semaphore_takes_no_permit_back_twice() {
    let slots = BoundedSemaphore::new(3);
    let held = slots.try_acquire().unwrap();
    assert_eq!(slots.add_permits(1), Err(TooManyPermits), "a guard holds it");
    slots.try_acquire_many(2).unwrap().forget();
    let now = slots.statistics();
    assert_eq!((now.available, now.held, now.waiting), (0, 1, 0));
    let mut two = tokio_test::task::spawn(slots.acquire_many(2));
    assert_pending!(two.poll());
    assert_eq!(slots.add_permits(3), Err(TooManyPermits));
    assert_eq!(slots.add_permits(2), Ok(()));
    assert!(two.is_woken());
    drop((two, held));
    assert_eq!((slots.available(), slots.bound()), (3, 3));
    assert_eq!(slots.add_permits(1), Err(TooManyPermits));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(slots.acquire_many(4)))).is_err());
    assert!(format!("{slots:?}").contains("bound: 3"));
}
