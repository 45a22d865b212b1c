//! The floor: the least code that runs the workloads, to compare a runtime with it.
//!
//! Neither is a usable runtime: no reactor, no threads, no panics caught, no fairness.

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
