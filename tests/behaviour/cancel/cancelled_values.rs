//! A cancellation is a value: whether an error passes it on does not depend on the error's type
//! (C16, C18, T5).

use std::error::Error;
use std::fmt;
use std::thread;
use std::time::Duration;

use kernel::{
    CancelReason, TaskCancelled, TaskEnd, TaskError, TaskGroup, cancelled, sleep, spawn, testing,
    timeout_after, unless_cancelled,
};

use crate::support::reports;
use crate::support::time::secs;

/// An error of a program, which the kernel cannot inspect.
#[derive(Debug, thiserror::Error)]
enum Own {
    #[error("cancelled")]
    Cancelled(#[from] TaskCancelled),
    #[error("{0}")]
    Broken(String),
}

/// An error that shows what it holds as its own.
#[derive(Debug, thiserror::Error)]
enum Transparent {
    #[error(transparent)]
    Cancelled(#[from] TaskCancelled),
    #[error("{0}")]
    Broken(String),
}

/// An error that names the cancellation and does not keep it.
#[derive(Debug, thiserror::Error)]
enum Bare {
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Broken(String),
}

impl From<TaskCancelled> for Bare {
    fn from(_: TaskCancelled) -> Self {
        Bare::Cancelled
    }
}

/// What the tests need from an error type.
trait Usable: From<TaskCancelled> + fmt::Debug + fmt::Display + 'static {
    fn broken(text: &str) -> Self;
}

macro_rules! usable {
    ($($error:ident),*) => {$(
        impl Usable for $error {
            fn broken(text: &str) -> Self {
                $error::Broken(text.to_owned())
            }
        }
    )*};
}

usable!(Own, Transparent, Bare);

impl Usable for anyhow::Error {
    fn broken(text: &str) -> Self {
        anyhow::anyhow!("{text}")
    }
}

impl Usable for Box<dyn Error> {
    fn broken(text: &str) -> Self {
        text.into()
    }
}

impl Usable for std::io::Error {
    fn broken(text: &str) -> Self {
        std::io::Error::other(text.to_owned())
    }
}

/// Runs a generic test with each type.
macro_rules! with_each_type {
    ($test:ident) => {
        testing::run(async || {
            $test::<Own>().await;
            $test::<Transparent>().await;
            $test::<Bare>().await;
            $test::<anyhow::Error>().await;
            $test::<Box<dyn Error>>().await;
            $test::<std::io::Error>().await;
        });
    };
}

/// Parks, and returns what `cleanup` makes of the cancellation.
async fn cleans_up<E>(cleanup: impl FnOnce(TaskCancelled) -> E) -> Result<(), E> {
    let Err(cancelled) = sleep(Duration::MAX).await else { unreachable!("it does not end") };
    Err(cleanup(cancelled))
}

async fn timeouts<E: Usable>() {
    let echo = timeout_after(secs(1), cleans_up(E::from)).await;
    assert_eq!(echo.unwrap_err().limit(), secs(1));
    let real = timeout_after(secs(1), cleans_up(|_| E::broken("the disk is full"))).await;
    assert_eq!(real.unwrap().unwrap_err().to_string(), "the disk is full");
}

/// C16, T2: a timeout returns a real error of the cleanup, and becomes the timeout otherwise.
#[test]
fn a_timeout_tells_a_real_error_from_the_cancellation() {
    with_each_type!(timeouts);
}

async fn groups<E: Usable>() {
    let ended = TaskGroup::<E>::scope_all(async |g| {
        g.spawn(cleans_up(E::from));
        g.spawn(cleans_up(|_| E::broken("the disk is full")));
        g.spawn(async { Err::<(), _>(E::broken("first")) });
        cleans_up(E::from).await
    });
    let failed = ended.await.unwrap_err();
    let others: Vec<String> = failed.others.iter().map(E::to_string).collect();
    assert_eq!(
        (failed.first.to_string(), others),
        ("first".into(), vec!["the disk is full".into()])
    );

    let ended = TaskGroup::<E>::scope_all(async |g| {
        g.spawn(async { Err::<(), _>(E::broken("first")) });
        cleans_up(|_| E::broken("the body's own")).await
    });
    let failed = ended.await.unwrap_err();
    let others: Vec<String> = failed.others.iter().map(E::to_string).collect();
    assert_eq!((failed.first.to_string(), others), ("first".into(), vec!["the body's own".into()]));
}

/// C16, G3: a group keeps every real error, and no echo.
#[test]
fn a_group_keeps_every_real_error_and_no_echo() {
    with_each_type!(groups);
}

/// C16, C6: the outcome of a cancelled task is the same for every type; the report differs.
#[test]
fn the_failed_cleanup_of_a_task_is_reported_and_its_echo_is_not() {
    async fn task<E: fmt::Debug + 'static>(cleanup: fn(TaskCancelled) -> E) {
        let task = spawn(cleans_up(cleanup));
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(task.end(), Some(TaskEnd::Cancelled));
    }
    let ((), reports) = reports::failures(async || {
        task(Own::from).await;
        task(anyhow::Error::from).await;
        task(Box::<dyn Error>::from).await;
        task(|_| Own::broken("own")).await;
        task(|_| anyhow::anyhow!("anyhow")).await;
        task(|_| "text".to_owned()).await;
    });
    let expected = ["Broken(\"own\")", "anyhow", "\"text\""];
    // The `Debug` of an `anyhow::Error` may go on with a backtrace.
    let lines: Vec<&str> = reports.iter().filter_map(|report| report.lines().next()).collect();
    assert_eq!(lines, expected);
}

/// C16: of two copies from a `join!`, one is passed on and the other is dropped, or both are.
#[test]
fn of_two_copies_one_is_enough() {
    testing::run(async || {
        let both = async |passed: bool| {
            let (one, two) = futures::join!(sleep(Duration::MAX), sleep(Duration::MAX));
            drop(one);
            if passed {
                Err(Own::from(two.unwrap_err()))
            } else {
                Err::<(), _>(Own::broken("real"))
            }
        };
        assert!(timeout_after(secs(1), both(true)).await.is_err());
        assert!(matches!(timeout_after(secs(1), both(false)).await, Ok(Err(Own::Broken(_)))));
    });
}

/// C16, K9: a copy may be dropped on another thread, and outlive its task and its kernel.
#[test]
fn a_copy_may_go_anywhere() {
    let kept = testing::run(async || {
        let (sender, kept) = std::sync::mpsc::channel();
        let elsewhere = timeout_after(
            secs(1),
            cleans_up(move |cancelled| {
                let copy = cancelled.clone();
                thread::spawn(move || drop(copy)).join().unwrap();
                sender.send(cancelled.clone()).unwrap();
                drop(cancelled);
                Own::broken("real")
            }),
        );
        // The copy in the channel is alive, so the error counts as the cancellation.
        assert!(elsewhere.await.is_err());
        kept.recv().unwrap()
    });
    assert_eq!(kept.reason(), CancelReason::Timeout);
    thread::spawn(move || drop(kept)).join().unwrap();
}

/// C16: a copy of the cancellation of an earlier task in the same slot counts for nothing.
#[test]
fn a_copy_of_an_earlier_task_of_the_slot_counts_for_nothing() {
    let ((), reports) = reports::failures(async || {
        let mut kept = Vec::new();
        for _ in 0..3 {
            let task = spawn(cleans_up(|cancelled| {
                drop(cancelled);
                Own::broken("real")
            }));
            testing::settle().await.unwrap();
            task.cancel().await.unwrap();
            drop(task);
            let task = spawn(cleans_up(|cancelled| cancelled));
            testing::settle().await.unwrap();
            task.cancel().await.unwrap();
            kept.push(task.await.unwrap_err());
        }
        assert!(kept.iter().all(|copy| kept.iter().filter(|it| it.is_same(copy)).count() == 1));
    });
    assert_eq!(reports, ["Broken(\"real\")"; 3]);
}

/// C18: another task's cancellation, got by awaiting it, is an ordinary error.
#[test]
fn the_cancellation_of_another_task_is_an_ordinary_error() {
    testing::run(async || {
        let body = async {
            let other = spawn(sleep(Duration::MAX));
            let stranger = other.id();
            let handle = kernel::handle();
            let _ = sleep(Duration::MAX).await;
            thread::spawn(move || handle.request_cancel(stranger)).join().unwrap().unwrap();
            let got = other.await;
            assert!(unless_cancelled(got.clone()).unwrap().is_err());
            got
        };
        // The time ran out, and the body has swallowed that.
        let ended = timeout_after(secs(1), body).await.expect("not this call's");
        assert_eq!(ended.unwrap_err().reason(), CancelReason::Requested { by: None });
    });
}

/// C18: while a task is being cancelled, the cancellation of its child passes its own on.
#[test]
fn the_cancellation_of_ones_own_child_passes_ones_own_on() {
    testing::run(async || {
        let body = async {
            let child = spawn(sleep(Duration::MAX));
            drop(sleep(Duration::MAX).await);
            child.cancel().await?;
            child.await
        };
        assert!(timeout_after(secs(1), body).await.is_err());
    });
}

/// G3, C16: the cancellation of the owner is not a failure beside that of a member.
#[test]
fn the_owners_cancellation_is_not_reported_beside_a_members_failure() {
    let ((), reports) = reports::failures(async || {
        let owner = spawn(TaskGroup::<Own>::scope(async |g| {
            g.spawn(cleans_up(|_| Own::broken("member")));
            cleans_up(Own::from).await
        }));
        testing::settle().await.unwrap();
        owner.cancel().await.unwrap();
        let Err(TaskError::Cancelled(error)) = owner.join().await.unwrap() else {
            panic!("it was cancelled")
        };
        assert!(matches!(error, Own::Cancelled(_) | Own::Broken(_)));
    });
    assert!(reports.iter().all(|report| report.contains("member")), "{reports:?}");
}

/// An arm of a `join!` that is cancelled by the outer timeout, and cleans up.
async fn clean() -> Result<(), TaskCancelled> {
    let result = sleep(secs(100)).await;
    for _ in 0..3 {
        sleep(secs(1)).await.expect("it was cancelled once already");
    }
    result
}

/// An arm that swallows it inside an inner call.
async fn swallow() -> Result<(), TaskCancelled> {
    let inner = timeout_after(secs(50), async {
        let _ = sleep(secs(100)).await;
        Ok::<(), TaskCancelled>(())
    });
    inner.await.unwrap()
}

/// T5, C4: an expiry that one arm swallows is not delivered again while another arm has it.
#[test]
fn an_arm_that_still_has_the_expiry_is_not_cancelled_twice() {
    testing::run(async || {
        let first = timeout_after(secs(1), async { futures::join!(clean(), swallow()).0 });
        assert!(first.await.is_err());
        let second = timeout_after(secs(1), async { futures::join!(swallow(), clean()).1 });
        assert!(second.await.is_err());
    });
}

/// T5: an outer expiry that is dropped inside an inner call comes again, also if the inner call's
/// own is passed on.
#[test]
fn an_outer_expiry_dropped_inside_comes_again() {
    testing::run(async || {
        let body = async {
            let inner = timeout_after(secs(5), async {
                drop(sleep(secs(100)).await);
                sleep(secs(100)).await
            });
            assert!(inner.await.is_err(), "the inner time ran out as well");
            let again = sleep(secs(100)).await;
            assert!(again.is_err(), "the outer one is pending again");
            again
        };
        assert!(timeout_after(secs(1), body).await.is_err());
    });
}

/// C16: `cancelled` gives a reference to the very cancellation.
#[test]
fn cancelled_finds_the_very_cancellation() {
    testing::run(async || {
        let body = cleans_up(|cancelled| {
            let error = std::io::Error::from(cancelled.clone());
            assert!(kernel::cancelled(&error).unwrap().is_same(&cancelled));
            cancelled
        });
        assert!(timeout_after(secs(1), body).await.is_err());
        let other = spawn(sleep(Duration::MAX));
        testing::settle().await.unwrap();
        other.cancel().await.unwrap();
        let error = std::io::Error::from(other.await.unwrap_err());
        assert!(cancelled(&error).is_some());
    });
}
