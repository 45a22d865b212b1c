//! A lock that is free, and a semaphore: what the records of their holders cost.

use std::hint::black_box;
use std::rc::Rc;

use sync::{Lock, Semaphore};

use super::{Outcome, block_on, spawn, yield_now};
use crate::load::{Load, Meter, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::LockFree => block_on(move || lock_free(load)),
        Workload::PermitContended => block_on(move || permit_contended(load)),
        Workload::PermitFree => block_on(move || permit_free(load)),
        _ => return None,
    })
}

/// One task takes a lock that no other one wants. An operation is a turn with it.
async fn lock_free(load: Load) -> Outcome<Sample> {
    let lock = Lock::new(0);
    let meter = Meter::start();
    for _ in 0..load.ops {
        *lock.acquire().await? += 1;
    }
    let sample = meter.stop(load.ops);
    black_box(lock.into_inner());
    done!(sample)
}

/// `size` tasks contend for four permits, and yield while they hold one.
async fn permit_contended(load: Load) -> Outcome<Sample> {
    let semaphore = Rc::new(Semaphore::new(4));
    let turns = load.ops / load.size;
    let mut tasks = Vec::new();
    let meter = Meter::start();
    for _ in 0..load.size {
        let semaphore = semaphore.clone();
        tasks.push(spawn(async move {
            for _ in 0..turns {
                let permit = semaphore.acquire().await?;
                go!(yield_now());
                drop(permit);
            }
            done!(())
        }));
    }
    for task in tasks {
        join!(task);
    }
    done!(meter.stop(load.ops))
}

/// One task takes a permit that is free. An operation is a turn with it.
async fn permit_free(load: Load) -> Outcome<Sample> {
    let semaphore = Semaphore::new(1);
    let meter = Meter::start();
    for _ in 0..load.ops {
        drop(black_box(semaphore.acquire().await?));
    }
    done!(meter.stop(load.ops))
}
