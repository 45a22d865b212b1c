//! `finally` and groups with a grace, swept.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use curium::kernel::testing::{self, Run};
use curium::kernel::{
    BodyEnd, Result, TaskCancelled, TaskEnd, TaskGroup, WaitPolicy, cancelled, finally,
    ignore_after, now, sleep, unless_cancelled, yield_now,
};
use curium::sync::Lock;

use super::checks::{Among, AtTheEnd, Living, MS, aborts, assert_tried, shuts_down, undisturbed};

/// Connections that are opened, used and closed.
#[derive(Default)]
struct Connections {
    opened: Cell<usize>,
    /// Whose cleanup was begun, and was run to its end.
    closing: Cell<usize>,
    closed: Cell<usize>,
    /// The ends of the bodies that `finally` has named wrongly.
    wrong: Cell<usize>,
    lock: Lock<()>,
}

impl Connections {
    /// Opens a connection, uses it and closes it. All three await.
    async fn used(&self, fails: bool) -> io::Result<u32> {
        sleep(MS).await?;
        self.opened.set(self.opened.get() + 1);
        let body_ended = Cell::new(BodyEnd::Panicked);
        let body = async {
            let used = match self.work().await {
                Ok(()) if fails => Err(io::Error::other("refused")),
                Ok(()) => Ok(7),
                Err(cancelled) => Err(cancelled.into()),
            };
            body_ended.set(match &used {
                Ok(_) => BodyEnd::Ok,
                Err(error) if cancelled(error).is_some() => BodyEnd::Cancelled,
                Err(_) => BodyEnd::Failed,
            });
            used
        };
        let closed = finally(body, async |how| {
            if how != body_ended.get() {
                self.wrong.set(self.wrong.get() + 1);
            }
            self.closing.set(self.closing.get() + 1);
            let guard = self.lock.acquire().await?;
            sleep(MS).await?;
            yield_now().await?;
            drop(guard);
            self.closed.set(self.closed.get() + 1);
            Ok(())
        });
        closed.await
    }

    async fn work(&self) -> Result<()> {
        let _guard = self.lock.acquire().await?;
        yield_now().await?;
        sleep(2 * MS).await
    }

    /// Every connection was closed, unless the subject was dropped.
    fn check(&self, run: &Run) {
        let [opened, closing, closed] = [&self.opened, &self.closing, &self.closed].map(Cell::get);
        assert_eq!(self.wrong.get(), 0, "the end of a body was named wrongly");
        let dropped = aborts(run);
        assert!(dropped || (opened == closing && closing == closed), "{opened} {closing} {closed}");
        assert!(!self.lock.is_held(), "the lock was left held");
    }
}

/// V4, C20: whatever comes, and whenever, the cleanup runs to its end, unless its task is dropped.
/// The value or the error of the body is kept.
#[test]
fn a_cleanup_always_runs_to_its_end() {
    let setup = async || {
        Among::new(Connections::default()).and(async |connections: Rc<Connections>| {
            let _refused = connections.used(true).await;
            Ok(())
        })
    };
    let subject = |connections: Rc<Among<Connections>>| async move {
        let refused = unless_cancelled(connections.used(true).await)?;
        assert_eq!(refused.expect_err("it fails").to_string(), "refused");
        assert_eq!(connections.used(false).await?, 7);
        io::Result::Ok(())
    };
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |shared, run| {
        shared.others_end(run).await;
        shared.check(run);
        assert_ne!(run.end, TaskEnd::Failed);
        assert!(!undisturbed(run) || shared.closed.get() == 3);
    });
    assert_tried(&swept, &["LOCK_ACQUIRE", "SLEEP"], 96, 3750);
}

/// V4, C20, T3: nested calls, and a timeout between them. The cleanups run from the inside out.
#[test]
fn nested_cleanups_always_run_to_their_end() {
    let order = |connections: &Connections, at: usize| {
        let right = connections.closed.get() == at;
        connections.wrong.set(connections.wrong.get() + usize::from(!right));
        connections.closed.set(connections.closed.get() + 1);
    };
    let subject = move |connections: Rc<Connections>| async move {
        connections.opened.set(2);
        let inner = async {
            finally(sleep(1000 * MS), async |how| {
                connections.closing.set(connections.closing.get() + 1);
                assert_eq!(how, BodyEnd::Cancelled);
                sleep(2 * MS).await.expect("shielded");
                order(&connections, 0);
            })
            .await
        };
        let outer = finally(ignore_after(5 * MS, inner), async |_| {
            connections.closing.set(connections.closing.get() + 1);
            yield_now().await.expect("shielded");
            sleep(MS).await.expect("shielded");
            order(&connections, 1);
        });
        assert_eq!(outer.await?, None);
        sleep(MS).await
    };
    let setup = async || Connections::default();
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |shared, run| {
        // Dropped before its first poll, or later.
        if !aborts(run) {
            shared.check(run);
        }
        undisturbed(run);
    });
    assert_tried(&swept, &["SLEEP"], 40, 1600);
}

/// When a cancellation reached a cleanup with a limit of three milliseconds, and when that began.
#[derive(Default)]
struct Bounded {
    began: Cell<Option<Instant>>,
    cut_at: Cell<Option<Instant>>,
    ended: Cell<bool>,
}

/// V4, C20, C7: a cancellation is held back for the limit of the cleanup, counted from its begin,
/// and no longer.
#[test]
fn a_cleanup_is_cut_off_at_its_limit_and_not_before() {
    let subject = |bounded: Rc<Bounded>| async move {
        let cleanup = async |_| {
            bounded.began.set(Some(now()));
            for _ in 0..5 {
                let slept = sleep(MS).await;
                bounded.cut_at.set(slept.is_err().then(now));
                slept?;
            }
            bounded.ended.set(true);
            Ok(())
        };
        finally(sleep(2 * MS), cleanup).within(3 * MS).await
    };
    let setup = async || Bounded::default();
    let swept = testing::sweep().pairs().run(setup, subject, async |bounded, run| {
        let Some(began) = bounded.began.get() else { return };
        if let Some(cut_at) = bounded.cut_at.get() {
            assert!(cut_at >= began + 3 * MS, "cut off after {:?}", cut_at - began);
        }
        let over = bounded.ended.get() || bounded.cut_at.get().is_some();
        assert!(over || aborts(run), "neither ended nor cut off");
        assert!(!undisturbed(run) || bounded.ended.get());
    });
    assert_tried(&swept, &["SLEEP"], 6, 250);
}

/// A group with members that do not end when they are cancelled.
#[derive(Default)]
struct Stubborn {
    living: Living,
    left: Cell<bool>,
    /// When the members were cancelled, and when the group was left.
    cancelled_at: Cell<Option<Instant>>,
    left_at: Cell<Option<Instant>>,
}

impl Stubborn {
    async fn swallows(self: Rc<Self>) -> Result<()> {
        let _alive = self.living.one_more();
        loop {
            if sleep(1000 * MS).await.is_err() && self.cancelled_at.get().is_none() {
                self.cancelled_at.set(Some(now()));
            }
            assert!(!self.left.get(), "a member ran after its group");
        }
    }

    async fn cleans_up(self: Rc<Self>, ms: u32) -> Result<()> {
        let _alive = self.living.one_more();
        let slept = sleep(ms * MS).await;
        yield_now().await?;
        sleep(MS).await?;
        slept
    }

    /// `body`: how long a body that is cancelled may still take.
    fn check(&self, run: &Run, body: Duration) {
        undisturbed(run);
        assert_eq!(self.living.count(), 0, "members were left behind");
        let (Some(cancelled), Some(left)) = (self.cancelled_at.get(), self.left_at.get()) else {
            return;
        };
        // A shutdown cancels all members at once, and the owner leaves its body later.
        let later = if shuts_down(run) { body } else { Duration::ZERO };
        assert!(left <= cancelled + 5 * MS + later, "left {:?} later", left - cancelled);
    }

    /// A group with a grace of five milliseconds, in which a member has a group without one.
    async fn group(self: Rc<Self>, policy: WaitPolicy) -> Result<()> {
        let ended = TaskGroup::<TaskCancelled>::scope_with(policy, async |g| {
            g.set_grace(5 * MS);
            g.spawn_daemon(self.clone().swallows());
            let inner = self.clone();
            g.spawn(async move {
                TaskGroup::<TaskCancelled>::scope(async |g| {
                    g.spawn(inner.clone().swallows());
                    g.spawn(inner.cleans_up(2));
                    Ok(())
                })
                .await
            });
            g.spawn(self.clone().cleans_up(3));
            yield_now().await?;
            sleep(MS).await
        });
        let ended = ended.await;
        self.left.set(true);
        assert_eq!(self.living.count(), 0, "a member is alive after its group");
        self.left_at.set(Some(now()));
        ended
    }
}

/// V4, G12, G1: on every path no member is left behind, and the group is left at most its grace
/// after its members were cancelled.
#[test]
fn a_group_with_a_grace_leaves_no_member_and_is_bounded() {
    let subject = |stubborn: Rc<Stubborn>| async move {
        let _left = AtTheEnd(&stubborn.left);
        stubborn.clone().group(WaitPolicy::Any).await
    };
    let setup = async || Stubborn::default();
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |stubborn, run| {
        stubborn.check(run, MS);
    });
    assert_tried(&swept, &["GROUP_WAIT", "GROUP_END"], 32, 930);
}

/// V4, G12, G2: a member fails. The grace counts from then, and the body may still clean up.
#[test]
fn a_failing_group_with_a_grace_leaves_no_member_and_is_bounded() {
    let subject = |stubborn: Rc<Stubborn>| async move {
        let _left = AtTheEnd(&stubborn.left);
        let failing = stubborn.clone();
        let ended = TaskGroup::<io::Error>::scope_within(5 * MS, async |g| {
            let member = failing.clone();
            g.spawn(async move { Ok(member.swallows().await?) });
            let member = failing.clone();
            g.spawn(async move {
                member.cleans_up(2).await?;
                io::Result::<()>::Err(io::Error::other("the work failed"))
            });
            let slept = sleep(1000 * MS).await;
            sleep(2 * MS).await?;
            Ok(slept?)
        });
        let error = ended.await.expect_err("a member fails, or a cancellation comes");
        stubborn.left.set(true);
        assert_eq!(stubborn.living.count(), 0, "a member is alive after its group");
        stubborn.left_at.set(Some(now()));
        match cancelled(&error) {
            Some(_) => Err(error),
            None => Ok(()),
        }
    };
    let setup = async || Stubborn::default();
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |stubborn, run| {
        stubborn.check(run, 2 * MS);
    });
    assert_tried(&swept, &["GROUP_END", "SLEEP"], 24, 840);
}
