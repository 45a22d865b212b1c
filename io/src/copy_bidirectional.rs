//! Between two streams, both ways at once.

use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};
use kernel::TaskCancelled;

use crate::copy::{Copy, Step};
use crate::leaf::Leaf;

/// A copy between two streams ended before the end of both. Of each pair, the first value is of the
/// direction from `a` to `b`, the second one of that from `b` to `a`.
#[derive(Debug, thiserror::Error)]
#[error("{} and {} bytes were copied: {source}", copied.0, copied.1)]
#[non_exhaustive]
pub struct CopyBidirectionalError {
    /// How many bytes were written.
    pub copied: (u64, u64),
    /// What was read after them and not written. To lose nothing, write this first.
    pub unwritten: (Vec<u8>, Vec<u8>),
    /// The error that ended the copy. `kernel::cancelled` finds a cancellation in it.
    pub source: io::Error,
}

impl CopyBidirectionalError {
    /// The kind of the error that ended the copy.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl From<CopyBidirectionalError> for io::Error {
    fn from(error: CopyBidirectionalError) -> io::Error {
        io::Error::new(error.source.kind(), error)
    }
}

/// A cancellation before anything was copied.
impl From<TaskCancelled> for CopyBidirectionalError {
    fn from(cancelled: TaskCancelled) -> Self {
        let (copied, unwritten) = Default::default();
        CopyBidirectionalError { copied, unwritten, source: cancelled.into() }
    }
}

/// Copies everything from `a` to `b` and from `b` to `a`, as a proxy does. Gives the number of
/// bytes of each direction.
///
/// When one stream ends, the other one is flushed and closed for writing, and the other direction
/// goes on. The call returns when both have ended. An error of one direction ends both.
///
/// ```
/// use std::io;
/// use curium::io::{ReadExt, WriteExt, copy_bidirectional, duplex};
///
/// curium::run(async || {
///     let ((mut client, mut front), (mut back, mut server)) = (duplex(64), duplex(64));
///     let proxy = curium::spawn(async move {
///         Ok::<_, io::Error>(copy_bidirectional(&mut front, &mut back).await?)
///     });
///     client.write_all(b"question").await?;
///     client.close().await?;
///     let mut question = String::new();
///     server.read_to_string(&mut question).await?;
///     server.write_all(b"answer").await?;
///     server.close().await?;
///     let mut answer = String::new();
///     client.read_to_string(&mut answer).await?;
///     assert_eq!((&*question, &*answer), ("question", "answer"));
///     assert_eq!(proxy.await?, (8, 6));
///     Ok::<(), io::Error>(())
/// })
/// .unwrap();
/// ```
///
/// # Errors
///
/// [`CopyBidirectionalError`] says for each direction how many bytes were written, and holds what
/// was read after them. It converts to `io::Error`.
///
/// # Cancellation
///
/// The error has both, so nothing is lost: write what is left, and call this again. If the future
/// is dropped, what was read and not written, up to 8 KiB in each direction, is lost.
#[track_caller]
pub fn copy_bidirectional<'a, A, B>(
    a: &'a mut A,
    b: &'a mut B,
) -> impl Future<Output = Result<(u64, u64), CopyBidirectionalError>> + 'a
where
    A: AsyncRead + AsyncWrite + Unpin + ?Sized,
    B: AsyncRead + AsyncWrite + Unpin + ?Sized,
{
    let mut both = Both { there: Copy::new(true), back: Copy::new(true), back_first: false };
    let mut leaf = Leaf::new("COPY", Location::caller());
    poll_fn(move |cx| {
        let source = loop {
            match leaf.poll(cx, |cx| both.poll_step(cx, a, b)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if both.there.done && both.back.done => {
                    return Poll::Ready(Ok(both.copied()));
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(source)) => break source,
            }
        };
        let unwritten = (both.there.unwritten().to_vec(), both.back.unwritten().to_vec());
        let copied = both.copied();
        Poll::Ready(Err(CopyBidirectionalError { copied, unwritten, source }))
    })
}

struct Both {
    there: Copy,
    back: Copy,
    /// The directions take turns, so that none holds up the other one while it never has to wait.
    back_first: bool,
}

impl Both {
    fn copied(&self) -> (u64, u64) {
        (self.there.copied, self.back.copied)
    }

    /// A step of one direction, of the other one if the first has to wait.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        a: &mut (impl AsyncRead + AsyncWrite + Unpin + ?Sized),
        b: &mut (impl AsyncRead + AsyncWrite + Unpin + ?Sized),
    ) -> Poll<io::Result<()>> {
        self.back_first = !self.back_first;
        for back in [self.back_first, !self.back_first] {
            let step = match back {
                _ if self.copy(back).done => continue,
                true => self.back.poll_step(cx, b, a),
                false => self.there.poll_step(cx, a, b),
            };
            if let Poll::Ready(step) = step {
                let step = step?;
                self.copy(back).done = matches!(step, Step::Ended);
                return Poll::Ready(Ok(()));
            }
        }
        Poll::Pending
    }

    fn copy(&mut self, back: bool) -> &mut Copy {
        if back { &mut self.back } else { &mut self.there }
    }
}
