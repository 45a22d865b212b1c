//! From one stream to another.

use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use kernel::TaskCancelled;

use crate::errors::takes_no_more;
use crate::leaf::Leaf;

/// The most that is read at once.
const PIECE: usize = 8 * 1024;

/// A copy ended before the end of the stream.
#[derive(Debug, thiserror::Error)]
#[error("{copied} bytes were copied: {source}")]
#[non_exhaustive]
pub struct CopyError {
    /// How many bytes were written.
    pub copied: u64,
    /// What was read after them and not written. To lose nothing, write this first.
    pub unwritten: Vec<u8>,
    /// The error that ended the copy. `kernel::cancelled` finds a cancellation in it.
    pub source: io::Error,
}

impl CopyError {
    /// The kind of the error that ended the copy.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl From<CopyError> for io::Error {
    fn from(error: CopyError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

/// A cancellation before anything was copied.
impl From<TaskCancelled> for CopyError {
    fn from(cancelled: TaskCancelled) -> Self {
        CopyError { copied: 0, unwritten: Vec::new(), source: cancelled.into() }
    }
}

/// Copies everything up to the end of `reader` to `writer`, and flushes it. Gives the number of
/// bytes. Neither stream is closed.
///
/// ```
/// use std::io;
/// use curium::io::{ReadExt, WriteExt, copy, duplex};
///
/// curium::run(async || {
///     let (mut ours, mut theirs) = duplex(64);
///     assert_eq!(copy(&mut &b"hello"[..], &mut ours).await?, 5);
///     ours.close().await?;
///     let mut text = String::new();
///     theirs.read_to_string(&mut text).await?;
///     assert_eq!(text, "hello");
///     Ok::<(), io::Error>(())
/// })
/// .unwrap();
/// ```
///
/// # Errors
///
/// [`CopyError`] says how many bytes were written, and holds what was read after them. It converts
/// to `io::Error`.
///
/// # Cancellation
///
/// The error has both, so nothing is lost. While there is no room for what was read, no more is
/// read. If the future is dropped, what was read and not written, up to 8 KiB, is lost.
#[track_caller]
pub fn copy<'a, R, W>(
    reader: &'a mut R,
    writer: &'a mut W,
) -> impl Future<Output = Result<u64, CopyError>> + 'a
where
    R: AsyncRead + Unpin + ?Sized,
    W: AsyncWrite + Unpin + ?Sized,
{
    let mut copy = Copy::new(false);
    let mut leaf = Leaf::new("COPY", Location::caller());
    poll_fn(move |cx| {
        let result = loop {
            match ready!(leaf.poll(cx, |cx| copy.poll_step(cx, &mut *reader, &mut *writer))) {
                Ok(Step::More) => {}
                Ok(Step::Ended) => return Poll::Ready(Ok(copy.copied)),
                Err(source) => break source,
            }
        };
        let unwritten = copy.unwritten().to_vec();
        Poll::Ready(Err(CopyError { copied: copy.copied, unwritten, source: result }))
    })
}

/// The state of a copy: `piece[written..end]` was read and is not written.
pub(crate) struct Copy {
    piece: Vec<u8>,
    written: usize,
    end: usize,
    pub(crate) copied: u64,
    /// The reader has ended. It is not read again: a terminal would give more.
    ended: bool,
    /// Whether the writer is closed at the end, or only flushed.
    closes: bool,
    /// The caller has seen the last step.
    pub(crate) done: bool,
}

pub(crate) enum Step {
    More,
    Ended,
}

impl Copy {
    pub(crate) fn new(closes: bool) -> Self {
        let (piece, (written, end, copied)) = Default::default();
        Copy { piece, written, end, copied, ended: false, closes, done: false }
    }

    /// What was read and is not written.
    pub(crate) fn unwritten(&self) -> &[u8] {
        &self.piece[self.written..self.end]
    }

    /// One read or one write, or the flush or close at the end.
    pub(crate) fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut (impl AsyncRead + Unpin + ?Sized),
        writer: &mut (impl AsyncWrite + Unpin + ?Sized),
    ) -> Poll<io::Result<Step>> {
        if self.written < self.end {
            let piece = &self.piece[self.written..self.end];
            let written = ready!(Pin::new(writer).poll_write(cx, piece))?;
            if written == 0 {
                return Poll::Ready(Err(takes_no_more()));
            }
            self.written += written;
            self.copied += written as u64;
            return Poll::Ready(Ok(Step::More));
        }
        if self.ended {
            let writer = Pin::new(writer);
            let polled = if self.closes { writer.poll_close(cx) } else { writer.poll_flush(cx) };
            return polled.map_ok(|()| Step::Ended);
        }
        (self.written, self.end) = (0, 0);
        self.piece.resize(PIECE, 0);
        match Pin::new(reader).poll_read(cx, &mut self.piece) {
            Poll::Ready(Ok(0)) => {
                self.ended = true;
                Poll::Ready(Ok(Step::More))
            }
            Poll::Ready(Ok(read)) => {
                self.end = read;
                Poll::Ready(Ok(Step::More))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What was written goes out while there is nothing to read.
            Poll::Pending => {
                if let Poll::Ready(Err(error)) = Pin::new(writer).poll_flush(cx) {
                    return Poll::Ready(Err(error));
                }
                Poll::Pending
            }
        }
    }
}
