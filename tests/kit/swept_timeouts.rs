//! Timeouts, nested and in shields, swept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use curium::kernel::testing;
use curium::kernel::{
    Result, TaskCancelled, TaskTimeout, ignore_after, now, shield, sleep, timeout_after,
    timeout_at, yield_now,
};
use curium::sync::Lock;

use super::checks::{Among, MS, aborts, assert_tried, shuts_down, undisturbed};

/// What the bodies of the timeouts have left behind.
#[derive(Default)]
struct Bodies {
    begun: Cell<u32>,
    ended: Cell<u32>,
    cleaned: Cell<u32>,
    lock: Lock<()>,
    /// The deadlines and the instants of the timeouts that expired.
    expired: RefCell<Vec<(Instant, Instant)>>,
}

impl Bodies {
    /// Works for so many milliseconds under a lock; its cleanup awaits.
    async fn body(&self, ms: u32) -> Result<u32> {
        self.begun.set(self.begun.get() + 1);
        let worked = self.work(ms).await;
        match worked {
            Ok(_) => self.ended.set(self.ended.get() + 1),
            Err(_) => {
                // A cancellation may follow the timeout.
                shield(yield_now()).await?;
                self.cleaned.set(self.cleaned.get() + 1);
            }
        }
        worked
    }

    async fn work(&self, ms: u32) -> Result<u32> {
        let _guard = self.lock.acquire().await?;
        sleep(ms * MS).await?;
        Ok(ms)
    }

    /// T1: when the call has returned, its body has ended or cleaned up.
    fn over<T>(&self, deadline: Instant, result: &std::result::Result<T, TaskTimeout>) {
        let (begun, ended, cleaned) = (self.begun.get(), self.ended.get(), self.cleaned.get());
        assert_eq!(begun, ended + cleaned, "a body was left at its timeout");
        if result.is_err() {
            self.expired.borrow_mut().push((deadline, now()));
        }
    }

    /// T3: no timeout is returned before its time.
    fn check(&self) {
        for (deadline, at) in self.expired.take() {
            assert!(deadline <= at, "a timeout was returned {:?} before its time", deadline - at);
        }
        assert!(!self.lock.is_held(), "the lock was left held");
    }
}

/// An inner timeout that expires in an outer one that does not, and the other way round.
async fn nested(bodies: Rc<Among<Bodies>>) -> Result<()> {
    let deadline = now() + 20 * MS;
    let outer = timeout_after(20 * MS, async {
        let inner_deadline = now() + 2 * MS;
        let inner = timeout_after(2 * MS, bodies.body(9)).await;
        bodies.over(inner_deadline, &inner);
        if let Ok(value) = inner {
            value?;
        }
        bodies.body(1).await
    });
    let outer = outer.await;
    bodies.over(deadline, &outer);
    outer.expect("20 ms are enough")?;
    let deadline = now() + 2 * MS;
    let outer = timeout_at(deadline, async {
        let inner_deadline = now() + 20 * MS;
        let inner = timeout_at(inner_deadline, bodies.body(9)).await;
        bodies.over(inner_deadline, &inner);
        inner.expect("the outer timeout is not the inner one's")
    });
    let outer = outer.await;
    bodies.over(deadline, &outer);
    match outer {
        Ok(value) => value.map(drop),
        Err(_) => sleep(MS).await,
    }
}

async fn with_a_rival() -> Among<Bodies> {
    let rival = async |bodies: Rc<Bodies>| {
        let mine = async {
            for _ in 0..3 {
                let guard = bodies.lock.acquire().await?;
                sleep(MS).await?;
                drop(guard);
            }
            Ok(())
        };
        mine.await
    };
    Among::new(Bodies::default()).and(rival)
}

/// V4, T1, T3: nested timeouts. A body has cleaned up when its timeout returns, and a timeout is
/// returned only by the call whose time ran out.
#[test]
fn nested_timeouts_keep_apart() {
    let sweep = testing::sweep().pairs().seeds(0..8);
    let swept = sweep.run(with_a_rival, nested, async |bodies, run| {
        bodies.others_end(run).await;
        let expired = bodies.expired.borrow().len();
        assert!(!undisturbed(run) || expired == 2, "{expired} timeouts expired");
        bodies.check();
    });
    assert_tried(&swept, &["LOCK_ACQUIRE", "SLEEP"], 61, 1530);
}

/// V4, T4: a timeout that was left in time never fires, whatever comes later.
#[test]
fn a_timeout_that_was_left_never_fires() {
    let subject = |bodies: Rc<Among<Bodies>>| async move {
        let in_time = ignore_after(9 * MS, bodies.body(1)).await?;
        assert_eq!(in_time, Some(1));
        let late = ignore_after(MS, bodies.body(9)).await?;
        assert_eq!(late, None);
        let none = ignore_after(Duration::MAX, bodies.body(1)).await?;
        assert_eq!(none, Some(1));
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().pairs().seeds(0..8).run(with_a_rival, subject, {
        async |bodies, run| {
            undisturbed(run);
            bodies.others_end(run).await;
            bodies.check();
            let slept = sleep(20 * MS).await;
            assert!(slept.is_ok(), "it has fired in another task");
        }
    });
    assert_tried(&swept, &["LOCK_ACQUIRE", "SLEEP"], 39, 1110);
}

/// V4, C7, T5: a timeout inside a shield works, and one outside it is held back; what was held back
/// comes after the shield.
#[test]
fn a_timeout_in_a_shield_works_and_one_around_it_is_held_back() {
    let subject = |bodies: Rc<Among<Bodies>>| async move {
        let deadline = now() + MS;
        let outer = timeout_after(MS, async {
            let inner_deadline = now() + 3 * MS;
            let inner = shield(timeout_after(3 * MS, bodies.body(9))).await;
            assert!(now() >= inner_deadline, "something came into the shield");
            bodies.over(inner_deadline, &inner);
            inner.expect_err("only its own time ends the body");
            yield_now().await
        });
        let outer = outer.await;
        bodies.over(deadline, &outer);
        assert!(now() == deadline + 2 * MS, "what was held back comes after the shield");
        outer.unwrap_or(Ok(()))?;
        sleep(MS).await
    };
    let swept =
        testing::sweep().pairs().seeds(0..8).run(with_a_rival, subject, async |bodies, run| {
            bodies.others_end(run).await;
            let expired = bodies.expired.borrow().len();
            assert!(!undisturbed(run) || expired == 2, "{expired} timeouts expired");
            let shielded = bodies.begun.get() == bodies.ended.get() + bodies.cleaned.get();
            assert!(aborts(run) || shuts_down(run) || shielded);
            bodies.check();
        });
    assert_tried(&swept, &["SLEEP"], 29, 1070);
}
