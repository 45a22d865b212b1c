//! The channels of the other workloads, with queues instead, which only Curium has.
//!
//! The items are of another type than those of the channels. So the compiler makes separate
//! functions for each, and one figure does not depend on the other.

use std::hint::black_box;
use std::rc::Rc;

use sync::Queue;

use super::{Outcome, block_on, spawn};
use crate::load::{Load, Meter, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::QueuePingpong => block_on(move || queue_pingpong(load)),
        Workload::QueueThroughput => block_on(move || queue_throughput(load)),
        _ => return None,
    })
}

/// Two queues of one place. An operation is an item there and back.
async fn queue_pingpong(load: Load) -> Outcome<Sample> {
    let [there, back] = [(); 2].map(|()| Rc::new(Queue::<i64>::bounded(1)));
    let meter = Meter::start();
    let (at_echo, echoed) = (there.clone(), back.clone());
    let echo = spawn(async move {
        for _ in 0..load.ops {
            let item = at_echo.get().await?;
            echoed.put(item).await?;
        }
        done!(())
    });
    for i in 0..load.ops {
        there.put(i as i64).await?;
        black_box(back.get().await?);
    }
    join!(echo);
    done!(meter.stop(load.ops))
}

/// A queue of 128 places, one putter, one getter. An operation is an item.
async fn queue_throughput(load: Load) -> Outcome<Sample> {
    let queue = Rc::new(Queue::<i64>::bounded(128));
    let meter = Meter::start();
    let getter = queue.clone();
    let sink = spawn(async move {
        for _ in 0..load.ops {
            black_box(getter.get().await?);
        }
        done!(())
    });
    for i in 0..load.ops {
        queue.put(i as i64).await?;
    }
    join!(sink);
    done!(meter.stop(load.ops))
}
