//! Leaves that read from any stream.

use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::AsyncRead;

use crate::errors::ReadExactError;
use crate::leaf::Leaf;

/// Reads from any stream: of Curium, or of another crate, such as TLS.
///
/// Every call is a cancellation point, whatever the stream is. A cancellation is an [`io::Error`]
/// in which [`cancelled`](kernel::cancelled) finds it, and the stream stays as it is.
///
/// ```
/// use std::io;
/// use curium::io::{ReadExt, WriteExt, duplex};
///
/// curium::run(async || {
///     let (mut ours, mut theirs) = duplex(64);
///     theirs.write_all(b"hello, world").await?;
///     let mut hello = [0; 5];
///     ours.read_exact(&mut hello).await?;
///     assert_eq!(&hello, b"hello");
///     theirs.close().await?;
///     let mut rest = Vec::new();
///     ours.read_to_end(&mut rest).await?;
///     assert_eq!(rest, b", world");
///     Ok::<(), io::Error>(())
/// })
/// .unwrap();
/// ```
pub trait ReadExt: AsyncRead {
    /// Reads some bytes, at least one. Waits if there are none. 0 is the end of the stream, unless
    /// `buf` is empty.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation.
    ///
    /// # Cancellation
    ///
    /// Nothing is consumed.
    #[track_caller]
    fn read<'a>(&'a mut self, buf: &'a mut [u8]) -> impl Future<Output = io::Result<usize>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("READ", Location::caller());
        poll_fn(move |cx| leaf.poll(cx, |cx| Pin::new(&mut *self).poll_read(cx, buf)))
    }

    /// Reads until `buf` is full.
    ///
    /// # Errors
    ///
    /// [`ReadExactError`] says how many bytes were read and why it stopped. It converts to
    /// `io::Error`.
    ///
    /// # Cancellation
    ///
    /// What was read is at the front of `buf`, and the error says how much that is. A timeout round
    /// the call returns its own error instead, without that number.
    #[track_caller]
    fn read_exact<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = Result<(), ReadExactError>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("READ", Location::caller());
        let (mut read, len) = (0, buf.len());
        poll_fn(move |cx| {
            // With an empty `buf` there is one empty read, which counts against the budget (K2).
            loop {
                let poll =
                    |cx: &mut Context<'_>| Pin::new(&mut *self).poll_read(cx, &mut buf[read..]);
                match ready!(leaf.poll(cx, poll)) {
                    Ok(0) if read < len => {
                        return Poll::Ready(Err(ReadExactError::ended(read, len)));
                    }
                    Ok(n) => read += n,
                    Err(error) => return Poll::Ready(Err(ReadExactError::new(read, len, error))),
                }
                if read == len {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }

    /// Appends everything up to the end of the stream to `bytes`. Gives the number of bytes.
    ///
    /// # Errors
    ///
    /// Those of the stream, and a cancellation. What was read before is in `bytes`.
    ///
    /// # Cancellation
    ///
    /// What was read is in `bytes`, also if the future is dropped. The same call goes on.
    #[track_caller]
    fn read_to_end<'a>(
        &'a mut self,
        bytes: &'a mut Vec<u8>,
    ) -> impl Future<Output = io::Result<usize>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("READ", Location::caller());
        let before = bytes.len();
        poll_fn(move |cx| {
            while ready!(leaf.poll(cx, |cx| poll_append(&mut *self, cx, bytes)))? > 0 {}
            Poll::Ready(Ok(bytes.len() - before))
        })
    }

    /// Appends everything up to the end of the stream to `text`. Gives the number of bytes.
    ///
    /// # Errors
    ///
    /// Those of the stream; a cancellation; [`io::ErrorKind::InvalidData`] if it is not UTF-8, and
    /// then the bytes from the first wrong one on are lost.
    ///
    /// # Cancellation
    ///
    /// The characters that were read are in `text`. If the last one is incomplete, its bytes, three
    /// at most, are lost. With [`read_to_end`](ReadExt::read_to_end) nothing is lost. If the future
    /// is dropped, what it has read is lost.
    #[track_caller]
    fn read_to_string<'a>(
        &'a mut self,
        text: &'a mut String,
    ) -> impl Future<Output = io::Result<usize>> + 'a
    where
        Self: Unpin,
    {
        let mut leaf = Leaf::new("READ", Location::caller());
        let mut bytes = Vec::new();
        poll_fn(move |cx| {
            let ended = loop {
                match ready!(leaf.poll(cx, |cx| poll_append(&mut *self, cx, &mut bytes))) {
                    Ok(0) => break Ok(bytes.len()),
                    Ok(_) => {}
                    Err(error) => break Err(error),
                }
            };
            let valid = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
            text.push_str(valid);
            match ended {
                Ok(len) if valid.len() < len => Poll::Ready(Err(not_utf8())),
                ended => Poll::Ready(ended),
            }
        })
    }
}

impl<R: AsyncRead + ?Sized> ReadExt for R {}

pub(crate) fn not_utf8() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the stream is not UTF-8")
}

/// The greatest number of bytes that are read at once.
const MOST: usize = 64 * 1024;

/// Reads once, to the end of `bytes`. It has the same length as before if nothing was read.
fn poll_append(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    cx: &mut Context<'_>,
    bytes: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let before = bytes.len();
    if bytes.capacity() - before < 32 {
        bytes.reserve(1024);
    }
    bytes.resize(bytes.capacity().min(before + MOST), 0);
    let polled = Pin::new(stream).poll_read(cx, &mut bytes[before..]);
    let read = match polled {
        Poll::Ready(Ok(read)) => read,
        _ => 0,
    };
    bytes.truncate(before + read);
    polled
}
