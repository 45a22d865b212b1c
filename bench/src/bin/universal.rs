//! The `UniversalQueue` between a thread and a task, beside flume and async-channel on the same
//! kernel.
//!
//! ```sh
//! cargo run --release -p curium-bench --bin universal -- [ROUNDS] [--one-core]
//! ```
//!
//! The thread and the kernel are pinned to two cores, or with `--one-core` to one. The samples go
//! round robin over the channels. A cell is the median of the nanoseconds an item, wall time and
//! processor time of both sides, and then each peer's time divided by Curium's in the same round.

use std::error::Error;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bench::cores;
use bench::pairs::{self, Meter, Sample};
use sync::UniversalQueue;

const MAX: Duration = Duration::MAX;

/// Measures a workload on each side. The `task` runs on a kernel on another core.
fn sample(
    items: u32,
    cores: [usize; 2],
    thread: impl FnOnce() + Send,
    task: impl AsyncFnOnce() + Send,
) -> Sample {
    let meter = Meter::start();
    thread::scope(|scope| {
        scope.spawn(|| {
            cores::pin(cores[0]).expect("a core");
            thread();
        });
        scope.spawn(|| {
            cores::pin(cores[1]).expect("a core");
            kernel::run(task);
        });
    });
    meter.stop(items)
}

/// Writes the workloads for a channel, so that all run the same source.
macro_rules! workloads {
    ($name:ident, $channel:expr, $send:ident, $recv:ident, $put:ident, $get:ident) => {
        mod $name {
            use super::*;

            pub(super) fn thread_to_task(items: u32, cores: [usize; 2]) -> Sample {
                let (sender, receiver) = $channel(128);
                sample(
                    items,
                    cores,
                    move || (0..items).for_each(|item| $send!(sender, item)),
                    async move || {
                        for item in 0..items {
                            assert_eq!($get!(receiver), item);
                        }
                    },
                )
            }

            pub(super) fn task_to_thread(items: u32, cores: [usize; 2]) -> Sample {
                let (sender, receiver) = $channel(128);
                sample(
                    items,
                    cores,
                    move || (0..items).for_each(|item| assert_eq!($recv!(receiver), item)),
                    async move || {
                        for item in 0..items {
                            $put!(sender, item);
                        }
                    },
                )
            }

            pub(super) fn ping_pong(items: u32, cores: [usize; 2]) -> Sample {
                let (sender, at_task) = $channel(1);
                let (back, receiver) = $channel(1);
                sample(
                    items,
                    cores,
                    move || {
                        for item in 0..items {
                            $send!(sender, item);
                            assert_eq!($recv!(receiver), item);
                        }
                    },
                    async move || {
                        for _ in 0..items {
                            let item = $get!(at_task);
                            $put!(back, item);
                        }
                    },
                )
            }
        }
    };
}

fn universal(bound: usize) -> (Arc<UniversalQueue<u32>>, Arc<UniversalQueue<u32>>) {
    let queue = Arc::new(UniversalQueue::bounded(bound));
    (queue.clone(), queue)
}

macro_rules! put_blocking {
    ($queue:expr, $item:expr) => {
        $queue.put_blocking($item, MAX).expect("it is open")
    };
}
macro_rules! get_blocking {
    ($queue:expr) => {
        $queue.get_blocking(MAX).expect("no time limit")
    };
}
macro_rules! put {
    ($queue:expr, $item:expr) => {
        $queue.put($item).await.expect("no cancellation")
    };
}
macro_rules! get {
    ($queue:expr) => {
        $queue.get().await.expect("no cancellation")
    };
}

macro_rules! flume_send {
    ($sender:expr, $item:expr) => {
        $sender.send($item).expect("it is open")
    };
}
macro_rules! flume_recv {
    ($receiver:expr) => {
        $receiver.recv().expect("it is open")
    };
}
macro_rules! flume_put {
    ($sender:expr, $item:expr) => {
        $sender.send_async($item).await.expect("it is open")
    };
}
macro_rules! flume_get {
    ($receiver:expr) => {
        $receiver.recv_async().await.expect("it is open")
    };
}

macro_rules! async_send {
    ($sender:expr, $item:expr) => {
        $sender.send_blocking($item).expect("it is open")
    };
}
macro_rules! async_recv {
    ($receiver:expr) => {
        $receiver.recv_blocking().expect("it is open")
    };
}
macro_rules! async_put {
    ($sender:expr, $item:expr) => {
        $sender.send($item).await.expect("it is open")
    };
}
macro_rules! async_get {
    ($receiver:expr) => {
        $receiver.recv().await.expect("it is open")
    };
}

workloads!(ours, universal, put_blocking, get_blocking, put, get);
workloads!(with_flume, flume::bounded, flume_send, flume_recv, flume_put, flume_get);
workloads!(with_async, async_channel::bounded, async_send, async_recv, async_put, async_get);

/// A workload of all channels, Curium's first.
type Row = (&'static str, u32, [fn(u32, [usize; 2]) -> Sample; 3]);

const ROWS: [Row; 3] = [
    (
        "thread_to_task, 128",
        200_000,
        [ours::thread_to_task, with_flume::thread_to_task, with_async::thread_to_task],
    ),
    (
        "task_to_thread, 128",
        200_000,
        [ours::task_to_thread, with_flume::task_to_thread, with_async::task_to_thread],
    ),
    ("ping_pong", 20_000, [ours::ping_pong, with_flume::ping_pong, with_async::ping_pong]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let (rounds, cores) = pairs::chosen()?;
    for (name, items, runs) in ROWS {
        println!("{name}");
        let runs = runs.map(|run| move || run(items, cores));
        pairs::compare(rounds, ["curium", "flume", "async-channel"], &runs);
    }
    Ok(())
}
