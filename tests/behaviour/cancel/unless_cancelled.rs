//! `unless_cancelled` separates a cancellation of the caller from a real error.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io;
use std::rc::Rc;

use kernel::{
    CancelReason, Result, TaskCancelled, TaskError, TaskGroup, TaskTimeout, shield, sleep, spawn,
    testing, timeout_after, unless_cancelled,
};

use crate::support::time::secs;

/// An error that the kernel cannot look into.
#[derive(Debug, thiserror::Error)]
enum Mine {
    #[error("broken")]
    Broken,
    #[error(transparent)]
    Cancelled(#[from] TaskCancelled),
}

fn broken<E: From<io::Error>>() -> E {
    io::Error::from(io::ErrorKind::BrokenPipe).into()
}

impl From<io::Error> for Mine {
    fn from(_: io::Error) -> Self {
        Mine::Broken
    }
}

/// Fails after a second.
async fn attempt<E>(attempts: Rc<Cell<u32>>) -> Result<(), E>
where
    E: From<TaskCancelled> + From<io::Error>,
{
    sleep(secs(1)).await?;
    attempts.set(attempts.get() + 1);
    Err(broken())
}

/// Retries again and again. A bound ends it with `Ok` if it misses its cancellation.
async fn retry<E>(attempts: Rc<Cell<u32>>) -> Result<(), E>
where
    E: From<TaskCancelled> + From<io::Error> + 'static,
{
    while attempts.get() < 9 {
        match unless_cancelled(attempt::<E>(attempts.clone()).await)? {
            Ok(()) => return Ok(()),
            Err(_) => sleep(secs(1)).await?,
        }
    }
    Ok(())
}

/// Cancels a loop while its attempt is parked, after three failed attempts.
async fn cancels_a_loop<E>()
where
    E: From<TaskCancelled> + From<io::Error> + fmt::Debug + 'static,
{
    let attempts = Rc::new(Cell::new(0));
    let task = spawn(retry::<E>(attempts.clone()));
    sleep(secs(6)).await.unwrap();
    testing::settle().await.unwrap();
    assert_eq!(attempts.get(), 3);
    task.cancel().await.unwrap();
    assert!(task.await.is_err());
    assert_eq!(attempts.get(), 3);
}

/// C19: a loop over fallible work retries after a real error, and a cancel ends it at once.
#[test]
fn a_retry_loop_ends_with_a_cancel_whatever_its_error_type() {
    testing::run(async || {
        cancels_a_loop::<io::Error>().await;
        cancels_a_loop::<Box<dyn Error>>().await;
        cancels_a_loop::<Box<dyn Error + Send + Sync>>().await;
        cancels_a_loop::<anyhow::Error>().await;
        cancels_a_loop::<Mine>().await;
    });
}

/// C19, T3: an enclosing timeout ends the loop, and returns its own error.
#[test]
fn a_timeout_ends_a_retry_loop() {
    testing::run(async || {
        for opaque in [false, true] {
            let attempts = Rc::new(Cell::new(0));
            let late = match opaque {
                false => {
                    timeout_after(secs(4), retry::<io::Error>(attempts.clone())).await.is_err()
                }
                true => timeout_after(secs(4), retry::<Mine>(attempts.clone())).await.is_err(),
            };
            assert!(late);
            assert_eq!(attempts.get(), 2);
        }
    });
}

/// C19: values and real errors pass through unchanged before a cancellation.
#[test]
fn what_is_no_cancellation_passes_through() {
    testing::run(async || {
        assert_eq!(unless_cancelled(Ok::<_, TaskCancelled>(1)), Ok(Ok(1)));
        let mine = unless_cancelled(Err::<(), _>(Mine::Broken)).unwrap();
        assert!(matches!(mine, Err(Mine::Broken)));
        let boxed = unless_cancelled(Err::<(), Box<dyn Error>>("broken".into())).unwrap();
        assert_eq!(boxed.unwrap_err().to_string(), "broken");
        // A timeout of the attempt alone is a reason to retry.
        let slow = timeout_after(secs(1), sleep(secs(9))).await;
        let slow: Result<Result<_, TaskTimeout>> = unless_cancelled(slow);
        assert!(slow.unwrap().is_err());
    });
}

/// C19: the cancellation is returned with its reason, also from within the error.
#[test]
fn the_cancellation_comes_out_with_its_reason() {
    testing::run(async || {
        let held = async {
            let slept = sleep(secs(9)).await.map_err(io::Error::from);
            let reason = unless_cancelled(slept).unwrap_err().reason();
            assert_eq!(reason, CancelReason::Timeout);
            // No copy of it is left, so any other error is real.
            assert!(unless_cancelled(Err::<(), _>(Mine::Broken)).unwrap().is_err());
            Ok::<_, TaskCancelled>(())
        };
        timeout_after(secs(1), held).await.unwrap().unwrap();
        // That timeout has been left, so it does not count any more.
        assert!(unless_cancelled(Err::<(), _>(Mine::Broken)).is_ok());
    });
}

/// C19: the cancellation of another task, got by awaiting it, is a real error.
#[test]
fn the_cancellation_of_another_task_is_a_real_error() {
    testing::run(async || {
        let child = spawn(sleep(secs(9)));
        testing::settle().await.unwrap();
        child.cancel().await.unwrap();
        let ended = unless_cancelled(child.await).expect("nothing was delivered here");
        assert!(ended.is_err());
    });
}

/// C19: an error does not count as a cancellation that is requested and not yet delivered.
#[test]
fn a_real_error_before_the_delivery_is_a_real_error() {
    testing::run(async || {
        let task = spawn(async {
            let me = kernel::current_task().id;
            kernel::handle().request_cancel(me).unwrap();
            std::future::poll_fn(|cx| {
                // One turn of the kernel, through no leaf, so that the request arrives.
                if kernel::check_cancellation().is_some() {
                    return std::task::Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
            assert!(unless_cancelled(Err::<(), _>(Mine::Broken)).is_ok());
            sleep(secs(1)).await
        });
        assert!(task.await.is_err());
    });
}

/// C19, T2: in the cleanup an error that can be looked into is distinguished from the cancellation.
/// One that cannot counts as the cancellation, except in a shield.
#[test]
fn an_error_in_the_cleanup_is_looked_into() {
    testing::run(async || {
        let task = spawn(async {
            let cancelled = sleep(secs(9)).await.unwrap_err();
            let known = unless_cancelled(Err::<(), _>(broken::<io::Error>()));
            assert_eq!(known.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            assert_eq!(unless_cancelled(Err::<(), _>(Mine::Broken)).unwrap_err(), cancelled);
            shield(async {
                let unknown = unless_cancelled(Err::<(), _>(Mine::Broken)).unwrap();
                assert!(matches!(unknown, Err(Mine::Broken)));
            })
            .await;
            Err::<(), _>(cancelled)
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert!(matches!(task.join().await, Ok(Err(TaskError::Cancelled(_)))));
    });
}

/// C19, C7: a timeout begun inside a shield counts there.
#[test]
fn a_timeout_inside_a_shield_counts_there() {
    testing::run(async || {
        shield(async {
            let attempts = Rc::new(Cell::new(0));
            assert!(timeout_after(secs(4), retry::<Mine>(attempts.clone())).await.is_err());
            assert_eq!(attempts.get(), 2);
        })
        .await;
    });
}

/// C19, G2: a failing member ends a loop in the body of its group.
#[test]
fn a_failing_member_ends_a_loop_in_the_body() {
    testing::run(async || {
        let attempts = Rc::new(Cell::new(0));
        let theirs = attempts.clone();
        let ended = TaskGroup::<Mine>::scope(async |g| {
            g.spawn(async {
                sleep(secs(4)).await?;
                Err::<(), _>(Mine::Broken)
            });
            retry(theirs).await
        });
        assert!(matches!(ended.await, Err(Mine::Broken)));
        assert_eq!(attempts.get(), 2);
    });
}

/// C12, C19: outside a kernel nothing is cancelled.
#[test]
fn outside_a_kernel_nothing_is_cancelled() {
    let (cancelled, opaque) = testing::run(async || {
        let task = spawn(sleep(secs(9)));
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        let cancelled = task.await.unwrap_err();
        (cancelled.clone(), Mine::from(cancelled))
    });
    let value = cancelled.clone();
    assert_eq!(unless_cancelled(Err::<(), _>(value)), Ok(Err(cancelled)));
    let opaque = unless_cancelled(Err::<(), _>(opaque)).unwrap();
    assert!(matches!(opaque, Err(Mine::Cancelled(_))));
}
