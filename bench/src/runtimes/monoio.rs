//! monoio on its epoll driver, with timers; local-sync's bounded channel and `Semaphore`, which its
//! page names. It has no cancel of a task: the sleeper selects between the sleep and a one-shot
//! channel of local-sync. It has no yield: the shim uses a future that wakes itself once.

use std::future::{Future, poll_fn};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use local_sync::mpsc::bounded;
use local_sync::oneshot;
use local_sync::semaphore::Semaphore;
use monoio::task::JoinHandle;

use crate::load::{Load, Sample, Workload};

macro_rules! lock {
    ($lock:expr) => {
        $lock.acquire().await.expect("the lock is never closed")
    };
}
macro_rules! cancel {
    ($sleeper:expr) => {{
        $sleeper.cancel.send(()).expect("the task sleeps");
        $sleeper.task.await
    }};
}

macro_rules! within {
    ($limit:expr, $future:expr) => {
        monoio::time::timeout($limit, $future).await.expect("the time does not run out")
    };
}

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

use monoio::spawn;
use monoio::time::sleep;

use std::future::pending as idle;

type Outcome<T> = T;
type Shared<T> = Rc<T>;

/// A task that can be stopped by a message.
struct Sleeper {
    cancel: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

pub(super) fn run(workload: Workload, load: Load, look: fn()) -> Option<Sample> {
    // Its wakers work on their own thread only, unless its feature `sync` is on.
    if workload == Workload::WakeThread {
        return None;
    }
    tasks::run(workload, load)
        .or_else(|| sync_::run(workload, load))
        .or_else(|| timers::run(workload, load, look))
        .or_else(|| timeouts::run(workload, load))
        .or_else(|| threads::run(workload, load))
}

fn block_on<F: Future<Output = Sample> + 'static>(main: impl FnOnce() -> F) -> Sample {
    let builder = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer();
    builder.build().expect("a runtime").block_on(async { spawn(main()).await })
}

fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}

fn channel<T>(places: usize) -> (bounded::Tx<T>, bounded::Rx<T>) {
    bounded::channel(places)
}

fn new_lock() -> Semaphore {
    Semaphore::new(1)
}

fn sleeper(duration: Duration) -> Sleeper {
    let (cancel, cancelled) = oneshot::channel();
    let task = spawn(async move {
        monoio::select! {
            () = sleep(duration) => {}
            _ = cancelled => {}
        }
    });
    Sleeper { cancel, task }
}
