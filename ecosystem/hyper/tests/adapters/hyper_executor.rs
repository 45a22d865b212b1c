//! The executor and the timer that hyper is given.

use std::cell::Cell;
use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use curium::kernel::{self, TaskCancelled, TaskGroup, now, sleep, testing};
use curium_hyper::{GroupExecutor, KernelTimer};
use hyper::rt::{Executor, Timer};

use crate::kit::{add_one, quiet, secs};

/// E1: what hyper spawned ends with its group: a wait of another crate is dropped, and code of
/// Curium gets the error and cleans up first.
#[test]
fn what_hyper_spawned_ends_with_its_group() {
    quiet(async || {
        let cleaned = Rc::new(Cell::new(0));
        let theirs = cleaned.clone();
        TaskGroup::<TaskCancelled>::scope(async |group| {
            let executor = GroupExecutor::new(group);
            executor.execute(pending::<()>());
            executor.clone().execute(async move {
                if sleep(secs(1000)).await.is_err() {
                    sleep(secs(1)).await.unwrap();
                    add_one(&theirs);
                }
            });
            assert_eq!(kernel::tasks().len(), 3);
            testing::settle().await
        })
        .await
        .unwrap();
        assert_eq!((cleaned.get(), kernel::tasks().len()), (1, 1));
    });
}

/// E1: a group that fails ends what hyper spawned in it as well.
#[test]
fn what_hyper_spawned_ends_with_a_group_that_fails() {
    quiet(async || {
        let ended = TaskGroup::<std::io::Error>::scope(async |group| {
            GroupExecutor::new(group).execute(pending::<()>());
            group.spawn(async { Err::<(), _>(std::io::Error::other("it fails")) });
            sleep(secs(1000)).await.map_err(Into::into)
        })
        .await;
        assert_eq!(ended.unwrap_err().to_string(), "it fails");
        assert_eq!(kernel::tasks().len(), 1);
    });
}

/// Counts its drops.
struct Drops(Rc<Cell<usize>>);

impl Drop for Drops {
    fn drop(&mut self) {
        add_one(&self.0);
    }
}

/// E1: once the group has ended, or the kernel, what hyper spawns is dropped, without a panic.
#[test]
fn what_is_spawned_too_late_is_dropped() {
    let dropped = Rc::new(Cell::new(0));
    let late = |executor: &GroupExecutor<TaskCancelled>| {
        let drops = Drops(dropped.clone());
        executor.execute(async move {
            let _drops = drops;
            pending::<()>().await;
        });
    };
    let executor = quiet(async || {
        let group = async |group| Ok::<_, TaskCancelled>(GroupExecutor::new(group));
        let executor = TaskGroup::scope(group).await.unwrap();
        late(&executor);
        assert_eq!((dropped.get(), kernel::tasks().len()), (1, 1));
        executor
    });
    late(&executor);
    assert_eq!(dropped.get(), 2);
    quiet(async || late(&executor));
    assert_eq!(dropped.get(), 3);
}

/// The timer counts by the kernel's clock, here a virtual one, and its deadline can be moved.
#[test]
fn the_timer_counts_by_the_clock_of_the_kernel() {
    quiet(async || {
        let begun = now();
        let timer = KernelTimer;
        timer.sleep(secs(3600)).await;
        assert_eq!(timer.now() - begun, secs(3600));
        let mut sleep = timer.sleep_until(begun + secs(3601));
        timer.reset(&mut sleep, begun + secs(7200));
        sleep.await;
        assert_eq!(now() - begun, secs(7200));
        let mut foreign: Pin<Box<dyn hyper::rt::Sleep>> = Box::pin(Ended);
        timer.reset(&mut foreign, begun + secs(7300));
        foreign.await;
        assert_eq!(now() - begun, secs(7300));
    });
    assert!(KernelTimer.now() <= Instant::now(), "outside a kernel it is the time of the system");
}

/// The sleep of another timer.
struct Ended;

impl Future for Ended {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        std::task::Poll::Ready(())
    }
}

impl hyper::rt::Sleep for Ended {}
