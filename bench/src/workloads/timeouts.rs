//! Timeouts that do not expire: round a future that is ready at once, and round a receive that
//! parks.

use std::future::ready;
use std::hint::black_box;
use std::time::Duration;

use super::{Outcome, block_on, channel, spawn};
use crate::load::{Load, Meter, Sample, Workload};

/// A time that does not pass in a run.
const HOUR: Duration = Duration::from_secs(3600);

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::TimeoutReady => block_on(move || timeout_ready(load)),
        Workload::TimeoutRecv => block_on(move || timeout_recv(load)),
        _ => return None,
    })
}

/// A timeout round a future that is ready.
async fn timeout_ready(load: Load) -> Outcome<Sample> {
    let meter = Meter::start();
    for i in 0..load.ops {
        black_box(within!(HOUR, ready(done!(black_box(i)))));
    }
    done!(meter.stop(load.ops))
}

/// Two channels of capacity 1, as in `chan_pingpong`. One of the two receives is under a timeout.
#[allow(unused_mut)] // Some receivers are `mut`.
async fn timeout_recv(load: Load) -> Outcome<Sample> {
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
        let _ = black_box(within!(HOUR, receive!(at_home)));
    }
    join!(echo);
    done!(meter.stop(load.ops))
}
