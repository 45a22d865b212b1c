//! Reading at the position.

use std::future::poll_fn;
use std::io::{self, IoSliceMut, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use kernel::{CancelPoint, DetachedJob};
use rustix::io::{Errno, ReadWriteFlags};

use super::shared::Shared;
use super::{File, MAX_CALL, Mode, Waiting};

/// The most that a read without a thread copies. The copy holds up the kernel.
const MAX_CACHED: usize = 64 << 10;

pub(super) enum Reading {
    Nothing,
    /// And how many changes had begun when it began: what was read before a later one may be old.
    Running(DetachedJob<Filled>, u64),
    /// Bytes of a file without offsets that a read has taken and not returned. The range is not
    /// empty.
    Kept(Vec<u8>, Range<usize>),
}

/// The end of a read on a thread.
pub(super) struct Filled {
    buf: Vec<u8>,
    result: io::Result<usize>,
}

impl File {
    /// Reads some bytes at the position and moves it behind them. 0 is the end of the file, unless
    /// `buf` is empty. One call reads at most 2 MiB.
    ///
    /// # Errors
    ///
    /// The system's; that of an earlier write that was begun and not waited for; or a cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once, and the position stays. Of a pipe, a terminal or another device
    /// the thread may take bytes all the same: the next read returns them.
    #[track_caller]
    pub fn read<'a>(
        &'a mut self,
        buf: &'a mut [u8],
    ) -> impl Future<Output = io::Result<usize>> + 'a {
        let mut point = CancelPoint::new("FILE_READ");
        let waiting = Waiting(self);
        poll_fn(move |cx| {
            let file = &mut *waiting.0;
            let mut tried = false;
            let polled = point.poll(cx, |cx| {
                tried = true;
                file.poll_read_into(cx, buf)
            });
            if polled.is_ready() || !tried || !file.needs_read() {
                return polled.map(|result| result?);
            }
            // The leaf is parked, so no cancellation is pending, and a read may begin.
            file.start_read(buf.len());
            point.poll(cx, |cx| file.poll_read_into(cx, buf)).map(|result| result?)
        })
    }

    /// Whether a read has to begin before a poll can be ready.
    pub(super) fn needs_read(&self) -> bool {
        let waits = (self.writing.is_some() || self.left.is_some()) && self.mode != Mode::Stream;
        matches!(self.reading, Reading::Nothing) && !waits
    }

    /// Gives a read to a thread.
    pub(super) fn start_read(&mut self, len: usize) {
        let len = len.min(MAX_CALL);
        let (shared, at) = (self.shared.clone(), self.position);
        let mut buf = std::mem::take(&mut self.spare);
        let has_offsets = self.mode != Mode::Stream;
        let changes = shared.begun();
        let job = DetachedJob::start("a read of a file", move || {
            if buf.len() < len {
                buf.resize(len, 0);
            }
            let result = retried(|| match has_offsets {
                true => shared.file.read_at(&mut buf[..len], at),
                false => (&shared.file).read(&mut buf[..len]),
            });
            Filled { buf, result }
        });
        self.reading = Reading::Running(job, changes);
    }

    /// The bytes at the position, if they are there: in memory, or from a read that was begun.
    pub(super) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        if self.mode != Mode::Stream {
            ready!(self.poll_written(cx))?;
            if matches!(self.reading, Reading::Running(_, begun) if begun != self.shared.begun()) {
                self.reading = Reading::Nothing;
            }
        } else if let Some(error) = self.shared.take_kept() {
            return Poll::Ready(Err(error));
        }
        match &mut self.reading {
            Reading::Nothing => match self.read_cached(buf) {
                Some(n) => {
                    self.position += n as u64;
                    Poll::Ready(Ok(n))
                }
                None => Poll::Pending,
            },
            Reading::Running(job, _) => {
                let Filled { buf: filled, result } = ready!(job.poll(cx));
                self.reading = Reading::Nothing;
                Poll::Ready(match result {
                    Ok(n) if n > 0 => Ok(self.give(filled, 0..n, buf)),
                    ended => {
                        self.spare = filled;
                        ended.map_err(|error| self.shared.error("read", error))
                    }
                })
            }
            Reading::Kept(kept, range) => {
                let (kept, range) = (std::mem::take(kept), range.clone());
                self.reading = Reading::Nothing;
                Poll::Ready(Ok(self.give(kept, range, buf)))
            }
        }
    }

    /// Copies bytes that were read to the caller. The rest can be read again at its offset, or is
    /// kept.
    fn give(&mut self, from: Vec<u8>, range: Range<usize>, buf: &mut [u8]) -> usize {
        let n = range.len().min(buf.len());
        buf[..n].copy_from_slice(&from[range.start..][..n]);
        let left = range.start + n..range.end;
        if self.mode != Mode::Stream {
            self.position += n as u64;
            self.spare = from;
        } else if left.is_empty() {
            self.spare = from;
        } else {
            self.reading = Reading::Kept(from, left);
        }
        n
    }

    fn read_cached(&mut self, buf: &mut [u8]) -> Option<usize> {
        if !self.tries_cache || self.mode == Mode::Stream {
            return None;
        }
        match read_cached(&self.shared, buf, self.position) {
            Ok(n) => n,
            Err(NotHere) => {
                self.tries_cache = false;
                None
            }
        }
    }
}

/// The file system, or the system, reads only with a thread.
pub(super) struct NotHere;

/// Reads what the system has in memory, without waiting for a disk.
///
/// A short read is legal. Linux 5.9 and 5.10 may also give 0 where there are bytes, so the end of
/// the file is left to a thread.
#[cfg(target_os = "linux")]
pub(super) fn read_cached(
    shared: &Arc<Shared>,
    buf: &mut [u8],
    offset: u64,
) -> Result<Option<usize>, NotHere> {
    let len = buf.len().min(MAX_CACHED);
    let mut parts = [IoSliceMut::new(&mut buf[..len])];
    match rustix::io::preadv2(&shared.file, &mut parts, offset, ReadWriteFlags::NOWAIT) {
        Ok(0) | Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Ok(n) => Ok(Some(n)),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => Err(NotHere),
        // The thread finds the error again.
        Err(_) => Ok(None),
    }
}

/// Makes a call again that a signal has interrupted.
pub(super) fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended => return ended,
        }
    }
}
