//! Tasks that cancel themselves, each other, in circles and from destructors never deadlock (C4,
//! C5).

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    CancelReason, Task, TaskCancelled, TaskError, TaskTimeout, check_cancellation, shield, sleep,
    spawn, testing, timeout_after,
};

use crate::support::time::secs;

/// A handle that its own task can reach: filled right after the spawning.
type Handle<T> = Rc<OnceCell<Task<T, TaskCancelled>>>;

/// Spawns a task that can reach its own handle.
fn spawn_knowing<T: 'static>(
    body: impl AsyncFnOnce(&Task<T, TaskCancelled>) -> Result<T, TaskCancelled> + 'static,
) -> Handle<T> {
    let handle = Handle::default();
    let mine = handle.clone();
    let task = spawn(async move { body(mine.get().expect("filled below")).await });
    handle.set(task).expect("filled once");
    handle
}

async fn outcome<T: 'static>(task: &Handle<T>) -> Result<T, TaskError<TaskCancelled>> {
    task.get().unwrap().join().await.unwrap()
}

/// C5: a task that cancels itself gets the error at once, and it counts as delivered.
#[test]
fn cancelling_oneself_gives_the_error_at_once() {
    testing::run(async || {
        let task = spawn_knowing(async |me: &Task<(), _>| {
            let cycles = kernel::current_task().cycles;
            let error = me.cancel().await.unwrap_err();
            assert_eq!(kernel::current_task().cycles, cycles, "not even a switch");
            assert_eq!(error.reason(), CancelReason::Requested { by: Some(me.id()) });
            assert_eq!(check_cancellation(), None);
            sleep(secs(1)).await?;
            Err(error)
        });
        assert!(matches!(outcome(&task).await, Err(TaskError::Cancelled(_))));
    });
}

/// C5: also under a shield, because the task would wait for itself for ever.
#[test]
fn cancelling_oneself_under_a_shield_gives_the_error_too() {
    testing::run(async || {
        let task = spawn_knowing(async |me: &Task<_, _>| {
            let inside = shield(me.cancel()).await;
            let after = sleep(secs(1)).await;
            Ok((inside.is_err(), after.is_ok()))
        });
        assert_eq!(outcome(&task).await.unwrap(), (true, true));
    });
}

/// C5: also repeatedly, and after a cancel was delivered.
#[test]
fn cancelling_oneself_twice_is_no_deadlock() {
    testing::run(async || {
        let task = spawn_knowing(async |me: &Task<_, _>| {
            let first = me.cancel().await.is_err();
            let second = me.cancel().await.is_err();
            Ok((first, second))
        });
        assert_eq!(outcome(&task).await.unwrap(), (true, true));
    });
}

/// C2, C5: the other leaves of the task, parked beside it in a `join!`, get the error as well.
#[test]
fn cancelling_oneself_reaches_the_leaves_beside_it() {
    testing::run(async || {
        let task = spawn_knowing(async |me: &Task<_, _>| {
            let cancel = async {
                sleep(secs(1)).await?;
                me.cancel().await
            };
            let (beside, own) = futures::join!(sleep(Duration::MAX), cancel);
            Ok((beside.is_err(), own.is_err()))
        });
        assert_eq!(outcome(&task).await.unwrap(), (true, true));
    });
}

/// C4: a request of a task to cancel itself is delivered once, at the next leaf that would park.
#[test]
fn a_request_to_oneself_arrives_at_the_next_await() {
    testing::run(async || {
        let task = spawn_knowing(async |me: &Task<_, _>| {
            me.request_cancel();
            me.request_cancel();
            assert!(check_cancellation().is_some());
            let first = sleep(secs(1)).await;
            let second = sleep(secs(1)).await;
            Ok((first.is_err(), second.is_ok()))
        });
        assert_eq!(outcome(&task).await.unwrap(), (true, true));
    });
}

/// T2, T3: if a task cancels itself in the cleanup of a timed-out body, that error is not the
/// timeout.
#[test]
fn cancelling_oneself_after_a_timeout_is_not_the_timeout() {
    testing::run(async || {
        let task = spawn_knowing(async |me: &Task<_, _>| {
            let body = async {
                sleep(Duration::MAX).await.unwrap_err();
                me.cancel().await
            };
            let ended: Result<Result<(), _>, TaskTimeout> = timeout_after(secs(1), body).await;
            let cancelled = ended.map(|inner| inner.unwrap_err().reason());
            Ok(cancelled == Ok(CancelReason::Requested { by: Some(me.id()) }))
        });
        assert!(outcome(&task).await.unwrap(), "its own cancel passed as its timeout");
    });
}

/// Tasks in a circle, each of which waits a second, cancels the next one, and then cleans up for
/// `cleanup`.
async fn circle(length: usize, cleanup: Duration) -> Vec<Result<(), TaskError<TaskCancelled>>> {
    let tasks: Rc<OnceCell<Vec<Task<(), TaskCancelled>>>> = Rc::default();
    let spawned = (0..length).map(|at| {
        let tasks = tasks.clone();
        spawn(async move {
            sleep(secs(1)).await?;
            let ended = tasks.get().unwrap()[(at + 1) % length].cancel().await;
            if !cleanup.is_zero() {
                sleep(cleanup).await?;
            }
            ended
        })
    });
    tasks.set(spawned.collect()).unwrap();
    let mut outcomes = Vec::new();
    for task in tasks.get().unwrap() {
        outcomes.push(task.join().await.unwrap());
    }
    outcomes
}

/// C1, C5: the second task gets the error out of its `cancel`, and ends. So the `cancel` of the
/// first task completes.
#[test]
fn of_two_tasks_that_cancel_each_other_the_first_sees_the_other_end() {
    testing::run(async || {
        let outcomes = circle(2, Duration::ZERO).await;
        assert!(matches!(outcomes[..], [Ok(()), Err(TaskError::Cancelled(_))]), "{outcomes:?}");
    });
}

/// C5: in a circle of any length, in any order, every task gets the error and cleans up.
#[test]
fn tasks_that_cancel_each_other_in_a_circle_all_end() {
    testing::run_seeds(0..20, async |seed| {
        let outcomes = circle(2 + seed as usize, secs(1)).await;
        let cancelled = |end: &_| matches!(end, Err(TaskError::Cancelled(_)));
        assert!(outcomes.iter().all(cancelled), "{outcomes:?}");
    });
}

/// C5: a child that cancels its parent, which waits for it.
#[test]
fn a_child_may_cancel_its_parent_that_waits_for_it() {
    testing::run(async || {
        let parent = spawn_knowing(async |me: &Task<_, _>| {
            let id = me.id();
            let handle = kernel::handle();
            let child = spawn(async move {
                sleep(secs(1)).await?;
                handle.request_cancel(id).unwrap();
                sleep(secs(5)).await
            });
            let joined = child.join().await;
            // The child was not cancelled, so wait for it once more.
            let child = child.join().await?;
            Ok((joined.is_err(), child.is_ok()))
        });
        assert_eq!(outcome(&parent).await.unwrap(), (true, true));
    });
}

/// Requests a cancel when it is dropped.
struct CancelOnDrop(Handle<bool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.get().unwrap().request_cancel();
    }
}

/// C4: a destructor may request a cancel of another task and of its own.
#[test]
fn a_destructor_may_ask_for_a_cancel() {
    testing::run(async || {
        let other = spawn_knowing(async |_: &Task<_, _>| Ok(sleep(Duration::MAX).await.is_err()));
        let own = Handle::default();
        let guards = (CancelOnDrop(other.clone()), CancelOnDrop(own.clone()));
        let task = spawn(async move {
            sleep(secs(1)).await?;
            drop(guards);
            Ok(sleep(Duration::MAX).await.is_err())
        });
        own.set(task).unwrap();
        assert!(outcome(&own).await.unwrap());
        assert!(outcome(&other).await.unwrap());
    });
}

/// C5: a canceller that is cancelled itself abandons its wait. Its target continues.
#[test]
fn a_cancelled_canceller_abandons_its_wait() {
    testing::run(async || {
        let target = Rc::new(spawn(async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(60)).await?;
            Err::<(), _>(cancelled)
        }));
        let theirs = target.clone();
        let canceller = spawn(async move { theirs.cancel().await });
        sleep(secs(1)).await.unwrap();
        canceller.cancel().await.unwrap();
        assert!(matches!(canceller.join().await.unwrap(), Err(TaskError::Cancelled(_))));
        assert_eq!(target.state().to_string(), "SLEEP");
        target.wait().await.unwrap();
    });
}

/// C2, C4: a request of a task to cancel itself reaches no other task, whichever poll it was made
/// in.
#[test]
fn a_request_to_oneself_does_not_reach_the_task_that_runs_next() {
    testing::run(async || {
        let asking = spawn_knowing(async |me: &Task<(), _>| {
            me.request_cancel();
            Ok(())
        });
        let next = spawn(sleep(secs(1)));
        next.join().await?.unwrap();
        assert_eq!(check_cancellation(), None);
        assert!(outcome(&asking).await.is_ok());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
