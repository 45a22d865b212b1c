//! Curium: `kernel::run`, `sync::channel`, `sync::Queue`, `sync::Lock`, `sync::Semaphore`, groups,
//! and the graceful cancel.

use std::cell::Cell;
use std::future::{Future, pending};
use std::rc::Rc;
use std::time::Duration;

use kernel::{Kernel, Link, Task, TaskCancelled, Watcher};

use crate::load::{Load, Sample, Workload};

macro_rules! done {
    ($value:expr) => {
        Ok::<_, kernel::TaskCancelled>($value)
    };
}
macro_rules! go {
    ($future:expr) => {
        $future.await?
    };
}
macro_rules! join {
    ($task:expr) => {
        $task.join().await?.expect("the task ends well")
    };
}
macro_rules! send {
    ($sender:expr, $item:expr) => {
        $sender.put($item).await?.expect("a receiver is left")
    };
}
macro_rules! recv {
    ($receiver:expr) => {
        $receiver.recv().await?.expect("a sender is left")
    };
}
macro_rules! lock {
    ($lock:expr) => {
        $lock.acquire().await?
    };
}
macro_rules! group {
    ($size:expr) => {
        kernel::TaskGroup::<kernel::TaskCancelled>::scope(async |group| {
            (0..$size).for_each(|_| drop(group.spawn(async { done!(()) })));
            done!(())
        })
        .await?
    };
}
macro_rules! children {
    ($size:expr) => {
        kernel::scope(async |scope| {
            (0..$size).for_each(|_| drop(scope.spawn(yield_now())));
            done!(())
        })
        .await?
    };
}
macro_rules! both {
    ($one:expr, $two:expr) => {
        kernel::gather(($one, $two)).await?
    };
}
macro_rules! cancel {
    ($task:expr) => {
        $task.cancel().await?
    };
}

macro_rules! receive {
    ($receiver:expr) => {
        $receiver.recv()
    };
}
macro_rules! within {
    ($limit:expr, $future:expr) => {
        kernel::timeout_after($limit, $future).await.expect("the time does not run out")?
    };
}

macro_rules! in_thread {
    ($job:expr) => {
        kernel::run_in_thread($job).await?
    };
}

#[path = "../workloads/children.rs"]
mod children;
#[path = "../workloads/groups.rs"]
mod groups;
#[path = "../workloads/jobs.rs"]
mod jobs;
#[path = "../workloads/locks.rs"]
mod locks;
#[path = "../workloads/queues.rs"]
mod queues;
#[path = "../workloads/scopes.rs"]
mod scopes;
#[path = "../workloads/sync.rs"]
mod sync_;
#[path = "../workloads/tasks.rs"]
mod tasks;
#[path = "../workloads/threads.rs"]
mod threads;
#[path = "../workloads/timeouts.rs"]
mod timeouts;
#[path = "../workloads/timers.rs"]
mod timers;

use kernel::{sleep, spawn, yield_now};
use sync::channel;

type Outcome<T> = Result<T, TaskCancelled>;
type Shared<T> = Rc<T>;

pub(super) fn run(workload: Workload, load: Load, look: fn()) -> Option<Sample> {
    tasks::run(workload, load)
        .or_else(|| sync_::run(workload, load))
        .or_else(|| timers::run(workload, load, look))
        .or_else(|| groups::run(workload, load))
        .or_else(|| children::run(workload, load))
        .or_else(|| timeouts::run(workload, load))
        .or_else(|| threads::run(workload, load))
        .or_else(|| jobs::run(workload, load))
        .or_else(|| scopes::run(workload, load))
        .or_else(|| queues::run(workload, load))
        .or_else(|| locks::run(workload, load))
}

/// The same in a kernel that is watched from another thread, as by the monitor.
pub(super) fn run_watched(workload: Workload, load: Load, look: fn()) -> Option<Sample> {
    WATCHED.set(true);
    run(workload, load, look)
}

/// The same in a kernel with a flight recorder.
pub(super) fn run_recorded(workload: Workload, load: Load, look: fn()) -> Option<Sample> {
    RECORDED.set(true);
    run(workload, load, look)
}

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static RECORDED: Cell<bool> = const { Cell::new(false) };
}

/// Watches nothing, but the kernel marks each poll for it.
struct Idle;

impl Watcher for Idle {
    fn begin(&self, _: Link) {}
    fn end(&self) {}
}

fn block_on(main: impl AsyncFnOnce() -> Outcome<Sample>) -> Sample {
    let ended = match (WATCHED.get(), RECORDED.get()) {
        (true, _) => Kernel::builder().watcher(Idle).run(main),
        (_, true) => Kernel::builder().flight_recorder(1 << 20).run(main),
        _ => kernel::run(main),
    };
    ended.expect("no task cancels the main task")
}

fn new_lock() -> sync::Lock<()> {
    sync::Lock::new(())
}

fn sleeper(duration: Duration) -> Task<(), TaskCancelled> {
    spawn(async move { sleep(duration).await })
}

fn idle() -> impl Future<Output = Outcome<()>> {
    kernel::cancellable(pending())
}
