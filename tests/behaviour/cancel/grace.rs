//! Cleanup that takes too long: deadlines that hold, graces that end in an abort, and requests of
//! other threads (C8, C10, C11).

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::thread::{self, ThreadId};
use std::time::Duration;

use kernel::{
    CancelReason, Kernel, Report, Task, TaskCancelled, TaskError, TaskGroup, TaskInfo,
    ignore_after, shield, sleep, spawn, spawn_named, testing, timeout_after,
};

use crate::support::time::secs;

/// Records on which thread it was dropped.
struct Guard(Rc<Cell<Option<ThreadId>>>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.set(Some(thread::current().id()));
    }
}

/// Swallows its cancel and every other error for ever.
async fn stubborn() -> Result<(), TaskCancelled> {
    loop {
        sleep(secs(7)).await.ok();
    }
}

type Aborted = Rc<RefCell<Vec<TaskInfo>>>;

/// A kernel that records which tasks it aborted because a grace was over.
fn noting_aborts() -> (kernel::Builder, Aborted) {
    let aborted = Aborted::default();
    let sink = aborted.clone();
    let builder = Kernel::builder().on_report(move |report| match report {
        Report::OutOfGrace(task) => sink.borrow_mut().push(TaskInfo::clone(task)),
        other => panic!("not expected: {other}"),
    });
    (builder, aborted)
}

fn names(aborted: &Aborted) -> Vec<String> {
    aborted.borrow().iter().map(|task| task.name.clone()).collect()
}

/// C8: a cancel does not disarm the timeouts around it: they bound the task's own cleanup.
#[test]
fn a_timeout_bounds_the_cleanup_of_a_cancelled_body() {
    testing::run(async || {
        let started = kernel::now();
        let task = spawn(async {
            let reasons = Cell::new(None);
            let body = async {
                let cancelled = sleep(Duration::MAX).await.unwrap_err();
                let cleanup = sleep(secs(100)).await.unwrap_err();
                reasons.set(Some((cancelled.reason(), cleanup.reason())));
                Err::<(), _>(cancelled)
            };
            let ended = timeout_after(secs(10), body).await;
            ended.expect("cancelled, so it is not just a timeout").unwrap_err();
            Ok::<_, TaskCancelled>(reasons.get().expect("both were seen"))
        });
        sleep(secs(4)).await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(kernel::now() - started, secs(10));
        let (first, second) = task.join().await.unwrap().unwrap();
        assert!(matches!(first, CancelReason::Requested { .. }));
        assert_eq!(second, CancelReason::Timeout);
    });
}

/// C8: an `ignore_after` in which a task was cancelled still bounds its cleanup.
#[test]
fn an_ignored_timeout_bounds_the_cleanup_too() {
    testing::run(async || {
        let started = kernel::now();
        let task = spawn(ignore_after(secs(10), async {
            let cancelled = sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(100)).await.ok();
            Err::<(), _>(cancelled)
        }));
        sleep(secs(4)).await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(kernel::now() - started, secs(10));
        let ended = task.join().await.unwrap();
        assert!(matches!(ended, Err(TaskError::Cancelled(_))), "{ended:?}");
    });
}

/// C8: a shield lets the cleanup finish.
#[test]
fn a_shield_lets_the_cleanup_finish() {
    testing::run(async || {
        let started = kernel::now();
        let body = async {
            sleep(Duration::MAX).await.unwrap_err();
            shield(sleep(secs(100))).await
        };
        let task = spawn(timeout_after(secs(10), body));
        sleep(secs(4)).await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(kernel::now() - started, secs(104));
        assert!(matches!(task.join().await.unwrap(), Ok(Ok(()))));
    });
}

/// C8: they do not bound the tear-down of a group, which the members' own timeouts bound.
#[test]
fn the_tear_down_of_a_group_is_bounded_by_its_members_own_timeouts() {
    testing::run(async || {
        let started = kernel::now();
        let group = TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(async {
                let cleanup = timeout_after(secs(20), async {
                    sleep(Duration::MAX).await.unwrap_err();
                    sleep(secs(100)).await
                });
                cleanup.await.ok();
                Ok(())
            });
            Ok(())
        });
        assert!(timeout_after(secs(10), group).await.is_err());
        assert_eq!(kernel::now() - started, secs(20));
    });
}

/// C10: a task that does not end within the grace is aborted. The report names it, the location
/// where it was parked, and the operation.
#[test]
fn cancel_within_aborts_and_reports_who_does_not_end() {
    let (builder, aborted) = noting_aborts();
    testing::run_with(builder, async || {
        let dropped = Rc::new(Cell::new(None));
        let guard = Guard(dropped.clone());
        let task = spawn_named("stubborn", async move {
            let _guard = guard;
            stubborn().await
        });
        testing::settle().await.unwrap();
        let started = kernel::now();
        task.cancel_within(secs(3)).await.unwrap();
        assert_eq!(kernel::now() - started, secs(3));
        assert!(task.is_done());
        assert_eq!(dropped.get(), Some(thread::current().id()));
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Aborted)));
    });
    assert_eq!(names(&aborted), ["stubborn"]);
    let report = &aborted.borrow()[0];
    assert_eq!(report.parked[0].kind, "SLEEP");
    assert!(report.site().unwrap().file().ends_with("grace.rs"));
    assert!(report.cancelled);
}

/// C10: a task that ends in time is neither aborted nor reported.
#[test]
fn cancel_within_lets_the_cleanup_end_in_time() {
    let (builder, aborted) = noting_aborts();
    testing::run_with(builder, async || {
        let task = spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(2)).await?;
            Ok::<_, TaskCancelled>("clean")
        });
        testing::settle().await.unwrap();
        let started = kernel::now();
        task.cancel_within(secs(3)).await.unwrap();
        assert_eq!(kernel::now() - started, secs(2));
        assert_eq!(task.join().await.unwrap().unwrap(), "clean");
        // On an ended task it does nothing, whatever the grace.
        task.cancel_within(Duration::ZERO).await.unwrap();
        sleep(secs(10)).await.unwrap();
    });
    assert_eq!(names(&aborted), [""; 0]);
}

/// C10: with a grace of zero the task is aborted without any time for cleanup.
#[test]
fn a_grace_of_nothing_aborts_at_once() {
    let (builder, aborted) = noting_aborts();
    testing::run_with(builder, async || {
        let started = kernel::now();
        let task = spawn_named("foreign", async {
            pending::<()>().await;
            Ok::<_, TaskCancelled>(())
        });
        testing::settle().await.unwrap();
        task.cancel_within(Duration::ZERO).await.unwrap();
        assert!(matches!(task.join().await.unwrap(), Err(TaskError::Aborted)));
        assert_eq!(kernel::now(), started);
    });
    assert_eq!(names(&aborted), ["foreign"]);
}

/// C10, T3: a timeout outside abandons the wait, and the abort with it. The request stays.
#[test]
fn a_timeout_round_cancel_within_abandons_the_abort() {
    let (builder, aborted) = noting_aborts();
    testing::run_with(builder, async || {
        let task = spawn(async {
            sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(20)).await?;
            Ok::<_, TaskCancelled>("clean")
        });
        testing::settle().await.unwrap();
        assert!(timeout_after(secs(1), task.cancel_within(secs(5))).await.is_err());
        assert_eq!(task.join().await.unwrap().unwrap(), "clean");
    });
    assert_eq!(names(&aborted), [""; 0]);
}

/// C10: the shutdown's grace ends in an abort of all tasks that are left, each named in a report.
#[test]
fn the_shutdown_grace_aborts_all_that_is_left() {
    let (builder, aborted) = noting_aborts();
    let dropped = Rc::new(Cell::new(None));
    let guard = Guard(dropped.clone());
    let cleaned = Rc::new(Cell::new(false));
    let theirs = cleaned.clone();
    let value = testing::run_with(builder.shutdown_grace(secs(5)), async || {
        spawn_named("stubborn", stubborn());
        spawn_named("quick", async move {
            sleep(Duration::MAX).await.unwrap_err();
            sleep(secs(4)).await?;
            theirs.set(true);
            Ok::<_, TaskCancelled>(())
        });
        spawn_named("foreign", async move {
            let _guard = guard;
            pending::<()>().await;
            Ok::<_, TaskCancelled>(())
        });
        sleep(secs(1)).await.unwrap();
        "main's own"
    });
    assert_eq!(value, "main's own");
    assert!(cleaned.get(), "it had ended in time");
    assert_eq!(dropped.get(), Some(thread::current().id()));
    let mut names_aborted = names(&aborted);
    names_aborted.sort_unstable();
    assert_eq!(names_aborted, ["foreign", "stubborn"]);
}

/// C10, C7: the grace overrides a shield, too.
#[test]
fn the_shutdown_grace_holds_against_a_shield() {
    let (builder, aborted) = noting_aborts();
    testing::run_with(builder.shutdown_grace(secs(5)), async || {
        spawn_named("shielded", shield(sleep(Duration::MAX)));
        testing::settle().await.unwrap();
    });
    assert_eq!(names(&aborted), ["shielded"]);
}

/// C10: off by default: the shutdown waits as long as the cleanup takes.
#[test]
fn without_a_grace_the_shutdown_waits() {
    let (builder, aborted) = noting_aborts();
    let cleaned = Rc::new(Cell::new(false));
    let theirs = cleaned.clone();
    testing::run_with(builder, async || {
        spawn(async move {
            let reason = sleep(Duration::MAX).await.unwrap_err().reason();
            sleep(secs(1_000_000)).await?;
            theirs.set(reason == CancelReason::Shutdown);
            Ok::<_, TaskCancelled>(())
        });
        testing::settle().await.unwrap();
    });
    assert!(cleaned.get());
    assert_eq!(names(&aborted), [""; 0]);
}

/// C11: another thread requests a cancel. The future is polled and dropped on its kernel's thread.
#[test]
fn another_thread_may_ask_for_a_cancel() {
    testing::run(async || {
        let handle = kernel::handle();
        let dropped = Rc::new(Cell::new(None));
        let guard = Guard(dropped.clone());
        let task = spawn(async move {
            let _guard = guard;
            let error = sleep(Duration::MAX).await.unwrap_err();
            Ok::<_, TaskCancelled>((error.reason(), thread::current().id()))
        });
        testing::settle().await.unwrap();
        let id = task.id();
        let other = thread::spawn(move || handle.request_cancel(id));
        let (reason, polled_on) = task.join().await.unwrap().unwrap();
        assert_eq!(other.join().unwrap(), Ok(()));
        assert_eq!(reason, CancelReason::Requested { by: None });
        assert_eq!(polled_on, thread::current().id());
        assert_eq!(dropped.get(), Some(thread::current().id()));
    });
}

/// C2, C11: main can be the target, too.
#[test]
fn main_can_be_cancelled_by_its_name() {
    testing::run(async || {
        let (handle, id) = (kernel::handle(), kernel::current_task().id);
        spawn(async move {
            sleep(secs(1)).await?;
            handle.request_cancel(id).unwrap();
            Ok::<_, TaskCancelled>(())
        });
        let error = sleep(Duration::MAX).await.unwrap_err();
        assert_eq!(error.reason(), CancelReason::Requested { by: None });
        assert_eq!(sleep(secs(1)).await, Ok(()));
    });
}

/// C2, C11: a request between two runs of a kernel is delivered in the next one.
#[test]
fn a_request_between_two_runs_is_delivered_in_the_next_one() {
    let kernel = Kernel::builder().virtual_clock().build().unwrap();
    let task = kernel.run(async || {
        let task = spawn(async {
            let reason = sleep(Duration::MAX).await.unwrap_err().reason();
            Ok::<_, TaskCancelled>(reason)
        });
        testing::settle().await.unwrap();
        task
    });
    task.request_cancel();
    let reason = kernel.run(async || task.join().await.unwrap().unwrap());
    assert_eq!(reason, CancelReason::Requested { by: None });
    assert_eq!(kernel.leftovers(), kernel::Leftovers::default());
    kernel.shutdown();
}

/// C11: a request for an ended task does nothing. The next occupant of its slot is not affected.
#[test]
fn a_late_request_from_another_thread_hits_nobody() {
    testing::run(async || {
        let old = spawn(async { Ok::<_, TaskCancelled>(()) });
        let id = old.id();
        old.join().await.unwrap().unwrap();
        drop(old);
        let next = spawn(sleep(secs(5)));
        testing::settle().await.unwrap();
        let handle = kernel::handle();
        thread::spawn(move || handle.request_cancel(id)).join().unwrap().unwrap();
        next.join().await.unwrap().expect("no task cancelled it");
    });
}

/// C11: once the kernel is gone, the request is refused.
#[test]
fn a_request_to_a_kernel_that_is_gone_is_refused() {
    let (handle, id) = testing::run(async || (kernel::handle(), kernel::current_task().id));
    let refused = thread::spawn(move || handle.request_cancel(id)).join().unwrap();
    assert_eq!(refused, Err(kernel::KernelGone));
}

/// C10: when the grace is over, only the tasks that are aborted for it are reported.
#[test]
fn who_ended_with_another_when_the_grace_was_over_is_not_reported() {
    struct Aborts(Task<(), TaskCancelled>);
    impl Drop for Aborts {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    async fn stubborn() -> Result<(), TaskCancelled> {
        loop {
            let _ = sleep(Duration::from_secs(100)).await;
        }
    }
    let reported = Rc::new(Cell::new(0));
    let sink = reported.clone();
    let builder =
        Kernel::builder().shutdown_grace(Duration::from_secs(1)).on_report(move |report| {
            if matches!(report, Report::OutOfGrace(_)) {
                sink.set(sink.get() + 1);
            }
        });
    testing::run_with(builder, async || {
        let older = Aborts(spawn(stubborn()));
        drop(spawn(async move {
            let _older = older;
            stubborn().await
        }));
        testing::settle().await.unwrap();
    });
    assert_eq!(reported.get(), 1);
}
