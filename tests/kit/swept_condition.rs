//! Conditions, swept.

use std::cell::Cell;
use std::rc::Rc;

use curium::kernel::testing::{self, Run};
use curium::kernel::{Result, TaskCancelled, sleep, yield_now};
use curium::sync::{Condition, Lock};

use super::checks::{Among, MS, assert_tried, shuts_down, undisturbed};

const ITEMS: usize = 4;

/// Items that a lock guards. Each is notified once.
#[derive(Default)]
struct Store {
    items: Lock<usize>,
    changed: Condition,
    taken: Cell<usize>,
}

impl Store {
    /// Puts the items, one after the other, and wakes one waiter for each.
    async fn fill(&self) -> Result<()> {
        for _ in 0..ITEMS {
            *self.items.acquire().await? += 1;
            self.changed.notify(1);
            yield_now().await?;
        }
        Ok(())
    }

    /// Takes an item. The last one ends the waits of all others.
    async fn take(&self) -> Result<()> {
        let guard = self.items.acquire().await?;
        let is_there = |items: &mut usize| *items > 0 || self.taken.get() == ITEMS;
        let mut guard = self.changed.wait_for(guard, is_there).await?;
        assert!(self.items.is_held(), "the lock is not held after the wait");
        if *guard > 0 {
            *guard -= 1;
            self.taken.set(self.taken.get() + 1);
        }
        if self.taken.get() == ITEMS {
            self.changed.notify_all();
        }
        Ok(())
    }

    async fn check(&self, run: &Run) {
        undisturbed(run);
        assert!(!self.items.is_held(), "the lock was left held");
        let left = *self.items.acquire().await.unwrap();
        let all = self.taken.get() == ITEMS && left == 0;
        assert!(all || shuts_down(run), "{} were taken, {left} are left", self.taken.get());
    }
}

/// V4, Y3: a waiter of a condition that is notified and then cancelled or dropped passes the
/// notification on, in its wait and while it takes the lock again: each item is taken.
#[test]
fn no_notification_of_a_condition_is_lost() {
    let setup = async || {
        let takes_the_rest = async |store: Rc<Store>| {
            while store.taken.get() < ITEMS {
                store.take().await?;
            }
            Ok(())
        };
        Among::new(Store::default())
            .and(takes_the_rest)
            .and(async |store: Rc<Store>| {
                sleep(MS).await?;
                store.fill().await
            })
            .and(async |store: Rc<Store>| {
                // So that the waiters find the lock held when they are woken.
                for _ in 0..6 {
                    let guard = store.items.acquire().await?;
                    sleep(MS / 2).await?;
                    drop(guard);
                    yield_now().await?;
                }
                Ok(())
            })
    };
    let subject = |store: Rc<Among<Store>>| async move {
        store.take().await?;
        store.take().await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |store, run| {
        store.others_end(run).await;
        store.check(run).await;
    });
    assert_tried(&swept, &["CONDITION_WAIT", "LOCK_ACQUIRE"], 26, 330);
}

/// V4, Y3: a plain wait gives the lock up, and has it again if it ends well. The cleanup can take
/// it again, and a second cancellation there loses nothing either.
#[test]
fn a_wait_for_a_condition_holds_the_lock_again() {
    let setup = async || {
        let store = Among::new(Store::default()).and(async |store: Rc<Store>| {
            for _ in 0..2 {
                let guard = store.items.acquire().await?;
                store.changed.notify(1);
                sleep(MS).await?;
                drop(guard);
                sleep(MS).await?;
            }
            Ok(())
        });
        testing::settle().await.unwrap();
        store.and(async |store: Rc<Store>| {
            let guard = store.items.acquire().await?;
            let guard = store.changed.wait(guard).await?;
            assert!(store.items.is_held());
            drop(guard);
            store.taken.set(store.taken.get() + 1);
            store.changed.notify(1);
            Ok(())
        })
    };
    let subject = |store: Rc<Among<Store>>| async move {
        let guard = store.items.acquire().await?;
        let waited = store.changed.wait(guard).await;
        match waited {
            Ok(guard) => {
                assert!(store.items.is_held());
                drop(guard);
                store.changed.notify(1);
                yield_now().await
            }
            Err(cancelled) => {
                *store.items.acquire().await? += 1;
                Err(cancelled)
            }
        }
    };
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |store, run| {
        store.others_end(run).await;
        undisturbed(run);
        assert!(!store.items.is_held(), "the lock was left held");
        assert!(shuts_down(run) || store.taken.get() == 1, "the notification is lost");
        let again: Result<_, TaskCancelled> = store.items.acquire().await;
        drop(again.unwrap());
    });
    assert_tried(&swept, &["CONDITION_WAIT"], 25, 420);
}
