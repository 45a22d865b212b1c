//! `finally`: the cleanup runs however the body ends, and nothing that failed is silent (C20).

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use kernel::{
    BodyEnd, Report, Task, TaskCancelled, TaskError, TaskGroup, finally, sleep, spawn, testing,
    timeout_after, yield_now,
};

use crate::support::reports;
use crate::support::time::secs;

/// An error of a program, which the kernel cannot inspect.
#[derive(Debug, thiserror::Error)]
pub(super) enum Own {
    #[error("cancelled")]
    Cancelled(#[from] TaskCancelled),
    #[error("{0}")]
    Broken(&'static str),
}

use Own::Broken;

pub(super) async fn parks() -> Result<(), TaskCancelled> {
    sleep(Duration::MAX).await
}

/// Spawns `body`, cancels it when it is parked, and gives what it returned.
pub(super) async fn cancelled_when_parked<T: 'static, E: Debug + 'static>(
    body: impl Future<Output = Result<T, E>> + 'static,
) -> Result<T, TaskError<E>> {
    let task = spawn(body);
    testing::settle().await.unwrap();
    task.cancel().await.unwrap();
    task.join().await.unwrap()
}

/// C20: the cleanup awaits after a value, an error, a `?`, a panic and a cancellation, and is told
/// which it was.
#[test]
fn the_cleanup_runs_on_every_end_of_the_body() {
    testing::run(async || {
        let ends = Rc::new(RefCell::new(Vec::new()));
        let (theirs, started) = (ends.clone(), kernel::now());
        let note = async move |how| {
            sleep(secs(1)).await.unwrap();
            theirs.borrow_mut().push(how);
        };
        assert_eq!(finally(async { Ok::<_, TaskCancelled>(1) }, note.clone()).await, Ok(1));
        let failed = finally(async { Err::<(), _>(Broken("early")) }, note.clone()).await;
        assert!(matches!(failed, Err(Broken("early"))));
        let asked = async {
            Err(io::ErrorKind::NotFound)?;
            unreachable!("the line above has left")
        };
        let asked: io::Result<()> = finally(asked, note.clone()).await;
        assert_eq!(asked.unwrap_err().kind(), io::ErrorKind::NotFound);
        let panicking = finally(async { panic!("the body") }, note.clone());
        let panicked: Result<Result<(), Own>, _> = AssertUnwindSafe(panicking).catch_unwind().await;
        assert_eq!(*panicked.unwrap_err().downcast::<&str>().unwrap(), "the body");
        let ended = cancelled_when_parked(finally(parks(), note.clone())).await;
        assert!(matches!(ended, Err(TaskError::Cancelled(_))));
        let ends: Vec<String> = ends.take().iter().map(|end| format!("{end:?}")).collect();
        assert_eq!(ends, ["Ok", "Failed", "Failed", "Panicked", "Cancelled"]);
        assert_eq!(kernel::now() - started, secs(5));
    });
}

/// C20: an `async fn`, a plain closure and a reference to a task are taken as well, and the cleanup
/// may return nothing.
#[test]
fn the_body_and_the_cleanup_have_many_forms() {
    async fn close(how: BodyEnd) -> Result<(), TaskCancelled> {
        assert!(how.is_ok());
        yield_now().await
    }
    testing::run(async || {
        assert_eq!(finally(async { Ok(1) }, close).await, Ok(1));
        let closed = Cell::new(0);
        let body = std::future::ready(Ok::<_, io::Error>(2));
        let ended = finally(body, |how: BodyEnd| {
            closed.set(closed.get() + i32::from(how.is_ok()));
            std::future::ready(())
        });
        assert_eq!(ended.await.unwrap(), 2);
        let task = spawn(async { Ok::<_, TaskCancelled>(3) });
        let ended = finally(&task, async |_| closed.set(closed.get() + 1));
        assert_eq!(ended.await, Ok(3));
        let ended = finally(async { Err::<(), _>(Broken("it")) }, async |how: BodyEnd| {
            assert!(!how.is_ok());
            Ok(yield_now().await?)
        });
        assert!(matches!(ended.await, Err(Broken("it"))));
        assert_eq!(closed.get(), 2);
    });
}

/// C20: the error of the body comes first. That of the cleanup is reported, once.
#[test]
fn the_bodys_error_wins_and_the_cleanups_is_reported() {
    let (ended, reports) = reports::failures(async || {
        finally(async { Err::<(), _>(Broken("body")) }, async |_| Err(Broken("cleanup"))).await
    });
    assert!(matches!(ended, Err(Broken("body"))));
    assert_eq!(reports, ["Broken(\"cleanup\")"]);
}

/// C20: after a good body the error of the cleanup is returned, and the value is dropped.
#[test]
fn the_error_of_the_cleanup_after_a_good_body_is_returned() {
    let ((), reports) = reports::texts(async || {
        let value = Rc::new(());
        let body = async { Ok(value.clone()) };
        let ended = finally(body, async |_| Err(Broken("cleanup"))).await;
        assert!(matches!(ended, Err(Broken("cleanup"))));
        assert_eq!(Rc::strong_count(&value), 1);
    });
    assert_eq!(reports, [""; 0]);
}

/// C20, C16: the body was cancelled and the cleanup fails. That is reported, although the error of
/// the body, of the same type, holds the cancellation.
#[test]
fn a_failed_cleanup_of_a_cancelled_body_is_reported() {
    let ((), reports) = reports::failures(async || {
        let body = async { Ok::<_, Own>(parks().await?) };
        let ended = cancelled_when_parked(finally(body, async |how| {
            assert_eq!(how, BodyEnd::Cancelled);
            Err(Broken("disk"))
        }));
        assert!(matches!(ended.await, Err(TaskError::Cancelled(Own::Cancelled(_)))));
        let body = async { parks().await.map_err(anyhow::Error::from) };
        let ended = timeout_after(secs(1), finally(body, async |_| Err(anyhow::anyhow!("disk"))));
        ended.await.unwrap_err();
        let body = async { parks().await.map_err(io::Error::from) };
        let ended = timeout_after(secs(1), finally(body, async |_| Err(io::Error::other("disk"))));
        ended.await.unwrap_err();
    });
    let lines: Vec<&str> = reports.iter().filter_map(|report| report.lines().next()).collect();
    let custom = "Custom { kind: Other, error: \"disk\" }";
    assert_eq!(lines, ["Broken(\"disk\")", "disk", custom]);
}

/// C20, C16: a body that has taken its cancellation upon itself has failed; an error that names the
/// cancellation of another task is a failure too.
#[test]
fn the_end_is_cancelled_only_if_the_error_passes_the_callers_cancellation_on() {
    testing::run(async || {
        let seen = Rc::new(Cell::new(None));
        let note = |seen: &Rc<Cell<_>>| {
            let seen = seen.clone();
            async move |how| seen.set(Some(how))
        };
        let real = async { parks().await.map_err(|_| Broken("real")) };
        let ended = cancelled_when_parked(finally(real, note(&seen))).await;
        assert!(matches!(ended, Err(TaskError::Cancelled(Broken("real")))));
        assert_eq!(seen.take(), Some(BodyEnd::Failed));

        let other = spawn(parks());
        testing::settle().await.unwrap();
        other.cancel().await.unwrap();
        finally(other, note(&seen)).await.unwrap_err();
        assert_eq!(seen.take(), Some(BodyEnd::Failed));

        let late = finally(timeout_after(secs(1), parks()), note(&seen)).await;
        assert_eq!(late.unwrap_err().limit(), secs(1));
        assert_eq!(seen.take(), Some(BodyEnd::Failed), "its own timeout cancels no caller");

        let late = timeout_after(secs(1), finally(parks(), note(&seen))).await;
        assert_eq!(late.unwrap_err().limit(), secs(1));
        assert_eq!(seen.take(), Some(BodyEnd::Cancelled));

        let group = TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(async { Err::<(), _>(parks_for(1).await) });
            finally(parks(), note(&seen)).await
        });
        group.await.unwrap_err();
        assert_eq!(seen.take(), Some(BodyEnd::Cancelled));
    });
}

/// Gives a cancellation that belongs to a scope that has ended.
async fn parks_for(seconds: u64) -> TaskCancelled {
    let old = Cell::new(None);
    let body = async {
        old.set(parks().await.err());
        Ok::<_, TaskCancelled>(())
    };
    timeout_after(secs(seconds), body).await.unwrap().unwrap();
    old.take().unwrap()
}

/// C20: a panic of the body is resumed when the cleanup has ended, and an error of the cleanup is
/// reported.
#[test]
fn a_panic_of_the_body_waits_for_the_cleanup() {
    let (ended, reports) = reports::failures(async || {
        let task: Task<(), Own> = spawn(finally(async { panic!("the body") }, async |how| {
            assert_eq!(how, BodyEnd::Panicked);
            sleep(secs(3)).await?;
            Err(Broken("cleanup"))
        }));
        let started = kernel::now();
        let ended = task.join().await.unwrap();
        assert_eq!(kernel::now() - started, secs(3));
        ended
    });
    let Err(TaskError::Panicked(panic)) = ended else { panic!("{ended:?}") };
    assert_eq!(panic.message(), "the body");
    assert_eq!(reports, ["Broken(\"cleanup\")"]);
}

/// C20, K6: a panic of the cleanup goes on, and the error of the body is reported unless it only
/// passes the cancellation on. Of two panics that of the body goes on, and the other is reported.
#[test]
fn a_panic_of_the_cleanup_makes_nothing_silent() {
    async fn message(body: impl Future<Output = Result<(), Own>> + 'static) -> String {
        let task = spawn(finally(body, async |_| {
            yield_now().await.unwrap();
            if true {
                panic!("the cleanup");
            }
        }));
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        match task.join().await.unwrap() {
            Err(TaskError::Panicked(panic)) => panic.message().to_owned(),
            other => panic!("{other:?}"),
        }
    }
    let failure = |report: &Report<'_>| match report {
        Report::Failed(failure) => Some((failure.panicked, failure.error.to_string())),
        other => panic!("not expected: {other}"),
    };
    let (messages, reports) = reports::picked(kernel::Kernel::builder(), failure, async || {
        let good = message(async { Ok(()) }).await;
        let failed = message(async { Err(Broken("body")) }).await;
        let cancelled = message(async { Ok(parks().await?) }).await;
        let panicked = message(async { panic!("the body") }).await;
        [good, failed, cancelled, panicked]
    });
    assert_eq!(messages, ["the cleanup", "the cleanup", "the cleanup", "the body"]);
    let expected = [(false, "Broken(\"body\")".to_owned()), (true, "the cleanup".to_owned())];
    assert_eq!(reports, expected);
}

/// C20: a closure that panics before it gives its future is a cleanup that panics.
#[test]
fn a_cleanup_that_panics_at_once_makes_nothing_silent() {
    let (ended, reports) = reports::failures(async || {
        let body = async { Err::<(), _>(Broken("body")) };
        let refuses = |_| -> std::future::Ready<()> { panic!("at once") };
        AssertUnwindSafe(finally(body, refuses)).catch_unwind().await.is_err()
    });
    assert!(ended);
    assert_eq!(reports, ["Broken(\"body\")"]);
}

/// C20: what the body holds is released before the cleanup begins.
#[test]
fn the_body_is_dropped_before_the_cleanup() {
    testing::run(async || {
        let held = Rc::new(());
        let kept = held.clone();
        let mut polled = false;
        let body = std::future::poll_fn(move |_| {
            assert!(!std::mem::replace(&mut polled, true));
            assert_eq!(Rc::strong_count(&kept), 3);
            std::task::Poll::Ready(Ok::<_, TaskCancelled>(()))
        });
        let watched = held.clone();
        let ended = finally(body, async move |_| assert_eq!(Rc::strong_count(&watched), 2));
        assert_eq!(Rc::strong_count(&held), 3);
        ended.await.unwrap();
    });
}

/// C20, K6: a conversion of the program's error that panics while its kind is found out does not
/// skip the cleanup.
#[test]
fn a_conversion_that_panics_does_not_skip_the_cleanup() {
    #[derive(Debug)]
    enum Odd {
        Bad,
    }
    impl From<TaskCancelled> for Odd {
        fn from(_: TaskCancelled) -> Self {
            panic!("the conversion")
        }
    }
    let cleaned = Rc::new(Cell::new(None));
    let theirs = cleaned.clone();
    let (_, reports) = reports::texts(async || {
        let body = async { parks().await.map_err(|_| Odd::Bad) };
        let call = finally(body, async move |how| theirs.set(Some(how)));
        // Behind a `String`, the task makes no second conversion.
        cancelled_when_parked(async { call.await.map_err(|error| format!("{error:?}")) }).await
    });
    assert_eq!(cleaned.get(), Some(BodyEnd::Failed));
    assert!(reports[0].contains("the conversion"), "{reports:?}");
}

/// C20, C12: outside a kernel it panics, and names the line of the call.
#[test]
fn outside_a_kernel_it_panics() {
    let call = finally(async { Ok::<_, TaskCancelled>(()) }, async |_| {});
    let payload = std::panic::catch_unwind(AssertUnwindSafe(|| call.now_or_never())).unwrap_err();
    let message = payload.downcast::<String>().unwrap();
    assert!(message.contains("`finally` at") && message.contains("finally.rs"), "{message}");
}
