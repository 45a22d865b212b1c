//! A limit for the first bytes of a connection, which hyper-util reads without one.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use curium::kernel::Timer;
use hyper::rt::{Read, ReadBufCursor, Write};

/// The time in which a client must have shown which protocol it speaks: hyper's default for the
/// head of a request.
const LIMIT: Duration = Duration::from_secs(30);

/// The length of the preface of HTTP/2. hyper-util reads no more than that until it knows the
/// protocol, and whatever reads then has more room.
const PREFACE: usize = 24;

/// A stream whose first bytes must come in time.
#[derive(Debug)]
pub(crate) struct FirstBytes<I> {
    pub(crate) io: I,
    limit: Option<Timer>,
}

impl<I> FirstBytes<I> {
    pub(crate) fn new(io: I) -> Self {
        FirstBytes { io, limit: Some(Timer::after(LIMIT)) }
    }
}

impl<I: Read + Unpin> Read for FirstBytes<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.limit.is_some() && buf.remaining() > PREFACE {
            self.limit = None;
        }
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        match &mut self.limit {
            Some(limit) if polled.is_pending() => {
                ready!(Pin::new(limit).poll(cx));
                Poll::Ready(Err(ErrorKind::TimedOut.into()))
            }
            _ => polled,
        }
    }
}

impl<I: Write + Unpin> Write for FirstBytes<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
