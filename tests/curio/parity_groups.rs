//! What curio's tests of task groups check and no other file here does: empty groups under every
//! policy, daemons that are joined by hand, `next_done` and then `cancel_remaining`.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use kernel::{TaskCancelled, TaskEnd, TaskError, TaskGroup, WaitPolicy, sleep, spawn, testing};

use crate::support::time::secs;

async fn wins(after: u64) -> io::Result<u64> {
    sleep(secs(after)).await?;
    Ok(after)
}

/// G5: a group without members ends at once, under every policy.
#[test]
fn an_empty_group_ends_at_once_under_every_policy() {
    testing::run(async || {
        let started = kernel::now();
        for wait in [WaitPolicy::All, WaitPolicy::Any, WaitPolicy::FirstOk, WaitPolicy::None] {
            let value = TaskGroup::<io::Error>::scope_with(wait, async |_| Ok("empty")).await?;
            assert_eq!(value, "empty", "{wait:?}");
            let group = TaskGroup::<io::Error>::with(wait);
            assert_eq!(group.next_done().await?, None, "{wait:?}");
            group.join().await?;
            assert_eq!(group.next_done().await?, None, "{wait:?}");
        }
        assert_eq!(kernel::now(), started);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// G7: a daemon can be joined by hand, and gives its value. It still does not count.
#[test]
fn a_daemon_can_be_joined_by_hand() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let members = [1, 2].map(|after| group.spawn(wins(after)));
        let daemon = group.spawn_daemon(wins(5));
        assert_eq!(group.len(), 2);
        assert_eq!(daemon.join().await?.unwrap(), 5);
        let mut ended = Vec::new();
        while let Some(done) = group.next_done().await? {
            ended.push(done.id);
        }
        assert_eq!(ended, members.map(|member| member.id()));
        group.join().await
    })
    .unwrap();
}

/// G7: a group with daemons that end well, fail, or never end waits only for its members, is not
/// affected by a failing daemon, and leaves no daemon behind.
#[test]
fn daemons_of_every_kind_leave_the_members_alone() {
    let builder = kernel::Kernel::builder().on_report(|_| ());
    testing::run_with(builder, async || {
        let ended = Rc::new(RefCell::new(Vec::new()));
        let theirs = ended.clone();
        let members = TaskGroup::<io::Error>::scope(async |g| {
            let daemons = [
                g.spawn_daemon(wins(1)),
                g.spawn_daemon(async { Err(io::Error::other("a daemon")) }),
                g.spawn_daemon(wins(1000)),
            ];
            *theirs.borrow_mut() = daemons.into();
            Ok([g.spawn(wins(2)), g.spawn(wins(3))])
        })
        .await?;
        let ends: Vec<_> = ended.take().iter().map(|daemon| daemon.end()).collect();
        assert_eq!(ends, [Some(TaskEnd::Ok), Some(TaskEnd::Failed), Some(TaskEnd::Cancelled)]);
        for (member, value) in members.iter().zip([2, 3]) {
            assert_eq!(member.join().await?.unwrap(), value);
        }
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// G6, C6: `next_done` returns the first member, and its handle has the value. `cancel_remaining`
/// cancels the others, and the group ends well.
#[test]
fn next_done_tells_of_the_first_and_cancel_remaining_ends_the_others() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let first = group.spawn(wins(1));
        let others = [group.spawn(wins(1000)), group.spawn(wins(1000))];
        let done = group.next_done().await?.expect("three are running");
        assert_eq!((done.id, done.end), (first.id(), TaskEnd::Ok));
        assert_eq!(first.join().await?.unwrap(), 1);
        group.cancel_remaining().await?;
        for other in &others {
            assert!(matches!(other.join().await?, Err(TaskError::Cancelled(_))));
        }
        group.join().await
    })
    .unwrap();
}

/// G6: `cancel_remaining` works outside any block, with and without members in the group.
#[test]
fn cancel_remaining_needs_no_members() {
    testing::run(async || {
        let group = TaskGroup::<TaskCancelled>::new();
        group.cancel_remaining().await?;
        let member = group.spawn(sleep(Duration::ZERO));
        group.cancel_remaining().await?;
        assert_eq!(member.end(), Some(TaskEnd::Cancelled));
        group.join().await
    })
    .unwrap();
}

/// G6: members keep the order of their handles, in whatever order they end. Before its end a member
/// has no outcome.
#[test]
fn handles_give_the_values_in_the_order_of_spawning() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let members = [3, 1, 2].map(|after| group.spawn(wins(after)));
        assert!(members.iter().all(|member| member.end().is_none()));
        group.join().await?;
        let mut values = Vec::new();
        for member in members {
            values.push(member.join().await?.unwrap());
        }
        assert_eq!(values, [3, 1, 2]);
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// K1, Y2: the tasks that wait for the end of one task wake in order of arrival, by `join`, `wait`
/// or `cancel`.
#[test]
fn who_waits_for_a_task_wakes_in_order_of_arrival() {
    testing::run(async || {
        let task = Rc::new(spawn(async {
            let delivered = sleep(Duration::MAX).await;
            sleep(secs(1)).await?;
            delivered
        }));
        let order = Rc::new(RefCell::new(Vec::new()));
        for n in 0..12 {
            let (task, order) = (task.clone(), order.clone());
            spawn(async move {
                match n % 3 {
                    0 => drop(task.join().await?),
                    1 => task.wait().await?,
                    _ => task.cancel().await?,
                }
                order.borrow_mut().push(n);
                Ok::<_, TaskCancelled>(())
            });
        }
        testing::advance(secs(2)).await?;
        assert_eq!(order.take(), (0..12).collect::<Vec<_>>());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
