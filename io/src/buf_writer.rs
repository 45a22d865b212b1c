//! A stream with a buffer for writing.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};

use crate::buffer::poll_write_out;

/// Gathers small writes in a buffer. [`flush`](crate::WriteExt::flush) and
/// [`close`](crate::WriteExt::close) write what is in it to the stream, and so does a write that
/// has no room.
///
/// A drop does not write what is in the buffer. What is read comes from the stream as it is.
///
/// A write that is cancelled while it makes room has put nothing into the buffer, and a flush that
/// is cancelled leaves the rest in it, so that either can be called again.
pub struct BufWriter<W> {
    stream: W,
    buffer: Vec<u8>,
    /// How much of the buffer is written already.
    written: usize,
    capacity: usize,
}

impl<W> BufWriter<W> {
    /// A buffer of 8 KiB.
    pub fn new(stream: W) -> Self {
        BufWriter::with_capacity(8 * 1024, stream)
    }

    /// A buffer of `capacity` bytes. A larger piece goes to the stream without a copy.
    pub fn with_capacity(capacity: usize, stream: W) -> Self {
        BufWriter { stream, buffer: Vec::new(), written: 0, capacity }
    }

    /// The stream, without what is in the buffer.
    pub fn get_ref(&self) -> &W {
        &self.stream
    }

    /// The stream. What is written to it overtakes the bytes in the buffer.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.stream
    }

    /// The bytes that are not written to the stream yet.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.written..]
    }

    /// The stream, without the bytes in the [`buffer`](BufWriter::buffer).
    pub fn into_inner(self) -> W {
        self.stream
    }
}

impl<W: AsyncWrite + Unpin> BufWriter<W> {
    /// Writes what is in the buffer to the stream.
    fn poll_empty(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        poll_write_out(&mut self.stream, cx, &mut self.buffer, &mut self.written)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for BufWriter<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.buffer.len() + buf.len() > this.capacity {
            ready!(this.poll_empty(cx))?;
        }
        if buf.len() >= this.capacity {
            return Pin::new(&mut this.stream).poll_write(cx, buf);
        }
        if this.buffer.capacity() == 0 {
            this.buffer.reserve_exact(this.capacity);
        }
        this.buffer.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_empty(cx))?;
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for BufWriter<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read_vectored(cx, bufs)
    }
}

impl<W: AsyncBufRead + Unpin> AsyncBufRead for BufWriter<W> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().stream).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.stream).consume(amount);
    }
}

crate::other_traits!(read [W: AsyncRead + Unpin] BufWriter<W>);
crate::other_traits!(write [W: AsyncWrite + Unpin] BufWriter<W>, false);

impl<W> fmt::Debug for BufWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufWriter").field("buffered", &self.buffer()).finish_non_exhaustive()
    }
}
