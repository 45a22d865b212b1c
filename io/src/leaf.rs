//! The leaf around a poll function of a stream.

use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use kernel::CancelPoint;

/// A point at which one poll function after another may wait.
///
/// A poll function of another crate never returns a cancellation, so the leaf around it does. The
/// stream is polled first: if it is ready, that is returned, also while a cancellation is pending.
/// Nothing of the stream is dropped, so a call that is cancelled can be made again.
pub(crate) struct Leaf(CancelPoint);

impl Leaf {
    pub(crate) fn new(kind: &'static str, site: &'static Location<'static>) -> Self {
        Leaf(CancelPoint::at(kind, site))
    }

    /// Polls a stream, or returns the cancellation that is due.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        self.0.poll(cx, poll).map(|polled| polled.unwrap_or_else(|cancelled| Err(cancelled.into())))
    }
}
