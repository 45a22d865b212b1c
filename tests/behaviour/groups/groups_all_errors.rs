//! No error of a group is silent: which one is returned, and the order of the others (G3).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    GroupError, GroupRef, Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, cancelled, sleep,
    spawn, testing,
};
use sync::Event;

use crate::support::reports;
use crate::support::time::secs;

fn oops(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}

/// The errors of a group as text, "cancelled" for one that passes a cancellation on.
fn texts(error: &GroupError<io::Error>) -> Vec<String> {
    let all = std::iter::once(&error.first).chain(&error.others);
    all.map(|error| match cancelled(error) {
        Some(_) => "cancelled".to_owned(),
        None => error.to_string(),
    })
    .collect()
}

async fn fails_when(event: Rc<Event>, text: &'static str) -> io::Result<()> {
    event.wait().await?;
    Err(oops(text))
}

async fn panics_when(event: Rc<Event>, text: &'static str) -> io::Result<()> {
    event.wait().await?;
    panic!("{text}")
}

/// Parked until it is cancelled. Then its cleanup fails after `time`.
async fn bad_cleanup(time: Duration, text: &'static str) -> io::Result<()> {
    if sleep(Duration::MAX).await.is_err() {
        sleep(time).await?;
    }
    Err(oops(text))
}

/// G3: two members that fail in one tick are both there, in order.
#[test]
fn two_members_that_fail_in_one_tick_are_both_kept_in_order() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let ended = TaskGroup::<io::Error>::scope_all(async |g| {
            g.spawn(fails_when(event.clone(), "one"));
            g.spawn(fails_when(event.clone(), "two"));
            g.spawn(fails_when(event.clone(), "three"));
            testing::settle().await?;
            event.set();
            Ok(sleep(Duration::MAX).await?)
        })
        .await;
        assert_eq!(texts(&ended.unwrap_err()), ["one", "two", "three"]);
    });
}

/// G3: the failed cleanup of a cancelled member is an error of the group. A mere echo is not.
#[test]
fn the_failed_cleanup_of_a_cancelled_member_is_kept() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let ended = TaskGroup::<io::Error>::scope_all(async |g| {
            g.spawn(bad_cleanup(secs(2), "slow cleanup"));
            g.spawn(bad_cleanup(secs(1), "quick cleanup"));
            g.spawn(async { Ok(sleep(Duration::MAX).await?) });
            g.spawn(fails_when(event.clone(), "first"));
            testing::settle().await?;
            event.set();
            Ok(())
        })
        .await;
        assert_eq!(texts(&ended.unwrap_err()), ["first", "quick cleanup", "slow cleanup"]);
    });
}

/// G3: the body's own error is listed in order. Its echo of a member's failure is not listed.
#[test]
fn an_error_of_the_body_stands_in_its_place() {
    testing::run(async || {
        let before = TaskGroup::<io::Error>::scope_all(async |g| {
            g.spawn(bad_cleanup(secs(1), "a cleanup"));
            testing::settle().await?;
            Err::<(), _>(oops("the body"))
        })
        .await;
        assert_eq!(texts(&before.unwrap_err()), ["the body", "a cleanup"]);

        let event = Event::new();
        event.set();
        let event = Rc::new(event);
        let after = TaskGroup::<io::Error>::scope_all(async |g| {
            g.spawn(fails_when(event.clone(), "a member"));
            let delivered = sleep(Duration::MAX).await;
            assert!(delivered.is_err());
            Err::<(), _>(oops("the body's cleanup"))
        })
        .await;
        assert_eq!(texts(&after.unwrap_err()), ["a member", "the body's cleanup"]);

        let echo = TaskGroup::<io::Error>::scope_all(async |g| {
            g.spawn(fails_when(event.clone(), "a member"));
            Ok(sleep(Duration::MAX).await?)
        })
        .await;
        assert_eq!(texts(&echo.unwrap_err()), ["a member"]);
    });
}

type Ended = Result<(), GroupError<io::Error>>;

/// An owner of a group with one member that fails on request. The owner is parked in the body if
/// `in_body`, otherwise at the end. It returns whether its own cancel is still pending afterwards.
fn owner(event: &Rc<Event>, in_body: bool) -> Task<(Ended, bool), TaskCancelled> {
    let event = event.clone();
    spawn(async move {
        let ended = TaskGroup::<io::Error>::scope_all(async |g: GroupRef<io::Error>| {
            g.spawn(fails_when(event.clone(), "a member"));
            if in_body {
                sleep(Duration::MAX).await?;
            }
            Ok(())
        })
        .await;
        let still_pending = sleep(secs(1)).await.is_err();
        Ok((ended, still_pending))
    })
}

/// G3, C1: the owner is cancelled first and the member fails second, in one tick.
#[test]
fn a_member_that_fails_after_its_owner_was_cancelled_is_kept_second() {
    testing::run(async || {
        for in_body in [true, false] {
            let event = Rc::new(Event::new());
            let owner = owner(&event, in_body);
            testing::settle().await.unwrap();
            owner.request_cancel();
            event.set();
            let (ended, still_pending) = owner.join().await.unwrap().unwrap();
            assert_eq!(texts(&ended.unwrap_err()), ["cancelled", "a member"]);
            assert!(!still_pending, "the cancel was delivered twice");
        }
    });
}

/// G3, C3: the member fails first and the owner is cancelled second, in one tick: the cancel is not
/// lost, whether the end of the group returned it or the next leaf does.
#[test]
fn a_member_that_fails_before_its_owner_is_cancelled_is_kept_first() {
    testing::run(async || {
        for in_body in [true, false] {
            let event = Rc::new(Event::new());
            let owner = owner(&event, in_body);
            testing::settle().await.unwrap();
            event.set();
            owner.request_cancel();
            let (ended, still_pending) = owner.join().await.unwrap().unwrap();
            // Parked in the body, it got its own cancel. Parked at the end of the group, it waited
            // for the failure, and the cancel is still pending.
            // Beside the failure of the member it is no error of its own, and it is pending again.
            assert_eq!(texts(&ended.unwrap_err()), ["a member"]);
            assert!(still_pending);
        }
    });
}

/// G3: in `scope` the first is returned and the others are reported.
#[test]
fn what_a_scope_does_not_return_it_reports() {
    let (ended, reports) = reports::failures(async || {
        let event = Rc::new(Event::new());
        TaskGroup::<io::Error>::scope(async |g| {
            // One handle is kept, the others are not.
            let _kept = g.spawn(fails_when(event.clone(), "one"));
            g.spawn(fails_when(event.clone(), "two"));
            let _kept_too = g.spawn(fails_when(event.clone(), "three"));
            testing::settle().await?;
            event.set();
            let echo = sleep(Duration::MAX).await;
            assert!(echo.is_err());
            Err::<(), _>(oops("the body"))
        })
        .await
    });
    assert_eq!(ended.unwrap_err().to_string(), "one");
    let has = |text: &str| reports.iter().filter(|report| report.contains(text)).count();
    assert_eq!(reports.len(), 3, "{reports:?}");
    assert_eq!((has("two"), has("three"), has("the body")), (1, 1, 1), "{reports:?}");
}

/// G3: so in `join` of a `new()` group, and `join_all` returns them all.
#[test]
fn what_a_join_does_not_return_it_reports() {
    let fails = |n: u64, text| async move {
        sleep(secs(n)).await?;
        Err::<(), _>(oops(text))
    };
    let (ended, reports) = reports::failures(async || {
        let group = TaskGroup::<io::Error>::new();
        group.spawn(fails(1, "one"));
        group.spawn(bad_cleanup(secs(1), "two"));
        group.join().await
    });
    assert_eq!(ended.unwrap_err().to_string(), "one");
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("two"), "{reports:?}");

    let (ended, reports) = reports::failures(async || {
        let group = TaskGroup::<io::Error>::new();
        group.spawn(fails(1, "one"));
        group.spawn(bad_cleanup(secs(1), "two"));
        group.join_all().await
    });
    assert_eq!(texts(&ended.unwrap_err()), ["one", "two"]);
    assert_eq!(reports, [] as [String; 0]);
}

/// G3, K6: the failure that the group returned is not reported as well, with or without a handle.
#[test]
fn what_a_group_returned_is_not_reported_too() {
    let (kept, reports) = reports::failures(async || {
        let mut kept = None;
        let ended = TaskGroup::<io::Error>::scope(async |g| {
            let event = Rc::new(Event::new());
            event.set();
            kept = Some(g.spawn(fails_when(event, "one")));
            Ok(())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "one");
        let error = kept.unwrap().join().await.unwrap().unwrap_err();
        matches!(error, TaskError::Taken)
    });
    assert!(kept, "the group has taken it, so a handle cannot");
    assert_eq!(reports, [] as [String; 0]);
}

/// G3: a panic is re-raised in the owner when all members have ended. The other errors are
/// reported.
#[test]
fn a_panic_goes_on_in_the_owner_after_everybody_has_ended() {
    let (message, reports) = reports::failures(async || {
        let sibling = Rc::new(RefCell::new(None));
        let theirs = sibling.clone();
        let owner: Task<(), io::Error> = spawn(async move {
            TaskGroup::<io::Error>::scope(async |g| {
                let event = Rc::new(Event::new());
                g.spawn(panics_when(event.clone(), "first panic"));
                g.spawn(panics_when(event.clone(), "second panic"));
                *theirs.borrow_mut() = Some(g.spawn(bad_cleanup(secs(3), "a cleanup")));
                testing::settle().await?;
                event.set();
                Ok(())
            })
            .await
        });
        let error = owner.join().await.unwrap().unwrap_err();
        let sibling = sibling.take().unwrap();
        assert_eq!(sibling.end(), Some(TaskEnd::Cancelled), "a member had not ended");
        match error {
            TaskError::Panicked(panic) => panic.message().to_owned(),
            other => other.to_string(),
        }
    });
    assert_eq!(message, "first panic");
    let has = |text: &str| reports.iter().filter(|report| report.contains(text)).count();
    assert_eq!((has("second panic"), has("a cleanup")), (1, 1), "{reports:?}");
    assert_eq!(has("first panic"), 0, "{reports:?}");
}

/// G3: an earlier error does not hide a panic, nor in `scope_all`.
#[test]
fn a_panic_weighs_more_than_an_error_before_it() {
    let (message, reports) = reports::failures(async || {
        let owner: Task<(), io::Error> = spawn(async move {
            let event = Rc::new(Event::new());
            let ended = TaskGroup::<io::Error>::scope_all(async |g| {
                g.spawn(fails_when(event.clone(), "the error"));
                g.spawn(panics_when(event.clone(), "the panic"));
                testing::settle().await?;
                event.set();
                Ok(())
            });
            ended.await.map_err(|error| error.first)
        });
        owner.join().await.unwrap().unwrap_err().to_string()
    });
    assert_eq!(message, "the task panicked: the panic");
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("the error"), "{reports:?}");
}

/// G3: the errors of a group show their number, and the first is their source.
#[test]
fn the_errors_of_a_group_say_how_many_they_are() {
    let one = GroupError { first: oops("one"), others: Vec::new() };
    assert_eq!(one.to_string(), "one member of a group failed");
    let three = GroupError { first: oops("one"), others: vec![oops("two"), oops("three")] };
    assert_eq!(three.to_string(), "3 members of a group failed");
    let source = std::error::Error::source(&three).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("one"));
}
