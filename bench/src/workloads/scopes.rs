//! Nested timeouts, which only Curium has.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use kernel::{TaskTimeout, timeout_after};

use super::{Outcome, block_on, sleep, spawn, yield_now};
use crate::load::{Load, Meter, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load) -> Option<Sample> {
    Some(match workload {
        Workload::TimeoutNested => block_on(move || timeout_nested(load)),
        _ => return None,
    })
}

type Body = Pin<Box<dyn Future<Output = Outcome<()>>>>;

/// `size` timeouts round a sleep, the task cancelled; again until `ops` timeouts were left.
async fn timeout_nested(load: Load) -> Outcome<Sample> {
    let hour = Duration::from_secs(3600);
    let meter = Meter::start();
    for _ in 0..load.ops / load.size {
        let sleeps: Body = Box::pin(sleep(hour));
        let nested = (0..load.size).fold(sleeps, |inner, _| -> Body {
            Box::pin(async move {
                match timeout_after(hour, inner).await {
                    Ok(ended) => ended,
                    Err(TaskTimeout { .. }) => done!(()),
                }
            })
        });
        let task = spawn(nested);
        go!(yield_now());
        task.cancel().await?;
    }
    done!(meter.stop(load.ops))
}
