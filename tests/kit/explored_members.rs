//! Every schedule of small programs with members that are started, wait for a free place, or are
//! started again, with a cancel at every moment (V4).

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{
    Ready, RestartPolicy, TaskCancelled, TaskEnd, TaskError, TaskGroup, spawn, testing, yield_now,
};

use crate::explored::{Counted, assert_complete};

/// V4, G9, G1, C1: a call of `start` returns the value of a member that is ready and goes on, or
/// the member has ended. The end of the group leaves none behind.
#[test]
fn a_member_is_started_or_has_ended() {
    assert_complete(29, async || {
        let alive = Rc::new(Cell::new(0));
        let counts = alive.clone();
        let owner = spawn(async move {
            TaskGroup::<TaskCancelled>::scope(async |g| {
                let counted = counts.clone();
                let started = g.start(async move |ready: Ready<()>| {
                    let _alive = Counted::new(&counted, 1);
                    let worked = yield_now().await;
                    if worked.is_ok() {
                        ready.set(());
                    }
                    // The cleanup, or the work.
                    yield_now().await?;
                    worked
                });
                match started.await {
                    Ok(()) => yield_now().await,
                    Err(cancelled) => {
                        assert_eq!(counts.get(), 0, "the member goes on after a failed start");
                        Err(cancelled)
                    }
                }
            })
            .await
        });
        testing::settle().await?;
        owner.wait().await?;
        assert_eq!(alive.get(), 0, "a member has outlived its group");
        Ok(())
    });
}

/// V4, G10: two members at most run, and a wait for a place that is cancelled or dropped holds up
/// no other: each member of the program runs or was cancelled.
#[test]
fn a_place_is_never_lost() {
    assert_complete(18, async || {
        let running = Rc::new(Cell::new(0));
        let counts = running.clone();
        let owner = spawn(async move {
            TaskGroup::<TaskCancelled>::scope(async |g| {
                g.limit(1);
                for _ in 0..2 {
                    let counted = counts.clone();
                    g.spawn_when_free(async move {
                        let _running = Counted::new(&counted, 1);
                        assert_eq!(counted.get(), 1, "two members run");
                        yield_now().await
                    })
                    .await?;
                }
                Ok(())
            })
            .await
        });
        // If a place is lost, the owner is parked for good, and this is a deadlock.
        owner.wait().await?;
        assert_eq!(running.get(), 0, "a member has outlived its group");
        Ok(())
    });
}

/// V4, G10, Y3: a waiter that is aborted as it is handed the place passes it on.
#[test]
fn a_place_of_an_aborted_waiter_goes_to_the_next() {
    assert_complete(3_361, async || {
        let group = Rc::new(TaskGroup::<TaskCancelled>::new());
        group.limit(1);
        group.spawn(yield_now());
        let waits = |group: Rc<TaskGroup<TaskCancelled>>| async move {
            group.spawn_when_free(async {}).await.map(drop)
        };
        let victim = spawn(waits(group.clone()));
        let next = spawn(waits(group.clone()));
        yield_now().await?;
        victim.abort();
        next.wait().await?;
        group.join().await
    });
}

/// V4, G11: a supervised member is started again unless it was cancelled, and its group ends with
/// it.
#[test]
fn a_supervised_member_ends_well_or_cancelled() {
    assert_complete(19, async || {
        let attempts = Rc::new(Cell::new(0));
        let counts = attempts.clone();
        let owner = spawn(async move {
            TaskGroup::<io::Error>::scope(async |g| {
                let policy = RestartPolicy::new(2, Duration::from_secs(1));
                let member = g.supervise(policy, async move || {
                    counts.set(counts.get() + 1);
                    yield_now().await?;
                    if counts.get() < 2 { Err(io::Error::other("its own")) } else { Ok(()) }
                });
                Ok(member.wait().await.map(|()| member.end())?)
            })
            .await
        });
        match owner.join().await? {
            Ok(Some(TaskEnd::Ok)) => assert_eq!(attempts.get(), 2),
            Ok(Some(TaskEnd::Cancelled)) | Err(TaskError::Cancelled(_)) => {
                assert!(attempts.get() <= 2);
            }
            // The attempt failed before its cancellation was delivered.
            Err(TaskError::Failed(_)) => assert_eq!(attempts.get(), 1),
            other => panic!("the group ended as {other:?}"),
        }
        Ok(())
    });
}
