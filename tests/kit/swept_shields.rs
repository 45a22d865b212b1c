//! Shields, the look at a pending cancellation, and loops that try again, swept.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use curium::kernel::testing::{self, Injection, Moment, Run};
use curium::kernel::{
    Result, TaskCancelled, TaskEnd, cancelled, check_cancellation, disable_cancellation, now,
    shield, shield_for, sleep, unless_cancelled, yield_now,
};
use curium::sync::Lock;

use super::checks::{Among, MS, aborts, assert_tried, shuts_down, undisturbed};

/// A transfer between two accounts, in two steps.
#[derive(Default)]
struct Accounts {
    from: Cell<i32>,
    to: Cell<i32>,
    /// Whether a cancellation was seen to be pending in the shield.
    seen: Cell<bool>,
    /// Whether one was pending after the shield.
    pending: Cell<Option<bool>>,
    lock: Lock<()>,
}

impl Accounts {
    async fn transfer(&self) -> Result<()> {
        let _guard = self.lock.acquire().await?;
        self.from.set(self.from.get() - 1);
        sleep(MS).await?;
        yield_now().await?;
        self.to.set(self.to.get() + 1);
        self.seen.set(self.seen.get() || check_cancellation().is_some());
        Ok(())
    }
}

/// V4, C7: what a shield has begun is finished unless the subject is dropped. A cancellation is
/// held back, can be seen to be pending, and comes at the first leaf that would park after the
/// shield.
#[test]
fn a_shield_finishes_what_it_has_begun() {
    let setup = async || {
        Among::new(Accounts::default())
            .and(async |accounts: Rc<Accounts>| accounts.transfer().await)
            .and(async |accounts: Rc<Accounts>| accounts.transfer().await)
    };
    let subject = |accounts: Rc<Among<Accounts>>| async move {
        let held_back = async { disable_cancellation(accounts.transfer()).await };
        shield(held_back).await.expect("nothing is delivered in a shield");
        let pending = check_cancellation().is_some();
        assert_eq!(pending, accounts.seen.replace(false));
        accounts.pending.set(Some(pending));
        let slept = sleep(MS).await;
        assert!(slept.is_err() || !pending, "the cancellation is lost");
        slept
    };
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |accounts, run| {
        accounts.others_end(run).await;
        let equal = accounts.from.get() + accounts.to.get() == 0;
        assert!(aborts(run) || shuts_down(run) || equal, "a transfer is half done");
        assert!(!undisturbed(run) || accounts.to.get() == 3);
        assert!(!accounts.lock.is_held());
        // The only other sleep is behind the shield.
        let in_shield = run.injected.first().is_some_and(|first| first.kind != "SLEEP");
        assert!(
            !in_shield || accounts.pending.get() != Some(false),
            "it is not seen to be pending"
        );
    });
    assert_tried(&swept, &["LOCK_ACQUIRE", "SLEEP"], 26, 840);
}

/// When a shield of three milliseconds began, and when the first error came out of its body.
#[derive(Default)]
struct Bounded {
    began: Cell<Option<Instant>>,
    error_at: Cell<Option<Instant>>,
    injected_at: Cell<Option<Instant>>,
}

/// V4, C7: a bounded shield holds a cancellation back until its time is over, counted from its
/// entry, and then lets it through.
#[test]
fn a_bounded_shield_holds_back_for_its_time_only() {
    let subject = |bounded: Rc<Bounded>| async move {
        bounded.began.set(Some(now()));
        let body = async {
            for _ in 0..5 {
                let slept = sleep(MS).await;
                if slept.is_err() {
                    bounded.error_at.set(Some(now()));
                }
                slept?;
                if check_cancellation().is_some() && bounded.injected_at.get().is_none() {
                    bounded.injected_at.set(Some(now()));
                }
            }
            Ok::<_, TaskCancelled>(())
        };
        shield_for(3 * MS, body).await
    };
    let setup = async || Bounded::default();
    let swept = testing::sweep().run(setup, subject, async |bounded, run| {
        let Some(began) = bounded.began.get() else { return };
        if undisturbed(run) || aborts(run) {
            return;
        }
        let error_at = bounded.error_at.get();
        let held_back = error_at.is_none_or(|at| at >= began + 3 * MS);
        assert!(held_back, "delivered after {:?}", error_at.map(|at| at - began));
        let first = run.injected[0];
        if first.suspension < 4 || (first.suspension == 4 && first.moment == Moment::Parked) {
            assert_eq!(run.end, TaskEnd::Cancelled, "the limit has let it through");
        }
        if first.suspension < 3 {
            assert_eq!(error_at, Some(began + 3 * MS), "at the limit and not later");
        }
    });
    assert_tried(&swept, &["SLEEP"], 5, 62);
}

/// A call that fails twice and then succeeds.
#[derive(Default)]
struct Calls {
    begun: Cell<u32>,
    /// Those that began after a cancellation was returned by one before.
    after_the_end: Cell<u32>,
    over: Cell<bool>,
}

impl Calls {
    async fn call(&self) -> io::Result<u32> {
        self.begun.set(self.begun.get() + 1);
        if self.over.get() {
            self.after_the_end.set(self.after_the_end.get() + 1);
        }
        let slept = sleep(MS).await;
        self.over.set(self.over.get() || slept.is_err());
        slept?;
        match self.begun.get() {
            3 => Ok(3),
            _ => Err(io::ErrorKind::ConnectionReset.into()),
        }
    }
}

/// V4, C19: a loop that tries again ends with its cancellation, and tries again after every other
/// error.
#[test]
fn a_loop_that_tries_again_ends_with_its_cancellation() {
    let subject = |calls: Rc<Calls>| async move {
        loop {
            match unless_cancelled(calls.call().await)? {
                Ok(value) => return io::Result::Ok(value),
                Err(error) => assert!(cancelled(&error).is_none()),
            }
            sleep(MS).await?;
        }
    };
    let setup = async || Calls::default();
    let check = async |calls: &Calls, run: &Run| {
        assert_eq!(calls.after_the_end.get(), 0, "a call after the cancellation");
        if undisturbed(run) {
            assert_eq!(calls.begun.get(), 3);
        } else if run.injected[0].moment == Moment::Parked {
            let dropped = run.injected[0].injection == Injection::Abort;
            let end = if dropped { TaskEnd::Aborted } else { TaskEnd::Cancelled };
            assert_eq!(run.end, end);
        }
    };
    let swept = testing::sweep().run(setup, subject, check);
    assert_tried(&swept, &["SLEEP"], 5, 62);
}
