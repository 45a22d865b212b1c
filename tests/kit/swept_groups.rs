//! Task groups under every policy, nested and with members that fail, swept.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use curium::kernel::testing::{self, Run, Swept};
use curium::kernel::{
    Result, TaskCancelled, TaskEnd, TaskGroup, WaitPolicy, cancelled, ignore_after, shield, sleep,
    yield_now,
};
use curium::sync::Lock;

use super::checks::{AtTheEnd, Living, MS, aborts, assert_tried, undisturbed};

/// What the members of a group leave behind: nothing, when the group has ended.
#[derive(Default)]
struct Members {
    living: Living,
    /// The subject has been left, on whichever path.
    left: Cell<bool>,
    /// A member ran after that.
    outlived: Cell<bool>,
    begun: Cell<usize>,
    ended: Cell<usize>,
    cleaned: Cell<usize>,
    lock: Lock<u32>,
    values: RefCell<Vec<u64>>,
}

impl Members {
    /// A member that works for so many milliseconds, holds a lock now and then, and whose cleanup
    /// awaits.
    async fn member(self: Rc<Self>, group: Living, ms: u32) -> Result<u32> {
        let _alive = (self.living.one_more(), group.one_more());
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

    /// A member runs.
    fn note(&self) {
        self.outlived.set(self.outlived.get() || self.left.get());
    }

    /// G1, G4: no member runs after its group was left; and all that began have ended or cleaned
    /// up, unless they were dropped.
    fn check(&self, run: &Run) {
        assert!(!self.outlived.get(), "a member ran after its group");
        assert_eq!(self.living.count(), 0, "members were left behind");
        assert!(!self.lock.is_held(), "a member has left the lock held");
        let (begun, ended, cleaned) = (self.begun.get(), self.ended.get(), self.cleaned.get());
        let lost = begun - ended - cleaned;
        assert!(lost == 0 || aborts(run), "{lost} of {begun} members neither ended nor cleaned up");
    }
}

/// A group of three members and a daemon, under a policy.
async fn three(members: Rc<Members>, policy: WaitPolicy) -> Result<()> {
    let living = Living::default();
    let ended = TaskGroup::<TaskCancelled>::scope_with(policy, async |g| {
        g.spawn_daemon(members.clone().member(living.clone(), 1000));
        for ms in [3, 1, 2] {
            g.spawn(members.clone().member(living.clone(), ms));
        }
        yield_now().await?;
        yield_now().await
    });
    let ended = ended.await;
    assert_eq!(living.count(), 0, "a member is alive after its group");
    ended
}

/// Sweeps a group under a policy. `well`: how many members end well if nothing is injected.
fn sweep_policy(policy: WaitPolicy, well: usize) -> Swept {
    testing::sweep().pairs().seeds(0..8).run(
        async || Members::default(),
        |members| async move {
            let _left = AtTheEnd(&members.left);
            three(members.clone(), policy).await
        },
        async |members, run| {
            members.check(run);
            if undisturbed(run) {
                assert_eq!(members.ended.get(), well);
            }
        },
    )
}

/// V4, G1, G5: a group that waits for all its members.
#[test]
fn a_group_that_waits_for_all_leaves_no_member_alive() {
    let swept = sweep_policy(WaitPolicy::All, 3);
    assert_tried(&swept, &["GROUP_WAIT"], 28, 910);
}

/// V4, G1, G5: a group that waits for the first member to end.
#[test]
fn a_group_that_waits_for_any_leaves_no_member_alive() {
    let swept = sweep_policy(WaitPolicy::Any, 1);
    assert_tried(&swept, &["GROUP_WAIT"], 30, 970);
}

/// V4, G1, G5: a group that waits for the first success.
#[test]
fn a_group_that_waits_for_the_first_success_leaves_no_member_alive() {
    let swept = sweep_policy(WaitPolicy::FirstOk, 1);
    assert_tried(&swept, &["GROUP_WAIT"], 30, 970);
}

/// V4, G1, G5: a group that waits for none.
#[test]
fn a_group_that_waits_for_none_leaves_no_member_alive() {
    let mut swept = sweep_policy(WaitPolicy::None, 0);
    // The wait of this policy is over at once.
    swept.sites.retain(|site| site.kind != "GROUP_WAIT");
    assert_tried(&swept, &["GROUP_END"], 23, 760);
}

/// V4, G2, G3: a member fails and so do two cleanups. Undisturbed, all three errors are returned.
/// On every path the members end, and an error that the group returns is one of theirs or the
/// injected cancellation.
#[test]
fn a_group_with_failing_members_leaves_none_alive() {
    let failing = |members: Rc<Members>, ms: u32| async move {
        match members.member(Living::default(), ms).await {
            Ok(_) => io::Result::<()>::Err(io::Error::other("the work failed")),
            Err(_) => Err(io::Error::other("the cleanup failed")),
        }
    };
    let subject = move |members: Rc<Members>| async move {
        let _left = AtTheEnd(&members.left);
        let group = TaskGroup::<io::Error>::scope_all(async |g| {
            for ms in [3, 1, 2] {
                g.spawn(failing(members.clone(), ms));
            }
            Ok(sleep(1000 * MS).await?)
        });
        let errors = group.await.expect_err("a member fails");
        assert_eq!(members.living.count(), 0, "a member is alive after its group");
        members.values.borrow_mut().push(1 + errors.others.len() as u64);
        match cancelled(&errors.first) {
            Some(_) => Err(errors.first),
            None => Ok(()),
        }
    };
    let setup = async || Members::default();
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |members, run| {
        members.check(run);
        if undisturbed(run) {
            assert_eq!(members.values.take(), [3]);
        }
        assert_ne!(run.end, TaskEnd::Failed);
    });
    assert_tried(&swept, &["GROUP_END", "SLEEP"], 14, 450);
}

/// V4, G2, G5: in a race some members fail and one wins. A failure cancels no other member, and the
/// race is lost only to a cancellation.
#[test]
fn a_race_with_failing_members_leaves_none_alive() {
    let failing = |members: Rc<Members>, ms: u32| async move {
        members.member(Living::default(), ms).await?;
        io::Result::<()>::Err(io::Error::other("the work failed"))
    };
    let subject = move |members: Rc<Members>| async move {
        let _left = AtTheEnd(&members.left);
        TaskGroup::<io::Error>::scope_with(WaitPolicy::FirstOk, async |g| {
            let winner = members.clone();
            g.spawn(failing(members.clone(), 1));
            g.spawn(async move { Ok(winner.member(Living::default(), 2).await?) });
            g.spawn(failing(members.clone(), 1));
            g.spawn(failing(members.clone(), 9));
            Ok(())
        })
        .await
    };
    let setup = async || Members::default();
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |members, run| {
        members.check(run);
        if undisturbed(run) {
            assert_eq!((members.ended.get(), members.cleaned.get()), (3, 1));
        }
        assert_ne!(run.end, TaskEnd::Failed, "{:?}", run.error);
    });
    assert_tried(&swept, &["GROUP_WAIT", "GROUP_END"], 14, 450);
}

/// V4, G1: a group in the body and in a member of another.
#[test]
fn a_group_inside_a_group_leaves_no_member_alive() {
    let subject = |members: Rc<Members>| async move {
        let _left = AtTheEnd(&members.left);
        let outer = TaskGroup::<TaskCancelled>::scope(async |g| {
            let inner = members.clone();
            g.spawn(async move { three(inner, WaitPolicy::All).await });
            g.spawn(members.clone().member(Living::default(), 2));
            three(members.clone(), WaitPolicy::Any).await?;
            g.spawn(members.clone().member(Living::default(), 1));
            Ok(())
        });
        let ended = outer.await;
        assert_eq!(members.living.count(), 0, "a member is alive after its group");
        ended
    };
    let setup = async || Members::default();
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |members, run| {
        members.check(run);
        assert!(!undisturbed(run) || members.ended.get() >= 5);
    });
    assert_tried(&swept, &["GROUP_WAIT"], 37, 1610);
}

/// V4, G1, T6, C7: a timeout round a group, and a group in a shield.
#[test]
fn a_group_in_a_timeout_and_in_a_shield_leaves_no_member_alive() {
    let subject = |members: Rc<Members>| async move {
        let _left = AtTheEnd(&members.left);
        let in_time = ignore_after(2 * MS, three(members.clone(), WaitPolicy::All)).await?;
        assert_eq!(in_time, None, "the group takes longer than its limit");
        let begun = members.begun.get();
        shield(three(members.clone(), WaitPolicy::All)).await.expect("nothing comes in a shield");
        assert_eq!(members.begun.get(), begun + 4, "all members began in the shield");
        sleep(MS).await
    };
    let setup = async || Members::default();
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |members, run| {
        members.check(run);
        undisturbed(run);
    });
    assert_tried(&swept, &["GROUP_WAIT", "SLEEP"], 65, 2590);
}
