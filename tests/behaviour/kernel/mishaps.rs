//! Mistakes of programs: a panic while holding something, a blocked thread, a forgotten future.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    Kernel, Report, TaskCancelled, TaskError, TaskGroup, shield, sleep, spawn, spawn_named,
    testing, timeout_after, yield_now,
};
use sync::{Event, Lock, Queue, Semaphore};

use crate::support::reports;
use crate::support::time::secs;

/// K3, Y3: a task that panics while it holds a lock, a permit and an item releases the lock and the
/// permit, and their waiters continue. The item is dropped with its task, like any value.
#[test]
fn a_panic_releases_what_the_task_held() {
    testing::run(async || {
        let lock = Rc::new(Lock::new(0));
        let permits = Rc::new(Semaphore::new(1));
        let queue = Rc::new(Queue::bounded(1));
        queue.put("item").await?;
        let unlucky = spawn({
            let (lock, permits, queue) = (lock.clone(), permits.clone(), queue.clone());
            async move {
                let _guard = lock.acquire().await?;
                let _permit = permits.acquire().await?;
                let _item = queue.get().await?;
                sleep(secs(1)).await?;
                panic!("with everything in hand");
                #[allow(unreachable_code)]
                Ok::<(), TaskCancelled>(())
            }
        });
        yield_now().await?;
        let _guard = lock.acquire().await?;
        let _permit = permits.acquire().await?;
        queue.put("next").await?;
        assert_eq!(queue.get().await?, "next");
        assert!(matches!(unlucky.join().await?, Err(TaskError::Panicked(_))));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K6: a poll that blocks the thread is reported with the name of its task, if the builder enables
/// this report. So is one of the main task.
#[test]
fn a_task_that_blocks_its_thread_is_named() {
    let builder = Kernel::builder().report_long_polls(Duration::from_millis(2));
    let text = |report: &Report<'_>| Some(report.to_string());
    let ((), reports) = reports::picked(builder, text, async || {
        let hog = spawn_named("hog", async {
            std::thread::sleep(Duration::from_millis(5));
            sleep(secs(1)).await
        });
        hog.join().await.unwrap().unwrap();
        std::thread::sleep(Duration::from_millis(5));
    });
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports[0].contains("hog") && reports[0].contains("mishaps.rs"), "{reports:?}");
    assert!(reports[1].contains("main"), "{reports:?}");
}

/// K4: another executor's `block_on` inside a task blocks only the thread: any number of leaves
/// that need no kernel turn work in it.
#[test]
fn a_foreign_executor_inside_a_task_gets_its_turn() {
    testing::run(async || {
        let event = Event::new();
        event.set();
        tokio_test::block_on(async {
            for _ in 0..10_000 {
                event.wait().await.unwrap();
            }
        });
        sleep(secs(1)).await
    })
    .unwrap();
}

/// C3, Y3: a future that is forgotten while it is parked leaks only what it held: other tasks
/// continue, and the task ends.
#[test]
#[allow(clippy::mem_forget)]
fn a_forgotten_leaf_costs_only_itself() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    kernel.run(async || {
        let event = Rc::new(Event::new());
        let task = spawn({
            let event = event.clone();
            async move {
                let mut wait = Box::pin(async move { event.wait().await });
                std::future::poll_fn(|cx| {
                    assert!(wait.as_mut().poll(cx).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                std::mem::forget(wait);
                let mut late = Box::pin(timeout_after(secs(5), sleep(secs(9))));
                std::future::poll_fn(|cx| {
                    assert!(late.as_mut().poll(cx).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                std::mem::forget(late);
                sleep(secs(20)).await
            }
        });
        yield_now().await.unwrap();
        event.set();
        task.cancel().await.unwrap();
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Cancelled(_))));
        let after = spawn(sleep(secs(30)));
        after.join().await.unwrap().unwrap();
    });
    // The report names the leak: the forgotten timeout and its leaf.
    let left = kernel.leftovers();
    assert_eq!((left.tasks, left.scopes), (0, 1));
}

/// Y2: a forgotten guard keeps its lock. The waiters can be cancelled.
#[test]
#[allow(clippy::mem_forget)]
fn a_forgotten_guard_keeps_the_lock_and_hangs_nobody_for_good() {
    testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        std::mem::forget(lock.acquire().await?);
        let waiting = timeout_after(secs(1), lock.acquire()).await;
        assert!(waiting.is_err());
        assert!(lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K9: the sink of the reports may use the kernel. One that panics is not called again for the same
/// report.
#[test]
fn a_sink_may_use_the_kernel_and_may_panic() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = seen.clone();
    let builder = Kernel::builder().on_report(move |report| {
        let mut seen = sink.borrow_mut();
        seen.push((report.to_string(), kernel::tasks().len()));
        if seen.len() == 1 {
            drop(seen);
            panic!("the sink panics");
        }
    });
    let ran = catch_unwind(AssertUnwindSafe(|| {
        testing::run_with(builder, async || {
            for _ in 0..2 {
                drop(spawn(async { Err::<(), _>("nobody joins") }));
                yield_now().await.unwrap();
            }
        });
    }));
    assert!(ran.is_ok());
    assert_eq!(seen.borrow().len(), 2, "{:?}", seen.borrow());
}

/// G1, C7: a group inside a shield inside a timeout ends with the shield, and then the timeout is
/// delivered.
#[test]
fn a_group_in_a_shield_ends_before_the_timeout_is_told() {
    testing::run(async || {
        let ended = Rc::new(RefCell::new(false));
        let outcome = timeout_after(secs(1), async {
            let ended = ended.clone();
            shield(TaskGroup::<TaskCancelled>::scope(async move |g| {
                g.spawn(async move {
                    sleep(secs(3)).await?;
                    *ended.borrow_mut() = true;
                    Ok(())
                });
                Ok(())
            }))
            .await?;
            sleep(secs(1)).await
        })
        .await;
        assert!(outcome.is_err());
        assert!(*ended.borrow());
    });
}

/// C6: a task that was requested to cancel, and failed before the delivery, has failed and was not
/// cancelled. One that failed after the delivery was cancelled.
#[test]
fn a_failure_before_the_delivery_is_a_failure() {
    testing::run(async || {
        let unaware = spawn(async { Err::<(), _>("its own") });
        unaware.request_cancel();
        assert!(matches!(unaware.join().await?, Err(TaskError::Failed("its own"))));
        let cancelled = spawn(async {
            let _told = sleep(secs(1)).await;
            Err::<(), _>("while it cleaned up")
        });
        cancelled.request_cancel();
        assert!(matches!(
            cancelled.join().await?,
            Err(TaskError::Cancelled("while it cleaned up"))
        ));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
