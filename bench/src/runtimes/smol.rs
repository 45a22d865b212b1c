//! smol's parts: `LocalExecutor` under async-io's `block_on` and `Timer`; async-channel's
//! `bounded`, and async-lock's `Mutex` (in which newcomers overtake waiters until one has waited
//! for half a millisecond).

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use async_executor::{LocalExecutor, Task};
use async_io::Timer;
use async_lock::Mutex;

use crate::load::{Load, Sample, Workload};

macro_rules! detach {
    ($task:expr) => {
        $task.detach()
    };
}
macro_rules! cancel {
    ($task:expr) => {
        assert!($task.cancel().await.is_none(), "the task is cancelled")
    };
}

macro_rules! within {
    ($limit:expr, $future:expr) => {{
        let late = async {
            async_io::Timer::after($limit).await;
            None
        };
        let in_time = futures_lite::future::or(async { Some($future.await) }, late).await;
        in_time.expect("the time does not run out")
    }};
}

macro_rules! in_thread {
    ($job:expr) => {
        blocking::unblock($job).await
    };
}

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

use futures_lite::future::yield_now;

use std::future::pending as idle;

type Outcome<T> = T;
type Shared<T> = Rc<T>;

thread_local! {
    static EXECUTOR: LocalExecutor<'static> = const { LocalExecutor::new() };
}

pub(super) fn run(workload: Workload, load: Load, look: fn()) -> Option<Sample> {
    tasks::run(workload, load)
        .or_else(|| sync_::run(workload, load))
        .or_else(|| timers::run(workload, load, look))
        .or_else(|| timeouts::run(workload, load))
        .or_else(|| threads::run(workload, load))
        .or_else(|| jobs::run(workload, load))
}

fn block_on<F: Future<Output = Sample> + 'static>(main: impl FnOnce() -> F) -> Sample {
    EXECUTOR.with(|executor| async_io::block_on(executor.run(spawn(main()))))
}

fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Task<F::Output> {
    EXECUTOR.with(|executor| executor.spawn(future))
}

fn channel<T>(places: usize) -> (Sender<T>, Receiver<T>) {
    async_channel::bounded(places)
}

fn new_lock() -> Mutex<()> {
    Mutex::new(())
}

fn sleep(duration: Duration) -> Timer {
    Timer::after(duration)
}

fn sleeper(duration: Duration) -> Task<()> {
    spawn(async move {
        sleep(duration).await;
    })
}
