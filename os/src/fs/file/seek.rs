//! The position.

use std::future::poll_fn;
use std::io::{self, Seek, SeekFrom};
use std::task::{Context, Poll, ready};

use kernel::{CancelPoint, DetachedJob};

use super::read::Reading;
use super::{File, Mode, Waiting};

impl File {
    /// Sets the position, and returns it. It may be behind the end of the file: a write there
    /// leaves a gap of zeros. Waits for a write that was begun. Only a seek from the end of the
    /// file needs a thread.
    ///
    /// # Errors
    ///
    /// Of the kind `InvalidInput` for a position before the file; `NotSeekable` for a pipe or a
    /// terminal; the system's; that of an earlier write that was begun and not waited for; or a
    /// cancellation.
    ///
    /// # Cancellation
    ///
    /// The position stays.
    #[track_caller]
    pub fn seek(&mut self, to: SeekFrom) -> impl Future<Output = io::Result<u64>> + '_ {
        let mut point = CancelPoint::new("FILE_SEEK");
        let waiting = Waiting(self);
        poll_fn(move |cx| point.poll(cx, |cx| waiting.0.poll_seek_to(cx, to)).map(|result| result?))
    }

    /// The position. Waits for a write that was begun.
    ///
    /// # Errors
    ///
    /// As [`seek`](File::seek).
    ///
    /// # Cancellation
    ///
    /// The call returns at once.
    #[track_caller]
    pub fn stream_position(&mut self) -> impl Future<Output = io::Result<u64>> + '_ {
        self.seek(SeekFrom::Current(0))
    }

    /// Sets the position to the beginning of the file.
    ///
    /// # Errors
    ///
    /// As [`seek`](File::seek).
    ///
    /// # Cancellation
    ///
    /// The position stays.
    #[track_caller]
    pub fn rewind(&mut self) -> impl Future<Output = io::Result<()>> + '_ {
        let seek = self.seek(SeekFrom::Start(0));
        async move { seek.await.map(drop) }
    }

    pub(super) fn poll_seek_to(
        &mut self,
        cx: &mut Context<'_>,
        to: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        ready!(self.poll_written(cx))?;
        let position = match to {
            _ if self.mode == Mode::Stream => {
                // It does not block: what has no offsets refuses it, or only keeps the number.
                (&self.shared.file).seek(to).map(Some)
            }
            SeekFrom::Start(position) => Ok(i64::try_from(position).ok().map(|_| position)),
            SeekFrom::Current(by) => Ok(self.position.checked_add_signed(by)),
            SeekFrom::End(by) => ready!(self.poll_len(cx)).map(|len| len.checked_add_signed(by)),
        };
        let before = || io::Error::new(io::ErrorKind::InvalidInput, "there is no such position");
        match position.and_then(|position| position.ok_or_else(before)) {
            Ok(position) => {
                self.position = position;
                self.reading = Reading::Nothing;
                Poll::Ready(Ok(position))
            }
            Err(error) => Poll::Ready(Err(self.shared.error("seek in", error))),
        }
    }

    /// The length of the file, or of a block device.
    fn poll_len(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let mut job = match self.end.take() {
            Some(job) => job,
            None => {
                let shared = self.shared.clone();
                // The position of the system is not that of this file.
                DetachedJob::start("the length of a file", move || {
                    (&shared.file).seek(SeekFrom::End(0))
                })
            }
        };
        let polled = job.poll(cx);
        if polled.is_pending() {
            self.end = Some(job);
        }
        polled
    }
}
