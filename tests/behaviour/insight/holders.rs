//! Which tasks hold what other tasks wait for.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::insight::WaitsFor;
use curium::kernel::testing::settle;
use curium::kernel::{self, Task, TaskCancelled, TaskId, current_task_id, sleep, spawn, yield_now};
use curium::sync::{Lock, OnceCell, RLock, RwLock, Semaphore};
use futures::future::join;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::time::secs;

type Outcome<T = ()> = Result<T, TaskCancelled>;

/// What each leaf of a task waits for: the number of the object, and the tasks that hold it.
fn waits(task: TaskId) -> Vec<(u64, Vec<TaskId>)> {
    let edges = kernel::wait_graph().edges.into_iter().filter(|edge| edge.from == task);
    let object = |on| match on {
        WaitsFor::Holders { object, tasks, .. } => (object, tasks),
        WaitsFor::Unknown { object } => (object, Vec::new()),
        other => panic!("{other:?}"),
    };
    edges.map(|edge| object(edge.on)).collect()
}

/// The tasks that hold the one object for which a task waits.
fn holders<T: 'static, E: 'static>(waiter: &Task<T, E>) -> Vec<TaskId> {
    let [(object, tasks)] = &waits(waiter.id())[..] else { panic!("one leaf waits") };
    assert_ne!(*object, 0);
    tasks.clone()
}

/// A task that takes the lock and holds it for a time.
fn locker(lock: &Rc<Lock<()>>, seconds: u64) -> Task<(), TaskCancelled> {
    let lock = lock.clone();
    spawn(async move {
        let _guard = lock.acquire().await?;
        sleep(secs(seconds)).await
    })
}

/// M4: a wait for a lock shows the task that holds it, from the hand-over on the next one.
#[test]
fn a_wait_for_a_lock_names_its_holder() {
    kernel::testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let [first, second, third] = [1, 1, 1].map(|time| locker(&lock, time));
        settle().await?;
        assert_eq!(holders(&second), [first.id()]);
        assert_eq!(waits(third.id()), waits(second.id()), "one object");
        let mine = lock.statistics();
        assert!(mine.is_held && mine.waiting == 2 && mine.holder == Some(first.id()));

        first.cancel().await?;
        assert_eq!(holders(&third), [second.id()]);
        second.await?;
        third.await?;

        // Handed over, and not taken yet.
        let guard = lock.acquire().await?;
        let [next, last] = [1, 1].map(|time| locker(&lock, time));
        settle().await?;
        drop(guard);
        let passed = lock.statistics();
        assert_eq!((passed.is_held, passed.holder), (true, Some(next.id())));
        assert_eq!(holders(&last), [next.id()]);
        next.await?;
        last.await?;
        let free = lock.statistics();
        assert_eq!((free.is_held, free.holder, free.waiting), (false, None, 0));
        Outcome::Ok(())
    })
    .unwrap();
}

/// M4: each leaf of a task has its own object. A waiter in a foreign future is known by its task.
#[test]
fn leaves_of_one_task_wait_for_several_objects() {
    kernel::testing::run(async || {
        let locks = Rc::new([(); 2].map(|()| Lock::new(())));
        let (one, two) = (locks[0].acquire().await?, locks[1].acquire().await?);
        let here = current_task_id().expect("a task");
        let theirs = locks.clone();
        let both = spawn(async move {
            let (one, two) = join(theirs[0].acquire(), theirs[1].acquire()).await;
            let _guards = (one?, two?);
            sleep(secs(1)).await
        });
        settle().await?;
        let waiting = waits(both.id());
        assert_eq!(waiting.iter().map(|(_, tasks)| tasks).collect::<Vec<_>>(), [&[here], &[here]]);
        assert_ne!(waiting[0].0, waiting[1].0);
        drop((one, two));
        settle().await?;

        let theirs = locks.clone();
        let unordered = spawn(async move {
            let mut all: FuturesUnordered<_> = theirs.iter().map(Lock::acquire).collect();
            while let Some(guard) = all.next().await {
                sleep(secs(1)).await?;
                drop(guard?);
            }
            Outcome::Ok(())
        });
        settle().await?;
        assert_eq!(waits(unordered.id()).len(), 2);
        assert!(waits(unordered.id()).iter().all(|(_, tasks)| *tasks == [both.id()]));
        both.await?;
        settle().await?;

        // It was handed over to a waiter whose waker is not that of the task.
        let held = locks[0].statistics();
        assert_eq!((held.is_held, held.holder), (true, Some(unordered.id())));
        let theirs = locks.clone();
        let late = spawn(async move { theirs[0].acquire().await.map(drop) });
        settle().await?;
        assert_eq!(holders(&late), [unordered.id()]);
        unordered.await?;
        late.await
    })
    .unwrap();
}

/// M4: a wait for permits shows every task that holds some, also of many.
#[test]
fn a_wait_for_permits_names_the_tasks_that_hold_them() {
    for permits in [1, 3, 8, 9, 20] {
        kernel::testing::run(async || {
            let semaphore = Rc::new(Semaphore::new(permits));
            let taker = |seconds| {
                let semaphore = semaphore.clone();
                spawn(async move {
                    let _permit = semaphore.acquire().await?;
                    sleep(secs(seconds)).await
                })
            };
            let mut takers: Vec<_> = (0..permits as u64).map(|n| taker(n + 1)).collect();
            let [next, last] = [50, 50].map(taker);
            settle().await?;
            let sorted = |mut tasks: Vec<TaskId>| {
                tasks.sort_unstable();
                tasks
            };
            let ids = |tasks: &[Task<_, _>]| tasks.iter().map(Task::id).collect::<Vec<_>>();
            assert_eq!(sorted(holders(&next)), sorted(ids(&takers)));

            takers.remove(0).await?;
            settle().await?;
            let mut now = ids(&takers);
            now.push(next.id());
            assert_eq!(sorted(holders(&last)), sorted(now));

            // A permit that is taken out for ever has no holder.
            next.cancel().await?;
            last.cancel().await?;
            semaphore.acquire().await?.forget();
            let last = taker(1);
            settle().await?;
            if permits > 1 {
                assert_eq!(sorted(holders(&last)), sorted(ids(&takers)));
            } else {
                assert_eq!(waits(last.id())[0].1, []);
                semaphore.add_permits(1);
            }
            for task in takers {
                task.await?;
            }
            last.await
        })
        .unwrap();
    }
}

/// M4: the readers and the writer of an `RwLock`, the owner of an `RLock`, and the task that makes
/// the value of a `OnceCell`.
#[test]
fn the_other_locks_name_their_holders() {
    kernel::testing::run(async || {
        let shared = Rc::new((RwLock::new(()), RLock::new(()), OnceCell::new()));
        let here = current_task_id().expect("a task");
        let theirs = shared.clone();
        let reader = spawn(async move {
            let _read = theirs.0.read().await?;
            sleep(secs(1)).await
        });
        yield_now().await?;
        let read = shared.0.read().await?;
        let again = (shared.1.acquire().await?, shared.1.acquire().await?);
        let theirs = shared.clone();
        let writer = spawn(async move {
            let _written = theirs.0.write().await?;
            sleep(secs(1)).await
        });
        let theirs = shared.clone();
        let owner = spawn(async move { theirs.1.acquire().await.map(drop) });
        let theirs = shared.clone();
        let maker = spawn(async move {
            theirs.2.get_or_init(async || drop(sleep(secs(1)).await)).await.copied()
        });
        yield_now().await?;
        let theirs = shared.clone();
        let user = spawn(async move { theirs.2.get_or_init(async || ()).await.copied() });
        settle().await?;
        assert_eq!(holders(&writer), [reader.id(), here]);
        assert_eq!(holders(&owner), [here]);
        assert_eq!(holders(&user), [maker.id()]);

        drop((read, again));
        reader.await?;
        let theirs = shared.clone();
        let late = spawn(async move { theirs.0.read().await.map(drop) });
        settle().await?;
        assert_eq!(holders(&late), [writer.id()]);
        for task in [writer, owner, maker, user, late] {
            task.await?;
        }
        Outcome::Ok(())
    })
    .unwrap();
}

/// M4: a guard that was moved to another task counts for the task that took it. So the graph says
/// only which task took the lock, and the lock may be free again while that task is parked.
#[test]
fn a_guard_that_moves_counts_for_the_task_that_took_it() {
    kernel::testing::run(async || {
        let lock: &'static Lock<()> = Box::leak(Box::new(Lock::new(())));
        let moved = Rc::new(RefCell::new(None));
        let theirs = moved.clone();
        let taker = spawn(async move {
            *theirs.borrow_mut() = Some(lock.acquire().await?);
            sleep(secs(100)).await
        });
        let releaser = spawn(async move {
            yield_now().await?;
            let guard = moved.take();
            sleep(secs(1)).await?;
            drop(guard);
            Outcome::Ok(())
        });
        yield_now().await?;
        let waiter = spawn(async { lock.acquire().await.map(drop) });
        settle().await?;
        assert_eq!(holders(&waiter), [taker.id()]);
        waiter.await?;
        releaser.await?;
        assert_eq!(taker.end(), None, "it had the guard no more");
        taker.cancel().await
    })
    .unwrap();
}

/// M4: what a task of an earlier kernel has taken is not shown as held by a task of a later one
/// that has the same id.
#[test]
fn a_guard_that_outlives_its_kernel_is_held_by_no_task_of_the_next() {
    let (lock, permits) = (Rc::new(Lock::new(())), Rc::new(Semaphore::new(1)));
    let (held, first) = kernel::testing::run(async || {
        let held = (lock.acquire().await, permits.acquire().await);
        (held, kernel::snapshot().kernel)
    });
    kernel::testing::run(async || {
        // Main is the task 0 of both.
        let told = lock.statistics();
        assert_eq!((told.holder, told.holder_kernel), (current_task_id(), Some(first)));
        assert_ne!(kernel::snapshot().kernel, first);
        let (theirs, others) = (lock.clone(), permits.clone());
        let one = spawn(async move { theirs.acquire().await.map(drop) });
        let two = spawn(async move { others.acquire().await.map(drop) });
        settle().await?;
        assert_eq!((holders(&one), holders(&two)), (vec![], vec![]));
        drop(held);
        one.await?;
        two.await?;
        assert_eq!(lock.statistics().holder_kernel, None);
        Outcome::Ok(())
    })
    .unwrap();
}

/// M4: a lock that is used by two kernels, one after the other, is shown in both.
#[test]
fn a_lock_outlives_the_kernel_in_which_it_was_waited_for() {
    let lock = Rc::new(Lock::new(()));
    let mut numbers = [0, 1].map(|_| {
        kernel::testing::run(async || {
            let guard = lock.acquire().await?;
            let waiter = locker(&lock, 1);
            settle().await?;
            assert_eq!(holders(&waiter), [current_task_id().expect("a task")]);
            let number = waits(waiter.id())[0].0;
            drop(guard);
            waiter.await?;
            Outcome::Ok(number)
        })
        .unwrap()
    });
    assert_eq!(numbers[0], numbers[1]);
    let outside = lock.try_acquire().expect("it is free");
    assert_eq!((lock.statistics().is_held, lock.statistics().holder), (true, None));
    drop(outside);

    // Another object never has its number.
    drop(lock);
    let lock = Rc::new(Lock::new(()));
    kernel::testing::run(async || {
        let guard = lock.acquire().await?;
        let waiter = locker(&lock, 1);
        settle().await?;
        numbers[1] = waits(waiter.id())[0].0;
        drop(guard);
        waiter.await
    })
    .unwrap();
    assert_ne!(numbers[0], numbers[1]);
}
