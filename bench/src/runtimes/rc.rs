//! The floor with wakers.

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use crate::floor::channel::Channel;
use crate::floor::lock::Lock;
use crate::floor::rc::{self, Task};
use crate::load::{Load, Sample, Workload};

macro_rules! send {
    ($sender:expr, $item:expr) => {
        $sender.send($item).await
    };
}
macro_rules! recv {
    ($receiver:expr) => {
        $receiver.recv().await
    };
}
macro_rules! lock {
    ($lock:expr) => {
        $lock.acquire().await
    };
}
macro_rules! cancel {
    ($task:expr) => {
        $task.cancel()
    };
}

#[path = "../workloads/sync.rs"]
mod sync_;
#[path = "../workloads/tasks.rs"]
mod tasks;
#[path = "../workloads/threads.rs"]
mod threads;
#[path = "../workloads/timers.rs"]
mod timers;

use crate::floor::rc::spawn;
use crate::floor::timer::sleep;
use crate::floor::yield_now;

use std::future::pending as idle;

type Outcome<T> = T;
type Shared<T> = Rc<T>;

pub(super) fn run(workload: Workload, load: Load, look: fn()) -> Option<Sample> {
    // Its wakers work on their own thread only.
    if workload == Workload::WakeThread {
        return None;
    }
    tasks::run(workload, load)
        .or_else(|| sync_::run(workload, load))
        .or_else(|| timers::run(workload, load, look))
        .or_else(|| threads::run(workload, load))
}

fn block_on<F: Future<Output = Sample> + 'static>(main: impl FnOnce() -> F) -> Sample {
    rc::block_on(async { spawn(main()).await })
}

fn channel<T>(places: usize) -> (Rc<Channel<T>>, Rc<Channel<T>>) {
    let channel = crate::floor::channel::channel(places);
    (channel.clone(), channel)
}

fn new_lock() -> Lock {
    Lock::default()
}

fn sleeper(duration: Duration) -> Task<()> {
    spawn(async move { sleep(duration).await })
}
