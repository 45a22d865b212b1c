//! The poll of a cancelled task has a path of its own, and tasks of two chunks take turns on
//! another: what one poll leaves must not leak into the next.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use kernel::{
    Kernel, Task, TaskCancelled, TaskEnd, TaskError, check_cancellation, current_task_id, sleep,
    spawn, testing, yield_now,
};

use crate::support::time::secs;

type Ended = Result<(), TaskCancelled>;

/// A kernel whose reports are dropped.
fn quiet() -> kernel::Builder {
    Kernel::builder().on_report(|_| ())
}

/// A task that takes some turns, and parks in each of them but the first.
fn takes_turns() -> Task<(), TaskCancelled> {
    spawn(async {
        for _ in 0..3 {
            yield_now().await?;
            assert!(check_cancellation().is_none(), "it is not cancelled");
            sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    })
}

fn panics_in_its_cleanup() -> Ended {
    panic!("in its cleanup")
}

/// Cancels what `ends` makes while another task takes turns behind it. Returns how it has ended.
fn end_before_another(ends: impl Fn() -> Task<(), TaskCancelled>) -> Option<TaskEnd> {
    testing::run_with(quiet(), async || {
        let cancelled = ends();
        testing::settle().await.unwrap();
        cancelled.request_cancel();
        let next = takes_turns();
        assert!(next.join().await.unwrap().is_ok());
        cancelled.end()
    })
}

/// C3, K3: the cancellation of a task reaches no task that is polled after it, however it ends.
#[test]
fn a_cancellation_ends_with_the_poll_of_its_task() {
    let passes_it_on = || spawn(sleep(Duration::MAX));
    assert_eq!(end_before_another(passes_it_on), Some(TaskEnd::Cancelled));
    let swallows_it = || {
        spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            Ended::Ok(())
        })
    };
    assert_eq!(end_before_another(swallows_it), Some(TaskEnd::Ok));
    let cleans_up = || {
        spawn(async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            sleep(Duration::from_micros(1)).await?;
            Ended::Err(cancelled)
        })
    };
    assert_eq!(end_before_another(cleans_up), Some(TaskEnd::Cancelled));
    let panics = || {
        spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            panics_in_its_cleanup()
        })
    };
    assert_eq!(end_before_another(panics), Some(TaskEnd::Panicked));
    let gives_its_waker_away = || {
        spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
            waker.wake();
            Ended::Ok(())
        })
    };
    assert_eq!(end_before_another(gives_its_waker_away), Some(TaskEnd::Ok));
}

/// C1: a sleep that is over when its task is cancelled in the same turn ends well, and the
/// cancellation stays for the next leaf.
#[test]
fn a_sleep_that_is_over_is_not_interrupted() {
    testing::run(async || {
        let slept = Rc::new(Cell::new(false));
        let task = spawn({
            let slept = slept.clone();
            async move {
                sleep(secs(1)).await?;
                slept.set(true);
                sleep(secs(1)).await
            }
        });
        sleep(secs(1)).await.unwrap();
        task.cancel().await.unwrap();
        assert!(slept.get());
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
    });
}

/// C16: the memory of a cancellation is used again only if no copy of it is left.
#[test]
fn a_kept_cancellation_stays_what_it_is() {
    testing::run(async || {
        let mut kept: Vec<TaskCancelled> = Vec::new();
        for n in 0..6 {
            let task = spawn(sleep(Duration::MAX));
            testing::settle().await.unwrap();
            task.cancel().await.unwrap();
            let Err(TaskError::Cancelled(cancelled)) = task.join().await.unwrap() else {
                panic!("it was cancelled");
            };
            assert!(kept.iter().all(|earlier| !earlier.is_same(&cancelled)), "{n}");
            if n % 2 == 0 {
                kept.push(cancelled);
            }
        }
    });
}

/// K1: tasks that are far apart in the table take turns, and each is polled as itself.
#[test]
fn tasks_far_apart_take_turns_as_themselves() {
    testing::run(async || {
        let turns = Rc::new(Cell::new(0));
        let tasks: Vec<Task<(), TaskCancelled>> = (0..200)
            .map(|at| {
                let turns = turns.clone();
                spawn(async move {
                    let me = current_task_id();
                    let many = if at % 70 == 5 { 20 } else { 1 };
                    for _ in 0..many {
                        yield_now().await?;
                        assert_eq!(current_task_id(), me);
                        turns.set(turns.get() + 1);
                    }
                    Ended::Ok(())
                })
            })
            .collect();
        let me = current_task_id();
        for task in tasks {
            assert!(task.join().await.unwrap().is_ok());
            assert_eq!(current_task_id(), me);
        }
        assert_eq!(turns.get(), 197 + 3 * 20);
    });
}
