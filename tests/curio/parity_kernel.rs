//! What curio's tests of tasks and cancellation check and no other file here does: joining,
//! cancelling without waiting, shields that are polled, chains of cleanups, the clock.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::cell::RefCell;
use std::error::Error;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    Kernel, TaskCancelled, TaskEnd, TaskError, check_cancellation, disable_cancellation, sleep,
    spawn, testing, yield_now,
};
use net::{TcpListener, TcpStream};
use sync::Event;

use crate::support::time::secs;

type Log = Rc<RefCell<Vec<&'static str>>>;

/// K8: the kernel's real clock only goes forward, by at least the time slept.
#[test]
fn the_clock_of_the_kernel_goes_forward_by_at_least_the_time_slept() {
    kernel::run(async || {
        let mut before = kernel::now();
        for micros in [0, 10, 500, 1_500] {
            sleep(Duration::from_micros(micros)).await?;
            let after = kernel::now();
            assert!(after >= before + Duration::from_micros(micros), "after {micros} µs");
            before = after;
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C6: `join` gives the value, whether the task has ended before or ends during the wait.
#[test]
fn join_gives_the_value_of_a_task() {
    testing::run(async || {
        let quick = spawn(async { Ok::<_, TaskCancelled>(37) });
        let slow = spawn(async {
            sleep(secs(5)).await?;
            Ok::<_, TaskCancelled>("slow")
        });
        testing::settle().await?;
        assert!(quick.is_done() && !slow.is_done());
        assert_eq!(quick.join().await?.unwrap(), 37);
        assert_eq!(slow.join().await?.unwrap(), "slow");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C6: `join` of a failed task gives an error about the task, whose source is the task's own.
#[test]
fn join_of_a_failed_task_has_its_error_as_the_source() {
    testing::run(async || {
        let task = spawn(async { "bad".parse::<i32>() });
        let error = task.join().await?.unwrap_err();
        assert!(matches!(error, TaskError::Failed(_)), "{error:?}");
        let source = error.source().expect("the task's own error");
        assert!(source.is::<std::num::ParseIntError>(), "{source}");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C7, C5: in a shield a cancelled task finishes its sleep and finds the cancel with a check. Its
/// canceller waits until it has ended.
#[test]
fn a_shielded_task_asks_for_its_cancel_and_its_canceller_waits() {
    testing::run(async || {
        let log = Log::default();
        let lines = log.clone();
        let task = spawn(disable_cancellation(async move {
            sleep(secs(1)).await?;
            lines.borrow_mut().push("slept");
            if check_cancellation().is_some() {
                lines.borrow_mut().push("cancelled");
            }
            Ok::<_, TaskCancelled>(())
        }));
        let started = kernel::now();
        task.cancel().await?;
        log.borrow_mut().push("done");
        assert_eq!(log.take(), ["slept", "cancelled", "done"]);
        assert_eq!(kernel::now() - started, secs(1));
        assert_eq!(task.end(), Some(TaskEnd::Ok));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C2, C4, C5, K1: `request_cancel` returns before its target runs. The target awaits in its
/// cleanup. A later `cancel` waits for that, and `join` says that the task was cancelled.
#[test]
fn a_request_returns_before_its_target_runs_and_a_cancel_waits_for_the_cleanup() {
    testing::run(async || {
        let (log, may_end) = (Log::default(), Rc::new(Event::new()));
        let (lines, gate) = (log.clone(), may_end.clone());
        let task = spawn(async move {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            lines.borrow_mut().push("told");
            gate.wait().await?;
            lines.borrow_mut().push("clean");
            Err::<(), _>(cancelled)
        });
        testing::settle().await?;
        task.request_cancel();
        log.borrow_mut().push("asked");
        testing::settle().await?;
        assert_eq!(log.take(), ["asked", "told"]);
        assert!(!task.is_done());
        may_end.set();
        task.cancel().await?;
        log.borrow_mut().push("waited");
        assert_eq!(log.take(), ["clean", "waited"]);
        let ended = task.join().await?;
        assert!(matches!(ended, Err(TaskError::Cancelled(TaskCancelled { .. }))), "{ended:?}");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C6: a task that a third task cancelled, while no task joined it, can be joined later. The
/// cancellation is the source of the error of `join`.
#[test]
fn a_task_that_somebody_else_cancelled_can_be_joined_later() {
    testing::run(async || {
        let never = Rc::new(Event::new());
        let theirs = never.clone();
        let task = Rc::new(spawn(async move { theirs.wait().await }));
        let target = task.clone();
        let canceller = spawn(async move { target.cancel().await });
        canceller.join().await?.unwrap();
        sleep(secs(5)).await?;
        assert!(!never.is_set());
        let error = task.join().await?.unwrap_err();
        assert!(matches!(error, TaskError::Cancelled(_)), "{error:?}");
        assert!(error.source().is_some_and(|source| source.is::<TaskCancelled>()));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// A task that sleeps. When it is cancelled, it first cancels its child.
async fn cancels(
    child: Option<kernel::Task<(), TaskCancelled>>,
    log: Log,
    name: &'static str,
) -> Result<(), TaskCancelled> {
    let cancelled = sleep(Duration::MAX).await.unwrap_err();
    if let Some(child) = child {
        child.cancel().await?;
    }
    log.borrow_mut().push(name);
    Err(cancelled)
}

/// C4, C5: each task cancels its child in its cleanup. They unwind from the innermost, and the
/// outermost `cancel` returns last.
#[test]
fn a_chain_of_cleanups_unwinds_from_the_innermost() {
    testing::run(async || {
        let log = Log::default();
        let theirs = log.clone();
        let grandparent = spawn(async move {
            let log = theirs.clone();
            let parent = spawn(async move {
                let child = spawn(cancels(None, log.clone(), "child"));
                cancels(Some(child), log, "parent").await
            });
            cancels(Some(parent), theirs, "grandparent").await
        });
        testing::settle().await?;
        assert!(log.borrow().is_empty());
        grandparent.cancel().await?;
        log.borrow_mut().push("done");
        assert_eq!(log.take(), ["child", "parent", "grandparent", "done"]);
        assert_eq!(kernel::tasks().len(), 1);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Ten bytes in each direction: one side begins, the other answers.
async fn plays(stream: TcpStream, begins: bool) -> io::Result<u32> {
    let mut byte = [0];
    let mut rounds = 0;
    while rounds < 10 {
        if begins {
            stream.write_all(b"x").await?;
        }
        stream.read_exact(&mut byte).await?;
        if !begins {
            stream.write_all(b"x").await?;
        }
        rounds += 1;
    }
    Ok(rounds)
}

/// K2, C2: a loop of sleeps of zero starves no I/O, and can be cancelled.
#[test]
fn a_loop_of_sleeps_of_nothing_starves_no_io_and_can_be_cancelled() {
    testing::run(async || {
        let looping = spawn(async {
            loop {
                sleep(Duration::ZERO).await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), TaskCancelled>(())
        });
        yield_now().await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let one = TcpStream::connect(listener.local_addr()?).await?;
        let (two, _) = listener.accept().await?;
        let (one, two) = (spawn(plays(one, true)), spawn(plays(two, false)));
        assert_eq!(one.join().await?.unwrap(), 10);
        assert_eq!(two.join().await?.unwrap(), 10);
        assert!(!looping.is_done());
        looping.cancel().await?;
        assert_eq!(looping.end(), Some(TaskEnd::Cancelled));
        Ok::<(), io::Error>(())
    })
    .unwrap();
}

/// K4: running a kernel from one of its own tasks is a clear panic, and the run continues.
#[test]
fn running_a_kernel_from_its_own_task_is_a_clear_panic() {
    let kernel = Rc::new(Kernel::builder().virtual_clock().build().unwrap());
    let inner = kernel.clone();
    let panic = kernel.run(async || {
        let task = spawn(async move {
            let nested = catch_unwind(AssertUnwindSafe(|| inner.run(async || 1)));
            sleep(secs(1)).await?;
            Ok::<_, TaskCancelled>(nested.unwrap_err())
        });
        task.join().await.unwrap().unwrap()
    });
    let panic = panic.downcast_ref::<String>().expect("a message");
    assert!(panic.contains("inside a running kernel"), "{panic}");
    assert_eq!(kernel.run(async || 7), 7);
}

/// Returns the error of an old cancellation.
async fn old_cancellation() -> TaskCancelled {
    let task = spawn(sleep(Duration::MAX));
    task.request_cancel();
    match task.join().await.unwrap() {
        Err(TaskError::Cancelled(cancelled)) => cancelled,
        other => panic!("not cancelled: {other:?}"),
    }
}

/// C3, C7: an error that is returned from a shield is a value like any other: it leaves the inner
/// shield at once, and it is not pending.
#[test]
fn a_cancellation_returned_from_a_shield_is_only_a_value() {
    testing::run(async || {
        let old = old_cancellation().await;
        let value = old.clone();
        let came_out = disable_cancellation(async {
            let inner: Result<(), TaskCancelled> = disable_cancellation(async { Err(value) }).await;
            assert_eq!(check_cancellation(), None);
            inner
        });
        assert_eq!(came_out.await, Err(old));
        assert_eq!(check_cancellation(), None);
        assert_eq!(sleep(secs(1)).await, Ok(()));
    });
}
