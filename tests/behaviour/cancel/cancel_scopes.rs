//! A piece of code that can be cancelled on its own (C15).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use kernel::{
    CancelReason, CancelScope, Kernel, ScopeCancelled, TaskCancelled, now, shield, sleep, spawn,
    testing, timeout_after,
};
use sync::Event;

use crate::support::time::secs;

/// Parks, cleans up for a second if it is cancelled, and passes the error on.
async fn parks() -> Result<(), TaskCancelled> {
    let ended = sleep(Duration::MAX).await;
    sleep(secs(1)).await.expect("it was cancelled once already");
    ended
}

/// C15: a scope is cancelled from another task. Its body cleans up, and the task goes on.
#[test]
fn another_task_cancels_the_scope_and_the_task_goes_on() {
    testing::run(async || {
        let scope = CancelScope::new();
        let button = scope.clone();
        spawn(async move {
            sleep(secs(3)).await?;
            button.cancel();
            button.cancel();
            Ok::<_, TaskCancelled>(())
        });
        let started = now();
        let ended = scope.run(parks()).await;
        assert_eq!(ended.unwrap_err().reason(), CancelReason::Scope);
        assert_eq!(now() - started, secs(4));
        sleep(secs(1)).await.expect("the task itself is not cancelled");
        assert!(scope.is_cancelled());
    });
}

/// C15: cancelled before `run`, the body runs to its first leaf that would park.
#[test]
fn a_scope_that_was_cancelled_before_runs_to_the_first_park() {
    testing::run(async || {
        let (scope, event) = (CancelScope::new(), Event::new());
        event.set();
        scope.cancel();
        let reached = Cell::new(false);
        let ended = scope.run(async {
            event.wait().await?;
            reached.set(true);
            sleep(secs(1)).await
        });
        assert!(ended.await.is_err());
        assert!(reached.get());
        assert_eq!(scope.run(async { Ok::<_, TaskCancelled>(7) }).await, Ok(Ok(7)));
    });
}

/// C15, C16: the outer error comes only if this scope was cancelled, and the body ended because of
/// it, whatever the type of its error.
#[test]
fn the_outer_error_means_this_scope_alone() {
    testing::run(async || {
        let cancelled = CancelScope::new();
        cancelled.cancel();
        let text = async { sleep(secs(1)).await.map_err(|gone| gone.to_string()) };
        assert!(matches!(cancelled.run(text).await, Ok(Err(_))), "a text keeps no cancellation");
        let held = async { sleep(secs(1)).await.map_err(|gone| (gone, "held")) };
        assert!(cancelled.run(held).await.is_err());
        let real = async { sleep(secs(1)).await.map_err(|_| "the disk is full") };
        assert_eq!(cancelled.run(real).await, Ok(Err("the disk is full")));
        let swallowed = async { Ok::<_, ()>(sleep(secs(1)).await.is_err()) };
        assert_eq!(cancelled.run(swallowed).await, Ok(Ok(true)));
        let idle = CancelScope::new();
        assert_eq!(idle.run(async { Err::<(), _>("own") }).await, Ok(Err("own")));
    });
}

/// C15, T3: a cancellation and a timeout from outside pass through as the body's own error.
#[test]
fn a_cancellation_from_outside_passes_through() {
    testing::run(async || {
        let scope = CancelScope::new();
        let outer = timeout_after(secs(1), async {
            let passed = scope.run(sleep(Duration::MAX)).await;
            passed.expect("the scope was not cancelled")
        });
        assert!(outer.await.is_err());
        let inner = CancelScope::new();
        let button = inner.clone();
        let body = sleep(Duration::MAX);
        let task = spawn(async move { inner.run(body).await.expect("not the scope's") });
        testing::settle().await.unwrap();
        task.request_cancel();
        button.cancel();
        // Both are pending: the outermost is delivered.
        let reason = task.await.unwrap_err().reason();
        assert!(matches!(reason, CancelReason::Requested { .. }));
    });
}

/// C15: a deadline may move while the body runs; the reason is a timeout.
#[test]
fn a_deadline_moves() {
    testing::run(async || {
        let started = now();
        let scope = CancelScope::with_deadline(started + secs(2));
        let ended = scope.run(async {
            sleep(secs(1)).await?;
            scope.set_deadline(Some(now() + secs(5)));
            sleep(secs(4)).await?;
            scope.set_deadline(None);
            sleep(secs(100)).await?;
            scope.set_deadline(Some(now() + secs(1)));
            sleep(secs(100)).await
        });
        assert_eq!(ended.await.unwrap_err().reason(), CancelReason::Timeout);
        assert_eq!(now() - started, secs(106));
        assert_eq!(scope.deadline(), Some(started + secs(106)));
        scope.set_deadline(Some(started));
        assert!(scope.run(sleep(secs(1))).await.is_err(), "a deadline in the past");
    });
}

/// C15: a deadline that is set after a run leaves no timer.
#[test]
fn a_run_that_has_ended_leaves_no_timer() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    kernel.run(async || {
        let scope = CancelScope::with_deadline(now() + secs(9));
        scope.run(sleep(secs(1))).await.unwrap().unwrap();
        scope.set_deadline(Some(now() + secs(9)));
    });
    assert_eq!(kernel.leftovers().timers, 0);
}

/// C15: other threads cancel through a handle, also one that is made while the body is parked in a
/// combinator that polls only what was woken.
#[test]
fn a_handle_cancels_from_another_thread() {
    testing::run(async || {
        for early in [true, false] {
            let scope = CancelScope::new();
            let handle = early.then(|| scope.handle());
            let inner = scope.clone();
            let task = spawn(async move {
                let mut runs: FuturesUnordered<_> =
                    [inner.run(sleep(Duration::MAX))].into_iter().collect();
                runs.next().await.expect("there is one")
            });
            testing::settle().await.unwrap();
            let handle = handle.unwrap_or_else(|| scope.handle());
            testing::settle().await.unwrap();
            thread::spawn(move || handle.cancel()).join().unwrap();
            let ended: Result<Result<(), TaskCancelled>, ScopeCancelled> =
                task.wait().await.map(|()| Ok(Ok(()))).unwrap();
            assert_eq!(ended, Ok(Ok(())));
            assert!(scope.is_cancelled());
        }
    });
}

/// C15: a handle may outlive the scope and the kernel.
#[test]
fn a_handle_may_outlive_everything() {
    let handle = testing::run(async || {
        let scope = CancelScope::new();
        let handle = scope.handle();
        handle.cancel();
        assert!(scope.run(sleep(secs(1))).await.is_err());
        handle
    });
    handle.cancel();
}

/// C15: two runs at a time are a panic that names both.
#[test]
fn one_run_at_a_time() {
    testing::run(async || {
        let scope = CancelScope::new();
        let twice = async {
            let second = scope.run(async { Ok::<_, TaskCancelled>(()) });
            let panic = catch_unwind(AssertUnwindSafe(|| tokio_test::task::spawn(second).poll()));
            let text = panic.map(drop).unwrap_err();
            let text = text.downcast_ref::<String>().unwrap().clone();
            Ok::<_, TaskCancelled>(text)
        };
        let text = scope.run(twice).await.unwrap().unwrap();
        assert_eq!(text.matches("cancel_scopes.rs").count(), 2, "{text}");
    });
}

/// C15, C7: a shield inside holds the cancellation of the scope back.
#[test]
fn a_shield_inside_holds_it_back() {
    testing::run(async || {
        let scope = CancelScope::new();
        scope.cancel();
        let kept = Rc::new(Cell::new(false));
        let ended = scope.run(async {
            kept.set(shield(sleep(secs(1))).await.is_ok());
            sleep(secs(1)).await
        });
        assert!(ended.await.is_err());
        assert!(kept.get());
    });
}

/// C15, K8: without handles the kernel does not count on the scope's waker: a deadlock is certain.
#[test]
fn a_handle_that_is_gone_wakes_nothing() {
    for clones in [0, 1] {
        let hang = AssertUnwindSafe(|| {
            kernel::run(async || {
                let scope = CancelScope::new();
                let handles = vec![scope.handle(); clones + 1];
                let inner = scope.clone();
                let task = spawn(async move { inner.run(Event::new().wait()).await.map(drop) });
                sleep(Duration::from_millis(1)).await.unwrap();
                drop(handles);
                task.wait().await
            })
        });
        let panic = catch_unwind(hang).unwrap_err();
        let text = panic.downcast_ref::<String>().expect("a text");
        assert!(text.contains("deadlock"), "{text}");
    }
}

/// C15, T7: a deadline that has passed cancels at the first leaf that would park, and moving it
/// later does not help.
#[test]
fn a_deadline_that_has_passed_holds() {
    testing::run(async || {
        let scope = CancelScope::with_deadline(now());
        let ended = scope.run(async {
            scope.set_deadline(Some(now() + secs(9)));
            kernel::yield_now().await?;
            Ok::<_, TaskCancelled>(())
        });
        assert!(ended.await.is_err());
    });
}
