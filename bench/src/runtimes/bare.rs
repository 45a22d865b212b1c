//! The floor without wakers: everything is polled, round after round. Tasks only.

use std::future::Future;

use crate::floor::bare::{self, Joined};
use crate::load::{Load, Sample, Workload};

#[path = "../workloads/tasks.rs"]
mod tasks;

use crate::floor::yield_now;

type Outcome<T> = T;

pub(super) fn run(workload: Workload, load: Load, _look: fn()) -> Option<Sample> {
    tasks::run(workload, load)
}

fn block_on<F: Future<Output = Sample>>(main: impl FnOnce() -> F) -> Sample {
    bare::block_on(main())
}

fn spawn<F: Future<Output: 'static> + 'static>(future: F) -> Joined<F::Output> {
    bare::spawn(future)
}
