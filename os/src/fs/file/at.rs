//! Calls that need no position.

use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::task::Poll;

use kernel::{CancelPoint, DetachedJob};

use super::read::{Reading, read_cached, retried};
use super::shared::Outcome;
use super::write::may_begin;
use super::{File, MAX_CALL, Mode, Waiting};

impl File {
    /// Reads some bytes at an offset. The position plays no part. 0 is the end of the file, unless
    /// `buf` is empty. One call reads at most 2 MiB.
    ///
    /// Does not wait for a write that was begun by a cancelled call or by the traits.
    ///
    /// # Errors
    ///
    /// The system's; of the kind `NotSeekable` for a pipe; or a cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. It changes nothing.
    #[track_caller]
    pub fn read_at<'a>(
        &'a self,
        buf: &'a mut [u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut point = CancelPoint::new("FILE_READ");
        async move {
            let cached = |buf: &mut [u8]| match buf.is_empty() {
                true => Some(0),
                false if self.mode == Mode::Stream || !self.tries_cache => None,
                false => read_cached(&self.shared, buf, offset).ok().flatten(),
            };
            let mut tried = false;
            let here = poll_fn(|cx| {
                let polled = point.poll(cx, |_| {
                    tried = true;
                    cached(buf).map_or(Poll::Pending, Poll::Ready)
                });
                match polled {
                    // The leaf is parked, so no cancellation is pending, and a read may begin.
                    Poll::Pending if tried => Poll::Ready(Ok(None)),
                    polled => polled.map_ok(Some),
                }
            });
            if let Some(n) = here.await? {
                return Ok(n);
            }
            let (shared, len) = (self.shared.clone(), buf.len().min(MAX_CALL));
            let mut job = DetachedJob::start("a read of a file", move || {
                let mut filled = vec![0; len];
                let n = retried(|| shared.file.read_at(&mut filled, offset))
                    .map_err(|error| shared.error("read", error))?;
                Ok::<_, io::Error>((filled, n))
            });
            let (filled, n) = poll_fn(|cx| point.poll(cx, |cx| job.poll(cx))).await??;
            buf[..n].copy_from_slice(&filled[..n]);
            Ok(n)
        }
    }

    /// Writes some bytes at an offset, or at the end of a file in append mode. The position plays
    /// no part. One call writes at most 2 MiB, and only an error makes it write less.
    ///
    /// # Errors
    ///
    /// The system's; of the kind `NotSeekable` for a pipe; or a cancellation. A part may have been
    /// written before an error.
    ///
    /// # Cancellation
    ///
    /// A write that has not begun writes nothing. One that was begun is finished by its thread: the
    /// call returns `Ok`, and the cancellation stays pending. No later call waits for it, nor does
    /// the shutdown of the kernel, which names it if it still runs. An error of it is that of the
    /// next call that begins after its end.
    #[track_caller]
    pub fn write_at<'a>(
        &'a self,
        buf: &'a [u8],
        offset: u64,
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut point = CancelPoint::new("FILE_WRITE");
        async move {
            if buf.is_empty() {
                return Ok(poll_fn(|cx| point.poll(cx, |_| Poll::Ready(0))).await?);
            }
            may_begin(&mut point).await?;
            let buf = buf[..buf.len().min(MAX_CALL)].to_vec();
            let (shared, len) = (self.shared.clone(), buf.len());
            let write = move |file: &std::fs::File| write_all_at(file, &buf, offset);
            let mut job = DetachedJob::start_uncancellable("a write to a file", move || {
                Outcome::of(shared, "write", write)
            });
            match poll_fn(|cx| point.poll(cx, |cx| job.poll(cx))).await {
                Ok(outcome) => outcome.take().map(|()| len),
                Err(cancelled) => {
                    cancelled.put_back();
                    Ok(len)
                }
            }
        }
    }

    /// Makes the file shorter, or longer with zeros. The position stays. Waits for a write that was
    /// begun.
    ///
    /// # Errors
    ///
    /// The system's; that of an earlier write that was begun and not waited for; or a cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. What was begun goes on, and its error comes out of the next call.
    #[track_caller]
    pub fn set_len(&mut self, len: u64) -> impl Future<Output = io::Result<()>> + '_ {
        self.reading = match std::mem::replace(&mut self.reading, Reading::Nothing) {
            // What was read ahead may be cut off.
            Reading::Running(_) if self.mode != Mode::Stream => Reading::Nothing,
            reading => reading,
        };
        self.change_in_turn("set the length of", move |file| file.set_len(len))
    }

    /// Waits until everything is on the disk: what was written, and what the system keeps about
    /// the file. Waits for a write that was begun.
    ///
    /// # Errors
    ///
    /// As [`set_len`](File::set_len). After an error of the disk nothing can be said about what is
    /// on it, and the system reports it once.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. What was begun goes on, and its error comes out of the next call.
    #[track_caller]
    pub fn sync_all(&mut self) -> impl Future<Output = io::Result<()>> + '_ {
        self.change_in_turn("sync", std::fs::File::sync_all)
    }

    /// The same as [`sync_all`](File::sync_all), without what is not needed to read the file, such
    /// as its times.
    ///
    /// # Errors
    ///
    /// As [`sync_all`](File::sync_all).
    ///
    /// # Cancellation
    ///
    /// As [`sync_all`](File::sync_all).
    #[track_caller]
    pub fn sync_data(&mut self) -> impl Future<Output = io::Result<()>> + '_ {
        self.change_in_turn("sync", std::fs::File::sync_data)
    }

    /// Makes a call that changes the file, after the write that was begun.
    #[track_caller]
    fn change_in_turn<'a, F>(
        &'a mut self,
        operation: &'static str,
        call: F,
    ) -> impl Future<Output = io::Result<()>> + use<'a, F>
    where
        F: FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static,
    {
        let point = CancelPoint::new("FILE_WRITE");
        let change = self.change(operation, call);
        let waiting = Waiting(self);
        async move {
            if waiting.0.has_open_write() {
                waiting.0.written(point).await?;
            }
            change.await
        }
    }
}

fn write_all_at(file: &std::fs::File, buf: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match retried(|| file.write_at(&buf[done..], offset + done as u64))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            n => done += n,
        }
    }
    Ok(())
}
