//! The floor: the least that runs the workloads, to see how far from it a runtime is.
//!
//! Neither is of use to anybody: no reactor, no threads, no panics caught, no fairness.

pub(crate) mod bare;
pub(crate) mod channel;
pub(crate) mod lock;
pub(crate) mod rc;
pub(crate) mod timer;

use std::future::{Future, poll_fn};
use std::task::Poll;

/// Pending once, and ready to run again.
pub(crate) fn yield_now() -> impl Future<Output = ()> {
    let mut yielded = false;
    poll_fn(move |cx| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
