//! Events, locks and semaphores, swept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use curium::kernel::testing;
use curium::kernel::{Result, TaskCancelled, TaskEnd, ignore_after, now, sleep, yield_now};
use curium::sync::{Event, Lock, LockGuard, Semaphore};

use super::checks::{Among, MS, aborts, assert_tried, shuts_down, undisturbed};

/// An event that is set, cleared and set again, and how often a wait for it ended well.
#[derive(Default)]
struct Signals {
    event: Event,
    /// Set for a moment only.
    pulse: Event,
    seen: RefCell<Vec<&'static str>>,
}

impl Signals {
    async fn wait_for_both(&self, name: &'static str) -> Result<()> {
        self.pulse.wait().await?;
        self.seen.borrow_mut().push(name);
        self.event.wait().await?;
        assert!(self.event.is_set());
        self.seen.borrow_mut().push(name);
        Ok(())
    }
}

/// V4, Y3: a wait for an event that is cancelled or dropped leaves the event as it was, and all
/// that wait with it are woken, also by a pulse.
#[test]
fn an_event_wakes_all_that_wait_for_it() {
    let setup = async || {
        Among::new(Signals::default())
            .and(async |signals: Rc<Signals>| signals.wait_for_both("first").await)
            .and(async |signals: Rc<Signals>| {
                sleep(MS).await?;
                signals.pulse.set();
                signals.pulse.clear();
                sleep(MS).await?;
                signals.event.set();
                Ok(())
            })
            .and(async |signals: Rc<Signals>| signals.wait_for_both("second").await)
    };
    let subject =
        |signals: Rc<Among<Signals>>| async move { signals.wait_for_both("subject").await };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |signals, run| {
        signals.others_end(run).await;
        let seen = signals.seen.take();
        let count = |name| seen.iter().filter(|seen| **seen == name).count();
        assert!(!undisturbed(run) || count("subject") == 2);
        let all = count("first") == 2 && count("second") == 2;
        assert!(all || shuts_down(run), "a waiter was not woken: {seen:?}");
        assert!(!signals.pulse.is_set());
        assert!(shuts_down(run) || signals.event.is_set());
    });
    assert_tried(&swept, &["EVENT_WAIT"], 14, 200);
}

/// A value in two halves that are equal while the lock is free.
#[derive(Default)]
struct Halves {
    lock: Lock<(u32, u32)>,
    inside: Cell<u32>,
    /// The tasks that changed the value, in the order in which they had the lock.
    order: RefCell<Vec<&'static str>>,
}

/// Restores the value if a change is not completed.
struct Change<'a> {
    halves: &'a Halves,
    guard: LockGuard<'a, (u32, u32)>,
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let least = self.guard.0.min(self.guard.1);
        *self.guard = (least, least);
        self.halves.inside.set(self.halves.inside.get() - 1);
    }
}

impl Halves {
    async fn change(&self, name: &'static str) -> Result<()> {
        let guard = self.lock.acquire().await?;
        assert_eq!(self.inside.replace(1), 0, "two tasks hold the lock");
        assert_eq!(guard.0, guard.1, "the value is torn");
        self.order.borrow_mut().push(name);
        let mut change = Change { halves: self, guard };
        change.guard.0 += 1;
        yield_now().await?;
        sleep(MS).await?;
        change.guard.1 += 1;
        Ok(())
    }
}

/// V4, Y2, Y3: no path leaves a lock held or its value torn, and the next waiters get it in their
/// order.
#[test]
fn a_lock_goes_on_to_the_next_waiter() {
    let setup = async || {
        let halves = Among::new(Halves::default())
            .and(async |halves: Rc<Halves>| halves.change("holder").await)
            .and(async |halves: Rc<Halves>| {
                yield_now().await?;
                halves.change("behind").await?;
                halves.change("again").await
            })
            .and(async |halves: Rc<Halves>| {
                yield_now().await?;
                halves.change("last").await
            });
        testing::settle().await.unwrap();
        halves
    };
    let subject = |halves: Rc<Among<Halves>>| async move {
        halves.change("subject").await?;
        halves.change("subject").await
    };
    let sweep = testing::sweep().pairs();
    let swept = sweep.seeds(0..8).run(setup, subject, async |halves, run| {
        halves.others_end(run).await;
        assert!(!halves.lock.is_held(), "the lock was left held");
        halves.change("check").await.unwrap();
        let order = halves.order.take();
        let all = ["holder", "behind", "again", "last"].iter().all(|name| order.contains(name));
        assert!(all || shuts_down(run), "a waiter did not get the lock: {order:?}");
        assert!(!undisturbed(run) || halves.lock.try_acquire().unwrap().0 == 7);
    });
    assert_tried(&swept, &["LOCK_ACQUIRE", "SLEEP"], 43, 520);
}

/// Three permits, and how many are in use.
struct Permits {
    semaphore: Semaphore,
    used: Cell<usize>,
    kept: Cell<usize>,
}

/// Counts permits as used until it is dropped.
struct Use<'a>(&'a Cell<usize>, usize);

impl<'a> Use<'a> {
    fn of(used: &'a Cell<usize>, n: usize) -> Self {
        used.set(used.get() + n);
        assert!(used.get() <= 3, "{} of 3 permits are used", used.get());
        Use(used, n)
    }
}

impl Drop for Use<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

impl Permits {
    async fn with(&self, n: usize) -> Result<()> {
        let permits = self.semaphore.acquire_many(n).await?;
        let _used = Use::of(&self.used, permits.count());
        sleep(MS).await
    }
}

/// V4, Y3: no path loses or makes a permit. A waiter for many that leaves lets those behind it go
/// on, and a permit that was handed to a dropped waiter goes to the next.
#[test]
fn the_permits_of_a_semaphore_are_conserved() {
    let setup = async || {
        let permits =
            Permits { semaphore: Semaphore::new(3), used: Cell::new(0), kept: Cell::new(0) };
        let behind = async |permits: Rc<Permits>| {
            yield_now().await?;
            permits.with(1).await?;
            permits.with(2).await
        };
        let permits = Among::new(permits).and(async |permits: Rc<Permits>| permits.with(2).await);
        testing::settle().await.unwrap();
        permits.and(behind).and(behind)
    };
    let subject = |permits: Rc<Among<Permits>>| async move {
        permits.with(3).await?;
        permits.with(2).await?;
        let kept = permits.semaphore.acquire().await?;
        yield_now().await?;
        kept.forget();
        permits.kept.set(1);
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |permits, run| {
        permits.others_end(run).await;
        assert!(!undisturbed(run) || permits.kept.get() == 1);
        assert_eq!(permits.used.get(), 0);
        let all = permits.semaphore.available() + permits.kept.get();
        assert_eq!(all, 3, "permits are lost");
        permits.semaphore.add_permits(permits.kept.get());
        permits.with(3).await.unwrap();
        assert!(!aborts(run) || run.end == TaskEnd::Aborted);
    });
    assert_tried(&swept, &["SEMAPHORE_ACQUIRE", "SLEEP"], 42, 510);
}

/// V4, Y2, Y3: while a waiter for many is first in the line, those behind it wait for less than is
/// there. When it leaves, they go on at once.
#[test]
fn those_behind_a_waiter_for_many_go_on_when_it_leaves() {
    struct Line {
        semaphore: Semaphore,
        /// The virtual time at which each task behind had its permit.
        served: RefCell<Vec<Instant>>,
        began: Instant,
    }
    const LONG: Duration = Duration::from_secs(1);
    let setup = async || {
        let line = Line { semaphore: Semaphore::new(3), served: RefCell::default(), began: now() };
        let behind = async |line: Rc<Line>| {
            sleep(MS).await?;
            let permit = line.semaphore.acquire().await?;
            line.served.borrow_mut().push(now());
            yield_now().await?;
            drop(permit);
            Ok(())
        };
        let line = Among::new(line).and(async |line: Rc<Line>| {
            let _two = line.semaphore.acquire_many(2).await?;
            sleep(LONG).await
        });
        testing::settle().await.unwrap();
        line.and(behind).and(behind).and(behind)
    };
    let subject = |line: Rc<Among<Line>>| async move {
        // It is cancelled when it is first in the line, or it is dropped.
        ignore_after(2 * MS, async { line.semaphore.acquire_many(3).await.map(drop) }).await?;
        line.semaphore.acquire_many(2).await.map(drop)
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |line, run| {
        line.others_end(run).await;
        undisturbed(run);
        let served = line.served.take();
        assert!(served.len() == 3 || shuts_down(run));
        for at in served {
            // The first waiter for many has left after 2 ms, and the second one comes after them.
            assert!(at - line.began < 3 * MS, "served after {:?}", at - line.began);
        }
        assert_eq!(line.semaphore.available(), 3, "permits are lost");
    });
    assert_tried(&swept, &["SEMAPHORE_ACQUIRE"], 14, 200);
}
