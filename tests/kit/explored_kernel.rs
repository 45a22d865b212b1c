//! Every schedule of small programs of tasks that wait for one another, groups, timeouts and
//! shields, with a cancel at every moment (V4).
//!
//! Each program has three tasks of two operations, and all explorations are complete: see
//! `explored_sync`.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{
    Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, WaitPolicy, cancelled, check_cancellation,
    now, shield, sleep, spawn, testing, timeout_after, yield_now,
};
use curium::sync::Event;

use crate::explored::{Counted, Ended, Group, assert_complete, members};

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

/// What the members of a group did.
#[derive(Default)]
struct Seen {
    alive: Rc<Cell<usize>>,
    succeeded: Cell<usize>,
    failed: Cell<usize>,
}

async fn member(seen: Rc<Seen>, fails: bool) -> io::Result<()> {
    let _alive = Counted::new(&seen.alive, 1);
    if let Err(cancelled) = yield_now().await {
        yield_now().await.expect("a cancellation is delivered once");
        return Err(cancelled.into());
    }
    let counted = if fails { &seen.failed } else { &seen.succeeded };
    counted.set(counted.get() + 1);
    if fails { Err(io::Error::other("its own")) } else { Ok(()) }
}

/// A group of two members, the second of which may fail.
async fn group(policy: WaitPolicy, fails: bool) -> Ended {
    let seen = Rc::new(Seen::default());
    let inner = seen.clone();
    let owner = spawn(async move {
        let ended = TaskGroup::<io::Error>::scope_with(policy, async |g| {
            g.spawn(member(inner.clone(), false));
            g.spawn(member(inner.clone(), fails));
            yield_now().await?;
            Ok(())
        })
        .await;
        assert_eq!(inner.alive.get(), 0, "a member has outlived its group");
        ended
    });
    let ended = owner.join().await?;
    let (succeeded, failed) = (seen.succeeded.get(), seen.failed.get());
    match ended {
        Ok(()) if failed > 0 => {
            assert!(policy == WaitPolicy::FirstOk && succeeded > 0, "a failure is lost");
        }
        Ok(()) => {}
        Err(TaskError::Cancelled(error)) => assert!(failed > 0 || cancelled(&error).is_some()),
        Err(TaskError::Failed(error)) => {
            assert!(failed > 0 && cancelled(&error).is_none(), "{error} without a failure");
            assert!(policy != WaitPolicy::FirstOk || succeeded == 0, "a success is lost");
        }
        Err(other) => panic!("the group ended as {other}"),
    }
    Ok(())
}

/// V4, G1, G2, G3, G5: no member outlives its group, and no failure is lost, under each policy.
#[test]
fn a_group_of_each_policy_ends_with_all_its_members() {
    let programs = [
        (WaitPolicy::All, false, 570),
        (WaitPolicy::All, true, 646),
        (WaitPolicy::Any, false, 820),
        (WaitPolicy::Any, true, 789),
        (WaitPolicy::FirstOk, false, 784),
        (WaitPolicy::FirstOk, true, 677),
        (WaitPolicy::None, false, 480),
        (WaitPolicy::None, true, 471),
    ];
    for (policy, fails, schedules) in programs {
        // Shown if the program fails.
        println!("{policy:?}; a member fails: {fails}");
        assert_complete(schedules, async || group(policy, fails).await);
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
                g.spawn(member(inner.clone(), true));
                g.spawn(member(inner.clone(), false));
                sleep(Duration::MAX).await?;
                Ok(())
            })
            .await
        });
        testing::settle().await?;
        assert!(owner.is_done() || seen.failed.get() == 0, "the body waits on after a failure");
        // If the member that fails was cancelled, so must the body be.
        owner.request_cancel();
        let Err(TaskError::Failed(error) | TaskError::Cancelled(error)) = owner.join().await?
        else {
            panic!("the sleep has ended");
        };
        assert!(seen.failed.get() > 0 || cancelled(&error).is_some());
        assert_eq!(seen.alive.get(), 0, "a member has outlived its group");
        Ok(())
    });
}

/// V4, G6, Y3: a cancelled `next_done` loses no end of a member.
#[test]
fn each_end_of_a_member_is_given_once() {
    assert_complete(262, async || {
        let told = Rc::new(RefCell::new(Vec::new()));
        let noted = told.clone();
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
        assert_eq!(told.borrow().len(), 2);
        Ok(())
    });
}

/// V4, C1, T1, T2, T4: of two timeouts round a wait, one expires when the event is set.
#[test]
fn a_timeout_round_a_wait_gives_the_event_or_the_timeout() {
    assert_complete(590, async || {
        let (event, start) = (Rc::new(Event::new()), now());
        let spawn = |g: Group| {
            for limit in [MS, 2 * MS] {
                let event = event.clone();
                g.spawn(async move {
                    let waited = timeout_after(limit, event.wait()).await;
                    let took = now() - start;
                    match waited {
                        Ok(Ok(())) => assert!(event.is_set(), "the event is not set"),
                        Ok(Err(cancelled)) => return Err(cancelled),
                        Err(_) => assert_eq!(took, limit, "it expired at another time"),
                    }
                    // A timeout that was left does not fire.
                    let slept = sleep(2 * MS).await;
                    assert!(slept.is_err() || now() - start == took + 2 * MS);
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
