//! Every schedule of small programs with locks, semaphores, events and conditions, with a cancel at
//! every moment (V4).
//!
//! Each program has three tasks of two operations. All explorations are complete, so each is a
//! proof for its program. An exploration cancels tasks but drops none. Where a dropped waiter
//! matters, the third task aborts the first.

use std::cell::Cell;
use std::rc::Rc;

use curium::kernel::yield_now;
use curium::sync::{Condition, Event, Lock, Semaphore};

use crate::explored::{Counted, Ended, Group, Log, assert_complete, members, three};

#[derive(Default)]
struct Locked {
    lock: Lock<()>,
    log: Log,
    inside: Rc<Cell<usize>>,
}

impl Locked {
    /// Holds the lock across an await.
    async fn hold(&self, request: usize) -> Ended {
        let _guard = self.log.ask(request, self.lock.acquire()).await?;
        let _inside = Counted::new(&self.inside, 1);
        assert_eq!(self.inside.get(), 1, "two tasks hold the lock");
        yield_now().await
    }

    fn check(&self) {
        assert!(!self.lock.is_held(), "the lock was not released");
        self.log.assert_served_in_order(|_, _| true);
    }
}

/// V4, Y2, Y3: mutual exclusion, first come, first served; a cancelled waiter leaves no trace.
#[test]
fn a_lock_excludes_and_serves_in_order() {
    assert_complete(3_408, async || {
        let shared = Rc::new(Locked::default());
        let member = |number| {
            let shared = shared.clone();
            async move {
                shared.hold(2 * number).await?;
                shared.hold(2 * number + 1).await
            }
        };
        three(member).await?;
        shared.check();
        Ok(())
    });
}

/// V4, Y3: a waiter that is dropped passes the lock on, also if it was handed it already.
#[test]
fn a_dropped_waiter_passes_a_lock_on() {
    assert_complete(464, async || {
        let shared = Rc::new(Locked::default());
        let [first, second, third] = [(); 3].map(|()| shared.clone());
        let spawn = |g: Group| {
            let victim = g.spawn(async move { first.hold(0).await });
            g.spawn(async move { second.hold(1).await });
            g.spawn(async move {
                third.hold(2).await?;
                victim.abort();
                Ok(())
            });
        };
        members(spawn, || ()).await?;
        shared.check();
        Ok(())
    });
}

struct Limited {
    semaphore: Semaphore,
    log: Log,
    held: Rc<Cell<usize>>,
}

/// The permits that each request asks for, of two.
const PERMITS: [usize; 6] = [2, 1, 1, 2, 1, 1];

impl Limited {
    fn new() -> Rc<Self> {
        let semaphore = Semaphore::new(2);
        Rc::new(Limited { semaphore, log: Log::default(), held: Rc::default() })
    }

    /// Holds permits across an await.
    async fn hold(&self, request: usize) -> Ended {
        let wait = self.semaphore.acquire_many(PERMITS[request]);
        let _permits = self.log.ask(request, wait).await?;
        let _held = Counted::new(&self.held, PERMITS[request]);
        assert!(self.held.get() + self.semaphore.available() <= 2, "there are more permits");
        yield_now().await
    }

    fn check(&self) {
        assert_eq!(self.semaphore.available(), 2, "permits are lost");
        let exclude = |one: usize, other: usize| PERMITS[one] + PERMITS[other] > 2;
        self.log.assert_served_in_order(exclude);
    }
}

/// V4, Y2, Y3: permits are conserved, and requests for one do not overtake a request for two.
#[test]
fn a_semaphore_conserves_its_permits_and_serves_in_order() {
    assert_complete(13_140, async || {
        let shared = Limited::new();
        let member = |number| {
            let shared = shared.clone();
            async move {
                shared.hold(2 * number).await?;
                shared.hold(2 * number + 1).await
            }
        };
        three(member).await?;
        shared.check();
        Ok(())
    });
}

/// V4, Y3: a waiter that is dropped gives its permits to the next. It also lets those pass that it
/// kept waiting while it asked for more.
#[test]
fn a_dropped_waiter_gives_its_permits_back() {
    assert_complete(911, async || {
        let (shared, end) = (Limited::new(), Rc::new(Event::new()));
        let [first, second, third] = [(); 3].map(|()| shared.clone());
        let ends = end.clone();
        let spawn = |g: Group| {
            let victim = g.spawn(async move { first.hold(0).await });
            g.spawn(async move { second.hold(1).await });
            g.spawn(async move {
                let _permit = third.semaphore.acquire().await?;
                yield_now().await?;
                victim.abort();
                ends.wait().await
            });
        };
        let stuck = || {
            let shown = format!("{:?}", shared.semaphore);
            assert!(shown.contains("waiting: 0"), "a waiter was not served: {shown}");
            end.set();
        };
        members(spawn, stuck).await?;
        shared.check();
        Ok(())
    });
}

#[derive(Default)]
struct Signal {
    event: Event,
    waiting: Cell<usize>,
    /// The waiters that a pulse has found and that have not returned yet.
    due: Cell<usize>,
}

impl Signal {
    async fn wait(&self) -> Ended {
        if self.event.is_set() {
            return self.event.wait().await;
        }
        self.waiting.set(self.waiting.get() + 1);
        let waited = self.event.wait().await;
        let counted = if waited.is_ok() { &self.due } else { &self.waiting };
        counted.set(counted.get().checked_sub(1).expect("a pulse has found those that it wakes"));
        waited
    }

    fn set(&self) {
        self.event.set();
        self.due.set(self.due.get() + self.waiting.take());
    }

    fn pulse(&self) {
        self.set();
        self.event.clear();
    }
}

/// V4, C1, Y3: a pulse wakes all that wait, and one that was woken is not cancelled any more.
#[test]
fn a_pulse_of_an_event_wakes_all_that_wait() {
    assert_complete(1_230, async || {
        let signal = Rc::new(Signal::default());
        let spawn = |g: Group| {
            for _ in 0..2 {
                let signal = signal.clone();
                g.spawn(async move {
                    signal.wait().await?;
                    signal.wait().await
                });
            }
            let signal = signal.clone();
            g.spawn(async move {
                signal.pulse();
                yield_now().await?;
                signal.pulse();
                Ok(())
            });
        };
        let stuck = || {
            assert_eq!(signal.due.get(), 0, "a waiter that a pulse has found is still parked");
            signal.set();
        };
        members(spawn, stuck).await
    });
}

#[derive(Default)]
struct Store {
    items: Lock<usize>,
    changed: Condition,
    added: Cell<usize>,
    taken: Cell<usize>,
    hungry: Rc<Cell<usize>>,
}

impl Store {
    async fn take(&self) -> Ended {
        let items = self.items.acquire().await?;
        let hungry = Counted::new(&self.hungry, 1);
        let mut items = self.changed.wait_for(items, |items| *items > 0).await?;
        drop(hungry);
        *items -= 1;
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }

    /// Adds an item, and holds the lock while a waiter is notified.
    async fn add(&self) -> Ended {
        let mut items = self.items.acquire().await?;
        *items += 1;
        self.added.set(self.added.get() + 1);
        self.changed.notify(1);
        yield_now().await
    }

    /// No member can go on: an item and a waiter for it mean that a notification was lost. A
    /// cancelled member has added less than the others wait for.
    fn stuck(&self) {
        let mut items = self.items.try_acquire().expect("the lock was not released");
        let hungry = self.hungry.get();
        assert!(*items == 0 || hungry == 0, "a waiter was not notified of an item");
        *items += hungry;
        self.added.set(self.added.get() + hungry);
        self.changed.notify_all();
    }

    fn check(&self) {
        let left = *self.items.try_acquire().expect("the lock was not released");
        assert_eq!(left + self.taken.get(), self.added.get(), "items are lost");
    }
}

/// V4, Y2, Y3: a notification of a waiter that is cancelled goes to the next one.
#[test]
fn no_notification_of_a_condition_is_lost() {
    assert_complete(1_618, async || {
        let store = Rc::new(Store::default());
        let spawn = |g: Group| {
            let [first, second, third] = [(); 3].map(|()| store.clone());
            g.spawn(async move { first.take().await });
            g.spawn(async move { second.take().await });
            g.spawn(async move {
                third.add().await?;
                third.add().await
            });
        };
        members(spawn, || store.stuck()).await?;
        store.check();
        Ok(())
    });
}

/// V4, Y3: a notification of a waiter that is dropped goes to the next one.
#[test]
fn a_dropped_waiter_passes_a_notification_on() {
    assert_complete(313, async || {
        let store = Rc::new(Store::default());
        let spawn = |g: Group| {
            let [first, second, third] = [(); 3].map(|()| store.clone());
            let victim = g.spawn(async move { first.take().await });
            g.spawn(async move { second.take().await });
            g.spawn(async move {
                third.add().await?;
                victim.abort();
                Ok(())
            });
        };
        members(spawn, || store.stuck()).await?;
        store.check();
        Ok(())
    });
}
