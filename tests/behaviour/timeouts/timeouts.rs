//! One timeout: which error it returns, when it fires, and what it does not affect (T1, T2, T4, T6,
//! T7).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    CancelReason, TaskCancelled, TaskError, TaskGroup, TaskTimeout, ignore_after, run_in_thread,
    sleep, sleep_until, spawn, testing, timeout_after, timeout_at, yield_now,
};
use sync::Event;

use crate::support::reports::overruns;
use crate::support::time::secs;

type Slept = Result<(), TaskCancelled>;

/// A failure of a body. A body is never cancelled in the tests that use it.
#[derive(Debug, PartialEq)]
struct Broken;

impl From<TaskCancelled> for Broken {
    fn from(cancelled: TaskCancelled) -> Self {
        panic!("{cancelled}")
    }
}

/// T1: the leaf returns the error, and the body is polled until it has cleaned up.
#[test]
fn the_body_cleans_up_before_the_timeout_returns() {
    testing::run(async || {
        let started = kernel::now();
        let cleaned = RefCell::new(false);
        let body = async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            assert_eq!(cancelled.reason(), CancelReason::Timeout);
            assert_eq!(kernel::now() - started, secs(1));
            sleep(secs(10)).await?;
            *cleaned.borrow_mut() = true;
            Err::<(), _>(cancelled)
        };
        let timeout: TaskTimeout = timeout_after(secs(1), body).await.unwrap_err();
        assert_eq!(timeout.limit(), secs(1));
        assert!(cleaned.take());
        assert_eq!(kernel::now() - started, secs(11));
    });
}

/// T2: in time, the call returns the body's own value or error.
#[test]
fn in_time_the_body_has_its_own_result() {
    let ((), reported) = overruns(async || {
        let well = timeout_after(secs(2), async {
            sleep(secs(1)).await?;
            Ok::<_, TaskCancelled>(7)
        });
        assert_eq!(well.await, Ok(Ok(7)));
        let badly = timeout_after(secs(2), async { Err::<(), _>(Broken) });
        assert_eq!(badly.await, Ok(Err(Broken)));
    });
    assert_eq!(reported, []);
}

/// T2: a body that returns `Ok` late still succeeds, and a warning says by how much it is late.
#[test]
fn a_late_value_wins_with_a_warning() {
    let ((), reported) = overruns(async || {
        let body = async {
            sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(4)).await?;
            Ok::<_, TaskCancelled>("saved")
        };
        assert_eq!(timeout_after(secs(1), body).await, Ok(Ok("saved")));
    });
    assert_eq!(reported, [secs(4)]);
}

/// T2: if nothing was delivered, an error stays the body's own, also in the tick of the expiry.
#[test]
fn an_error_in_the_tick_of_the_expiry_is_the_bodys_own() {
    testing::run(async || {
        // The timeout's timer is older, so its expiry comes first. The sleep completes
        // nevertheless.
        let body = async {
            sleep(secs(1)).await.expect("it has completed");
            Err::<(), _>(Broken)
        };
        assert_eq!(timeout_after(secs(1), body).await, Ok(Err(Broken)));
    });
}

/// T4: a timeout that was left never fires, whatever is left of its body.
#[test]
fn a_timeout_that_was_left_never_fires() {
    testing::run(async || {
        let quick = timeout_after(secs(5), sleep(secs(1))).await;
        assert_eq!(quick, Ok(Ok(())));
        assert_eq!(sleep(secs(10)).await, Ok(()));
    });
}

/// T4: also if its time was up, undelivered, when its body ended.
#[test]
fn an_expiry_that_nobody_took_is_gone_with_its_timeout() {
    let ((), reported) = overruns(async || {
        let event = Event::new();
        event.set();
        let body = async {
            sleep(secs(1)).await?;
            event.wait().await
        };
        // Both are due in one tick, and the sleep completes.
        assert_eq!(timeout_after(secs(1), body).await, Ok(Ok(())));
        assert_eq!(sleep(secs(10)).await, Ok(()));
    });
    assert!(reported.iter().all(Duration::is_zero), "it was not late: {reported:?}");
}

/// T4: nor does a timeout that was dropped before its end.
#[test]
fn a_timeout_that_was_dropped_never_fires() {
    testing::run(async || {
        let mut dropped = Box::pin(timeout_after(secs(1), sleep(secs(5))));
        assert!(futures::poll!(dropped.as_mut()).is_pending());
        drop(dropped);
        assert_eq!(sleep(secs(10)).await, Ok(()));
        assert!(kernel::current_task().parked.is_empty());
    });
}

/// T6: round a `join` it abandons the wait. The task continues, and its outcome stays.
#[test]
fn a_timeout_round_join_leaves_the_task_alone() {
    testing::run(async || {
        let task = spawn(async {
            sleep(secs(5)).await?;
            Ok::<_, TaskCancelled>(7)
        });
        let timed = timeout_after(secs(1), task.join()).await;
        assert!(matches!(timed, Err(TaskTimeout { .. })));
        assert_eq!(task.join().await.unwrap().unwrap(), 7);
    });
}

/// T6: round a `cancel`, too: the task stays cancelled and continues its cleanup.
#[test]
fn a_timeout_round_cancel_leaves_the_cleanup_alone() {
    testing::run(async || {
        let task = spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(5)).await?;
            Ok::<_, TaskCancelled>("clean")
        });
        testing::settle().await.unwrap();
        assert!(timeout_after(secs(1), task.cancel()).await.is_err());
        assert!(!task.is_done());
        assert_eq!(task.join().await.unwrap().unwrap(), "clean");
    });
}

/// T6: round a job on a thread, the caller returns, and the thread finishes on its own.
#[test]
fn a_timeout_round_a_thread_abandons_the_wait() {
    testing::run(async || {
        let (go, gate) = std::sync::mpsc::channel::<()>();
        let (begin, begun) = std::sync::mpsc::channel();
        let (done, finished) = std::sync::mpsc::channel();
        let mut job = Box::pin(run_in_thread(move || {
            begin.send(()).unwrap();
            gate.recv().ok();
            done.send(()).unwrap();
        }));
        // A job that waits for a thread is not started any more.
        assert!(futures::poll!(&mut job).is_pending());
        begun.recv().unwrap();
        // While a job runs, the virtual clock stands still, but a time that is up has expired.
        assert!(timeout_after(Duration::ZERO, job).await.is_err());
        go.send(()).unwrap();
        finished.recv().unwrap();
    });
}

/// T6: round a group it cancels the members, and waits for their cleanup.
#[test]
fn a_timeout_round_a_group_cancels_the_members() {
    testing::run(async || {
        let started = kernel::now();
        let cleaned = Rc::new(RefCell::new(0));
        let theirs = cleaned.clone();
        let group = TaskGroup::<TaskCancelled>::scope(async move |g| {
            for _ in 0..3 {
                let cleaned = theirs.clone();
                g.spawn(async move {
                    let cancelled = sleep(Duration::MAX).await.unwrap_err();
                    sleep(secs(5)).await?;
                    *cleaned.borrow_mut() += 1;
                    Err::<(), _>(cancelled)
                });
            }
            Ok(())
        });
        assert!(timeout_after(secs(1), group).await.is_err());
        assert_eq!(cleaned.take(), 3);
        assert_eq!(kernel::now() - started, secs(6));
    });
}

/// T7: `Duration::MAX` is no limit: no timer, no deadline shown, no overflow.
#[test]
fn the_greatest_duration_is_no_limit() {
    testing::run(async || {
        let body = async {
            sleep(secs(1_000_000)).await?;
            Ok::<_, TaskCancelled>(kernel::current_task().deadline)
        };
        assert_eq!(timeout_after(Duration::MAX, body).await, Ok(Ok(None)));
        assert_eq!(ignore_after(Duration::MAX, sleep(secs(1))).await, Ok(Some(())));
        let parked = spawn(timeout_after(Duration::MAX, sleep(Duration::MAX)));
        testing::settle().await.unwrap();
        parked.cancel().await.unwrap();
        let inner = parked.join().await.unwrap().unwrap();
        assert!(inner.is_err(), "cancelled, and not timed out");
    });
}

/// T7: zero expires at the first leaf that would park, and not before.
#[test]
fn zero_expires_at_the_first_await_that_would_park() {
    testing::run(async || {
        let started = kernel::now();
        let event = Event::new();
        event.set();
        let steps = RefCell::new(0);
        let body = async {
            event.wait().await?;
            *steps.borrow_mut() += 1;
            let parked = yield_now().await;
            *steps.borrow_mut() += 1;
            parked
        };
        assert_eq!(timeout_after(Duration::ZERO, body).await.unwrap_err().limit(), Duration::ZERO);
        assert_eq!(steps.take(), 2);
        assert_eq!(kernel::now(), started);
        assert!(timeout_after(Duration::ZERO, sleep(Duration::ZERO)).await.is_err());
        let value = timeout_after(Duration::ZERO, async { Ok::<_, TaskCancelled>(7) });
        assert_eq!(value.await, Ok(Ok(7)));
    });
}

/// T2, T7: a body that need not park is not late, however little time it has.
#[test]
fn a_body_that_need_not_park_is_not_late() {
    let ((), reported) = overruns(async || {
        let event = Event::new();
        event.set();
        assert_eq!(timeout_after(Duration::ZERO, event.wait()).await, Ok(Ok(())));
        assert_eq!(ignore_after(Duration::ZERO, event.wait()).await, Ok(Some(())));
    });
    assert_eq!(reported, []);
}

/// T7: an instant in the past expires like zero. A future one expires in time.
#[test]
fn a_deadline_in_the_past_has_expired() {
    testing::run(async || {
        sleep(secs(10)).await.unwrap();
        let now = kernel::now();
        let past: Result<Slept, _> = timeout_at(now - secs(5), sleep(secs(1))).await;
        assert_eq!(past.unwrap_err().limit(), Duration::ZERO);
        assert_eq!(kernel::now(), now);
        assert!(timeout_at(now + secs(2), sleep_until(now + secs(3))).await.is_err());
        assert_eq!(kernel::now() - now, secs(2));
        assert_eq!(timeout_at(now + secs(4), sleep_until(now + secs(3))).await, Ok(Ok(())));
    });
}

/// T1: the time counts from the first poll, not from the creation.
#[test]
fn the_time_counts_from_the_first_poll() {
    testing::run(async || {
        let timed = timeout_after(secs(2), sleep(secs(1)));
        sleep(secs(10)).await.unwrap();
        assert_eq!(timed.await, Ok(Ok(())));
    });
}

/// T2: `ignore_after` gives `None` for its own expiry, and the body's value or error otherwise.
#[test]
fn ignore_after_turns_its_own_timeout_into_none() {
    testing::run(async || {
        assert_eq!(ignore_after(secs(1), sleep(secs(5))).await, Ok(None));
        assert_eq!(ignore_after(secs(5), sleep(secs(1))).await, Ok(Some(())));
        let broken = ignore_after(secs(1), async { Err::<(), _>(Broken) });
        assert_eq!(broken.await, Err(Broken));
        let task = spawn(ignore_after(secs(5), sleep(Duration::MAX)));
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
    });
}
