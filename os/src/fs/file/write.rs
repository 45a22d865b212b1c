//! Writing at the position, or at the end.

use std::future::poll_fn;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::task::{Context, Poll, ready};

use ::io::WriteAllError;
use kernel::{CancelPoint, DetachedJob, TaskCancelled};

use super::read::retried;
use super::shared::Change;
use super::{File, MAX_CALL, Mode, Waiting};

/// The end of a write on a thread.
pub(super) struct Written {
    change: Change,
    buf: Vec<u8>,
    /// The position behind what was written, where there are positions.
    position: Option<u64>,
    /// How many bytes were written.
    done: usize,
}

impl Written {
    /// Writes the first `len` bytes of `buf`, on a thread of the pool.
    fn new(mut change: Change, mode: Mode, at: u64, buf: Vec<u8>, len: usize) -> Self {
        let (shared, mut done) = (change.shared().clone(), 0);
        while done < len && !change.has_failed() {
            let rest = &buf[done..len];
            let n = retried(|| match mode {
                Mode::Positional => shared.file.write_at(rest, at + done as u64),
                Mode::Append | Mode::Stream => (&shared.file).write(rest),
            });
            done += change.note("write", n.and_then(some)).unwrap_or(0);
        }
        let position = match mode {
            Mode::Positional => Some(at + done as u64),
            // Each append moves the position of the system to its own end.
            Mode::Append => io::Seek::stream_position(&mut &shared.file).ok(),
            Mode::Stream => None,
        };
        Written { change, buf, position, done }
    }
}

/// A write that takes nothing is an error.
pub(super) fn some(n: usize) -> io::Result<usize> {
    if n == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(n) }
}

impl File {
    /// Writes some bytes at the position, or at the end of a file in append mode, and moves the
    /// position behind them. Returns how many. One call writes at most 2 MiB, and only an error
    /// makes it write less.
    ///
    /// # Errors
    ///
    /// The system's, if nothing was written. If a part was written, the error comes out of the next
    /// call. That of an earlier write that was begun and not waited for; or a cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. With a cancellation nothing was written. If the write was begun
    /// when the cancellation came, it is finished: the call returns the number of bytes, the
    /// cancellation stays pending for the next await point, and an error comes out of the next call
    /// on the file. A call that is dropped, as the loser of a `select!` is, finishes what it has
    /// begun, too.
    #[track_caller]
    pub fn write<'a>(&'a mut self, buf: &'a [u8]) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut point = CancelPoint::new("FILE_WRITE");
        let waiting = Waiting(self);
        async move { waiting.0.write_some(&mut point, buf).await }
    }

    /// Writes everything, as [`write`](File::write) does.
    ///
    /// # Errors
    ///
    /// [`WriteAllError`] says how many bytes were written and why it
    /// stopped. It converts to `io::Error`.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. The error says how many bytes were written; a part of 2 MiB that
    /// was begun is counted, because it is finished. If that was the last part, the call succeeds
    /// and the cancellation stays pending.
    #[track_caller]
    pub fn write_all<'a>(
        &'a mut self,
        buf: &'a [u8],
    ) -> impl Future<Output = Result<(), WriteAllError>> + 'a {
        let mut point = CancelPoint::new("FILE_WRITE");
        let waiting = Waiting(self);
        async move {
            let mut written = 0;
            // With an empty `buf` there is one call, which counts against the budget (K2).
            loop {
                match waiting.0.write_some(&mut point, &buf[written..]).await {
                    Ok(n) => written += n,
                    Err(source) => return Err(WriteAllError::new(written, buf.len(), source)),
                }
                if written == buf.len() {
                    return Ok(());
                }
            }
        }
    }

    /// Waits until what was begun is written. The methods of this type wait for their own writes:
    /// this is for a write that was cancelled, and for those of the traits.
    ///
    /// The bytes are then with the system, and every reader sees them. To have them on the disk,
    /// call [`sync_all`](File::sync_all).
    ///
    /// # Errors
    ///
    /// That of a write that was begun and not waited for, or a cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once, and the write goes on.
    #[track_caller]
    pub fn flush(&mut self) -> impl Future<Output = io::Result<()>> + '_ {
        let mut point = CancelPoint::new("FILE_WRITE");
        let waiting = Waiting(self);
        async move { waiting.0.written(&mut point).await }
    }

    async fn write_some(&mut self, point: &mut CancelPoint, buf: &[u8]) -> io::Result<usize> {
        self.written(point).await?;
        if buf.is_empty() {
            return Ok(0);
        }
        may_begin(point).await?;
        let n = self.start_write(buf)?;
        match poll_fn(|cx| point.poll(cx, |cx| self.poll_end_of_write(cx))).await {
            Ok((0, Some(error))) => Err(error),
            Ok((done, error)) => {
                error.into_iter().for_each(|error| self.shared.keep(error));
                Ok(done)
            }
            Err(cancelled) => {
                cancelled.put_back();
                Ok(n)
            }
        }
    }

    /// Waits for the changes that were begun, and returns the error that was kept.
    pub(super) async fn written(&mut self, point: &mut CancelPoint) -> io::Result<()> {
        poll_fn(|cx| point.poll(cx, |cx| self.poll_written(cx))).await?
    }

    /// Gives a write to a thread. Returns the number of bytes, which it writes in any case.
    pub(super) fn start_write(&mut self, from: &[u8]) -> io::Result<usize> {
        let len = from.len().min(MAX_CALL);
        let mut buf = std::mem::take(&mut self.spare);
        match buf.get_mut(..len) {
            Some(room) => room.copy_from_slice(&from[..len]),
            None => {
                buf.clear();
                buf.extend_from_slice(&from[..len]);
            }
        }
        let (change, mode, at) = (self.shared.begin(), self.mode, self.position);
        let job = DetachedJob::start_uncancellable("a write to a file", move || {
            Written::new(change, mode, at, buf, len)
        });
        self.writing = Some(job);
        Ok(len)
    }

    /// Waits for the write that was begun: how many bytes it has written, and the error that has
    /// stopped it.
    fn poll_end_of_write(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Option<io::Error>)> {
        let Some(job) = &mut self.writing else { return Poll::Ready((0, None)) };
        let mut written = ready!(job.poll(cx));
        self.writing = None;
        self.position = written.position.unwrap_or(self.position);
        self.spare = std::mem::take(&mut written.buf);
        Poll::Ready((written.done, written.change.take_error()))
    }

    /// Waits for the changes that were begun, and returns the error that was kept.
    pub(super) fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (_, error) = ready!(self.poll_end_of_write(cx));
        error.into_iter().for_each(|error| self.shared.keep(error));
        if self.left.is_none() && !self.shared.has_news() {
            return Poll::Ready(Ok(()));
        }
        loop {
            match &mut self.left {
                Some(left) => {
                    ready!(left.poll(cx));
                    self.left = None;
                }
                None => match self.shared.wait_for_left() {
                    None => break,
                    left => self.left = left,
                },
            }
        }
        Poll::Ready(self.shared.take_kept().map_or(Ok(()), Err))
    }
}

/// Returns the cancellation that is due at this point, which is going to park. What cannot be taken
/// back begins after this.
pub(super) async fn may_begin(point: &mut CancelPoint) -> Result<(), TaskCancelled> {
    poll_fn(|cx| match point.poll(cx, |_| Poll::<()>::Pending) {
        Poll::Ready(Err(cancelled)) => Poll::Ready(Err(cancelled)),
        Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
    })
    .await
}
