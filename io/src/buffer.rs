//! Bytes that were read and not used yet, and those that were not written yet.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncWrite;

use crate::errors::takes_no_more;

/// Writes `bytes` to the stream, of which so many are `written`, and empties them.
pub(crate) fn poll_write_out(
    stream: &mut (impl AsyncWrite + Unpin),
    cx: &mut Context<'_>,
    bytes: &mut Vec<u8>,
    written: &mut usize,
) -> Poll<io::Result<()>> {
    while *written < bytes.len() {
        match ready!(Pin::new(&mut *stream).poll_write(cx, &bytes[*written..]))? {
            0 => return Poll::Ready(Err(takes_no_more())),
            n => *written += n,
        }
    }
    bytes.clear();
    *written = 0;
    Poll::Ready(Ok(()))
}

/// A queue of bytes in one piece, which are added behind and used in front.
pub(crate) struct Buffer {
    /// Longer than the capacity only while a longer line is read. Empty until the first read.
    bytes: Box<[u8]>,
    used: usize,
    end: usize,
    capacity: usize,
}

impl Buffer {
    pub(crate) fn new(capacity: usize) -> Self {
        Buffer { bytes: Box::default(), used: 0, end: 0, capacity: capacity.max(1) }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[self.used..self.end]
    }

    /// At most as many as there are.
    pub(crate) fn consume(&mut self, amount: usize) {
        self.used = self.end.min(self.used + amount);
    }

    /// Room for more bytes, at least one.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        let len = self.end - self.used;
        if len < self.capacity && self.bytes.len() != self.capacity {
            // The first read, or the first one after a long line.
            self.move_to(self.capacity);
        } else if len == 0 {
            (self.used, self.end) = (0, 0);
        } else if self.end == self.bytes.len() && self.used > 0 {
            self.bytes.copy_within(self.used..self.end, 0);
            (self.used, self.end) = (0, len);
        }
        if self.end == self.bytes.len() {
            self.move_to(2 * self.bytes.len());
        }
        &mut self.bytes[self.end..]
    }

    /// So many bytes were read into the room.
    pub(crate) fn add(&mut self, read: usize) {
        assert!(read <= self.bytes.len() - self.end, "a stream has read more than there is room");
        self.end += read;
    }

    fn move_to(&mut self, size: usize) {
        let mut bytes = vec![0; size].into_boxed_slice();
        let len = self.end - self.used;
        bytes[..len].copy_from_slice(self.bytes());
        *self = Buffer { bytes, used: 0, end: len, capacity: self.capacity };
    }
}
