//! Locks of several kinds, barriers and cells that are set once, swept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{Result, sleep, yield_now};
use curium::sync::{Barrier, BoundedSemaphore, OnceCell, RLock, RwLock, RwLockWriteGuard};

use super::checks::{Among, MS, assert_tried, shuts_down, undisturbed};

/// Two halves that a writer changes one after the other.
#[derive(Default)]
struct Halves {
    lock: RwLock<(u32, u32)>,
    written: Cell<u32>,
}

/// Makes the halves equal again, also if the writer is aborted.
struct Whole<'a>(RwLockWriteGuard<'a, (u32, u32)>);

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        self.0.1 = self.0.0;
    }
}

impl Halves {
    async fn read(&self) -> Result<()> {
        let guard = self.lock.read().await?;
        let before = *guard;
        assert_eq!(before.0, before.1, "a reader and a writer hold the lock");
        sleep(MS).await?;
        assert_eq!(before, *guard, "the value has changed under a reader");
        Ok(())
    }

    async fn write(&self) -> Result<()> {
        let mut halves = Whole(self.lock.write().await?);
        halves.0.0 += 1;
        let slept = sleep(MS).await;
        drop(halves);
        self.written.set(self.written.get() + 1);
        slept
    }
}

/// V4, Y7, Y2, Y3: no path leaves a lock of readers and writers held, and those behind a waiter
/// that leaves are served.
#[test]
fn a_lock_of_readers_and_writers_goes_on_to_the_next() {
    let setup = async || {
        let halves = Among::new(Halves::default())
            .and(async |halves: Rc<Halves>| halves.read().await)
            .and(async |halves: Rc<Halves>| {
                yield_now().await?;
                halves.write().await?;
                halves.read().await
            })
            .and(async |halves: Rc<Halves>| {
                yield_now().await?;
                halves.read().await?;
                halves.write().await
            });
        testing::settle().await.unwrap();
        halves
    };
    let subject = |halves: Rc<Among<Halves>>| async move {
        halves.write().await?;
        halves.read().await?;
        halves.write().await
    };
    let swept = testing::sweep().pairs().seeds(0..4).run(setup, subject, async |halves, run| {
        undisturbed(run);
        halves.others_end(run).await;
        let now = halves.lock.statistics();
        assert_eq!((now.readers, now.is_written, now.waiting), (0, false, 0), "it was left held");
        assert!(!run.injected.is_empty() || halves.written.get() == 4);
    });
    assert_tried(&swept, &["RWLOCK_READ", "RWLOCK_WRITE", "SLEEP"], 12, 150);
}

/// V4, Y8, Y3: a task that takes its lock again and is interrupted releases it as often as it took
/// it.
#[test]
fn a_lock_that_was_taken_twice_is_released_twice() {
    struct Owned {
        lock: RLock<Cell<u32>>,
    }
    impl Owned {
        async fn twice(&self) -> Result<()> {
            let outer = self.lock.acquire().await?;
            assert_eq!(outer.replace(1), 0, "two tasks hold the lock");
            let slept = sleep(MS).await;
            let inner = self.lock.try_acquire().expect("this task holds it");
            drop(outer);
            inner.set(0);
            slept
        }
    }
    let setup = async || {
        let owned = Owned { lock: RLock::new(Cell::new(0)) };
        Among::new(owned).and(async |owned: Rc<Owned>| owned.twice().await).and(
            async |owned: Rc<Owned>| {
                yield_now().await?;
                owned.twice().await
            },
        )
    };
    let subject = |owned: Rc<Among<Owned>>| async move {
        let guard = owned.lock.acquire().await?;
        yield_now().await?;
        let again = owned.lock.try_acquire().expect("this task holds it");
        drop(guard);
        let slept = sleep(MS).await;
        drop(again);
        slept?;
        owned.lock.acquire().await.map(drop)
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |owned, run| {
        undisturbed(run);
        owned.others_end(run).await;
        let now = owned.lock.statistics();
        assert_eq!((now.owner, now.guards, now.waiting), (None, 0, 0), "it was left held");
    });
    assert_tried(&swept, &["RLOCK_ACQUIRE", "SLEEP"], 12, 150);
}

/// V4, Y9, Y3: a waiter at a barrier that is interrupted has not come, and the others wait for
/// another one.
#[test]
fn a_barrier_waits_for_those_that_are_there() {
    let setup = async || {
        let waits = async |barrier: Rc<Barrier>| {
            barrier.wait().await?;
            sleep(MS).await?;
            barrier.wait().await.map(drop)
        };
        Among::new(Barrier::new(3)).and(waits).and(waits)
    };
    let subject = |barrier: Rc<Among<Barrier>>| async move {
        barrier.wait().await?;
        barrier.wait().await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |barrier, run| {
        undisturbed(run);
        // Comes for a subject that did not.
        for _ in 0..4 {
            testing::advance(2 * MS).await.unwrap();
            if barrier.statistics().waiting == 2 {
                assert!(barrier.wait().await.unwrap().is_leader());
            }
        }
        barrier.others_end(run).await;
        let now = barrier.statistics();
        assert!(shuts_down(run) || (now.waiting, now.passed) == (0, 2), "{now:?}");
    });
    assert_tried(&swept, &["BARRIER_WAIT"], 10, 120);
}

/// V4, Y10, Y3: whichever task is interrupted while it makes a value, another one makes it, and all
/// get the same.
#[test]
fn a_cell_is_set_by_the_first_that_ends_well() {
    #[derive(Default)]
    struct Made {
        cell: OnceCell<u32>,
        got: RefCell<Vec<u32>>,
    }
    impl Made {
        async fn get(&self, value: u32) -> Result<()> {
            let make = async || sleep(MS).await.map(|()| value);
            let got = *self.cell.get_or_try_init(make).await?;
            self.got.borrow_mut().push(got);
            Ok(())
        }
    }
    let setup = async || {
        Among::new(Made::default()).and(async |made: Rc<Made>| made.get(1).await).and(
            async |made: Rc<Made>| {
                yield_now().await?;
                made.get(2).await
            },
        )
    };
    let subject = |made: Rc<Among<Made>>| async move { made.get(3).await };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |made, run| {
        undisturbed(run);
        made.others_end(run).await;
        let got = made.got.take();
        assert!(got.windows(2).all(|two| two[0] == two[1]), "{got:?}");
        assert!(shuts_down(run) || got.len() >= 2);
        assert!(!made.cell.statistics().is_being_made);
    });
    assert_tried(&swept, &["LOCK_ACQUIRE", "SLEEP"], 8, 100);
}

/// V4, Y11, Y3: the permits of a bounded semaphore are conserved, those that are taken out too.
#[test]
fn the_permits_of_a_bounded_semaphore_are_conserved() {
    struct Slots {
        semaphore: BoundedSemaphore,
        out: Cell<usize>,
    }
    let setup = async || {
        let slots = Slots { semaphore: BoundedSemaphore::new(2), out: Cell::new(0) };
        let uses = async |slots: Rc<Slots>| {
            let permits = slots.semaphore.acquire_many(2).await?;
            sleep(MS).await?;
            drop(permits);
            let permit = slots.semaphore.acquire().await?;
            sleep(MS).await?;
            drop(permit);
            Ok(())
        };
        Among::new(slots).and(uses).and(uses)
    };
    let subject = |slots: Rc<Among<Slots>>| async move {
        slots.semaphore.acquire().await?.forget();
        slots.out.set(1);
        let slept = sleep(MS).await;
        slots.semaphore.add_permits(slots.out.take()).expect("they were taken out");
        slept?;
        slots.semaphore.acquire_many(2).await.map(drop)
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |slots, run| {
        undisturbed(run);
        // An aborted subject could not put its permit back.
        slots.semaphore.add_permits(slots.out.take()).expect("they were taken out");
        slots.others_end(run).await;
        assert!(slots.semaphore.add_permits(1).is_err(), "a permit is lost");
        assert_eq!(slots.semaphore.available(), 2);
    });
    assert_tried(&swept, &["SEMAPHORE_ACQUIRE", "SLEEP"], 12, 150);
}
