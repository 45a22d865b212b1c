//! Calls of one kernel by tasks of another (P2).

use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use curium::kernel::{
    CancelReason, Core, Cores, Handle, Kernel, TaskCancelled, TaskError, TaskGroup, cancelled,
    check_cancellation, current_task_id, handle, kernels, run, shield, sleep, spawn, timeout_after,
    yield_now,
};
use curium::sync::UniversalEvent;

/// Runs `body` in a kernel beside another one, whose handle it gets.
pub(super) fn beside<T>(body: impl AsyncFnOnce(Handle) -> T) -> T {
    let (give, take) = mpsc::channel();
    let over = Arc::new(UniversalEvent::new());
    let ends = over.clone();
    let other = thread::spawn(move || {
        run(async || {
            give.send(handle()).expect("it is awaited");
            ends.wait().await.expect("it is not cancelled");
        });
    });
    let handle = take.recv().expect("a handle");
    let value = run(async || body(handle).await);
    over.set();
    other.join().expect("the other kernel does not panic");
    value
}

async fn for_ever() -> Result<(), TaskCancelled> {
    sleep(Duration::MAX).await
}

/// P2: the future is made, polled and dropped on the other thread, so it need not be `Send`.
#[test]
fn the_future_stays_in_the_other_kernel() {
    let here = thread::current().id();
    let there = beside(async |other| {
        let called = other.call_async(|| async {
            let id = Rc::new(thread::current().id());
            yield_now().await.expect("it is not cancelled");
            *id
        });
        called.await.expect("it is not cancelled")
    });
    assert_ne!(there, here);
}

/// P2, T1: the timeout of the caller reaches the await point of the future, which cleans up there
/// before the call returns. The error that holds the cancellation is that of the timeout.
#[test]
fn a_timeout_goes_through_a_call() {
    let (cleaned, up) = mpsc::channel();
    let late = beside(async |other| {
        let called = other.call_async(move || async move {
            let error = for_ever().await.expect_err("it is cancelled");
            yield_now().await.expect("the cleanup may wait");
            cleaned.send(error.reason()).expect("it is awaited");
            Err::<(), _>(error)
        });
        timeout_after(Duration::from_millis(1), async { called.await? }).await
    });
    late.expect_err("the time is over");
    assert_eq!(up.try_recv(), Ok(CancelReason::Timeout), "the cleanup has ended");
}

/// P2, C16: so it is with an error in which the kernel cannot look.
#[test]
fn the_error_of_a_call_passes_the_cancellation_on_whatever_its_type() {
    #[derive(Debug)]
    enum Failure {
        Kept(#[expect(dead_code, reason = "a copy of the cancellation")] TaskCancelled),
        Real,
    }
    impl From<TaskCancelled> for Failure {
        fn from(cancelled: TaskCancelled) -> Self {
            Failure::Kept(cancelled)
        }
    }
    for real in [false, true] {
        let ended = beside(async |other| {
            let called = other.call_async(move || async move {
                match for_ever().await {
                    Err(_) if real => Err(Failure::Real),
                    ended => Ok(ended?),
                }
            });
            timeout_after(Duration::from_millis(1), async { called.await? }).await
        });
        match ended {
            Err(_) => assert!(!real, "a real error is not the timeout's"),
            Ok(Err(Failure::Real)) => assert!(real),
            Ok(other) => panic!("{other:?}"),
        }
    }
}

/// P2, C6: a task that is cancelled in a call, and passes the error on, was cancelled. The reason
/// names the task that asked for it.
#[test]
fn a_cancelled_caller_ends_as_cancelled() {
    let outcome = beside(async |other| {
        let caller = spawn(async move { other.call_async(for_ever).await? });
        yield_now().await.expect("main is not cancelled");
        caller.cancel().await.expect("main is not cancelled");
        caller.join().await.expect("main is not cancelled")
    });
    match outcome {
        Err(TaskError::Cancelled(error)) => {
            assert!(matches!(error.reason(), CancelReason::Requested { by: Some(_) }), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// P2: what the future makes of the cancellation is what the call returns.
#[test]
fn a_future_that_goes_on_gives_its_value() {
    let value = beside(async |other| {
        let called = other.call_async(async || for_ever().await.map_or(1, |()| 2));
        timeout_after(Duration::from_millis(1), called).await
    });
    assert_eq!(value.expect("it has its value").expect("so has the call"), 1);
}

/// P2, C1, C3: a cancellation that no await point of the future has returned stays pending.
#[test]
fn a_cancellation_that_the_future_does_not_see_is_pending_after_the_call() {
    let (go, wait) = mpsc::channel();
    beside(async |other| {
        let caller = spawn(async move {
            let called = other.call_async(move || async move { wait.recv() }).await;
            assert!(called.expect("the call has its value").is_ok());
            assert!(check_cancellation().is_some());
            for_ever().await
        });
        yield_now().await.expect("main is not cancelled");
        let cancelling = spawn(async move { caller.cancel().await });
        yield_now().await.expect("main is not cancelled");
        yield_now().await.expect("main is not cancelled");
        go.send(()).expect("the other kernel waits");
        cancelling.await.expect("the caller has ended");
    });
}

/// P2, C8: a later cancellation of the caller is passed on as well, to the cleanup.
#[test]
fn a_second_cancellation_reaches_the_cleanup() {
    let (seen, reasons) = mpsc::channel();
    beside(async |other| {
        let called = other.call_async(move || async move {
            for _ in 0..2 {
                let error = for_ever().await.expect_err("it is cancelled");
                seen.send(error.reason()).expect("it is awaited");
            }
        });
        let caller = spawn(async move {
            let inner = timeout_after(Duration::from_millis(1), called);
            inner.await.expect("the call gives its value").expect("so does the future");
            Ok::<(), TaskCancelled>(())
        });
        sleep(Duration::from_millis(20)).await.expect("main is not cancelled");
        caller.cancel().await.expect("main is not cancelled");
    });
    let reasons: Vec<CancelReason> = reasons.try_iter().collect();
    let [CancelReason::Timeout, CancelReason::Requested { .. }] = reasons[..] else {
        panic!("{reasons:?}");
    };
}

/// P2, C2: if a cancellation is due, the future is not sent.
#[test]
fn a_cancelled_task_sends_nothing() {
    beside(async |other| {
        let caller = spawn(async move {
            let call = other.call_async(|| -> std::future::Ready<()> { panic!("it was sent") });
            call.await.expect_err("it was cancelled before");
            Ok::<(), TaskCancelled>(())
        });
        caller.cancel().await.expect("main is not cancelled");
        caller.await.expect("the caller has ended well");
    });
}

/// P2: the panic of the future goes on in the caller.
#[test]
fn a_panic_of_the_future_goes_on_in_the_caller() {
    let outcome = beside(async |other| {
        let caller = spawn(async move {
            other.call_async(async || panic!("over there")).await?;
            Ok::<(), TaskCancelled>(())
        });
        caller.join().await.expect("main is not cancelled")
    });
    match outcome {
        Err(TaskError::Panicked(panic)) => assert_eq!(panic.message(), "over there"),
        other => panic!("{other:?}"),
    }
}

/// P2: a call that is dropped cancels its future.
#[test]
fn a_dropped_call_cancels_its_future() {
    let (seen, reason) = mpsc::channel();
    beside(async |other| {
        let mut call = Box::pin(other.call_async(move || async move {
            let error = for_ever().await.expect_err("it is cancelled");
            seen.send(error.reason()).expect("it is awaited");
        }));
        let once = std::future::poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending()));
        assert!(once.await);
        drop(call);
        assert_eq!(reason.recv(), Ok(CancelReason::Abandoned));
    });
}

/// P2: a call of a kernel that is gone, and of one that goes meanwhile, is an error.
#[test]
fn a_call_of_a_kernel_that_goes_is_abandoned() {
    let gone = Kernel::new().expect("a kernel").handle();
    let going = Kernel::new().expect("a kernel");
    let handle = going.handle();
    run(async || {
        let error = gone.call_async(async || ()).await.expect_err("it is gone");
        assert_eq!(error.reason(), CancelReason::Abandoned);
        let caller = spawn(async move { handle.call_async(async || ()).await });
        yield_now().await.expect("main is not cancelled");
        drop(going);
        let error = caller.await.expect_err("it is gone");
        assert_eq!(error.reason(), CancelReason::Abandoned);
    });
}

/// P2: so is a call whose closure panics when the kernel that goes drops it.
#[test]
fn a_call_whose_closure_does_not_drop_well_is_abandoned() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("a destructor");
        }
    }
    let going = Kernel::builder().on_report(|_| {}).build().expect("a kernel");
    let handle = going.handle();
    run(async || {
        let bad = Bad;
        let caller = spawn(async move {
            let call = handle.call_async(move || {
                let _bad = bad;
                async {}
            });
            call.await
        });
        yield_now().await.expect("main is not cancelled");
        drop(going);
        let error = caller.await.expect_err("it is gone");
        assert_eq!(error.reason(), CancelReason::Abandoned);
    });
}

/// P2, K9: the waker of a dropped call may enter another kernel when it is dropped.
#[test]
fn a_dropped_call_drops_its_waker_outside_of_the_kernel() {
    struct Enters;
    impl Wake for Enters {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Enters {
        fn drop(&mut self) {
            drop(Kernel::new().expect("a kernel"));
        }
    }
    let silent = Kernel::new().expect("a kernel");
    run(async || {
        let mut call = Box::pin(silent.handle().call_async(async || ()));
        let waker = Waker::from(Arc::new(Enters));
        assert!(call.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        drop(call);
    });
}

/// P2, G2: a call is a member of a group like any other: the failure of another member cancels it.
#[test]
fn a_member_may_be_a_call() {
    let (seen, reason) = mpsc::channel();
    let failed = beside(async |other| {
        TaskGroup::scope(async |g| {
            g.spawn(async move {
                let called = other.call_async(move || async move {
                    let error = for_ever().await.expect_err("it is cancelled");
                    seen.send(error.reason()).expect("it is awaited");
                    Err::<(), io::Error>(error.into())
                });
                called.await?
            });
            yield_now().await?;
            g.spawn(async { Err::<(), _>(io::Error::other("no disk")) });
            Ok::<(), io::Error>(())
        })
        .await
    });
    let failed = failed.expect_err("a member has failed");
    assert_eq!(failed.to_string(), "no disk");
    assert_eq!(reason.try_recv(), Ok(CancelReason::GroupFailed));
}

/// P2: a core calls itself, and cores call each other at the same time.
#[test]
fn cores_call_each_other_and_themselves() {
    let sums = kernels(3, async |core| {
        let mut sum = 0;
        for other in 0..core.count() {
            let add = move || async move { Core::current().map(|it| it.index()) };
            sum += core.call(other, add).await?.expect("it runs on a core");
        }
        Ok::<_, TaskCancelled>(sum)
    });
    assert_eq!(sums.expect("none fails"), [3, 3, 3]);
}

/// P2: a core that does not exist is a mistake of the program.
#[test]
#[should_panic(expected = "there is no core 2: the 2 cores are numbered from 0")]
fn a_core_that_does_not_exist_is_named() {
    let _ = kernels(2, async |core| core.call(2, async || ()).await);
}

/// P2: outside a kernel, a call cannot wait.
#[test]
#[should_panic(expected = "a call of another kernel")]
fn a_call_outside_a_kernel_is_refused() {
    let handle = Kernel::new().expect("a kernel").handle();
    let mut call = Box::pin(handle.call_async(async || ()));
    let mut cx = Context::from_waker(Waker::noop());
    let _ = call.as_mut().poll(&mut cx);
}

/// P2: an error from another kernel that holds a cancellation of a task there is an ordinary error
/// here (C18).
#[test]
fn the_cancellation_of_the_called_task_alone_is_an_ordinary_error() {
    beside(async |other| {
        let called = other.call_async(async || {
            let me = current_task_id().expect("a task");
            handle().request_cancel(me).expect("it runs");
            for_ever().await
        });
        let ended: Result<(), io::Error> = async { Ok(called.await??) }.await;
        let error = ended.expect_err("it was cancelled there");
        assert!(cancelled(&error).is_some());
        assert!(check_cancellation().is_none());
    });
}

/// P2, K8: while a core calls itself, its virtual clock goes on.
#[test]
fn a_core_that_calls_itself_has_a_clock() {
    let cores = Cores::count(1).builder(|_| Kernel::builder().virtual_clock());
    let slept = kernels(cores, async |core| {
        core.call(0, async || sleep(Duration::from_secs(3600)).await).await?
    });
    slept.expect("it does not fail");
}

/// P2: a call of a core that could not start is abandoned.
#[test]
fn a_call_of_a_core_without_a_kernel_is_abandoned() {
    let cores = Cores::count(2).builder(|core| {
        assert_eq!(core, 0, "core 1 cannot start");
        Kernel::builder()
    });
    let (give, take) = mpsc::channel();
    let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        kernels(cores, async |core| {
            let called = shield(core.call(1, async || 7)).await;
            give.send(called.map_err(|error| error.reason())).expect("it is awaited");
            Ok::<(), TaskCancelled>(())
        })
    }));
    assert!(ended.is_err(), "the panic of the builder goes on");
    assert_eq!(take.recv(), Ok(Err(CancelReason::Abandoned)));
}
