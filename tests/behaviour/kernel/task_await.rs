//! `task.await`: the short form of `join`, with one error type for the task and for the wait.

use std::cell::Cell;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use futures::FutureExt;
use kernel::{
    CancelReason, Result, Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, TaskState, handle,
    run_in_thread, sleep, spawn, spawn_named, testing, timeout_after,
};

use crate::support::time::secs;

#[derive(Debug, thiserror::Error)]
enum Mine {
    #[error("broken")]
    Broken,
    #[error(transparent)]
    Cancelled(#[from] TaskCancelled),
}

async fn one_after(seconds: u64) -> Result<u32> {
    sleep(secs(seconds)).await?;
    Ok(1)
}

/// C19: the value comes in one level. Awaiting a reference keeps the handle.
#[test]
fn awaiting_a_task_gives_its_value() {
    testing::run(async || {
        let by_reference = spawn(one_after(2));
        assert_eq!((&by_reference).await, Ok(1));
        assert!(by_reference.is_done());
        assert_eq!(spawn(one_after(2)).await, Ok(1));
        let member = TaskGroup::<TaskCancelled>::scope(async |g| g.spawn(one_after(1)).await);
        assert_eq!(member.await, Ok(1));
    });
}

/// C19: a task's own error is returned unchanged, whether its type is of the program or of the
/// library.
#[test]
fn awaiting_a_failed_task_gives_its_own_error() {
    testing::run(async || {
        let mine = spawn(async { Err::<(), _>(Mine::Broken) });
        assert!(matches!(mine.await, Err(Mine::Broken)));
        let io = spawn(async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) });
        assert_eq!(io.await.unwrap_err().kind(), io::ErrorKind::NotFound);
    });
}

/// C6, C19: a task that returns `()` ends well, cancelled or not. The error type of its await is
/// `TaskCancelled`.
#[test]
fn a_task_that_cannot_fail_returns_nothing() {
    async fn notes(done: Rc<Cell<u32>>) {
        let slept = sleep(secs(1)).await;
        done.set(done.get() + if slept.is_ok() { 1 } else { 10 });
    }
    testing::run(async || {
        let done = Rc::new(Cell::new(0));
        let plain: Task<(), TaskCancelled> = spawn(notes(done.clone()));
        assert_eq!(plain.await, Ok(()));
        let named = spawn_named("notes", notes(done.clone()));
        testing::settle().await.unwrap();
        named.cancel().await.unwrap();
        assert_eq!(named.end(), Some(TaskEnd::Ok));
        assert_eq!(named.await, Ok(()));
        assert_eq!(done.get(), 11);
    });
}

/// C6, C11: so does one that another thread spawned.
#[test]
fn a_handle_spawns_a_task_that_cannot_fail() {
    let (sender, receiver) = mpsc::channel();
    testing::run(async || {
        let handle = handle();
        let thread =
            run_in_thread(move || handle.spawn(move || async move { sender.send(7).unwrap() }));
        thread.await.unwrap().unwrap();
        testing::settle().await.unwrap();
        assert_eq!(receiver.try_recv(), Ok(7));
    });
}

/// C19: a cancelled task gives the error value that it returned.
#[test]
fn awaiting_a_cancelled_task_gives_the_error_it_returned() {
    testing::run(async || {
        let passes = spawn(async { Ok::<_, Mine>(one_after(9).await?) });
        let wraps = spawn(async { one_after(9).await.map_err(|_| Mine::Broken) });
        testing::settle().await.unwrap();
        passes.cancel().await.unwrap();
        wraps.cancel().await.unwrap();
        let passed = passes.await.unwrap_err();
        let by = match passed {
            Mine::Cancelled(cancelled) => cancelled.reason(),
            Mine::Broken => panic!("{passed:?}"),
        };
        assert!(matches!(by, CancelReason::Requested { by: Some(_) }));
        assert!(matches!(wraps.await, Err(Mine::Broken)));
    });
}

/// C19: an aborted task returned nothing, so its awaiter gets the reason as a cancellation.
#[test]
fn awaiting_an_aborted_task_gives_a_cancellation_that_says_so() {
    testing::run(async || {
        let task = spawn(one_after(9));
        task.abort();
        assert_eq!(task.await.unwrap_err().reason(), CancelReason::Aborted);
    });
}

/// C19, T6: a cancellation or a timeout of the awaiting task comes as its own error type, and the
/// awaited task continues and keeps its outcome.
#[test]
fn a_cancelled_await_leaves_the_task_alone() {
    testing::run(async || {
        let task = Rc::new(spawn(async { Ok::<_, Mine>(one_after(9).await?) }));
        let theirs = task.clone();
        let awaiting = spawn(async move { (&*theirs).await });
        testing::settle().await.unwrap();
        awaiting.cancel().await.unwrap();
        assert!(matches!(awaiting.await, Err(Mine::Cancelled(_))));
        assert!(timeout_after(secs(1), (&*task).into_future()).await.is_err());
        assert!(!task.is_done());
        assert!(matches!((&*task).await, Ok(1)));
    });
}

/// C19: a task that is awaited by value continues when the await is cancelled, like any other
/// without a handle.
#[test]
fn a_task_whose_await_took_its_handle_goes_on_when_that_is_cancelled() {
    testing::run(async || {
        let done = Rc::new(Cell::new(false));
        let theirs = done.clone();
        let task = spawn(async move {
            sleep(secs(2)).await?;
            theirs.set(true);
            Ok::<_, TaskCancelled>(())
        });
        assert!(timeout_after(secs(1), task.into_future()).await.is_err());
        assert!(!done.get());
        sleep(secs(2)).await.unwrap();
        assert!(done.get());
    });
}

/// C19, K3: a panic is re-raised in the awaiting task, with its payload.
#[test]
fn the_panic_of_an_awaited_task_goes_on() {
    testing::run(async || {
        let task = spawn::<_, Result<()>>(async { std::panic::resume_unwind(Box::new(7_u32)) });
        let payload = AssertUnwindSafe(task.into_future()).catch_unwind().await.unwrap_err();
        assert_eq!(payload.downcast_ref(), Some(&7_u32));
    });
}

/// C19: the outcome is taken once: a second await panics, as a join would find it taken.
#[test]
fn a_second_await_of_a_task_panics() {
    testing::run(async || {
        let task = spawn(one_after(1));
        assert_eq!((&task).await, Ok(1));
        assert!(matches!(task.join().await, Ok(Err(TaskError::Taken))));
        let again = AssertUnwindSafe((&task).into_future()).catch_unwind().await.unwrap_err();
        let text = again.downcast_ref::<String>().unwrap();
        let named = format!("the outcome of task {} {} was already taken", task.id(), task.name());
        assert!(text.starts_with(&named), "{text}");
    });
}

/// C19, C9: the awaiting task is parked in a join, at the line of its `.await`.
#[test]
fn the_monitor_shows_where_a_task_is_awaited() {
    testing::run(async || {
        let task = Rc::new(spawn(async { sleep(Duration::MAX).await }));
        let theirs = task.clone();
        let line = line!() + 1;
        let awaiting = spawn(async move { (&*theirs).await });
        testing::settle().await.unwrap();
        let site = awaiting.parked_at().unwrap();
        assert_eq!((site.file(), site.line()), (file!(), line));
        assert_eq!(awaiting.state(), TaskState::Parked("JOIN"));
        task.cancel().await.unwrap();
    });
}

/// C19, G2: a member that fails while a task awaits it fails to that task, and not to its group.
#[test]
fn a_member_that_is_awaited_fails_to_its_awaiter() {
    testing::run(async || {
        let ended = TaskGroup::<Mine>::scope(async |g| {
            let member = g.spawn(async {
                sleep(secs(1)).await?;
                Err::<(), _>(Mine::Broken)
            });
            Ok(matches!(member.await, Err(Mine::Broken)))
        });
        assert!(ended.await.unwrap());
    });
}
