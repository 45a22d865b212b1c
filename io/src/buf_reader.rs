//! A stream with a buffer for reading.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncBufRead, AsyncRead, AsyncWrite};
use memchr::memchr;

use crate::buffer::Buffer;
use crate::leaf::Leaf;
use crate::read_ext::not_utf8;

/// Reads a stream through a buffer, for lines and other small pieces.
///
/// What is written goes to the stream as it is. A [`BufWriter`](crate::BufWriter) inside is a
/// buffer for the other direction.
///
/// ```
/// use std::io;
/// use curium::io::{BufReader, BufWriter, WriteExt, duplex};
///
/// curium::run(async || {
///     let (ours, mut theirs) = duplex(64);
///     theirs.write_all(b"name\nCurium\n").await?;
///     let mut stream = BufReader::new(BufWriter::new(ours));
///     let mut line = String::new();
///     while stream.read_line(&mut line).await? > 0 {
///         if line.ends_with("Curium\n") {
///             break;
///         }
///     }
///     assert_eq!(line, "name\nCurium\n");
///     stream.write_all(b"200 OK\n").await?; // stays in the buffer of the `BufWriter`
///     stream.flush().await?;
///     Ok::<(), io::Error>(())
/// })
/// .unwrap();
/// ```
pub struct BufReader<R> {
    stream: R,
    buffer: Buffer,
}

impl<R> BufReader<R> {
    /// A buffer of 8 KiB.
    pub fn new(stream: R) -> Self {
        BufReader::with_capacity(8 * 1024, stream)
    }

    /// A buffer of `capacity` bytes, at least one. While a longer line is read, it is larger.
    pub fn with_capacity(capacity: usize, stream: R) -> Self {
        BufReader { stream, buffer: Buffer::new(capacity) }
    }

    /// The stream. The next bytes may be in the buffer.
    pub fn get_ref(&self) -> &R {
        &self.stream
    }

    /// The stream, to write to it or to close it. What is read from it overtakes the bytes in the
    /// buffer.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// The bytes that were read from the stream and not from this.
    pub fn buffer(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Removes the first `amount` bytes of the [`buffer`](BufReader::buffer), or all if there are
    /// fewer.
    pub fn consume(&mut self, amount: usize) {
        self.buffer.consume(amount);
    }

    /// The stream, without the bytes in the [`buffer`](BufReader::buffer).
    pub fn into_inner(self) -> R {
        self.stream
    }
}

impl<R: AsyncRead + Unpin> BufReader<R> {
    /// Appends the next line with its end to `line`. Gives the number of bytes; 0 is the end of the
    /// stream. The last line may have no end.
    ///
    /// There is no limit to the length of a line but the memory.
    ///
    /// # Errors
    ///
    /// Those of the stream; a cancellation; [`io::ErrorKind::InvalidData`] if the line is not
    /// UTF-8. That line is skipped. In all cases `line` is as it was.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost. What was read of the line stays in the buffer, also if the future is
    /// dropped.
    #[track_caller]
    pub fn read_line<'a>(
        &'a mut self,
        line: &'a mut String,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        self.read_line_at(line, Location::caller())
    }

    pub(crate) fn read_line_at<'a>(
        &'a mut self,
        line: &'a mut String,
        site: &'static Location<'static>,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut leaf = Leaf::new("READ", site);
        let mut searched = 0;
        poll_fn(move |cx| {
            let len = ready!(leaf.poll(cx, |cx| self.poll_line(cx, &mut searched)))?;
            let text = std::str::from_utf8(&self.buffer.bytes()[..len]);
            let read = text.map(|text| line.push_str(text)).map_err(|_| not_utf8());
            self.buffer.consume(len);
            Poll::Ready(read.map(|()| len))
        })
    }

    /// Reads once, behind the bytes in the [`buffer`](BufReader::buffer). Gives the number of
    /// bytes; 0 is the end of the stream.
    ///
    /// With [`consume`](BufReader::consume) it serves parsers that look at records where they lie:
    /// look at the buffer, read more while the record is incomplete, consume it.
    ///
    /// ```
    /// use std::io;
    /// use curium::io::{BufReader, ReadExt};
    ///
    /// curium::run(async || {
    ///     let mut reader = BufReader::new(&b"\x05hello\x03you"[..]);
    ///     let mut words = Vec::new();
    ///     loop {
    ///         if let [len, rest @ ..] = reader.buffer() {
    ///             if let Some(word) = rest.get(..usize::from(*len)) {
    ///                 words.push(word.to_vec());
    ///                 let used = 1 + word.len();
    ///                 reader.consume(used);
    ///                 continue;
    ///             }
    ///         }
    ///         if reader.read_more().await? == 0 {
    ///             break;
    ///         }
    ///     }
    ///     assert_eq!(words, [&b"hello"[..], b"you"]);
    ///     Ok::<(), io::Error>(())
    /// })
    /// .unwrap();
    /// ```
    ///
    /// A full buffer is doubled. There is no limit to its size but the memory, so a caller looks at
    /// the length of the buffer before it calls this again and again.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation.
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed, and the buffer is as it was.
    #[track_caller]
    pub fn read_more(&mut self) -> impl Future<Output = io::Result<usize>> {
        let mut leaf = Leaf::new("READ", Location::caller());
        poll_fn(move |cx| leaf.poll(cx, |cx| self.poll_more(cx)))
    }

    /// Reads until a whole line, or all up to the end of the stream, is in the buffer. Gives its
    /// length. There is no end of a line in the first `searched` bytes.
    fn poll_line(&mut self, cx: &mut Context<'_>, searched: &mut usize) -> Poll<io::Result<usize>> {
        loop {
            let bytes = self.buffer.bytes();
            if let Some(end) = memchr(b'\n', &bytes[*searched..]) {
                return Poll::Ready(Ok(*searched + end + 1));
            }
            *searched = bytes.len();
            if ready!(self.poll_more(cx))? == 0 {
                return Poll::Ready(Ok(*searched));
            }
        }
    }

    /// Reads once, behind what is in the buffer.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let BufReader { stream, buffer } = self;
        let read = ready!(Pin::new(stream).poll_read(cx, buffer.room()))?;
        buffer.add(read);
        Poll::Ready(Ok(read))
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for BufReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.buffer.bytes().is_empty() && buf.len() >= this.buffer.capacity() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        if this.buffer.bytes().is_empty() && !buf.is_empty() {
            ready!(this.poll_more(cx))?;
        }
        let bytes = this.buffer.bytes();
        let read = bytes.len().min(buf.len());
        buf[..read].copy_from_slice(&bytes[..read]);
        this.buffer.consume(read);
        Poll::Ready(Ok(read))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for BufReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if this.buffer.bytes().is_empty() {
            ready!(this.poll_more(cx))?;
        }
        Poll::Ready(Ok(this.buffer.bytes()))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.buffer.consume(amount);
    }
}

impl<R: AsyncWrite + Unpin> AsyncWrite for BufReader<R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

crate::other_traits!(buffered [R: AsyncRead + Unpin] BufReader<R>);
crate::other_traits!(write [R: AsyncWrite + Unpin] BufReader<R>, false);

impl<R> fmt::Debug for BufReader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufReader").field("buffered", &self.buffer()).finish_non_exhaustive()
    }
}
