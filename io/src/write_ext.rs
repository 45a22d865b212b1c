//! Leaves that write to any stream.

use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncWrite;

use crate::errors::{WriteAllError, takes_no_more};
use crate::leaf::Leaf;

/// Writes to any stream: of Curium, or of another crate, such as TLS.
///
/// Every call is a cancellation point, whatever the stream is. A cancellation is an [`io::Error`]
/// in which [`cancelled`](kernel::cancelled) finds it, and the stream stays as it is.
pub trait WriteExt: AsyncWrite {
    /// Writes some bytes, at least one. Waits if there is no room. An empty `buf` gives 0.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation.
    ///
    /// # Cancellation
    ///
    /// Nothing was written.
    #[track_caller]
    fn write<'a>(&'a mut self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("WRITE", Location::caller());
        poll_fn(move |cx| leaf.poll(cx, |cx| Pin::new(&mut *self).poll_write(cx, buf)))
    }

    /// Writes everything. A stream with a buffer, such as a [`BufWriter`](crate::BufWriter), may
    /// keep it until it is flushed.
    ///
    /// # Errors
    ///
    /// [`WriteAllError`] says how many bytes were written and why it stopped. It converts to
    /// `io::Error`.
    ///
    /// # Cancellation
    ///
    /// The error says how many bytes were written. A timeout round the call returns its own error
    /// instead, without that number.
    #[track_caller]
    fn write_all<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("WRITE", Location::caller());
        let (mut written, len) = (0, buf.len());
        poll_fn(move |cx| {
            // With an empty `buf` there is one empty write, which counts against the budget (K2).
            loop {
                let poll =
                    |cx: &mut Context<'_>| Pin::new(&mut *self).poll_write(cx, &buf[written..]);
                let source = match ready!(leaf.poll(cx, poll)) {
                    Ok(0) if written < len => takes_no_more(),
                    Ok(n) if written + n == len => return Poll::Ready(Ok(())),
                    Ok(n) => {
                        written += n;
                        continue;
                    }
                    Err(error) => error,
                };
                return Poll::Ready(Err(WriteAllError::new(written, len, source)));
            }
        })
    }

    /// Waits until what was written has left the buffers of the stream.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation.
    ///
    /// # Cancellation
    ///
    /// What has not left the buffers stays in them.
    #[track_caller]
    fn flush<'a>(&'a mut self) -> impl Future<Output = io::Result<()>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("FLUSH", Location::caller());
        poll_fn(move |cx| leaf.poll(cx, |cx| Pin::new(&mut *self).poll_flush(cx)))
    }

    /// Flushes, and ends the writing direction: the peer reads the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation.
    ///
    /// # Cancellation
    ///
    /// The stream is not closed, and what has not left its buffers stays in them.
    #[track_caller]
    fn close<'a>(&'a mut self) -> impl Future<Output = io::Result<()>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("CLOSE", Location::caller());
        poll_fn(move |cx| leaf.poll(cx, |cx| Pin::new(&mut *self).poll_close(cx)))
    }
}

impl<W: AsyncWrite + ?Sized> WriteExt for W {}
