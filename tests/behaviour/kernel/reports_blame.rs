//! Reports that name the code that panicked, and the limits of long reports.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use kernel::{
    Builder, Kernel, ProgramCode, Report, TaskCancelled, TaskGroup, run_in_thread, sleep, spawn,
    tasks, testing, yield_now,
};
use sync::Event;

type Result<T = ()> = std::result::Result<T, TaskCancelled>;

/// A builder whose reports are collected as text in the list.
fn noting(reports: &Rc<RefCell<Vec<String>>>) -> Builder {
    let reports = reports.clone();
    Kernel::builder().on_report(move |report| {
        let blamed = match report {
            Report::PanicOutsideTask { code, .. } => format!("{code:?}: "),
            _ => String::new(),
        };
        reports.borrow_mut().push(format!("{blamed}{report}"));
    })
}

/// What is reported while `main` runs.
fn reports(main: impl AsyncFnOnce() -> Result) -> Vec<String> {
    let reports = Rc::default();
    testing::run_with(noting(&reports), main).unwrap();
    reports.take()
}

/// K6: a panic in the closure given to `Handle::spawn` is attributed to it, not to a destructor.
#[test]
fn a_closure_of_a_handle_that_panics_is_named() {
    let reported = reports(async || {
        let handle = kernel::handle();
        let spawned = thread::spawn(move || {
            handle.spawn(|| -> std::future::Ready<Result> { panic!("no future") })
        });
        spawned.join().unwrap().expect("the kernel is there");
        testing::settle().await
    });
    let [reported] = &reported[..] else { panic!("{reported:?}") };
    assert!(reported.starts_with("Spawn: the closure given to `Handle::spawn`"), "{reported}");
    assert!(reported.ends_with("panicked: no future"), "{reported}");
}

/// An error whose `Debug` panics.
struct Unshowable;

impl fmt::Debug for Unshowable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("not to be shown")
    }
}

impl From<TaskCancelled> for Unshowable {
    fn from(_: TaskCancelled) -> Self {
        Unshowable
    }
}

/// K6, G3: an error whose `Debug` panics is still reported, and a second report names the `Debug`;
/// also in a group, as one of several errors.
#[test]
fn the_debug_of_an_error_that_panics_is_named() {
    let alone = reports(async || {
        drop(spawn(async { Err::<(), _>(Unshowable) }));
        yield_now().await
    });
    let in_group = reports(async || {
        let ended = TaskGroup::<Unshowable>::scope(async |g| {
            g.spawn(async { Err::<(), _>(Unshowable) });
            yield_now().await?;
            Err::<(), _>(Unshowable)
        });
        assert!(ended.await.is_err());
        Ok(())
    });
    for reported in [alone, in_group] {
        let blamed = "Debug: the `Debug` of an error that was to be reported panicked";
        assert!(reported[0].ends_with("an error that could not be shown"), "{reported:?}");
        assert!(reported[1].starts_with(blamed), "{reported:?}");
        assert_eq!(reported.len(), 2, "{reported:?}");
    }
}

/// A waker, or a destructor, that panics.
struct Bomb;

impl Wake for Bomb {
    fn wake(self: Arc<Self>) {
        panic!("woken");
    }
}

struct Fuse;

impl Drop for Fuse {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

/// K6: reports distinguish a foreign waker from a destructor.
#[test]
fn wakers_and_destructors_that_panic_are_told_apart() {
    let reported = reports(async || {
        let event = Event::new();
        let mut leaf = Box::pin(event.wait());
        let waker = Waker::from(Arc::new(Bomb));
        assert!(leaf.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        event.set();
        drop(leaf);
        let task = spawn(async {
            let _fuse = Fuse;
            sleep(Duration::MAX).await
        });
        yield_now().await?;
        task.abort();
        Ok(())
    });
    let blamed: Vec<&str> = reported.iter().map(|it| it.split(':').next().unwrap()).collect();
    assert_eq!(
        blamed,
        [format!("{:?}", ProgramCode::Waker), format!("{:?}", ProgramCode::Destructor)]
    );
}

/// K8: a task with very many leaves is shown with the first of them and a count; `parked` has all.
#[test]
fn of_many_leaves_of_a_task_the_first_are_shown() {
    reports(async || {
        let many = spawn(async {
            let all: Vec<Result> = join_all((0..100).map(|_| sleep(Duration::MAX))).await;
            all.into_iter().collect::<Result>()
        });
        testing::settle().await?;
        let info = tasks().into_iter().find(|it| it.id == many.id()).expect("it is parked");
        assert_eq!(info.parked.len(), 100);
        let text = info.to_string();
        assert_eq!(text.matches("SLEEP at").count(), 8, "{text}");
        assert!(text.ends_with(", and 92 more leaves"), "{text}");
        many.cancel().await
    });
}

/// K8: so is a deadlock of very many tasks.
#[test]
fn of_many_tasks_in_a_deadlock_the_first_are_shown() {
    let deadlock = std::panic::catch_unwind(|| {
        testing::run(async || {
            let event = Rc::new(Event::new());
            for _ in 0..100 {
                let event = event.clone();
                spawn(async move { event.wait().await });
            }
            event.wait().await
        })
    });
    let payload = deadlock.expect_err("a deadlock");
    let text = payload.downcast_ref::<String>().expect("a message");
    assert_eq!(text.matches("EVENT_WAIT at").count(), 20, "{text}");
    assert!(text.ends_with("and 81 more"), "{text}");
}

/// K8: on the real clock, tasks that wait behind foreign wakers are reported after the configured
/// time, once for each time that they hang.
#[test]
fn a_hang_behind_ones_own_wakers_is_named_on_the_real_clock() {
    let event = Rc::new(Event::new());
    let reports: Rc<RefCell<Vec<String>>> = Rc::default();
    let (ends, noted) = (event.clone(), reports.clone());
    let builder = Kernel::builder().report_hangs(Duration::from_millis(20));
    // The sink that gets the report also ends the hang.
    let builder = builder.on_report(move |report| {
        noted.borrow_mut().push(report.to_string());
        ends.set();
    });
    builder
        .run(async || {
            for _ in 0..2 {
                event.clear();
                let mut waits: FuturesUnordered<_> = (0..3).map(|_| event.wait()).collect();
                while let Some(ended) = waits.next().await {
                    ended?;
                }
            }
            Result::Ok(())
        })
        .unwrap();
    let reports = reports.borrow();
    assert_eq!(reports.len(), 2, "{reports:?}");
    for hang in &*reports {
        assert!(hang.starts_with("nothing runs, and only a waker"), "{hang}");
        assert_eq!(hang.matches("EVENT_WAIT at").count(), 3, "{hang}");
    }
}

/// K8: a kernel that waits for a job, a timer or a handle does not hang.
#[test]
fn what_waits_for_a_job_or_a_timer_is_no_hang() {
    let reports = Rc::default();
    noting(&reports)
        .report_hangs(Duration::from_millis(1))
        .run(async || {
            run_in_thread(|| thread::sleep(Duration::from_millis(30))).await?;
            sleep(Duration::from_millis(30)).await
        })
        .unwrap();
    assert!(reports.borrow().is_empty(), "{reports:?}");
}
