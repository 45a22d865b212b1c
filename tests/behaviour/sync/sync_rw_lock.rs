//! `sync::RwLock`.

use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskCancelled, sleep, spawn, testing};
use sync::RwLock;
use tokio_test::{assert_pending, assert_ready_ok};

use crate::support::log::Log;
use crate::support::time::secs;

/// Y7: several readers hold the lock together, a writer alone.
#[test]
fn readers_share_and_a_writer_is_alone() {
    let mut lock = RwLock::new(1);
    let (one, other) = (lock.try_read().unwrap(), lock.try_read().unwrap());
    assert_eq!((*one, *other), (1, 1));
    assert!(lock.try_write().is_none());
    assert_eq!(lock.statistics().readers, 2);
    drop(one);
    assert!(lock.try_write().is_none());
    drop(other);
    let mut writer = lock.try_write().unwrap();
    *writer += 1;
    assert!(lock.try_read().is_none() && lock.try_write().is_none());
    assert!(lock.statistics().is_written && format!("{lock:?}").contains("is_written: true"));
    drop(writer);
    *lock.get_mut() += 1;
    assert_eq!(lock.into_inner(), 3);
}

/// Y7, Y2: readers that come after a waiting writer wait behind it, and then go on together.
#[test]
fn a_writer_is_not_overtaken_by_readers() {
    testing::run(async || {
        let (lock, log) = (Rc::new(RwLock::new(())), Log::default());
        let enter = |name: &'static str, writes: bool| {
            let (lock, log) = (lock.clone(), log.clone());
            spawn(async move {
                let guards = match writes {
                    true => (None, Some(lock.write().await?)),
                    false => (Some(lock.read().await?), None),
                };
                log.push(format!("{name} in"));
                sleep(secs(1)).await?;
                log.push(format!("{name} out"));
                drop(guards);
                Ok::<_, TaskCancelled>(())
            })
        };
        let tasks = [("a", false), ("W", true), ("b", false), ("c", false), ("X", true)]
            .map(|(name, writes)| enter(name, writes));
        testing::settle().await?;
        assert_eq!(tasks[1].state().to_string(), "RWLOCK_WRITE");
        assert_eq!(tasks[2].state().to_string(), "RWLOCK_READ");
        assert!(lock.try_read().is_none(), "a writer waits");
        for task in tasks {
            task.await?;
        }
        let expected =
            ["a in", "a out", "W in", "W out", "b in", "c in", "b out", "c out", "X in", "X out"];
        assert_eq!(log.take(), expected);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y7, Y3: a writer that leaves lets the readers behind it in. A waiter that was handed the lock
/// and is dropped passes it on.
#[test]
fn those_behind_a_waiter_that_leaves_are_served() {
    let lock = RwLock::new(0);
    let first = lock.try_read().unwrap();
    let mut writer = tokio_test::task::spawn(lock.write());
    let mut reader = tokio_test::task::spawn(lock.read());
    assert!(writer.poll().is_pending() && reader.poll().is_pending());
    drop(writer);
    assert!(reader.is_woken());
    let second = assert_ready_ok!(reader.poll());

    let mut writers = [(); 2].map(|()| tokio_test::task::spawn(lock.write()));
    writers.iter_mut().for_each(|writer| assert_pending!(writer.poll()));
    drop((first, second));
    assert!(writers[0].is_woken() && !writers[1].is_woken());
    let [dropped, mut last] = writers;
    drop(dropped);
    *assert_ready_ok!(last.poll()) += 1;

    let writer = lock.try_write().unwrap();
    let mut readers = [(); 2].map(|()| tokio_test::task::spawn(lock.read()));
    readers.iter_mut().for_each(|reader| assert_pending!(reader.poll()));
    drop(writer);
    assert!(readers.iter().all(|reader| reader.is_woken()), "both are readers");
    drop(readers);
    assert_eq!(*lock.write().now_or_never().unwrap().unwrap(), 1);
}

/// C1, Y3: handed over and cancelled in one tick, the lock is held, and is released by the guard.
#[test]
fn a_lock_handed_over_before_the_cancellation_is_held() {
    testing::run(async || {
        let lock = Rc::new(RwLock::new(0));
        let guard = lock.read().await?;
        let task = spawn({
            let lock = lock.clone();
            async move {
                *lock.write().await? += 1;
                sleep(secs(1)).await
            }
        });
        testing::settle().await?;
        drop(guard);
        task.cancel().await?;
        assert_eq!(*lock.read().await?, 1);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
