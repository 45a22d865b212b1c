//! Every schedule of small programs of tasks that wait for one another, of timeouts and of shields,
//! with a cancel at every moment (V4).
//!
//! Each program has three tasks of two operations, and all explorations are complete: see
//! `explored_sync`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{
    CancelReason, Task, TaskCancelled, TaskEnd, TaskError, check_cancellation, now, shield, sleep,
    spawn, timeout_after, yield_now,
};
use curium::sync::Event;

use crate::explored::{Ended, Group, assert_complete, members};

const MS: Duration = Duration::from_millis(1);

/// Two steps, and a cleanup that awaits.
async fn works(cleaned: Rc<Cell<bool>>) -> Result<u32, TaskCancelled> {
    let steps = async {
        yield_now().await?;
        yield_now().await
    };
    if let Err(cancelled) = steps.await {
        yield_now().await.expect("a cancellation is delivered once");
        cleaned.set(true);
        return Err(cancelled);
    }
    Ok(7)
}

/// V4, C4, C5, C6: one task waits for another and joins it, a third one cancels it.
#[test]
fn a_task_ends_once_for_all_that_wait_for_it() {
    assert_complete(579, async || {
        let cleaned = Rc::new(Cell::new(false));
        let task = Rc::new(spawn(works(cleaned.clone())));
        let (joined, cancelled) = (task.clone(), task.clone());
        let noted = cleaned.clone();
        let spawn = |g: Group| {
            g.spawn(async move {
                joined.wait().await?;
                let end = joined.end().expect("a wait returns after the end");
                match joined.join().await? {
                    Ok(7) => assert_eq!(end, TaskEnd::Ok),
                    Err(TaskError::Cancelled(_)) => assert_eq!(end, TaskEnd::Cancelled),
                    other => panic!("the task ended as {other:?}"),
                }
                Ok(())
            });
            g.spawn(async move {
                cancelled.cancel().await?;
                assert!(cancelled.is_done(), "`cancel` returned before the end");
                assert_eq!(noted.get(), cancelled.end() == Some(TaskEnd::Cancelled));
                cancelled.cancel().await
            });
        };
        members(spawn, || ()).await?;
        task.wait().await?;
        assert_eq!(cleaned.get(), task.end() == Some(TaskEnd::Cancelled));
        Ok(())
    });
}

/// V4, C5: of two tasks that join a third one, one gets the value.
#[test]
fn the_outcome_of_a_task_is_taken_once() {
    assert_complete(1_702, async || {
        let task = Rc::new(spawn(works(Rc::default())));
        let taken = Rc::new(Cell::new(0));
        let spawn = |g: Group| {
            for _ in 0..2 {
                let (task, taken) = (task.clone(), taken.clone());
                g.spawn(async move {
                    if !matches!(task.join().await?, Err(TaskError::Taken)) {
                        taken.set(taken.get() + 1);
                    }
                    yield_now().await
                });
            }
        };
        members(spawn, || ()).await?;
        assert_eq!(taken.get(), 1, "the outcome was taken so many times");
        Ok(())
    });
}

type Ring = Rc<RefCell<Vec<Task<(), TaskCancelled>>>>;

/// V4, C5: each of three tasks cancels the next one, which cleans up, and waits for its end.
#[test]
fn tasks_that_cancel_each_other_in_a_ring_all_end() {
    assert_complete(1_305, async || {
        let (ring, cleanups) = (Ring::default(), Rc::new(Cell::new(0)));
        let spawn = |g: Group| {
            for number in 0..3 {
                let (others, cleanups) = (ring.clone(), cleanups.clone());
                let task = g.spawn(async move {
                    let next = others.borrow()[(number + 1) % 3].cancel();
                    let ended = next.await;
                    if ended.is_err() {
                        yield_now().await.expect("a cancellation is delivered once");
                        cleanups.set(cleanups.get() + 1);
                    }
                    ended
                });
                ring.borrow_mut().push(task);
            }
        };
        members(spawn, || ()).await?;
        let ends = ring.take().iter().map(Task::end).collect::<Vec<_>>();
        let cancelled = ends.iter().filter(|end| **end == Some(TaskEnd::Cancelled)).count();
        assert_eq!(cancelled, cleanups.get());
        assert!(cancelled > 0, "each waits for the next one, but {ends:?}");
        Ok(())
    });
}

/// Waits for an event. The cleanup after a timeout or a cancellation takes a millisecond.
async fn waits(event: Rc<Event>, cancelled_again: Rc<Cell<bool>>) -> Ended {
    let Err(cancelled) = event.wait().await else { return Ok(()) };
    if cancelled.reason() == CancelReason::Timeout {
        assert_eq!(check_cancellation(), None, "it came before the cancel of the task");
    }
    if let Err(cancelled) = sleep(MS).await {
        cancelled_again.set(true);
        return Err(cancelled);
    }
    Err(cancelled)
}

/// V4, C1, T1, T2, T3, T4: of two timeouts round a wait, one expires when the event is set.
#[test]
fn a_timeout_round_a_wait_gives_the_event_or_the_timeout() {
    assert_complete(964, async || {
        let (event, start) = (Rc::new(Event::new()), now());
        let spawn = |g: Group| {
            for limit in [MS, 2 * MS] {
                let (event, again) = (event.clone(), Rc::new(Cell::new(false)));
                g.spawn(async move {
                    let waited = timeout_after(limit, waits(event.clone(), again.clone())).await;
                    let took = now() - start;
                    match waited {
                        Ok(Ok(())) => assert!(event.is_set(), "the event is not set"),
                        Ok(Err(cancelled)) => return Err(cancelled),
                        // It expired in the cleanup after a cancel of the task.
                        Err(_) if again.get() => assert_eq!(took, limit),
                        Err(_) => assert_eq!(took, limit + MS, "it expired at another time"),
                    }
                    // A timeout that was left does not fire.
                    let slept = sleep(2 * MS).await;
                    assert!(slept.is_err() || now() - start == took + 2 * MS);
                    assert!(slept.is_err() || !again.get(), "a cancel of the task is lost");
                    slept
                });
            }
            let event = event.clone();
            g.spawn(async move {
                sleep(MS).await?;
                event.set();
                Ok(())
            });
        };
        members(spawn, || ()).await
    });
}

/// V4, C3, C4, C7: a cancel is held back by a shield and delivered once after it.
#[test]
fn a_shield_holds_a_cancel_back_until_its_end() {
    assert_complete(796, async || {
        let (event, ended) = (Rc::new(Event::new()), Rc::new(Cell::new(false)));
        let (late, noted) = (event.clone(), ended.clone());
        let requested = Rc::new(Cell::new(false));
        let spawn = |g: Group| {
            let (waits, asked) = (event.clone(), requested.clone());
            let task = g.spawn(async move {
                let waited = shield(waits.wait()).await;
                waited.expect("a shield lets no cancellation through");
                let held_back = asked.get() || check_cancellation().is_some();
                let yielded = yield_now().await;
                assert!(yielded.is_err() || !held_back, "a cancel that was held back is lost");
                if yielded.is_err() {
                    yield_now().await.expect("a cancellation is delivered once");
                }
                noted.set(true);
                yielded
            });
            g.spawn(async move {
                requested.set(true);
                task.request_cancel();
                yield_now().await
            });
            g.spawn(async move {
                yield_now().await?;
                event.set();
                Ok(())
            });
        };
        members(spawn, || late.set()).await?;
        assert!(ended.get());
        Ok(())
    });
}
