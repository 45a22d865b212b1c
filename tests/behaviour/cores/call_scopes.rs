//! The scope of a call in the kernel that is called (P2). It is opened late: these are the bodies
//! to which a cancellation comes while it is not open, and what the caller's kernel notes.

use std::sync::Arc;
use std::time::Duration;

use curium::kernel::{
    CancelReason, CancelScope, Handle, TaskCancelled, current_task_id, handle, metrics, shield,
    sleep, spawn, tasks, timeout_after, yield_now,
};
use curium::sync::UniversalEvent;
use futures::future::join;

use super::calls::beside;

/// The reason of the cancellation that ends this sleep.
async fn cancelled_sleep() -> CancelReason {
    sleep(Duration::MAX).await.expect_err("it is cancelled").reason()
}

/// Has `future` called, cancels the caller when it waits there, and returns what the call gives.
async fn call_and_cancel<R: Send + 'static>(
    other: Handle,
    future: impl AsyncFnOnce() -> R + Send + 'static,
) -> R {
    let waits = Arc::new(UniversalEvent::new());
    let theirs = waits.clone();
    let caller = spawn(async move {
        other
            .call_async(move || async move {
                theirs.set();
                future().await
            })
            .await
    });
    waits.wait().await.expect("main is not cancelled");
    caller.cancel().await.expect("main is not cancelled");
    caller.await.expect("the future gives its value")
}

fn is_request(reason: CancelReason) -> bool {
    matches!(reason, CancelReason::Requested { by: Some(_) })
}

/// P2, T5: a timeout inside the call, which has not expired, passes the caller's cancellation
/// through, and is not taken for it.
#[test]
fn a_cancellation_goes_through_a_timeout_inside_the_call() {
    let ended = beside(async |other| {
        let body = async || {
            let hour = Duration::from_secs(3600);
            timeout_after(hour, async { Ok::<_, TaskCancelled>(cancelled_sleep().await) }).await
        };
        call_and_cancel(other, body).await
    });
    assert!(is_request(ended.expect("its time is not over").expect("it gives the reason")));
}

/// P2, C2: all leaves that are parked in the call return the cancellation.
#[test]
fn a_cancellation_reaches_every_leaf_of_the_call() {
    let both = beside(async |other| {
        call_and_cancel(other, async || join(cancelled_sleep(), cancelled_sleep()).await).await
    });
    assert!(is_request(both.0) && is_request(both.1), "{both:?}");
}

/// P2, C8, C11: while a shield holds back one cancellation of the caller, a later one waits behind
/// it, and the task is not polled for that. Both are delivered when the shield has ended.
#[test]
fn two_cancellations_wait_for_the_end_of_a_shield() {
    let go = Arc::new(UniversalEvent::new());
    let (theirs, scope) = (go.clone(), CancelScope::new());
    let (polls, first, second) = beside(async |other| {
        let mine = other.clone();
        let inner = scope.handle();
        let caller = spawn(async move {
            let called = other.call_async(move || async move {
                let polls = || {
                    let me = current_task_id();
                    tasks().iter().find(|task| Some(task.id) == me).expect("it runs").cycles
                };
                let before = polls();
                shield(theirs.wait()).await.expect("the shield holds it back");
                (polls() - before, cancelled_sleep().await, cancelled_sleep().await)
            });
            scope.run(called).await.expect("the call gives its value")
        });
        yield_now().await.expect("main is not cancelled");
        inner.cancel();
        yield_now().await.expect("main is not cancelled");
        caller.request_cancel();
        yield_now().await.expect("main is not cancelled");
        for _ in 0..30 {
            mine.call_async(async || ()).await.expect("it comes behind the cancellations");
        }
        go.set();
        caller.await.expect("the call has its value")
    });
    assert_eq!(first, CancelReason::Scope);
    assert!(is_request(second), "{second:?}");
    assert!(polls <= 8, "the shielded task was polled {polls} times");
}

/// P2, K8: a call counts as a job of the caller's kernel as long as it waits, but not a call of the
/// own kernel.
#[test]
fn a_call_is_a_job_until_it_is_answered() {
    let go = Arc::new(UniversalEvent::new());
    let theirs = go.clone();
    beside(async |other| {
        let own = handle().call_async(async || yield_now().await);
        let caller =
            spawn(
                async move { other.call_async(move || async move { theirs.wait().await }).await? },
            );
        let own = spawn(async move { own.await? });
        yield_now().await.expect("main is not cancelled");
        assert_eq!(metrics().jobs, 1);
        go.set();
        caller.await.expect("it is answered");
        own.await.expect("it is answered");
        assert_eq!(metrics().jobs, 0);
    });
}

/// P2: the task of a call has the name of the code that was sent.
#[test]
fn the_task_of_a_call_is_named_after_the_code() {
    let name = beside(async |other| {
        let called = other.call_async(async || {
            let me = current_task_id();
            tasks().into_iter().find(|task| Some(task.id) == me).expect("it runs").name
        });
        called.await.expect("main is not cancelled")
    });
    let test = "cores::call_scopes::the_task_of_a_call_is_named_after_the_code";
    assert!(name.ends_with(test), "{name}");
}
