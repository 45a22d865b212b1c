//! What streams over a registration share whose methods take `&self`, so that one task can read
//! while another one writes. The leaves of `ReadExt` and `WriteExt` take `&mut self`.

use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use kernel::CancelPoint;
use kernel::io::{IoPoint, Registration, Side, ToWrite};
use mio::event::Source;

use crate::errors::{WriteAllError, takes_no_more};

/// The result of a call with an empty buffer: 0, without a look at the source. It counts against
/// the budget, because a loop of such calls would never yield otherwise (K2).
#[cold]
pub fn nothing(cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    // It never parks, so the name of the point never shows.
    CancelPoint::new("NOTHING").poll(cx, |_| Poll::Ready(0)).map_err(io::Error::from)
}

/// An operation with a buffer, for a poll function of another crate's trait. With an empty buffer
/// it gives 0, without a look at the source.
#[track_caller]
#[inline]
pub fn poll_unless_empty<S: Source>(
    on: &Registration<S>,
    direction: impl Side,
    cx: &mut Context<'_>,
    is_empty: bool,
    operation: impl FnMut(&S) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    if is_empty { Poll::Ready(Ok(0)) } else { on.poll_io(direction, cx, operation) }
}

/// A leaf that calls `write` until everything is written.
///
/// # Cancellation
///
/// The error says how many bytes were written.
pub fn write_all<'a, S: Source>(
    on: &'a Registration<S>,
    site: &'static Location<'static>,
    buf: &'a [u8],
    write: impl Fn(&S, &[u8]) -> io::Result<usize> + 'a,
) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
    let mut point = IoPoint::new(on, ToWrite, site);
    let mut written = 0;
    poll_fn(move |cx| {
        while written < buf.len() {
            let source = match point.poll("WRITE", cx, |source| write(source, &buf[written..])) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => takes_no_more(),
                Poll::Ready(Ok(n)) => {
                    written += n;
                    continue;
                }
                Poll::Ready(Err(error)) => error,
            };
            return Poll::Ready(Err(WriteAllError::new(written, buf.len(), source)));
        }
        if buf.is_empty() {
            let failed = |source| WriteAllError::new(written, 0, source);
            return nothing(cx).map_ok(drop).map_err(failed);
        }
        Poll::Ready(Ok(()))
    })
}
