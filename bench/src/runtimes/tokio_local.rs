//! tokio's `LocalSet`, on its current-thread runtime; `tokio::sync::mpsc` and `Mutex`; `JoinSet`.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, LocalSet};

use crate::load::{Load, Sample, Workload};

macro_rules! join {
    ($task:expr) => {
        $task.await.expect("the task ends well")
    };
}
macro_rules! group {
    ($size:expr) => {{
        let mut group = tokio::task::JoinSet::new();
        (0..$size).for_each(|_| drop(group.spawn_local(async {})));
        while let Some(ended) = group.join_next().await {
            ended.expect("the member ends well");
        }
    }};
}
macro_rules! children {
    ($size:expr) => {{
        let mut set = tokio::task::JoinSet::new();
        (0..$size).for_each(|_| drop(set.spawn_local(yield_now())));
        while let Some(ended) = set.join_next().await {
            ended.expect("the task ends well");
        }
    }};
}
macro_rules! both {
    ($one:expr, $two:expr) => {
        tokio::join!($one, $two)
    };
}
macro_rules! cancel {
    ($task:expr) => {{
        $task.abort();
        $task.await.expect_err("the task is aborted")
    }};
}

macro_rules! within {
    ($limit:expr, $future:expr) => {
        tokio::time::timeout($limit, $future).await.expect("the time does not run out")
    };
}

macro_rules! in_thread {
    ($job:expr) => {
        tokio::task::spawn_blocking($job).await.expect("the job ends well")
    };
}

#[path = "../workloads/children.rs"]
mod children;
#[path = "../workloads/groups.rs"]
mod groups;
#[path = "../workloads/jobs.rs"]
mod jobs;
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

use tokio::task::{spawn_local as spawn, yield_now};
use tokio::time::sleep;

use std::future::pending as idle;

type Outcome<T> = T;
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
}

fn block_on<F: Future<Output = Sample> + 'static>(main: impl FnOnce() -> F) -> Sample {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let main = async { spawn(main()).await.expect("the workload ends well") };
    LocalSet::new().block_on(&runtime.expect("a runtime"), main)
}

fn channel<T>(places: usize) -> (mpsc::Sender<T>, mpsc::Receiver<T>) {
    mpsc::channel(places)
}

fn new_lock() -> Mutex<()> {
    Mutex::new(())
}

fn sleeper(duration: Duration) -> JoinHandle<()> {
    spawn(async move { sleep(duration).await })
}
