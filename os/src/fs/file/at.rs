//! Calls that need no position.

use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::task::Poll;

use kernel::{CancelPoint, DetachedJob};

use super::read::{read_cached, retried};
use super::shared::Shared;
use super::write::{may_begin, some};
use super::{File, MAX_CALL, Mode, Waiting};

impl File {
    /// Reads some bytes at an offset. The position plays no part. 0 is the end of the file, unless
    /// `buf` is empty. One call reads at most 2 MiB. It waits for what was begun by calls that were
    /// given up, and by the traits.
    ///
    /// # Errors
    ///
    /// The system's; of the kind `NotSeekable` for a pipe; that of an earlier write that was begun
    /// and not waited for; or a cancellation.
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
            in_turn(&self.shared, &mut point).await?;
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
    /// no part. One call writes at most 2 MiB, and only an error makes it write less. It waits for
    /// what was begun by calls that were given up, and by the traits; of calls that wait side by
    /// side, each begins at once.
    ///
    /// # Errors
    ///
    /// The system's; of the kind `NotSeekable` for a pipe; that of an earlier write that was begun
    /// and not waited for; or a cancellation. A part may have been written before an error.
    ///
    /// # Cancellation
    ///
    /// A write that has not begun writes nothing. One that was begun is finished by its thread: the
    /// call returns `Ok`, and the cancellation stays pending. Later calls wait for it, and the next
    /// one returns its error.
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
            in_turn(&self.shared, &mut point).await?;
            may_begin(&mut point).await?;
            let buf = buf[..buf.len().min(MAX_CALL)].to_vec();
            let (len, (change, _awaited)) = (buf.len(), self.shared.begin_awaited());
            let write = move |file: &std::fs::File| write_all_at(file, &buf, offset);
            let mut job = DetachedJob::start_uncancellable("a write to a file", move || {
                change.make("write", write)
            });
            match poll_fn(|cx| point.poll(cx, |cx| job.poll(cx))).await {
                Ok(made) => made.take().map(|()| len),
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
    /// The call returns at once. If it has not begun, it changes nothing. What was begun goes on:
    /// later calls wait for it, and the next one returns its error.
    #[track_caller]
    pub fn set_len(&mut self, len: u64) -> impl Future<Output = io::Result<()>> + '_ {
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
    /// As [`set_len`](File::set_len).
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

    /// Makes a call that changes the file, in its turn.
    #[track_caller]
    fn change_in_turn<'a, F>(
        &'a mut self,
        operation: &'static str,
        call: F,
    ) -> impl Future<Output = io::Result<()>> + use<'a, F>
    where
        F: FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static,
    {
        let mut point = CancelPoint::new("FILE_WRITE");
        let waiting = Waiting(self);
        async move {
            waiting.0.written(&mut point).await?;
            change(&waiting.0.shared, point, operation, call).await
        }
    }
}

/// Waits for the changes that are left, and returns the error that was kept.
pub(super) async fn in_turn(shared: &Arc<Shared>, point: &mut CancelPoint) -> io::Result<()> {
    if !shared.has_news() {
        return Ok(());
    }
    if let Some(mut left) = shared.wait_for_left() {
        poll_fn(|cx| point.poll(cx, |cx| left.poll(cx))).await?;
    }
    shared.take_kept().map_or(Ok(()), Err)
}

/// Makes a call that changes the file. While it waits for a thread, it can be given up.
pub(super) async fn change<F>(
    shared: &Arc<Shared>,
    mut point: CancelPoint,
    operation: &'static str,
    call: F,
) -> io::Result<()>
where
    F: FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static,
{
    may_begin(&mut point).await?;
    let (change, _awaited) = shared.begin_awaited();
    let mut job = DetachedJob::start("a change of a file", move || change.make(operation, call));
    poll_fn(|cx| point.poll(cx, |cx| job.poll(cx))).await?.take()
}

fn write_all_at(file: &std::fs::File, buf: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        done += some(retried(|| file.write_at(&buf[done..], offset + done as u64))?)?;
    }
    Ok(())
}
