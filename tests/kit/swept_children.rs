//! Borrowing scopes under every policy, nested, and with children that fail, swept.

use std::cell::Cell;
use std::io;

use curium::kernel::testing::{self, Run, Swept};
use curium::kernel::{
    Result, Scope, TaskCancelled, WaitPolicy, cancelled, scope, scope_with, sleep, yield_now,
};
use curium::sync::Lock;

use super::checks::{AtTheEnd, Living, MS, aborts, assert_tried, undisturbed};

/// What the children of a scope leave behind: nothing, when the scope has ended.
#[derive(Default)]
struct Children {
    living: Living,
    /// The subject has been left, on whichever path.
    left: Cell<bool>,
    /// A child ran after that.
    outlived: Cell<bool>,
    begun: Cell<usize>,
    ended: Cell<usize>,
    cleaned: Cell<usize>,
    lock: Lock<u32>,
}

impl Children {
    /// A child that works for so many milliseconds, holds a lock now and then, and whose cleanup
    /// awaits.
    async fn child(&self, of: &Living, ms: u32) -> Result<u32> {
        let _alive = (self.living.one_more(), of.one_more());
        self.begun.set(self.begun.get() + 1);
        let worked = self.work(ms).await;
        if worked.is_err() {
            sleep(MS).await?;
            self.note();
            yield_now().await?;
            self.note();
            self.cleaned.set(self.cleaned.get() + 1);
        } else {
            self.ended.set(self.ended.get() + 1);
        }
        worked
    }

    async fn work(&self, ms: u32) -> Result<u32> {
        let mut guard = self.lock.acquire().await?;
        self.note();
        yield_now().await?;
        self.note();
        *guard += 1;
        drop(guard);
        sleep(ms * MS).await?;
        self.note();
        Ok(ms)
    }

    /// A child runs.
    fn note(&self) {
        self.outlived.set(self.outlived.get() || self.left.get());
    }

    /// G1, S4: no child runs after its scope was left; and all that began have ended or cleaned up,
    /// unless they were dropped.
    fn check(&self, run: &Run) {
        assert!(!self.outlived.get(), "a child ran after its scope");
        assert_eq!(self.living.count(), 0, "children were left behind");
        assert!(!self.lock.is_held(), "a child has left the lock held");
        let (begun, ended, cleaned) = (self.begun.get(), self.ended.get(), self.cleaned.get());
        let lost = begun - ended - cleaned;
        assert!(
            lost == 0 || aborts(run),
            "{lost} of {begun} children neither ended nor cleaned up"
        );
    }
}

fn start<'env>(s: &Scope<'env, TaskCancelled>, children: &'env Children, of: &'env Living) {
    for ms in [3, 1, 2] {
        s.spawn(children.child(of, ms));
    }
}

/// A scope of three children, under a policy.
async fn three(children: &Children, policy: WaitPolicy) -> Result<()> {
    let living = Living::default();
    let ended = scope_with(policy, async |s| {
        start(&s, children, &living);
        yield_now().await?;
        yield_now().await
    });
    let ended = ended.await;
    assert_eq!(living.count(), 0, "a child is alive after its scope");
    ended
}

/// Sweeps a scope under a policy. `well`: how many children end well if nothing is injected.
fn sweep_policy(policy: WaitPolicy, well: usize) -> Swept {
    testing::sweep().pairs().seeds(0..8).run(
        async || Children::default(),
        |children| async move {
            let _left = AtTheEnd(&children.left);
            three(&children, policy).await
        },
        async |children, run| {
            children.check(run);
            if undisturbed(run) {
                assert_eq!(children.ended.get(), well);
            }
        },
    )
}

/// V4, S3, G1, G5: a scope that waits for all its children.
#[test]
fn a_scope_that_waits_for_all_leaves_no_child_alive() {
    let swept = sweep_policy(WaitPolicy::All, 3);
    assert_tried(&swept, &["GROUP_WAIT"], 60, 5000);
}

/// V4, S3, G1, G5: a scope that waits for the first child to end, and for the first success.
#[test]
fn a_scope_that_waits_for_one_leaves_no_child_alive() {
    for policy in [WaitPolicy::Any, WaitPolicy::FirstOk] {
        let swept = sweep_policy(policy, 1);
        assert_tried(&swept, &["GROUP_WAIT"], 80, 5500);
    }
}

/// V4, S3, G1, G2: the scope of a child, whose own children are joined, and a child that fails.
#[test]
fn nested_scopes_with_a_failing_child_leave_no_child_alive() {
    let swept = testing::sweep().pairs().seeds(0..4).run(
        async || Children::default(),
        |children| async move {
            let _left = AtTheEnd(&children.left);
            let of = Living::default();
            let ended: io::Result<()> = scope(async |s| {
                s.spawn(async {
                    let sum = scope(async |inner| {
                        let one = inner.spawn(children.child(&of, 1));
                        inner.spawn(children.child(&of, 2));
                        one.await
                    });
                    assert_eq!(sum.await?, 1);
                    Ok(())
                });
                s.spawn(async {
                    children.child(&of, 9).await?;
                    Ok(())
                });
                s.spawn(async {
                    sleep(4 * MS).await?;
                    Err::<(), _>(io::Error::other("its own"))
                });
                Ok(())
            })
            .await;
            assert_eq!(of.count(), 0, "a child is alive after its scope");
            let error = ended.expect_err("a child fails");
            match cancelled(&error) {
                Some(passed_on) => Err(passed_on.clone()),
                None => Ok(()),
            }
        },
        async |children, run| {
            children.check(run);
            undisturbed(run);
        },
    );
    assert_tried(&swept, &["GROUP_END"], 45, 3600);
}

/// V4, S2: the wait for a child is abandoned by a cancellation, and the cancel of a child.
#[test]
fn the_handle_of_a_child_is_swept() {
    let swept = testing::sweep().run(
        async || Children::default(),
        |children| async move {
            let _left = AtTheEnd(&children.left);
            let of = Living::default();
            scope(async |s| {
                let (one, two, three, four) = (
                    s.spawn(children.child(&of, 1)),
                    s.spawn(children.child(&of, 2)),
                    s.spawn(children.child(&of, 9)),
                    s.spawn(children.child(&of, 5)),
                );
                assert_eq!(one.join().await?.unwrap(), 1);
                two.wait().await?;
                assert_eq!(four.await?, 5);
                s.spawn(children.child(&of, 2));
                three.cancel().await
            })
            .await
        },
        async |children, run| {
            children.check(run);
            undisturbed(run);
        },
    );
    assert_tried(&swept, &["JOIN", "WAIT", "CANCEL"], 18, 200);
}
