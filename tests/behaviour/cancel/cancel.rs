//! A cancellation is an error at an await point: when it is delivered, how often, and the outcome
//! of the task (C1 to C6).

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    CancelReason, TaskCancelled, TaskEnd, TaskError, TaskGroup, check_cancellation, sleep, spawn,
    testing, timeout_after, yield_now,
};
use sync::{Event, Queue, Semaphore};

use crate::support::log::Log;
use crate::support::time::secs;

/// C1, C3: a leaf that need not park gives its value. The cancel stays pending for a leaf that
/// would park.
#[test]
fn what_can_be_had_at_once_is_had_although_a_cancel_is_pending() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        let items = queue.clone();
        let task = spawn(async move {
            let mut got = Vec::new();
            let error: TaskCancelled = loop {
                match items.get().await {
                    Ok(item) => got.push(item),
                    Err(cancelled) => break cancelled,
                }
            };
            assert_eq!(check_cancellation(), None);
            Ok::<_, TaskCancelled>((got, error.reason()))
        });
        for item in 0..3 {
            queue.try_put(item).unwrap();
        }
        task.request_cancel();
        let (got, reason) = task.join().await.unwrap().unwrap();
        assert_eq!(got, [0, 1, 2]);
        assert!(matches!(reason, CancelReason::Requested { by: Some(_) }));
    });
}

/// The results of a parked leaf that is woken and cancelled in one tick, and of the next leaf.
async fn woken_and_cancelled(cancel_first: bool) -> (bool, bool) {
    let permits = Rc::new(Semaphore::new(0));
    let theirs = permits.clone();
    let task = spawn(async move {
        let got = theirs.acquire().await.is_ok();
        let next = sleep(secs(100)).await.is_err();
        Ok::<_, TaskCancelled>((got, next))
    });
    testing::settle().await.unwrap();
    if cancel_first {
        task.request_cancel();
        permits.add_permits(1);
    } else {
        permits.add_permits(1);
        task.request_cancel();
    }
    let found = task.join().await.unwrap().unwrap();
    assert_eq!(permits.available(), 1, "the permit came back when its guard was dropped");
    found
}

/// C1, C3: a leaf that is woken and then cancelled in one tick keeps what it was handed.
#[test]
fn a_wake_before_the_cancel_in_one_tick_gives_the_value_and_keeps_the_cancel() {
    testing::run(async || assert_eq!(woken_and_cancelled(false).await, (true, true)));
}

/// C1, C3: so does a leaf that is cancelled and then woken in one tick.
#[test]
fn a_wake_after_the_cancel_in_one_tick_gives_the_value_and_keeps_the_cancel() {
    testing::run(async || assert_eq!(woken_and_cancelled(true).await, (true, true)));
}

/// C2: a parked leaf returns the error, with the reason and the requesting task in it.
#[test]
fn a_parked_task_gets_the_error_where_it_waits() {
    testing::run(async || {
        let me = kernel::current_task().id;
        let started = kernel::now();
        let task = spawn(async {
            let error = sleep(Duration::MAX).await.unwrap_err();
            Ok::<_, TaskCancelled>(error.reason())
        });
        sleep(secs(3)).await.unwrap();
        task.request_cancel();
        let reason = task.join().await.unwrap().unwrap();
        assert_eq!(reason, CancelReason::Requested { by: Some(me) });
        assert_eq!(kernel::now() - started, secs(3));
    });
}

/// C2: a task that was never polled runs until its first leaf that would park.
#[test]
fn a_task_cancelled_before_its_first_poll_runs_up_to_its_first_await() {
    testing::run(async || {
        let log = Log::default();
        let lines = log.clone();
        let task = spawn(async move {
            lines.push("began");
            let event = Event::new();
            event.set();
            event.wait().await?;
            lines.push("went through an event that was set");
            let parked = sleep(secs(10)).await;
            lines.push("parked no more");
            parked
        });
        task.cancel().await.unwrap();
        let expected = ["began", "went through an event that was set", "parked no more"];
        assert_eq!(log.take(), expected);
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
    });
}

/// C2, C6: a task that never awaits gets no error, and ends well.
#[test]
fn a_task_that_never_parks_ends_well_although_it_was_cancelled() {
    testing::run(async || {
        let task = spawn(async { Ok::<_, TaskCancelled>(7) });
        task.cancel().await.unwrap();
        assert_eq!(task.join().await.unwrap().unwrap(), 7);
    });
}

/// C2: a ready task that has yielded gets the error at the next leaf that would park.
#[test]
fn a_ready_task_gets_the_error_at_its_next_await() {
    testing::run(async || {
        let task = spawn(async {
            let yielded = yield_now().await;
            let next = yield_now().await;
            Ok::<_, TaskCancelled>((yielded.is_ok(), next.is_ok()))
        });
        yield_now().await.unwrap();
        assert_eq!(task.state().to_string(), "READY");
        task.request_cancel();
        assert_eq!(task.join().await.unwrap().unwrap(), (true, false));
    });
}

/// C2: a yield is a cancellation point from its first poll on.
#[test]
fn a_yield_returns_a_pending_cancel_at_once() {
    testing::run(async || {
        let task = spawn(async {
            let before = kernel::current_task().cycles;
            let error = yield_now().await;
            Ok::<_, TaskCancelled>((error.is_err(), kernel::current_task().cycles - before))
        });
        task.request_cancel();
        assert_eq!(task.join().await.unwrap().unwrap(), (true, 0));
    });
}

/// C4: after the delivery leaves work normally, so that cleanup may await.
#[test]
fn cleanup_may_await_after_the_delivery() {
    testing::run(async || {
        let log = Log::default();
        let lines = log.clone();
        let task = spawn(async move {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            for step in 0..3 {
                sleep(secs(1)).await?;
                yield_now().await?;
                lines.push(format!("step {step}"));
            }
            Err::<(), _>(cancelled)
        });
        testing::settle().await.unwrap();
        let started = kernel::now();
        task.cancel().await.unwrap();
        assert_eq!(log.take(), ["step 0", "step 1", "step 2"]);
        assert_eq!(kernel::now() - started, secs(3));
    });
}

/// C4: a second cancel delivers nothing. It waits like the first.
#[test]
fn a_second_cancel_only_waits() {
    testing::run(async || {
        let log = Log::default();
        let lines = log.clone();
        let task = Rc::new(spawn(async move {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            let cleanup = sleep(secs(10)).await;
            lines.push(format!("cleanup {}", cleanup.is_ok()));
            Err::<(), _>(cancelled)
        }));
        testing::settle().await.unwrap();
        let others: Vec<_> = (1..3)
            .map(|n| {
                let (task, log) = (task.clone(), log.clone());
                spawn(async move {
                    sleep(secs(n)).await?;
                    task.cancel().await?;
                    log.push(format!("canceller {n}"));
                    Ok::<_, TaskCancelled>(())
                })
            })
            .collect();
        task.cancel().await.unwrap();
        log.push("first canceller");
        for other in others {
            other.join().await.unwrap().unwrap();
        }
        let lines = log.take();
        assert_eq!(lines, ["cleanup true", "first canceller", "canceller 1", "canceller 2"]);
    });
}

/// C4, C6: a swallowed cancel is not delivered again, and a later one delivers nothing.
#[test]
fn a_swallowed_cancel_does_not_come_again() {
    testing::run(async || {
        let task = spawn(async {
            let first = sleep(secs(100)).await;
            let second = sleep(secs(1)).await;
            let third = sleep(secs(5)).await;
            Ok::<_, TaskCancelled>([first.is_ok(), second.is_ok(), third.is_ok()])
        });
        testing::settle().await.unwrap();
        task.request_cancel();
        sleep(secs(2)).await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(task.join().await.unwrap().unwrap(), [false, true, true]);
    });
}

/// C5: it returns when the target has ended, cleanup included.
#[test]
fn cancel_returns_when_the_cleanup_is_done() {
    testing::run(async || {
        let task = spawn(async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(60)).await?;
            Err::<(), _>(cancelled)
        });
        let started = kernel::now();
        task.cancel().await.unwrap();
        assert!(task.is_done());
        assert_eq!(kernel::now() - started, secs(60));
    });
}

/// C5: on an ended task it returns at once, and the outcome stays.
#[test]
fn cancelling_an_ended_task_does_nothing() {
    testing::run(async || {
        let well = spawn(async { Ok::<_, TaskCancelled>(1) });
        let badly = spawn(async { Err::<(), _>(io::Error::other("own fault")) });
        testing::settle().await.unwrap();
        let cycles = kernel::current_task().cycles;
        well.cancel().await.unwrap();
        badly.cancel().await.unwrap();
        assert_eq!(kernel::current_task().cycles, cycles, "no task waited");
        assert_eq!(well.join().await.unwrap().unwrap(), 1);
        assert!(matches!(badly.join().await.unwrap(), Err(TaskError::Failed(_))));
        assert!(kernel::tasks().iter().all(|task| !task.cancelled));
    });
}

/// C5: it cancels only the target, not the target's children, nor the tasks that join it.
#[test]
fn a_cancel_cancels_nobody_else() {
    testing::run(async || {
        let child = Rc::new(RefCell::new(None));
        let theirs = child.clone();
        let parent = Rc::new(spawn(async move {
            *theirs.borrow_mut() = Some(spawn(sleep(secs(10))));
            sleep(Duration::MAX).await
        }));
        let joined = parent.clone();
        let joiner = spawn(async move {
            joined.wait().await?;
            sleep(secs(1)).await
        });
        testing::settle().await.unwrap();
        parent.cancel().await.unwrap();
        let child = child.take().unwrap();
        assert!(!child.is_done());
        joiner.join().await.unwrap().unwrap();
        child.join().await.unwrap().unwrap();
    });
}

/// C5: the wait is a leaf: a timeout abandons it, and the target continues its cleanup.
#[test]
fn an_abandoned_cancel_leaves_the_target_unwinding() {
    testing::run(async || {
        let task = spawn(async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(60)).await?;
            Err::<(), _>(cancelled)
        });
        testing::settle().await.unwrap();
        let started = kernel::now();
        assert!(timeout_after(secs(1), task.cancel()).await.is_err());
        assert_eq!(kernel::now() - started, secs(1));
        assert!(!task.is_done());
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
        assert_eq!(kernel::now() - started, secs(60));
    });
}

/// C6: the outcome for every way to end, cancelled and not.
#[test]
fn the_outcome_says_what_really_happened() {
    testing::run(async || {
        let swallowed = spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            Ok::<_, io::Error>("saved")
        });
        let passed_on = spawn(async { Ok::<(), io::Error>(sleep(Duration::MAX).await?) });
        let other_error = spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            Err::<(), _>(io::Error::other("the disk is full"))
        });
        let panicked = spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            if check_cancellation().is_none() {
                panic!("in the cleanup");
            }
            Ok::<(), io::Error>(())
        });
        testing::settle().await.unwrap();
        let failed_first = spawn(async { Err::<(), _>(io::Error::other("own fault")) });
        swallowed.cancel().await.unwrap();
        for task in [&passed_on, &other_error, &panicked, &failed_first] {
            task.cancel().await.unwrap();
        }
        assert_eq!(swallowed.join().await.unwrap().unwrap(), "saved");
        assert!(matches!(passed_on.join().await.unwrap(), Err(TaskError::Cancelled(_))));
        let other = other_error.join().await.unwrap();
        assert!(matches!(other, Err(TaskError::Cancelled(e)) if e.to_string().contains("disk")));
        let panicked = panicked.join().await.unwrap();
        assert!(matches!(panicked, Err(TaskError::Panicked(p)) if p.message() == "in the cleanup"));
        // The cancel was requested but never delivered, so this is a failure of its own.
        assert!(matches!(failed_first.join().await.unwrap(), Err(TaskError::Failed(_))));
    });
}

/// C6: a member cancelled by hand is not a failure of its group.
#[test]
fn a_member_cancelled_by_hand_leaves_its_group_alone() {
    testing::run(async || {
        let group = TaskGroup::<TaskCancelled>::new();
        let member = group.spawn(sleep(Duration::MAX));
        let sibling = group.spawn(sleep(secs(5)));
        member.cancel().await.unwrap();
        assert_eq!(group.next_done().await.unwrap().unwrap().end, TaskEnd::Cancelled);
        group.join().await.unwrap();
        sibling.join().await.unwrap().unwrap();
    });
}
