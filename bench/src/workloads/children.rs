//! Futures that one task awaits together: a scope and `gather`, and what stands for them elsewhere.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::{Outcome, block_on, yield_now};
use crate::load::{Load, Meter, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::ScopeTen => block_on(move || scopes(load)),
        Workload::UnorderedTen => block_on(move || unordered(load)),
        Workload::GatherTwo => block_on(move || gathers(load)),
        _ => return None,
    })
}

/// `ops` scopes of `size` children that yield once, one scope after the other.
async fn scopes(load: Load) -> Outcome<Sample> {
    let meter = Meter::start();
    for _ in 0..load.ops {
        children!(load.size);
    }
    done!(meter.stop(load.ops))
}

/// The same futures in a set that has no tasks.
async fn unordered(load: Load) -> Outcome<Sample> {
    let meter = Meter::start();
    for _ in 0..load.ops {
        let mut set: FuturesUnordered<_> = (0..load.size).map(|_| yield_now()).collect();
        while set.next().await.is_some() {}
    }
    done!(meter.stop(load.ops))
}

/// `ops` pairs of futures that are ready.
async fn gathers(load: Load) -> Outcome<Sample> {
    let meter = Meter::start();
    for n in 0..load.ops {
        let both = both!(async move { done!(n) }, async move { done!(n + 1) });
        std::hint::black_box(both);
    }
    done!(meter.stop(load.ops))
}
