//! Panics, nested runs, repeated runs, shutdown, and the drop of a kernel (K3, K4, K5, K9).

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    CancelReason, Kernel, Report, Task, TaskCancelled, TaskEnd, TaskError, sleep, spawn, testing,
};

use crate::support::reports;
use crate::support::time::secs;

type Ended = Result<(), TaskCancelled>;
type Log = Rc<RefCell<Vec<&'static str>>>;

fn message(payload: &(dyn Any + Send)) -> &str {
    match payload.downcast_ref::<&str>() {
        Some(text) => text,
        None => payload.downcast_ref::<String>().map_or("?", String::as_str),
    }
}

/// Panics when dropped.
struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("a destructor");
    }
}

async fn panics(after: u64) -> Ended {
    sleep(secs(after)).await?;
    panic!("of the task")
}

/// K3: a panic ends its task. The siblings and the kernel continue.
#[test]
fn a_panic_ends_its_task_alone() {
    testing::run(async || {
        let failing = spawn(panics(1));
        let sibling = spawn(sleep(secs(2)));
        let error = failing.join().await.unwrap().unwrap_err();
        let TaskError::Panicked(panic) = error else {
            panic!("not a panic: {error:?}");
        };
        assert_eq!(panic.message(), "of the task");
        assert_eq!(message(&*panic.into_payload()), "of the task");
        assert_eq!(sibling.join().await.unwrap().ok(), Some(()));
    });
}

/// K3: a payload that is not a string is passed on unchanged.
#[test]
fn any_payload_comes_out_whole() {
    testing::run(async || {
        let task = spawn::<_, Result<(), TaskCancelled>>(async { panic_any(42_u8) });
        let Err(TaskError::Panicked(panic)) = task.join().await.unwrap() else {
            panic!("no panic");
        };
        assert_eq!(panic.into_payload().downcast_ref::<u8>(), Some(&42));
    });
}

/// K3, K5: a panic of main is re-raised after the shutdown, cleanup included.
#[test]
fn a_panic_of_main_goes_on_after_the_shutdown() {
    let log = Log::default();
    let theirs = log.clone();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        testing::run(async || {
            spawn(async move {
                let delivered = sleep(Duration::MAX).await;
                sleep(secs(1)).await?;
                theirs.borrow_mut().push("clean");
                delivered
            });
            testing::settle().await.unwrap();
            panic!("of main");
        });
    }));
    assert_eq!(message(&*ran.unwrap_err()), "of main");
    assert_eq!(log.take(), ["clean"]);
}

/// K3: a destructor that panics when its future ends makes the task's outcome a panic.
#[test]
fn a_destructor_that_panics_at_the_end_is_the_tasks_panic() {
    testing::run(async || {
        let sibling = spawn(sleep(secs(1)));
        let task: Task<(), TaskCancelled> = spawn(async {
            let _guard = Panics;
            Ok(())
        });
        let error = task.join().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the task panicked: a destructor");
        assert!(sibling.join().await.unwrap().is_ok());
    });
}

/// Runs `main`, and returns the panics in destructors that were reported.
fn panics_in_drop(main: impl AsyncFnOnce()) -> Vec<String> {
    let message = |report: &Report<'_>| match report {
        Report::PanicOutsideTask { message, .. } => Some((*message).to_owned()),
        _ => None,
    };
    reports::picked(Kernel::builder(), message, main).1
}

/// K3: a destructor that panics when the task is aborted is reported, and the abort completes.
#[test]
fn a_destructor_that_panics_in_an_abort_is_reported() {
    let reports = panics_in_drop(async || {
        let task: Task<(), TaskCancelled> = spawn(async {
            let _guard = Panics;
            sleep(Duration::MAX).await
        });
        testing::settle().await.unwrap();
        task.abort();
        assert_eq!(task.end(), Some(TaskEnd::Aborted));
        sleep(secs(1)).await.unwrap();
    });
    assert_eq!(reports, ["a destructor"]);
}

/// K3: so is an output that no task took and that panics when it is dropped.
#[test]
fn an_output_that_panics_when_dropped_is_reported() {
    let reports = panics_in_drop(async || {
        drop(spawn(async { Ok::<_, TaskCancelled>(Panics) }));
        sleep(secs(1)).await.unwrap();
    });
    assert_eq!(reports, ["a destructor"]);
}

/// K3: so is a panic payload whose own drop panics.
#[test]
fn a_payload_that_panics_when_dropped_is_reported() {
    let reports = panics_in_drop(async || {
        drop(spawn::<_, Result<(), TaskCancelled>>(async { panic_any(Panics) }));
        sleep(secs(1)).await.unwrap();
    });
    assert_eq!(reports, ["a destructor"]);
}

/// K3: even if that drop panics with another such payload, endlessly.
#[test]
#[allow(clippy::mem_forget)]
fn a_payload_that_panics_with_its_like_ends_nobody_else() {
    struct Hydra;
    impl Drop for Hydra {
        fn drop(&mut self) {
            panic_any(Hydra);
        }
    }
    let ran = catch_unwind(AssertUnwindSafe(|| {
        panics_in_drop(async || {
            let sibling = spawn(sleep(secs(1)));
            drop(spawn::<_, Result<(), TaskCancelled>>(async { panic_any(Hydra) }));
            assert!(sibling.join().await.unwrap().is_ok());
        })
    }));
    match ran {
        Ok(reports) => assert!(!reports.is_empty()),
        Err(payload) => {
            // Never dropped, because the drop would go on endlessly in the harness.
            std::mem::forget(payload);
            panic!("the payload came through the kernel");
        }
    }
}

/// K4: a run inside a run is a clear panic, and the outer run is not affected.
#[test]
fn a_run_inside_a_run_is_a_clear_panic() {
    testing::run(async || {
        let nested: [(&str, &dyn Fn()); 4] = [
            ("kernel::run", &|| kernel::run(async || ())),
            ("Builder::run", &|| Kernel::builder().run(async || ())),
            ("Kernel::run", &|| Kernel::new().unwrap().run(async || ())),
            ("Kernel::shutdown", &|| Kernel::new().unwrap().shutdown()),
        ];
        for (name, run) in nested {
            let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            let text = message(&*payload);
            assert!(text.contains(name), "{text}");
            assert!(text.contains("inside a running kernel"), "{text}");
            sleep(secs(1)).await.unwrap();
        }
        assert_eq!(kernel::tasks().len(), 1);
        assert!(spawn(sleep(secs(1))).join().await.unwrap().is_ok());
    });
}

/// K4: the test kit runs a kernel too.
#[test]
fn a_test_run_inside_a_run_is_a_clear_panic() {
    testing::run(async || {
        let ran = catch_unwind(AssertUnwindSafe(|| testing::run(async || ())));
        let payload = ran.expect_err("a kernel ran inside a kernel");
        let text = message(&*payload);
        assert!(text.contains("inside a running kernel"), "{text}");
    });
}

/// K4: a kernel that is only made and dropped inside another one does not affect it.
#[test]
fn a_kernel_dropped_inside_another_harms_nobody() {
    let inner = Kernel::builder().virtual_clock().build().unwrap();
    let left = inner.run(async || spawn(sleep(Duration::MAX)));
    testing::run(async || {
        let mine = spawn(sleep(secs(1)));
        drop(inner);
        assert_eq!(left.end(), Some(TaskEnd::Aborted));
        assert!(mine.join().await.unwrap().is_ok());
    });
}

/// K5: a kernel runs again and again. The remaining tasks stay parked until the next run.
#[test]
fn what_one_run_leaves_stays_parked_until_the_next() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    let log = Log::default();
    let theirs = log.clone();
    let task = kernel.run(async || {
        let task = spawn(async move {
            theirs.borrow_mut().push("began");
            sleep(secs(10)).await?;
            theirs.borrow_mut().push("slept");
            Ok::<_, TaskCancelled>(7)
        });
        sleep(secs(1)).await.unwrap();
        task
    });
    assert_eq!(log.take(), ["began"]);
    assert_eq!(kernel.leftovers().tasks, 1);
    kernel.run(async || sleep(secs(1)).await).unwrap();
    assert_eq!(log.take(), [] as [&str; 0]);
    let borrowed = String::from("main may borrow");
    let (value, length) =
        kernel.run(async || (task.join().await.unwrap().unwrap(), borrowed.len()));
    assert_eq!((value, length), (7, 15));
    assert_eq!(log.take(), ["slept"]);
    assert_eq!(kernel.leftovers().tasks, 0);
    kernel.shutdown();
}

/// K5, K3: a run whose main panicked leaves the kernel usable.
#[test]
fn a_kernel_runs_again_after_a_panic_of_main() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        kernel.run(async || {
            sleep(secs(1)).await.unwrap();
            panic!("of main");
        });
    }));
    let payload: Box<dyn Any + Send> = ran.unwrap_err();
    assert_eq!(message(&*payload), "of main");
    assert_eq!(kernel.run(async || 7), 7);
    kernel.shutdown();
}

/// K5: the shutdown cancels all tasks at once, the youngest first, and awaits all.
#[test]
fn the_shutdown_asks_everybody_at_once_the_youngest_first() {
    let (log, ended) = (Log::default(), Rc::new(Cell::new(None)));
    let (theirs, at) = (log.clone(), ended.clone());
    testing::run(async || {
        for name in ["oldest", "middle", "youngest"] {
            let (log, at) = (theirs.clone(), at.clone());
            spawn(async move {
                let delivered = sleep(Duration::MAX).await.unwrap_err();
                assert_eq!(delivered.reason(), CancelReason::Shutdown);
                let started = kernel::now();
                log.borrow_mut().push(name);
                sleep(secs(1)).await?;
                log.borrow_mut().push("clean");
                at.set(Some(kernel::now() - started));
                Err::<(), _>(delivered)
            });
        }
        testing::settle().await.unwrap();
    });
    assert_eq!(log.take(), ["youngest", "middle", "oldest", "clean", "clean", "clean"]);
    assert_eq!(ended.get(), Some(secs(1)));
}

/// K5: `run` returns an error of main after the shutdown.
#[test]
fn an_error_of_main_comes_out_after_the_shutdown() {
    let log = Log::default();
    let theirs = log.clone();
    let ended: Result<(), &str> = testing::run(async || {
        spawn(async move {
            let delivered = sleep(Duration::MAX).await;
            sleep(secs(5)).await?;
            theirs.borrow_mut().push("clean");
            delivered
        });
        testing::settle().await.unwrap();
        log.borrow_mut().push("main");
        Err("of main")
    });
    assert_eq!(ended, Err("of main"));
    assert_eq!(log.take(), ["main", "clean"]);
}

/// K5: a task that is spawned in a cleanup starts cancelled, so the shutdown ends.
#[test]
fn the_shutdown_ends_although_cleanups_spawn() {
    let generations = Rc::new(Cell::new(0));
    fn respawns(generations: Rc<Cell<u32>>) -> futures::future::LocalBoxFuture<'static, Ended> {
        Box::pin(async move {
            let delivered = sleep(Duration::MAX).await;
            generations.set(generations.get() + 1);
            if generations.get() < 1000 {
                spawn(respawns(generations));
            }
            delivered
        })
    }
    testing::run(async || drop(spawn(respawns(generations.clone()))));
    assert_eq!(generations.get(), 1000);
}

/// K3: a `main` that panics before it has become a future leaves nothing behind.
#[test]
fn a_main_that_panics_before_it_is_a_future_leaves_nothing() {
    let kernel = Kernel::new().unwrap();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        kernel.run(|| -> std::future::Ready<()> { panic!("no future") });
    }));
    assert!(ended.is_err());
    let left = kernel.leftovers();
    if left.tasks > 0 {
        // Dropping it would never end, and the failure would not be seen.
        Box::leak(Box::new(kernel));
    }
    assert_eq!(left.tasks, 0);
}
