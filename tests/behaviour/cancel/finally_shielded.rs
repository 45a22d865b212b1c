//! The shield of the cleanup of `finally`, its limit, and what cuts a cleanup off (C20, C7).

use std::cell::Cell;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use kernel::{
    BodyEnd, CancelReason, Task, TaskCancelled, TaskEnd, TaskError, cancelled, check_cancellation,
    finally, ignore_after, shield, sleep, spawn, testing, timeout_after,
};

use super::finally::Own::Broken;
use super::finally::{cancelled_when_parked, parks};
use crate::support::log::Log;
use crate::support::reports;
use crate::support::time::secs;

/// C20, C7: a second request, and a timeout round the call, are held back while the cleanup runs.
/// The timeout then reaches the code behind the call.
#[test]
fn the_cleanup_is_shielded() {
    testing::run(async || {
        let task: Task<(), TaskCancelled> = spawn(async {
            let started = kernel::now();
            let ended = timeout_after(secs(2), async {
                let ended = finally(parks(), async |_| sleep(secs(5)).await).await;
                assert_eq!(kernel::now() - started, secs(6), "the cleanup has run to its end");
                assert!(matches!(ended.unwrap_err().reason(), CancelReason::Requested { .. }));
                let next = sleep(secs(1)).await.unwrap_err();
                assert_eq!(next.reason(), CancelReason::Timeout);
                Err::<(), _>(next)
            });
            ended.await.unwrap_err();
            Ok(())
        });
        sleep(secs(1)).await.unwrap();
        task.request_cancel();
        sleep(secs(1)).await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(task.end(), Some(TaskEnd::Ok));
    });
}

/// C20, C7: a cancel that comes during the cleanup of a good body takes nothing of its value, and
/// comes at the next leaf.
#[test]
fn a_cancel_during_the_cleanup_of_a_good_body_leaves_the_value() {
    testing::run(async || {
        let task: Task<u32, TaskCancelled> = spawn(async {
            let body = async { Ok::<_, TaskCancelled>(7) };
            let value = finally(body, async |how: BodyEnd| {
                assert!(how.is_ok());
                sleep(secs(1)).await?;
                assert!(check_cancellation().is_some());
                Ok(())
            });
            let value = value.await?;
            assert!(sleep(secs(1)).await.is_err());
            Ok(value)
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(task.join().await.unwrap().unwrap(), 7);
    });
}

/// C20, C7: after the limit the cancellation is delivered where the cleanup is parked. It is ten
/// seconds unless it is set, and counts from the beginning of the cleanup.
#[test]
fn the_shield_of_the_cleanup_has_a_limit() {
    /// The time from the end of the body to the error in the cleanup, after a cancel in it.
    async fn limit(set: Option<Duration>) -> Option<Duration> {
        let cut_at = Rc::new(Cell::new(None));
        let theirs = cut_at.clone();
        let cleanup = async move |_| {
            let started = kernel::now();
            let slept = sleep(secs(1000)).await;
            theirs.set(slept.is_err().then(|| kernel::now() - started));
            slept
        };
        let call = finally(sleep(secs(30)), cleanup);
        let call = match set {
            None => call,
            Some(limit) => call.within(limit),
        };
        let task = spawn(call);
        sleep(secs(31)).await.unwrap();
        task.cancel().await.unwrap();
        let ended = task.join().await.unwrap();
        assert_eq!(matches!(ended, Err(TaskError::Cancelled(_))), cut_at.get().is_some());
        cut_at.get()
    }
    testing::run(async || {
        assert_eq!(limit(None).await, Some(secs(10)));
        assert_eq!(limit(Some(secs(4))).await, Some(secs(4)));
        assert_eq!(limit(Some(Duration::ZERO)).await, Some(secs(1)), "it was parked until then");
        assert_eq!(limit(Some(Duration::MAX)).await, None);
    });
}

/// C20: without a cancellation the limit changes nothing.
#[test]
fn a_slow_cleanup_that_is_not_cancelled_runs_to_its_end() {
    testing::run(async || {
        let started = kernel::now();
        let slow = async |_| sleep(secs(1000)).await;
        finally(async { Ok::<_, TaskCancelled>(()) }, slow).within(secs(1)).await.unwrap();
        assert_eq!(kernel::now() - started, secs(1000));
    });
}

/// C20, C16: a cleanup that is cut off by its limit and passes the cancellation on is not reported
/// beside the error of the body; one that fails for another reason is.
#[test]
fn a_cleanup_that_is_cut_off_passes_the_cancellation_on_silently() {
    let (ends, reports) = reports::failures(async || {
        let fails = |real: bool| async move {
            let body = async { Err::<(), _>(Broken("body")) };
            let cleanup = async |_| match parks().await {
                Err(_) if real => Err(Broken("cut off")),
                slept => Ok(slept?),
            };
            finally(body, cleanup).within(secs(3)).await
        };
        let one = cancelled_when_parked(fails(false)).await;
        let two = cancelled_when_parked(fails(true)).await;
        [one, two].map(|ended| format!("{ended:?}"))
    });
    // The task itself got its cancellation, so its outcome says so, and its failure is taken.
    assert_eq!(ends, ["Err(Cancelled(Broken(\"body\")))"; 2].map(str::to_owned));
    assert_eq!(reports, ["Broken(\"cut off\")"]);
}

/// C20: if its future is dropped, or its task is aborted, the cleanup does not run, nor its rest.
#[test]
fn a_dropped_call_does_not_clean_up() {
    testing::run(async || {
        let log = Log::default();
        let call = |body_ends: bool| {
            let log = log.clone();
            let body = async move { if body_ends { Ok(()) } else { parks().await } };
            finally(body, async move |_| {
                log.push("begun");
                sleep(secs(5)).await.unwrap();
                log.push("ended");
            })
        };
        let _ = futures::poll!(Box::pin(call(false)));
        let task = spawn(call(false));
        sleep(secs(1)).await.unwrap();
        task.abort();
        assert_eq!(log.take(), [""; 0]);
        let task = spawn(call(true));
        sleep(secs(1)).await.unwrap();
        task.abort();
        sleep(secs(10)).await.unwrap();
        assert_eq!(log.take(), ["begun"]);
    });
}

/// C20, C10: a grace that is shorter than the limit cuts the cleanup off and reports its task.
#[test]
fn a_grace_bounds_the_cleanup_from_outside() {
    let (log, reports) = reports::texts(async || {
        let log = Log::default();
        let theirs = log.clone();
        let task = spawn(finally(parks(), async move |_| {
            theirs.push("begun");
            sleep(secs(5)).await.unwrap();
            theirs.push("ended");
        }));
        testing::settle().await.unwrap();
        task.cancel_within(secs(2)).await.unwrap();
        assert_eq!(task.end(), Some(TaskEnd::Aborted));
        log.take()
    });
    assert_eq!(log, ["begun"]);
    assert!(reports.len() == 1 && reports[0].contains("its grace is over"), "{reports:?}");
}

/// C20: nested calls clean up from the inside out, each in its own shield.
#[test]
fn nested_calls_clean_up_from_the_inside_out() {
    testing::run(async || {
        let log = Log::default();
        let note = |what: &'static str| {
            let log = log.clone();
            async move |how| {
                sleep(secs(8)).await.unwrap();
                log.push(format!("{what} {how:?}"));
            }
        };
        let started = kernel::now();
        let inner = finally(parks(), note("inner"));
        let ended = cancelled_when_parked(finally(finally(inner, note("middle")), note("outer")));
        assert!(matches!(ended.await, Err(TaskError::Cancelled(_))));
        assert_eq!(log.take(), ["inner Cancelled", "middle Cancelled", "outer Cancelled"]);
        assert_eq!(kernel::now() - started, secs(24));
    });
}

/// C20: it works under another executor inside the task, in a shield, and in an `ignore_after`.
#[test]
fn it_goes_with_other_combinators() {
    testing::run(async || {
        let cleaned = Rc::new(Cell::new(0));
        let count = |cleaned: &Rc<Cell<u32>>| {
            let cleaned = cleaned.clone();
            async move |_| {
                sleep(secs(1)).await.unwrap();
                cleaned.set(cleaned.get() + 1);
            }
        };
        let both = async |cleaned: &Rc<Cell<u32>>| {
            let two = [0, 1].map(|_| finally(parks(), count(cleaned)));
            let ended = futures::future::join_all(two).await;
            ended.into_iter().collect::<Result<Vec<()>, _>>()
        };
        assert_eq!(ignore_after(secs(1), both(&cleaned)).await, Ok(None));
        assert_eq!(cleaned.replace(0), 2);
        let theirs = cleaned.clone();
        let ended = cancelled_when_parked(async move {
            shield(finally(sleep(secs(5)), count(&theirs))).await?;
            parks().await
        });
        assert!(matches!(ended.await, Err(TaskError::Cancelled(_))));
        assert_eq!(cleaned.get(), 1);
    });
}

/// C20, C13: a cancellation that the body puts back reaches no await of the cleanup, and the caller
/// gets it afterwards.
#[test]
fn a_cancellation_that_the_body_puts_back_waits_for_the_cleanup() {
    testing::run(async || {
        let ended = cancelled_when_parked(async {
            let body = async {
                parks().await.unwrap_err().put_back();
                Ok::<_, TaskCancelled>(())
            };
            finally(body, async |how: BodyEnd| {
                assert!(how.is_ok());
                sleep(secs(1)).await
            })
            .await?;
            let last = parks().await.unwrap_err();
            assert!(cancelled(&last).is_some());
            Err::<(), _>(last)
        });
        assert!(matches!(ended.await, Err(TaskError::Cancelled(_))));
    });
}

/// C20, C13: a cancellation that comes out of the cleanup beside another error, or of the body
/// beside a panic of the cleanup, is put back: the caller gets it at its next leaf.
#[test]
fn a_cancellation_that_cannot_be_returned_is_put_back() {
    async fn gets_it_again<T: Debug>(call: impl Future<Output = T>) -> Result<T, TaskCancelled> {
        let ended = call.await;
        let Err(again) = sleep(secs(1)).await else { panic!("lost, after {ended:?}") };
        again.put_back();
        Ok(ended)
    }
    testing::run(async || {
        let cut_off = async {
            let body = async { Err::<(), _>(Broken("body")) };
            let call = finally(body, async |_| Ok(parks().await?)).within(secs(1));
            let ended = gets_it_again(call).await?;
            assert!(matches!(ended, Err(Broken("body"))));
            parks().await
        };
        assert!(matches!(cancelled_when_parked(cut_off).await, Err(TaskError::Cancelled(_))));
        let panics = async {
            let call = finally(parks(), async |how| assert!(how.is_ok(), "the cleanup"));
            let ended = gets_it_again(AssertUnwindSafe(call).catch_unwind()).await?;
            assert!(ended.is_err());
            parks().await
        };
        assert!(matches!(cancelled_when_parked(panics).await, Err(TaskError::Cancelled(_))));
        let both = async {
            let body = async {
                let cancelled = parks().await.unwrap_err();
                cancelled.clone().put_back();
                Err::<(), _>(cancelled)
            };
            let ended = finally(body, async |_| parks().await).within(secs(1)).await;
            sleep(secs(1)).await.expect("it is passed on, and is not put back");
            ended
        };
        assert!(timeout_after(secs(1), both).await.is_err());
    });
}
