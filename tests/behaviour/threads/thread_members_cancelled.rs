//! Cancellation of threads that are tasks (R2).

use std::cell::OnceCell;
use std::future::ready;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use curium::kernel::testing;
use curium::kernel::{
    self, CancelReason, Here, Task, TaskCancelled, TaskEnd, TaskError, TaskGroup, TaskTimeout,
    shield, sleep, spawn_thread, timeout_after, yield_now,
};
use curium::sync::{UniversalEvent, UniversalQueue};

use crate::support::time::{SECOND, secs};

type Result<T = (), E = TaskCancelled> = std::result::Result<T, E>;

/// A thread that computes until `go` says so.
fn gated<T: Send + 'static>(
    body: impl FnOnce(&Here) -> Result<T> + Send + 'static,
) -> (Task<T, TaskCancelled>, Sender<()>) {
    let (go, gate) = mpsc::channel();
    let task = spawn_thread(move |here| {
        pass(&gate);
        body(here)
    });
    (task, go)
}

fn pass(gate: &Receiver<()>) {
    gate.recv().expect("the test opens the gate");
}

fn requested() -> CancelReason {
    CancelReason::Requested { by: kernel::current_task_id() }
}

/// R2, C2: a cancellation reaches the leaf in which the future of the thread is parked. The thread
/// cleans up, with the kernel, and passes it on.
#[test]
fn a_thread_is_cancelled_where_it_waits() {
    testing::run(async || {
        let cleaned = Arc::new(UniversalEvent::new());
        let event = cleaned.clone();
        let thread = spawn_thread(move |here| {
            let cancelled = here.wait(|| sleep(secs(3600)))?.unwrap_err();
            here.wait(|| sleep(SECOND))?.expect("delivered once");
            event.set();
            Err::<(), _>(cancelled)
        });
        testing::settle().await?;
        let (begun, reason) = (kernel::now(), requested());
        thread.cancel().await?;
        assert!(cleaned.is_set());
        assert_eq!(kernel::now() - begun, SECOND);
        assert_eq!(thread.end(), Some(TaskEnd::Cancelled));
        let Err(TaskError::Cancelled(cancelled)) = thread.join().await? else { panic!() };
        assert_eq!(cancelled.reason(), reason);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, C2: a cancellation that came before the call is delivered in its future.
#[test]
fn a_cancel_that_came_before_the_wait_is_delivered_in_it() {
    testing::run(async || {
        let (thread, go) = gated(|here| {
            let begun = here.wait(|| ready(kernel::now()))?;
            let cancelled = here.wait(|| sleep(secs(3600)))?.unwrap_err();
            assert_eq!(here.wait(|| ready(kernel::now()))?, begun);
            Err::<(), _>(cancelled)
        });
        yield_now().await?;
        thread.request_cancel();
        yield_now().await?;
        go.send(()).unwrap();
        thread.wait().await?;
        assert_eq!(thread.end(), Some(TaskEnd::Cancelled));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, C1: a future that completes completes, and the cancellation stays pending for the next call.
#[test]
fn a_wait_that_completes_leaves_the_cancellation_pending() {
    testing::run(async || {
        let queue = UniversalQueue::unbounded();
        queue.try_put(5).unwrap();
        let (thread, go) = gated(move |here| {
            let five = here.wait(move || async move { queue.get().await })??;
            let none = here.wait(|| ready(()));
            let cancelled = here.check().unwrap_err();
            Ok((five, none.is_ok(), cancelled.reason()))
        });
        yield_now().await?;
        thread.request_cancel();
        go.send(()).unwrap();
        assert_eq!(thread.await?, (5, true, requested()));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, C3, C4: what `check` returns is delivered: neither the next check nor the next wait gets it.
#[test]
fn a_check_delivers_once() {
    testing::run(async || {
        let (thread, go) = gated(|here| {
            here.check().unwrap_err();
            here.check()?;
            here.wait(|| sleep(SECOND))??;
            here.check()
        });
        yield_now().await?;
        thread.request_cancel();
        go.send(()).unwrap();
        thread.await
    })
    .unwrap();
}

/// R2: a check finds the cancellation that was requested before the thread was let go, without a
/// turn of the kernel in between.
#[test]
fn a_check_finds_what_was_requested_before() {
    testing::run(async || {
        for _ in 0..100 {
            let (come, asked) = (Arc::new(UniversalEvent::new()), mpsc::channel());
            let (thread, go) = gated({
                let come = come.clone();
                move |here| {
                    here.check()?;
                    come.set();
                    pass(&asked.1);
                    Ok(here.check().is_err())
                }
            });
            go.send(()).unwrap();
            come.wait().await?;
            thread.request_cancel();
            asked.0.send(()).unwrap();
            assert!(thread.await?, "a check that missed the request");
        }
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, C2: a task that is cancelled before its first poll runs until its first await point.
#[test]
fn a_thread_that_is_cancelled_before_it_starts_runs_to_its_first_check() {
    testing::run(async || {
        let thread = spawn_thread(|here| Ok::<_, TaskCancelled>(here.check().is_err()));
        thread.request_cancel();
        assert!(thread.await?);
        let waits = spawn_thread(|here| here.wait(|| sleep(SECOND))?);
        waits.cancel().await?;
        assert_eq!(waits.end(), Some(TaskEnd::Cancelled));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, K5, C11: a thread that computes and asks now and then gets the cancellation of the shutdown,
/// and one that another thread has requested.
#[test]
fn a_thread_that_asks_now_and_then_is_cancelled_from_anywhere() {
    fn until_cancelled(here: &Here) -> CancelReason {
        loop {
            if let Err(cancelled) = here.check() {
                return cancelled.reason();
            }
            thread::yield_now();
        }
    }
    let (send, reasons) = mpsc::channel();
    testing::run(async || {
        let asks = spawn_thread(|here| Ok::<_, TaskCancelled>(until_cancelled(here)));
        let (handle, id) = (kernel::handle(), asks.id());
        yield_now().await?;
        thread::spawn(move || handle.request_cancel(id)).join().unwrap().unwrap();
        assert_eq!(asks.await?, CancelReason::Requested { by: None });
        drop(spawn_thread(move |here| send.send(until_cancelled(here)).unwrap()));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
    assert_eq!(reasons.recv(), Ok(CancelReason::Shutdown));
}

/// R2, C5, C6: a thread that never asks is not cancelled; `cancel` waits for it.
#[test]
fn a_thread_that_never_asks_ends_well() {
    testing::run(async || {
        let (thread, go) = gated(|_| Ok(3));
        yield_now().await?;
        let opens = thread::spawn(move || go.send(()));
        thread.cancel().await?;
        opens.join().unwrap().unwrap();
        assert_eq!(thread.await?, 3);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, C7: a shield in a future of the thread holds the cancellation back, until the next call.
#[test]
fn a_shield_in_a_wait_holds_the_cancellation_back() {
    testing::run(async || {
        let thread = spawn_thread(|here| {
            here.wait(|| shield(sleep(SECOND)))??;
            Ok::<_, TaskCancelled>(here.check().is_err())
        });
        testing::settle().await?;
        let begun = kernel::now();
        thread.cancel().await?;
        assert_eq!(kernel::now() - begun, SECOND);
        assert!(thread.await?);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, T3: a timeout in a future of the thread is not the cancellation of the task.
#[test]
fn a_timeout_in_a_wait_passes_the_cancellation_on() {
    testing::run(async || {
        let thread = spawn_thread(|here| {
            let limit = || timeout_after(SECOND, sleep(secs(3600)));
            let late: Result<Result<()>, TaskTimeout> = here.wait(limit)?;
            assert!(late.is_err());
            let cancelled = here.wait(|| timeout_after(secs(7), sleep(secs(3600))))?;
            cancelled.expect("the time is not over")
        });
        sleep(secs(2)).await?;
        thread.cancel().await?;
        assert_eq!(thread.end(), Some(TaskEnd::Cancelled));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, T6: a timeout round the join of a thread abandons the wait and not the thread.
#[test]
fn a_timeout_round_a_thread_that_is_awaited_spares_it() {
    testing::run(async || {
        let thread = spawn_thread(|here| here.wait(|| sleep(secs(5)))?);
        assert!(timeout_after(SECOND, &thread).await.is_err());
        thread.await
    })
    .unwrap();
}

/// R2, G1, G2: the failure of a sibling cancels a member that is a thread, and the group waits for
/// its cleanup.
#[test]
fn a_failing_group_waits_for_its_thread() {
    testing::run(async || {
        let cleaned = Arc::new(UniversalEvent::new());
        let event = cleaned.clone();
        let ended = TaskGroup::<Box<dyn std::error::Error + Send + Sync>>::scope(async |g| {
            g.spawn_thread(move |here| {
                let cancelled = here.wait(|| sleep(secs(3600)))?.unwrap_err();
                assert_eq!(cancelled.reason(), CancelReason::GroupFailed);
                here.wait(|| sleep(SECOND))??;
                event.set();
                Ok(Err::<(), _>(cancelled)?)
            });
            g.spawn(async {
                sleep(SECOND).await?;
                Err::<(), _>("broken".into())
            });
            Ok(())
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "broken");
        assert!(cleaned.is_set());
    });
}

/// R2, G2: a member that is a thread fails its group, by an error and by a panic.
#[test]
fn a_failing_thread_fails_its_group() {
    testing::run(async || {
        #[derive(Debug)]
        enum Error {
            Own,
            Cancelled,
        }
        impl From<TaskCancelled> for Error {
            fn from(_: TaskCancelled) -> Self {
                Error::Cancelled
            }
        }
        let ended = TaskGroup::<Error>::scope(async |g| {
            g.spawn(async { Ok(sleep(secs(3600)).await?) });
            g.spawn_thread(|_| Err::<(), _>(Error::Own));
            Ok(())
        })
        .await;
        assert!(matches!(ended, Err(Error::Own)), "{ended:?}");
        let group = TaskGroup::<Error>::new();
        group.spawn_thread(|_| Ok(()));
        group.join().await.unwrap();
    });
}

/// R2: the thread may cancel its own task, in a future. The cancellation is pending then.
#[test]
fn a_thread_may_cancel_itself() {
    testing::run(async || {
        let own = Own::default();
        let thread = OWN.scope(own.clone(), async {
            spawn_thread(|here| {
                here.wait(|| async { OWN.with(|own| own.get().unwrap().request_cancel()) })?;
                Ok(here.check().is_err())
            })
        });
        own.set(thread.await).unwrap();
        assert!(own.get().unwrap().await?);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

type Own = Rc<OnceCell<Task<bool, TaskCancelled>>>;

curium::task_local! {
    static OWN: Own;
}
