//! A group that is not bound to a block, and its calls, swept.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use curium::kernel::testing::{self, Moment};
use curium::kernel::{
    GroupRef, Result, Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, TaskId, WaitPolicy,
    sleep, spawn, yield_now,
};

use super::checks::{Among, AtTheEnd, Living, MS, aborts, assert_tried, shuts_down, undisturbed};

/// A group that outlives the subject, and the members whose end was returned.
struct Ends {
    group: TaskGroup<TaskCancelled>,
    members: RefCell<Vec<TaskId>>,
    ends: RefCell<Vec<TaskId>>,
    others: RefCell<Vec<Task<(), TaskCancelled>>>,
}

impl Ends {
    fn new() -> Self {
        let group = TaskGroup::new();
        let members = [3, 1, 2, 2].map(|ms| group.spawn(sleep(ms * MS)).id()).to_vec();
        group.spawn_daemon(sleep(1000 * MS));
        let (members, others) = (RefCell::new(members), RefCell::default());
        Ends { group, members, ends: RefCell::default(), others }
    }

    async fn next(&self) -> Result<bool> {
        let ended = self.group.next_done().await?;
        self.ends.borrow_mut().extend(ended.map(|ended| ended.id));
        Ok(ended.is_some())
    }
}

/// V4, G6: the end of a member is returned once, also if a call of `next_done` is cancelled, or is
/// dropped when it was woken, and other callers wait as well.
#[test]
fn the_end_of_a_member_is_returned_once() {
    let setup = async || {
        let ends = Rc::new(Ends::new());
        let also = ends.clone();
        let other = spawn(async move { also.next().await.map(drop) });
        ends.others.borrow_mut().push(other);
        ends
    };
    let subject = |ends: Rc<Rc<Ends>>| async move {
        while ends.next().await? {
            yield_now().await?;
        }
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |ends, run| {
        undisturbed(run);
        while ends.next().await.unwrap() {}
        let others = ends.others.take();
        for other in others {
            other.wait().await.unwrap();
        }
        let (mut ended, mut expected) = (ends.ends.take(), ends.members.take());
        ended.sort_unstable_by_key(|id| format!("{id:?}"));
        expected.sort_unstable_by_key(|id| format!("{id:?}"));
        assert_eq!(ended, expected, "the end of a member was not returned once");
        ends.group.join().await.unwrap();
    });
    assert_tried(&swept, &["NEXT_DONE"], 40, 490);
}

/// V4, G1: `cancel_remaining` abandons the wait alone, and `join` leaves no member alive; a `join`
/// that is dropped leaves the group as it is.
#[test]
fn a_group_of_its_own_ends_on_every_path() {
    struct Own {
        group: TaskGroup<TaskCancelled>,
        living: Living,
        cleaned: Cell<usize>,
    }
    async fn member(own: Rc<Own>, ms: u32) -> Result<()> {
        let _alive = own.living.one_more();
        let slept = sleep(ms * MS).await;
        if slept.is_err() {
            sleep(MS).await?;
            own.cleaned.set(own.cleaned.get() + 1);
        }
        slept
    }
    let setup = async || {
        let group = TaskGroup::with(WaitPolicy::All);
        let own = Rc::new(Own { group, living: Living::default(), cleaned: Cell::new(0) });
        for ms in [1000, 2000] {
            own.group.spawn(member(own.clone(), ms));
        }
        own.group.spawn_daemon(member(own.clone(), 3000));
        testing::settle().await.unwrap();
        own
    };
    let subject = |own: Rc<Rc<Own>>| async move {
        own.group.cancel_remaining().await?;
        assert_eq!((own.living.count(), own.cleaned.get()), (1, 2), "the daemon goes on");
        for ms in [1, 2] {
            own.group.spawn(member((*own).clone(), ms));
        }
        let joined = own.group.join().await;
        assert_eq!(own.living.count(), 0, "a member is alive after its group");
        joined
    };
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |own, run| {
        undisturbed(run);
        // Dropped, the subject has left the group open.
        own.group.cancel_remaining().await.unwrap();
        own.group.join().await.unwrap();
        assert_eq!(own.living.count(), 0, "a member is alive after its group");
        assert!(own.cleaned.get() >= 3, "only {} members have cleaned up", own.cleaned.get());
        assert!(own.group.try_spawn(async { Ok(()) }).is_err(), "the group has ended");
    });
    assert_tried(&swept, &["GROUP_WAIT"], 21, 530);
}

/// A group whose member fails, and whether it failed to the subject.
struct Failing {
    group: TaskGroup<io::Error>,
    member: Task<(), io::Error>,
    joiner_has_it: Cell<bool>,
}

/// V4, G2, G3: the failure of a member goes to the task that waits in its `join`, or else to the
/// group. A `join` that was cancelled or dropped before takes no failure from the group.
#[test]
fn the_failure_of_a_member_goes_to_its_joiner_or_to_its_group() {
    let setup = async || {
        let group = TaskGroup::new();
        let member = group.spawn(async {
            sleep(2 * MS).await?;
            Err(io::Error::other("the member fails"))
        });
        Among::new(Failing { group, member, joiner_has_it: Cell::new(false) })
            .and(async |failing: Rc<Failing>| failing.member.wait().await)
    };
    let subject = |failing: Rc<Among<Failing>>| async move {
        sleep(MS).await?;
        let outcome = failing.member.join().await?;
        failing.joiner_has_it.set(matches!(outcome, Err(TaskError::Failed(_))));
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |failing, run| {
        undisturbed(run);
        failing.others_end(run).await;
        let joined = failing.group.join().await;
        assert!(!(failing.joiner_has_it.get() && joined.is_err()), "it failed to both");
        let woken = run.injected.iter().any(|done| done.moment == Moment::Woken);
        let dropped_late = aborts(run) && woken;
        let kept = failing.joiner_has_it.get() || joined.is_err();
        assert!(kept || dropped_late || shuts_down(run), "the failure is lost");
    });
    assert_tried(&swept, &["JOIN", "SLEEP"], 14, 200);
}

/// V4, G7: members spawn members until the group is torn down; each that was born has ended.
#[test]
fn members_of_members_end_with_their_group() {
    #[derive(Default)]
    struct Family {
        living: Living,
        left: Cell<bool>,
        outlived: Cell<bool>,
        born: Cell<u32>,
        died: Cell<u32>,
    }
    async fn parent(family: Rc<Family>, depth: u32, g: GroupRef<TaskCancelled>) {
        let _alive = family.living.one_more();
        family.born.set(family.born.get() + 1);
        for _ in 0..2 {
            if depth > 0 {
                g.spawn(parent(family.clone(), depth - 1, g));
            }
            // A member that returns `()` swallows its cancellation.
            let _ = sleep(MS).await;
            family.outlived.set(family.outlived.get() || family.left.get());
        }
        family.died.set(family.died.get() + 1);
    }
    let subject = |family: Rc<Family>| async move {
        let _left = AtTheEnd(&family.left);
        let ended = TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(parent(family.clone(), 2, g));
            Ok(())
        });
        let ended = ended.await;
        assert_eq!(family.born.get(), 7);
        assert_eq!(family.died.get(), 7, "a member is alive after its group");
        ended
    };
    let setup = async || Family::default();
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |family, run| {
        undisturbed(run);
        assert!(!family.outlived.get(), "a member ran after its group");
        assert_eq!(family.living.count(), 0, "members were left behind");
        let begun = run.end != TaskEnd::Aborted && family.born.get() > 0;
        assert!(aborts(run) || !begun || family.died.get() == 7);
    });
    assert_tried(&swept, &["GROUP_WAIT"], 7, 250);
}
