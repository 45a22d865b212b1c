//! The effect of a failing member on its siblings, on the body, and on a task that joins it (G2).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use kernel::{
    CancelReason, Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, cancelled, sleep, spawn,
    testing, timeout_after,
};
use sync::Event;

use crate::support::time::secs;

fn oops(text: &str) -> io::Error {
    io::Error::other(text.to_owned())
}

async fn fails_after(time: Duration, text: &'static str) -> io::Result<()> {
    sleep(time).await?;
    Err(oops(text))
}

async fn panics_after(time: Duration, text: &'static str) -> Result<(), TaskCancelled> {
    sleep(time).await?;
    panic!("{text}")
}

async fn parks() -> io::Result<()> {
    Ok(sleep(Duration::MAX).await?)
}

/// G2: a member that panics cancels the siblings and the body, like one that fails.
#[test]
fn a_panicking_member_cancels_the_siblings_and_the_body() {
    testing::run(async || {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let theirs = seen.clone();
        let owner: Task<(), TaskCancelled> = spawn(async move {
            TaskGroup::<TaskCancelled>::scope(async |g| {
                let sibling = theirs.clone();
                g.spawn(async move {
                    let cancelled = sleep(Duration::MAX).await.unwrap_err();
                    sleep(secs(1)).await?;
                    sibling.borrow_mut().push(("sibling", cancelled.reason()));
                    Err::<(), _>(cancelled)
                });
                g.spawn(panics_after(secs(1), "a member"));
                let cancelled = sleep(Duration::MAX).await.unwrap_err();
                theirs.borrow_mut().push(("body", cancelled.reason()));
                Err(cancelled)
            })
            .await
        });
        let ended = owner.join().await.unwrap();
        let Err(TaskError::Panicked(panic)) = ended else {
            panic!("not a panic: {ended:?}");
        };
        assert_eq!(panic.message(), "a member");
        let group_failed = CancelReason::GroupFailed;
        assert_eq!(seen.take(), [("body", group_failed), ("sibling", group_failed)]);
    });
}

/// G2, C1: a body that returns `Ok` although a member failed does not hide the failure.
#[test]
fn a_body_that_ends_well_does_not_hide_a_failure() {
    testing::run(async || {
        let ended = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(fails_after(secs(1), "the member"));
            let swallowed = sleep(Duration::MAX).await.is_err();
            Ok(swallowed)
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the member");
    });
}

/// G2, C4: the body is cancelled once, and its cleanup may await.
#[test]
fn the_body_may_clean_up_after_a_member_failed() {
    testing::run(async || {
        let cleaned = Rc::new(RefCell::new(false));
        let started = kernel::now();
        let ended: io::Result<()> = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(fails_after(secs(1), "the member"));
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(2)).await?;
            *cleaned.borrow_mut() = true;
            Err(cancelled.into())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the member");
        assert!(*cleaned.borrow());
        assert_eq!(kernel::now() - started, secs(3));
    });
}

/// G2: if no task waits for a `new()` group, a failure still cancels its members, and the next
/// `join` returns it.
#[test]
fn the_next_join_of_a_group_tells_of_the_failure() {
    testing::run(async || {
        let group = TaskGroup::<io::Error>::new();
        let sibling = group.spawn(parks());
        group.spawn(fails_after(secs(1), "a member"));
        testing::advance(secs(1)).await.unwrap();
        assert_eq!(sibling.end(), Some(TaskEnd::Cancelled));
        // The owner continues until it calls `join`.
        sleep(secs(1)).await.unwrap();
        assert_eq!(group.join().await.unwrap_err().to_string(), "a member");
    });
}

/// G2: if a member fails while a task is parked in its `join`, only that task gets the failure.
#[test]
fn a_member_that_is_being_joined_fails_to_its_joiner() {
    testing::run(async || {
        let outcome = TaskGroup::<io::Error>::scope(async |g| {
            let sibling = g.spawn(async {
                sleep(secs(5)).await?;
                Ok("well")
            });
            let failing = g.spawn(fails_after(secs(1), "to the joiner"));
            let outcome = failing.join().await?.unwrap_err();
            assert_eq!(sibling.join().await?.unwrap(), "well");
            Ok(outcome)
        })
        .await
        .unwrap();
        let TaskError::Failed(error) = outcome else {
            panic!("not a failure: {outcome:?}");
        };
        assert_eq!(error.to_string(), "to the joiner");
    });
}

/// G2, K3: so for a member that panics.
#[test]
fn a_member_that_is_being_joined_panics_to_its_joiner() {
    testing::run(async || {
        let outcome = TaskGroup::<TaskCancelled>::scope(async |g| {
            let failing = g.spawn(panics_after(secs(1), "to the joiner"));
            let sibling = g.spawn(sleep(secs(5)));
            let outcome = failing.join().await?.unwrap_err();
            sibling.join().await?.unwrap();
            Ok(outcome.to_string())
        })
        .await;
        assert_eq!(outcome.unwrap(), "the task panicked: to the joiner");
    });
}

/// G2: the joiner need not be the owner of the group.
#[test]
fn a_member_that_joins_its_sibling_gets_its_failure() {
    testing::run(async || {
        TaskGroup::<io::Error>::scope(async |g| {
            let failing = g.spawn(fails_after(secs(1), "to the sibling"));
            let joiner = g.spawn(async move {
                let error = failing.join().await?.unwrap_err();
                Ok(matches!(error, TaskError::Failed(_)))
            });
            assert!(joiner.join().await?.unwrap());
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// G2, G1: until it ends, a member that is being joined stays a member: a failing sibling cancels
/// it.
#[test]
fn a_member_that_is_being_joined_is_still_a_member() {
    testing::run(async || {
        let outcome = Rc::new(RefCell::new(None));
        let theirs = outcome.clone();
        let ended = TaskGroup::<io::Error>::scope(async |g| {
            let joined = g.spawn(parks());
            // The joiner is outside the group, so it is not cancelled with it.
            spawn(async move {
                *theirs.borrow_mut() = Some(joined.join().await?);
                Ok::<_, TaskCancelled>(())
            });
            g.spawn(fails_after(secs(1), "the sibling"));
            Ok(())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "the sibling");
        testing::settle().await.unwrap();
        let outcome = outcome.take();
        assert!(matches!(outcome, Some(Err(TaskError::Cancelled(_)))), "{outcome:?}");
    });
}

/// G2: a joiner that abandoned its wait before the member failed has not taken the failure.
#[test]
fn an_abandoned_join_leaves_the_failure_to_the_group() {
    testing::run(async || {
        let ended = TaskGroup::<io::Error>::scope(async |g| {
            let failing = g.spawn(fails_after(secs(2), "to the group"));
            let gave_up = timeout_after(secs(1), failing.join()).await.is_err();
            assert!(gave_up);
            Ok(())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "to the group");
    });
}

/// G2, C6: a member that was cancelled by hand is not a failure of its group.
#[test]
fn a_member_cancelled_by_hand_is_not_a_failure() {
    testing::run(async || {
        let value = TaskGroup::<io::Error>::scope(async |g| {
            let one = g.spawn(parks());
            let two = g.spawn(async {
                sleep(secs(1)).await?;
                Ok(2)
            });
            testing::settle().await?;
            one.cancel().await?;
            let error = one.join().await?.unwrap_err();
            assert!(matches!(&error, TaskError::Cancelled(e) if cancelled(e).is_some()), "{error}");
            Ok(two.join().await?.unwrap())
        })
        .await;
        assert_eq!(value.unwrap(), 2);
    });
}

/// G2, C6: nor is a member that was aborted by hand.
#[test]
fn a_member_aborted_by_hand_is_not_a_failure() {
    testing::run(async || {
        TaskGroup::<io::Error>::scope(async |g| {
            let one = g.spawn(parks());
            let two = g.spawn(async { Ok(sleep(secs(1)).await?) });
            testing::settle().await?;
            one.abort();
            assert_eq!(one.end(), Some(TaskEnd::Aborted));
            two.join().await?.unwrap();
            Ok(())
        })
        .await
        .unwrap();
    });
}

/// G2, C2: a body that is not parked when a member fails gets the error at the next leaf that would
/// park.
#[test]
fn a_failure_while_the_body_is_ready_arrives_where_it_parks_next() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let got = Rc::new(RefCell::new(0));
        let ended = TaskGroup::<io::Error>::scope(async |g| {
            g.spawn(async { Err::<(), _>(oops("at once")) });
            let setter = event.clone();
            spawn(async move {
                setter.set();
                Ok::<_, TaskCancelled>(())
            });
            // The member fails first and the event is set second, in one tick, so the wait
            // completes.
            event.wait().await?;
            *got.borrow_mut() += 1;
            sleep(secs(100)).await?;
            *got.borrow_mut() += 1;
            Ok(())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "at once");
        assert_eq!(*got.borrow(), 1);
    });
}

/// A member fails while a cancellation from outside waits for the first leaf of the body.
async fn fails_while_cancelled() -> io::Result<()> {
    let failed = Rc::new(Cell::new(false));
    let group = TaskGroup::<io::Error>::scope(async |g| {
        let fails = failed.clone();
        g.spawn(async move {
            fails.set(true);
            Err::<(), _>(oops("a member"))
        });
        poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if failed.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        parks().await
    });
    assert_eq!(group.await.unwrap_err().to_string(), "a member");
    parks().await
}

/// C3, T5, G3: a group that returns the failure of a member keeps from its caller the cancellation
/// that was delivered to its body. So the cancellation comes again after the group.
#[test]
fn a_cancellation_that_a_failing_group_has_kept_from_its_caller_comes_again() {
    testing::run(async || {
        let late = timeout_after(Duration::ZERO, fails_while_cancelled()).await;
        assert!(late.is_err(), "the timeout was lost: {late:?}");

        let task = spawn(fails_while_cancelled());
        task.request_cancel();
        task.wait().await?;
        assert_eq!(task.end(), Some(TaskEnd::Cancelled));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
