//! The leaf around a poll function of a stream.

use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use kernel::{CancelPoint, PolledWaits};

/// A point at which one poll function after another may wait.
///
/// A poll function of another crate never returns a cancellation, so the leaf around it does. The
/// stream is polled first: if it is ready, that is returned, also while a cancellation is pending.
/// Nothing of the stream is dropped, so a call that is cancelled can be made again. What the poll
/// functions have begun for this call ends with it.
pub(crate) struct Leaf {
    point: CancelPoint,
    waits: PolledWaits,
}

impl Leaf {
    pub(crate) fn new(kind: &'static str, site: &'static Location<'static>) -> Self {
        Leaf { point: CancelPoint::at(kind, site), waits: PolledWaits::default() }
    }

    /// Polls a stream, or returns the cancellation that is due.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Leaf { point, waits } = self;
        let polled = point.poll(cx, |cx| waits.collect(|| poll(cx)));
        if polled.is_ready() {
            waits.end();
        }
        polled.map(|polled| polled.unwrap_or_else(|cancelled| Err(cancelled.into())))
    }
}
