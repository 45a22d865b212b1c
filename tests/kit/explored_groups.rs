//! Every schedule of small programs with groups, with a cancel at every moment (V4).
//!
//! The three tasks are the owner of a group and two members, and all explorations are complete: see
//! `explored_sync`.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{
    CancelReason, TaskCancelled, TaskEnd, TaskError, TaskGroup, WaitPolicy, cancelled, shield,
    sleep, spawn, testing, timeout_after, yield_now,
};

use crate::explored::{Counted, Ended, assert_complete};

/// How a member of a group ends, if it is not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Badly,
    Never,
}

use Ends::{Badly, Never, Well};

/// What the members of a group did.
#[derive(Default)]
struct Seen {
    alive: Rc<Cell<usize>>,
    succeeded: Cell<usize>,
    failed: Cell<usize>,
    cancelled_after_failure: Cell<bool>,
}

async fn member(seen: Rc<Seen>, ends: Ends) -> io::Result<()> {
    let _alive = Counted::new(&seen.alive, 1);
    let worked = match ends {
        Never => sleep(Duration::MAX).await,
        Well | Badly => yield_now().await,
    };
    if let Err(cancelled) = worked {
        if cancelled.reason() == CancelReason::GroupFailed {
            seen.cancelled_after_failure.set(true);
        }
        yield_now().await.expect("a cancellation is delivered once");
        return Err(cancelled.into());
    }
    let counted = if ends == Well { &seen.succeeded } else { &seen.failed };
    counted.set(counted.get() + 1);
    if ends == Well { Ok(()) } else { Err(io::Error::other("its own")) }
}

impl Seen {
    /// Whether a group with this policy must have ended, once no task can go on.
    fn satisfies(&self, policy: WaitPolicy) -> bool {
        let ended = 2 - self.alive.get();
        let failed = self.failed.get() > 0;
        match policy {
            WaitPolicy::All => ended == 2 || failed,
            WaitPolicy::Any => ended > 0,
            WaitPolicy::FirstOk => ended == 2 || self.succeeded.get() > 0,
            WaitPolicy::None => true,
        }
    }

    fn check(&self, policy: WaitPolicy, ended: Result<(), TaskError<io::Error>>) {
        let (succeeded, failed) = (self.succeeded.get() > 0, self.failed.get() > 0);
        let first_ok = policy == WaitPolicy::FirstOk;
        match ended {
            Ok(()) => assert!(!failed || (first_ok && succeeded), "a failure is lost"),
            Err(TaskError::Cancelled(error)) => assert!(failed || cancelled(&error).is_some()),
            Err(TaskError::Failed(error)) => {
                assert!(failed && cancelled(&error).is_none(), "{error} without a failure");
                assert!(!first_ok || !succeeded, "a success is lost");
            }
            Err(other) => panic!("the group ended as {other}"),
        }
        assert_eq!(self.alive.get(), 0, "a member has outlived its group");
        let spared = first_ok && self.cancelled_after_failure.get();
        assert!(!spared, "a failure that is not the last one has cancelled a member");
    }
}

/// A group of two members.
async fn group(policy: WaitPolicy, members: [Ends; 2]) -> Ended {
    let seen = Rc::new(Seen::default());
    let inner = seen.clone();
    let owner = spawn(async move {
        let ended = TaskGroup::<io::Error>::scope_with(policy, async |g| {
            for ends in members {
                g.spawn(member(inner.clone(), ends));
            }
            yield_now().await?;
            Ok(())
        })
        .await;
        assert_eq!(inner.alive.get(), 0, "a member has outlived its group");
        ended
    });
    testing::settle().await?;
    assert!(owner.is_done() || !seen.satisfies(policy), "the group waits for too many");
    // A member that was cancelled cannot end the group.
    owner.request_cancel();
    seen.check(policy, owner.join().await?);
    Ok(())
}

/// V4, G1, G2, G3, G5: no member outlives its group, the group ends when it is satisfied, and no
/// failure is lost, under each policy.
#[test]
fn a_group_of_each_policy_ends_with_all_its_members() {
    let programs = [
        (WaitPolicy::All, [Well, Well], 570),
        (WaitPolicy::All, [Well, Badly], 646),
        (WaitPolicy::All, [Never, Badly], 667),
        (WaitPolicy::Any, [Well, Never], 600),
        (WaitPolicy::Any, [Well, Badly], 789),
        (WaitPolicy::FirstOk, [Well, Never], 551),
        (WaitPolicy::FirstOk, [Well, Badly], 677),
        (WaitPolicy::FirstOk, [Badly, Badly], 570),
        (WaitPolicy::None, [Never, Never], 712),
        (WaitPolicy::None, [Well, Badly], 471),
    ];
    for (policy, members, schedules) in programs {
        // Shown if the program fails.
        println!("{policy:?}, {members:?}");
        assert_complete(schedules, async || group(policy, members).await);
    }
}

/// V4, G2: the failure of a member cancels its sibling, and the body, which waits without end.
#[test]
fn a_failed_member_cancels_a_body_that_waits() {
    assert_complete(172, async || {
        let seen = Rc::new(Seen::default());
        let inner = seen.clone();
        let owner = spawn(async move {
            TaskGroup::<io::Error>::scope(async |g| {
                g.spawn(member(inner.clone(), Badly));
                g.spawn(member(inner.clone(), Well));
                sleep(Duration::MAX).await?;
                Ok(())
            })
            .await
        });
        testing::settle().await?;
        assert!(owner.is_done() || seen.failed.get() == 0, "the body waits on after a failure");
        // If the member that fails was cancelled, so must the body be.
        owner.request_cancel();
        seen.check(WaitPolicy::All, owner.join().await?);
        Ok(())
    });
}

/// V4, G2: the failure of a member cancels its sibling at once, also while the body awaits the
/// sibling in a shield.
#[test]
fn a_failed_member_cancels_a_sibling_that_the_body_awaits() {
    assert_complete(197, async || {
        let seen = Rc::new(Seen::default());
        let inner = seen.clone();
        let owner = spawn(async move {
            TaskGroup::<io::Error>::scope(async |g| {
                g.spawn(member(inner.clone(), Badly));
                let sibling = g.spawn(member(inner.clone(), Never));
                let waited = timeout_after(Duration::from_secs(1), sibling.wait());
                let in_time = shield(waited).await.is_ok();
                assert!(in_time || inner.failed.get() == 0, "the sibling goes on after a failure");
                Ok(())
            })
            .await
        });
        testing::settle().await?;
        // If the member that fails was cancelled, the sibling goes on.
        owner.request_cancel();
        seen.check(WaitPolicy::All, owner.join().await?);
        Ok(())
    });
}

/// V4, G2, G3: the failure of a member goes to the one that joins it, and to the group if the join
/// was cancelled.
#[test]
fn a_failure_goes_to_a_join_or_to_the_group() {
    assert_complete(99, async || {
        let seen = Rc::new(Seen::default());
        let joined = Rc::new(Cell::new(false));
        let (inner, noted) = (seen.clone(), joined.clone());
        let owner = spawn(async move {
            TaskGroup::<io::Error>::scope(async |g| {
                let fails = g.spawn(member(inner.clone(), Badly));
                let noted = noted.clone();
                g.spawn(async move {
                    let outcome = fails.join().await?;
                    noted.set(matches!(outcome, Err(TaskError::Failed(_))));
                    yield_now().await?;
                    Ok(())
                });
                Ok(())
            })
            .await
        });
        match owner.join().await? {
            Ok(()) => assert!(joined.get() || seen.failed.get() == 0, "a failure is lost"),
            Err(TaskError::Failed(_)) => assert!(!joined.get(), "a failure came twice"),
            Err(TaskError::Cancelled(_)) => {}
            other => panic!("the group ended as {other:?}"),
        }
        Ok(())
    });
}

/// V4, G6, Y3: a cancelled `next_done` loses no end of a member.
#[test]
fn each_end_of_a_member_is_given_once() {
    assert_complete(262, async || {
        let given = Rc::new(RefCell::new(Vec::new()));
        let noted = given.clone();
        let owner = spawn(async move {
            let group = TaskGroup::<TaskCancelled>::new();
            let members = [(); 2].map(|()| group.spawn(yield_now()).id());
            let mut cancelled = 0;
            loop {
                match group.next_done().await {
                    Ok(Some(member)) => noted.borrow_mut().push(member.id),
                    Ok(None) => break,
                    Err(_) => cancelled += 1,
                }
            }
            assert!(cancelled <= 1, "a cancellation is delivered once");
            noted.borrow_mut().sort_unstable();
            assert_eq!(*noted.borrow(), members);
            group.join().await
        });
        owner.wait().await?;
        assert!(owner.end() == Some(TaskEnd::Ok) || owner.end() == Some(TaskEnd::Cancelled));
        assert_eq!(given.borrow().len(), 2);
        Ok(())
    });
}

/// V4, G6, Y3: a `next_done` that is dropped passes the end of a member on.
#[test]
fn a_dropped_next_done_passes_an_end_on() {
    assert_complete(1_328, async || {
        let group = Rc::new(TaskGroup::<TaskCancelled>::new());
        group.spawn(yield_now());
        let given = Rc::new(Cell::new(0));
        let ask = async |group: &TaskGroup<TaskCancelled>, given: &Cell<usize>| {
            while let Ok(Some(_)) = group.next_done().await {
                given.set(given.get() + 1);
            }
        };
        let (first, second) = (group.clone(), group.clone());
        let (of_first, of_second) = (given.clone(), given.clone());
        let victim = Rc::new(spawn(async move { ask(&first, &of_first).await }));
        let dropped = victim.clone();
        let last = spawn(async move {
            let _ = yield_now().await;
            dropped.abort();
            ask(&second, &of_second).await;
        });
        victim.wait().await?;
        last.wait().await?;
        ask(&group, &given).await;
        assert_eq!(given.get(), 1, "the end of the member is lost, or was given twice");
        group.join().await
    });
}
