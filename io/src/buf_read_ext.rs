//! Leaves that read from any buffered stream, and its lines.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncBufRead;
use memchr::memchr;

use crate::leaf::Leaf;
use crate::read_ext::not_utf8;

/// Reads from any stream with a buffer: a [`BufReader`](crate::BufReader), or one of another crate.
///
/// Every call is a cancellation point, whatever the stream is. A cancellation is an [`io::Error`]
/// in which [`cancelled`](kernel::cancelled) finds it, and the stream stays as it is.
pub trait BufReadExt: AsyncBufRead {
    /// Appends to `bytes` up to the next `delimiter`, which is included, or up to the end of the
    /// stream. Gives the number of bytes; 0 is the end of the stream.
    ///
    /// There is no limit to this number but the memory.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation. What was read before is in `bytes`.
    ///
    /// # Cancellation
    ///
    /// What was read is in `bytes`, also if the future is dropped. The same call goes on.
    #[track_caller]
    fn read_until<'a>(
        &'a mut self,
        delimiter: u8,
        bytes: &'a mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("READ", Location::caller());
        let before = bytes.len();
        poll_fn(move |cx| {
            ready!(poll_until(&mut *self, &mut leaf, cx, delimiter, bytes))?;
            Poll::Ready(Ok(bytes.len() - before))
        })
    }

    /// The lines of the stream.
    ///
    /// ```
    /// use std::io;
    /// use curium::io::{BufReadExt, BufReader};
    ///
    /// curium::run(async || {
    ///     let mut lines = BufReader::new(&b"one\r\ntwo"[..]).lines();
    ///     assert_eq!(lines.next().await?.as_deref(), Some("one"));
    ///     assert_eq!(lines.next().await?.as_deref(), Some("two"));
    ///     assert_eq!(lines.next().await?, None);
    ///     Ok::<(), io::Error>(())
    /// })
    /// .unwrap();
    /// ```
    fn lines(self) -> Lines<Self>
    where
        Self: Sized + Unpin,
    {
        Lines { stream: self, line: Vec::new() }
    }
}

impl<R: AsyncBufRead + ?Sized> BufReadExt for R {}

/// Moves bytes to `bytes` until a delimiter is moved, or the stream has ended.
fn poll_until(
    stream: &mut (impl AsyncBufRead + Unpin + ?Sized),
    leaf: &mut Leaf,
    cx: &mut Context<'_>,
    delimiter: u8,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<()>> {
    loop {
        let complete = ready!(leaf.poll(cx, |cx| {
            let there = ready!(Pin::new(&mut *stream).poll_fill_buf(cx))?;
            let end = memchr(delimiter, there);
            let used = end.map_or(there.len(), |end| end + 1);
            match bytes.capacity() {
                // Most lines come in one piece, which needs no room to grow.
                0 => *bytes = there[..used].to_vec(),
                _ => bytes.extend_from_slice(&there[..used]),
            }
            Pin::new(&mut *stream).consume(used);
            Poll::Ready(Ok::<_, io::Error>(end.is_some() || used == 0))
        }))?;
        if complete {
            return Poll::Ready(Ok(()));
        }
    }
}

/// A line without the `\n` or `\r\n` at its end.
fn without_end(mut line: String) -> String {
    if line.ends_with('\n') {
        line.pop();
        if line.ends_with('\r') {
            line.pop();
        }
    }
    line
}

/// The lines of a stream: see [`BufReadExt::lines`].
pub struct Lines<R> {
    stream: R,
    /// What was read of the line whose end has not come.
    line: Vec<u8>,
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    /// The next line without its end, which is `\n` or `\r\n`. `None` at the end of the stream.
    ///
    /// There is no limit to the length of a line but the memory.
    ///
    /// # Errors
    ///
    /// Those of the stream; a cancellation; [`io::ErrorKind::InvalidData`] if the line is not
    /// UTF-8. That line is skipped.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost. What was read of the line stays in the `Lines`, and the next call goes on.
    #[track_caller]
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot wait")]
    pub fn next(&mut self) -> impl Future<Output = io::Result<Option<String>>> {
        let mut leaf = Leaf::new("READ", Location::caller());
        let Lines { stream, line } = self;
        poll_fn(move |cx| {
            ready!(poll_until(&mut *stream, &mut leaf, cx, b'\n', line))?;
            if line.is_empty() {
                return Poll::Ready(Ok(None));
            }
            let line = String::from_utf8(std::mem::take(line));
            Poll::Ready(line.map(|line| Some(without_end(line))).map_err(|_| not_utf8()))
        })
    }
}

impl<R> Lines<R> {
    /// The stream. It does not contain what was read of an incomplete line.
    pub fn get_ref(&self) -> &R {
        &self.stream
    }

    /// The stream, to write to it or to close it. What is read from it is missing in the lines.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The stream, and what was read of a line whose end has not come.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        (self.stream, self.line)
    }
}

impl<R> fmt::Debug for Lines<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("incomplete", &self.line.len()).finish_non_exhaustive()
    }
}
