//! Groups that live longer than a block: `next_done`, `cancel_remaining`, daemons (G2, G6, G7).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use kernel::{
    CancelReason, TaskCancelled, TaskEnd, TaskGroup, sleep, spawn, testing, timeout_after,
};

use crate::support::reports;
use crate::support::time::secs;

async fn wins(after: u64) -> io::Result<u64> {
    sleep(secs(after)).await?;
    Ok(after)
}

async fn fails(after: u64, text: &'static str) -> io::Result<u64> {
    sleep(secs(after)).await?;
    Err(io::Error::other(text))
}

/// G6: `next_done` gives the members in the order in which they end, and `None` when all have
/// ended.
#[test]
fn next_done_tells_in_order_of_ending() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let members = [3, 1, 2].map(|after| group.spawn(wins(after)));
        let mut ended = Vec::new();
        while let Some(done) = group.next_done().await.unwrap() {
            assert_eq!(done.end, TaskEnd::Ok);
            ended.push(members.iter().position(|member| member.id() == done.id).unwrap());
        }
        assert_eq!(ended, [1, 2, 0]);
        assert_eq!(group.next_done().await, Ok(None));
        group.join().await.unwrap();
    });
}

/// G6: the ends are a stream; a cancellation is an item of it, and loses none. An end that a
/// dropped stream was handed goes to the next one.
#[test]
fn the_ends_of_members_are_a_stream() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let members = [3, 1, 2].map(|after| group.spawn(wins(after)).id());
        let mut ends = group.ends();
        let cut = timeout_after(secs(0), async { ends.next().await.expect("an item").map(drop) });
        assert!(cut.await.is_err());
        assert_eq!(ends.next().await.unwrap().unwrap().id, members[1]);
        assert!(ends.next().now_or_never().is_none());
        testing::advance(secs(5)).await.unwrap();
        drop(ends);
        let left: Vec<_> = group.ends().map(|end| end.unwrap().id).collect().await;
        assert_eq!(left, [members[2], members[0]]);
        group.join().await.unwrap();
    });
}

/// G6: handles give the values, also of members that `next_done` has returned.
#[test]
fn values_come_by_handle() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let members = [2, 1].map(|after| group.spawn(wins(after)));
        let mut values = Vec::new();
        while let Some(done) = group.next_done().await.unwrap() {
            let member = members.iter().find(|member| member.id() == done.id).unwrap();
            values.push(member.await.unwrap());
        }
        assert_eq!(values, [1, 2]);
        group.join().await.unwrap();
    });
}

/// G6: `next_done` also returns members that ended before the call, and members that are spawned
/// later.
#[test]
fn next_done_tells_of_what_ended_before_it_asked() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        assert_eq!(group.next_done().await, Ok(None));
        let ids = [2, 1].map(|after| group.spawn(wins(after)).id());
        testing::advance(secs(5)).await.unwrap();
        assert_eq!(group.next_done().await.unwrap().map(|done| done.id), Some(ids[1]));
        let late = group.spawn(wins(1)).id();
        assert_eq!(group.next_done().await.unwrap().map(|done| done.id), Some(ids[0]));
        assert_eq!(group.next_done().await.unwrap().map(|done| done.id), Some(late));
        assert_eq!(group.next_done().await, Ok(None));
        group.join().await.unwrap();
    });
}

/// G6: an abandoned `next_done` loses no ending. Two callers get one each.
#[test]
fn next_done_loses_no_ending() {
    testing::run(async || {
        let group = Rc::new(TaskGroup::<io::Error>::new());
        let ids = [2, 3].map(|after| group.spawn(wins(after)).id());
        let gave_up = timeout_after(secs(1), group.next_done()).await;
        assert!(gave_up.is_err());
        let askers = [0, 1].map(|_| {
            let group = group.clone();
            spawn(async move { Ok::<_, TaskCancelled>(group.next_done().await?.map(|d| d.id)) })
        });
        for (asker, id) in askers.iter().zip(ids) {
            assert_eq!(asker.join().await.unwrap().unwrap(), Some(id));
        }
        group.join().await.unwrap();
    });
}

/// G6: if two tasks wait while one member is left, the first gets it and the second gets `None`.
#[test]
fn a_second_who_asks_is_told_when_nobody_is_left() {
    testing::run(async || {
        let group = Rc::new(TaskGroup::<io::Error>::new());
        let id = group.spawn(wins(1)).id();
        let askers = [0, 1].map(|_| {
            let group = group.clone();
            spawn(async move { Ok::<_, TaskCancelled>(group.next_done().await?.map(|d| d.id)) })
        });
        for (waiter, expected) in askers.iter().zip([Some(id), None]) {
            assert_eq!(waiter.join().await.unwrap().unwrap(), expected);
        }
        group.join().await.unwrap();
    });
}

/// G6, C1: if it is cancelled in the tick in which a member ended, this `next_done` or the next one
/// returns the member.
#[test]
fn a_next_done_that_was_told_and_then_cancelled_keeps_it() {
    testing::run(async || {
        let group = Rc::new(TaskGroup::<io::Error>::new());
        let member = group.spawn(wins(9));
        let theirs = group.clone();
        let asker = spawn(async move {
            let ended = theirs.next_done().await?;
            let pending = sleep(secs(1)).await.is_err();
            Ok::<_, TaskCancelled>((ended.map(|done| done.id), pending))
        });
        testing::settle().await.unwrap();
        member.abort();
        asker.request_cancel();
        assert_eq!(asker.join().await.unwrap().unwrap(), (Some(member.id()), true));
        group.join().await.unwrap();
    });
}

/// G6: a losing arm of `select!` that was handed an ending passes it on.
#[test]
fn a_dropped_next_done_passes_on_what_it_was_told() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let member = group.spawn(wins(9));
        let event = sync::Event::new();
        let both = futures::future::select(Box::pin(event.wait()), Box::pin(group.next_done()));
        let kick = async {
            testing::settle().await?;
            member.abort();
            event.set();
            Ok::<_, TaskCancelled>(())
        };
        let (won, kicked) = futures::join!(both, kick);
        kicked.unwrap();
        assert!(matches!(won, futures::future::Either::Left(..)));
        drop(won);
        assert_eq!(group.next_done().await.unwrap().map(|done| done.id), Some(member.id()));
        group.join().await.unwrap();
    });
}

/// G2: if a member fails while a task is parked in `next_done`, that task gets the failure.
#[test]
fn a_failure_told_by_next_done_is_not_the_groups() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let failing = group.spawn(fails(1, "told"));
        let sibling = group.spawn(wins(2));
        let done = group.next_done().await.unwrap().unwrap();
        assert_eq!((done.id, done.end), (failing.id(), TaskEnd::Failed));
        let done = group.next_done().await.unwrap().unwrap();
        assert_eq!((done.id, done.end), (sibling.id(), TaskEnd::Ok));
        group.join().await.unwrap();
        assert_eq!(failing.join().await.unwrap().unwrap_err().to_string(), "the task failed");
    });
}

/// G2: if no task is parked, a failing member cancels its siblings. `next_done` returns all of
/// them, and `join` returns the failure.
#[test]
fn a_failure_that_nobody_waited_for_is_the_groups() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let failing = group.spawn(fails(1, "the group's"));
        let sibling = group.spawn(wins(2));
        testing::advance(secs(1)).await.unwrap();
        let done = group.next_done().await.unwrap().unwrap();
        assert_eq!((done.id, done.end), (failing.id(), TaskEnd::Failed));
        let done = group.next_done().await.unwrap().unwrap();
        assert_eq!((done.id, done.end), (sibling.id(), TaskEnd::Cancelled));
        assert_eq!(group.next_done().await, Ok(None));
        assert_eq!(group.join().await.unwrap_err().to_string(), "the group's");
    });
}

/// G2: a member whose handle is being joined goes to the joiner, not to `next_done`.
#[test]
fn a_member_joined_by_hand_is_told_to_its_joiner() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let joined = group.spawn(fails(1, "to the joiner"));
        let other = group.spawn(wins(2));
        assert_eq!(group.len(), 2);
        let error = joined.join().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the task failed");
        assert_eq!(group.len(), 1);
        assert_eq!(group.next_done().await.unwrap().map(|done| done.id), Some(other.id()));
        assert_eq!(group.next_done().await, Ok(None));
        group.join().await.unwrap();
    });
}

/// G6, C6: `cancel_remaining` cancels together and waits for the cleanup. The group stays usable.
#[test]
fn cancel_remaining_leaves_the_group_in_use() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let log = Rc::new(RefCell::new(Vec::new()));
        for name in ["old", "young"] {
            let log = log.clone();
            group.spawn(async move {
                let delivered = sleep(Duration::MAX).await.unwrap_err();
                log.borrow_mut().push(name);
                sleep(secs(2)).await?;
                log.borrow_mut().push("clean");
                Err::<(), _>(delivered.into())
            });
        }
        let daemon = group.spawn_daemon(wins(1000));
        testing::settle().await.unwrap();
        let started = kernel::now();
        group.cancel_remaining().await.unwrap();
        assert_eq!(log.take(), ["young", "old", "clean", "clean"]);
        assert_eq!(kernel::now() - started, secs(2));
        assert!(!daemon.is_done(), "a daemon is not among the remaining");
        let next = group.spawn(wins(1));
        assert_eq!(next.join().await.unwrap().unwrap(), 1);
        group.join().await.unwrap();
        assert_eq!(daemon.end(), Some(TaskEnd::Cancelled));
    });
}

/// G6, C5: a cancelled `cancel_remaining` abandons the wait; the members stay cancelled.
#[test]
fn an_abandoned_cancel_remaining_leaves_the_members_cancelled() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let member = group.spawn(async {
            let delivered = sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(9)).await?;
            Err::<(), _>(delivered.into())
        });
        testing::settle().await.unwrap();
        assert!(timeout_after(secs(1), group.cancel_remaining()).await.is_err());
        assert!(!member.is_done());
        assert_eq!(group.next_done().await.unwrap().map(|d| d.end), Some(TaskEnd::Cancelled));
        group.join().await.unwrap();
    });
}

/// G7: a daemon counts neither for `len` nor for `next_done`. It is cancelled at the end, and its
/// cleanup awaited.
#[test]
fn a_daemon_never_counts_and_is_cancelled_at_the_end() {
    testing::run(async || {
        let seen = Rc::new(RefCell::new(None));
        let theirs = seen.clone();
        let started = kernel::now();
        TaskGroup::<io::Error>::scope(async |g| {
            g.spawn_daemon(async move {
                let delivered = sleep(Duration::MAX).await.unwrap_err();
                sleep(secs(1)).await?;
                *theirs.borrow_mut() = Some(delivered.reason());
                Err::<(), _>(delivered.into())
            });
            g.spawn(wins(2));
            Ok(())
        })
        .await
        .unwrap();
        assert_eq!(seen.take(), Some(CancelReason::GroupEnded));
        assert_eq!(kernel::now() - started, secs(3));

        let group = TaskGroup::<io::Error>::new();
        let daemon = group.spawn_daemon(wins(1));
        assert!(group.is_empty());
        assert_eq!(group.next_done().await, Ok(None));
        assert!(!daemon.is_done());
        group.join().await.unwrap();
        assert_eq!(daemon.end(), Some(TaskEnd::Cancelled));
    });
}

/// G7, K6: a daemon's failure is reported and cancels no other member.
#[test]
fn a_failing_daemon_is_reported_and_takes_nobody_down() {
    let ((), reports) = reports::failures(async || {
        let value = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn_daemon(fails(1, "the daemon"));
            let member = g.spawn(wins(2));
            Ok(member.join().await?.unwrap())
        })
        .await;
        assert_eq!(value.unwrap(), 2);
    });
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("the daemon"), "{reports:?}");
}

/// G7, G5: daemons alone do not satisfy `Any` or `FirstOk`, and are not waited for.
#[test]
fn daemons_do_not_satisfy_a_policy() {
    testing::run(async || {
        for wait in [kernel::WaitPolicy::Any, kernel::WaitPolicy::FirstOk] {
            let started = kernel::now();
            TaskGroup::<io::Error>::scope_with(wait, async |g| {
                g.spawn_daemon(wins(1));
                g.spawn(wins(3));
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(kernel::now() - started, secs(3));
        }
    });
}
