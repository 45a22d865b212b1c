//! Jobs on other threads.

use super::{Outcome, block_on, spawn};
use crate::load::{Load, Meter, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    let jobs = matches!(workload, Workload::Job | Workload::JobOne);
    jobs.then(|| block_on(move || jobs_at_once(load)))
}

/// `size` tasks, of which each runs one empty job after the other; `ops` jobs in all.
async fn jobs_at_once(load: Load) -> Outcome<Sample> {
    let each = load.ops / load.size;
    let meter = Meter::start();
    let tasks: Vec<_> = (0..load.size)
        .map(|_| {
            spawn(async move {
                for _ in 0..each {
                    in_thread!(|| ());
                }
                done!(())
            })
        })
        .collect();
    for task in tasks {
        join!(task);
    }
    done!(meter.stop(each * load.size))
}
