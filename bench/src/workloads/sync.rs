//! A channel and a lock.

use std::hint::black_box;

use super::{Outcome, Shared, block_on, channel, new_lock, spawn, yield_now};
use crate::load::{Load, Meter, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::ChanPingpong => block_on(move || chan_pingpong(load)),
        Workload::ChanThroughput => block_on(move || chan_throughput(load)),
        Workload::LockContended => block_on(move || lock_contended(load)),
        _ => return None,
    })
}

/// Two channels of capacity 1. An operation is an item there and back.
#[allow(unused_mut)] // Some receivers are `mut`.
async fn chan_pingpong(load: Load) -> Outcome<Sample> {
    let (there, mut at_echo) = channel::<u64>(1);
    let (back, mut at_home) = channel::<u64>(1);
    let meter = Meter::start();
    let echo = spawn(async move {
        for _ in 0..load.ops {
            let item = recv!(at_echo);
            send!(back, item);
        }
        done!(())
    });
    for i in 0..load.ops {
        send!(there, i);
        black_box(recv!(at_home));
    }
    join!(echo);
    done!(meter.stop(load.ops))
}

/// A channel of capacity 128, one sender, one receiver. An operation is an item.
#[allow(unused_mut)] // Some receivers are `mut`.
async fn chan_throughput(load: Load) -> Outcome<Sample> {
    let (sender, mut receiver) = channel::<u64>(128);
    let meter = Meter::start();
    let sink = spawn(async move {
        for _ in 0..load.ops {
            black_box(recv!(receiver));
        }
        done!(())
    });
    for i in 0..load.ops {
        send!(sender, i);
    }
    join!(sink);
    done!(meter.stop(load.ops))
}

/// `size` tasks that contend for one lock, and yield while they hold it.
async fn lock_contended(load: Load) -> Outcome<Sample> {
    let lock = Shared::new(new_lock());
    let turns = load.ops / load.size;
    let mut tasks = Vec::new();
    let meter = Meter::start();
    for _ in 0..load.size {
        let lock = lock.clone();
        tasks.push(spawn(async move {
            for _ in 0..turns {
                let guard = lock!(lock);
                go!(yield_now());
                drop(guard);
            }
            done!(())
        }));
    }
    for task in tasks {
        join!(task);
    }
    done!(meter.stop(load.ops))
}
