//! Spawning, joining, taking turns.

use std::hint::black_box;

use super::{Outcome, block_on, spawn, yield_now};
use crate::load::{Load, Meter, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::SpawnJoin | Workload::SpawnJoinAll => block_on(move || spawn_join(load)),
        Workload::SpawnJoinOne => block_on(move || spawn_join_1(load)),
        Workload::Yield => block_on(move || turns(load)),
        Workload::TurnsAlone => block_on(move || turns_alone(load)),
        _ => return None,
    })
}

/// Spawn `size` tasks, join them in order; again until `ops` have been joined.
async fn spawn_join(load: Load) -> Outcome<Sample> {
    let size = usize::try_from(load.size).expect("tasks fit in memory");
    let mut tasks = Vec::with_capacity(size);
    let meter = Meter::start();
    for _ in 0..load.ops / load.size {
        tasks.extend((0..load.size).map(|i| spawn(async move { done!(i) })));
        let mut sum = 0;
        for task in tasks.drain(..) {
            sum += join!(task);
        }
        black_box(sum);
    }
    done!(meter.stop(load.ops))
}

/// Spawn one, await it, again.
async fn spawn_join_1(load: Load) -> Outcome<Sample> {
    let meter = Meter::start();
    for i in 0..load.ops {
        black_box(join!(spawn(async move { done!(i) })));
    }
    done!(meter.stop(load.ops))
}

/// `size` tasks that only yield, until they have done it `ops` times in total.
async fn turns(load: Load) -> Outcome<Sample> {
    let turns = load.ops / load.size;
    let mut tasks = Vec::new();
    let meter = Meter::start();
    for _ in 0..load.size {
        tasks.push(spawn(async move {
            for _ in 0..turns {
                go!(yield_now());
            }
            done!(())
        }));
    }
    for task in tasks {
        join!(task);
    }
    done!(meter.stop(load.ops))
}

/// The same, measured only while all of them take turns. This task takes turns with them, so when
/// it has finished its own, each of them has.
async fn turns_alone(load: Load) -> Outcome<Sample> {
    let turns = load.ops / load.size;
    let mut tasks = Vec::new();
    for _ in 0..load.size {
        tasks.push(spawn(async move {
            for _ in 0..turns + 2 {
                go!(yield_now());
            }
            done!(())
        }));
    }
    go!(yield_now());
    let meter = Meter::start();
    for _ in 0..turns {
        go!(yield_now());
    }
    let sample = meter.stop(turns * load.size);
    for task in tasks {
        join!(task);
    }
    done!(sample)
}
