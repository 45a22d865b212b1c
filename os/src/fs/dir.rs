//! The entries of a directory.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::{FileType, Metadata};
use std::future::poll_fn;
use std::io;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use kernel::{CancelPoint, DetachedJob, SendCancelPoint};

use crate::fs::blocking::at_path;
use crate::fs::error::PathError;
use crate::fs::ops::symlink_metadata;

/// How many entries a thread reads at once.
const BATCH: usize = 256;

/// The entries of a directory, without `.` and `..`, in no order.
///
/// ```
/// use std::io;
/// use curium::fs;
///
/// curium::run(async || -> io::Result<()> {
///     let mut entries = fs::read_dir(".").await?;
///     while let Some(entry) = entries.next().await? {
///         println!("{}", entry.path().display());
///     }
///     Ok(())
/// })?;
/// # Ok::<(), io::Error>(())
/// ```
///
/// # Errors
///
/// The system's, with the path (a [`PathError`](crate::fs::PathError) is inside), or a
/// cancellation.
///
/// # Cancellation
///
/// The call returns at once. It changes nothing.
#[track_caller]
pub fn read_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<ReadDir>> {
    let site = Location::caller();
    at_path("read the directory", path.as_ref(), move |path| {
        let dir = std::fs::read_dir(path)?;
        let path = Arc::from(path);
        let batch = Batch::read(dir, &path);
        Ok(ReadDir { path, batch, running: None, waiting: None, site })
    })
}

/// The entries of a directory, from [`read_dir`]. Threads read them in batches.
///
/// It is also a `Stream` of `io::Result<DirEntry>`. A cancellation comes out of it as an item, and
/// then it goes on.
pub struct ReadDir {
    path: Arc<Path>,
    batch: Batch,
    /// Reads the next batch.
    running: Option<DetachedJob<Batch>>,
    /// The wait of the stream.
    waiting: Option<SendCancelPoint>,
    site: &'static Location<'static>,
}

struct Batch {
    entries: VecDeque<io::Result<DirEntry>>,
    /// `None` at the end.
    rest: Option<std::fs::ReadDir>,
}

impl Batch {
    fn read(mut dir: std::fs::ReadDir, path: &Arc<Path>) -> Batch {
        let entry_of = |entry: std::fs::DirEntry| DirEntry {
            dir: path.clone(),
            name: entry.file_name(),
            kind: entry.file_type().map_err(|error| error.raw_os_error().unwrap_or(0)),
        };
        let failed = |error| PathError::make("read the directory", path, error);
        let read = dir.by_ref().take(BATCH);
        let entries: VecDeque<_> = read.map(|entry| entry.map(entry_of).map_err(failed)).collect();
        let ended = entries.len() < BATCH;
        Batch { entries, rest: if ended { None } else { Some(dir) } }
    }
}

impl ReadDir {
    /// The next entry, or `None` after the last.
    ///
    /// # Errors
    ///
    /// The system's, or a cancellation.
    ///
    /// # Cancellation
    ///
    /// No entry is lost: the next call returns it.
    #[allow(clippy::should_implement_trait, reason = "it is async, as that of a stream")]
    #[track_caller]
    pub fn next(&mut self) -> impl Future<Output = io::Result<Option<DirEntry>>> + '_ {
        let mut point = CancelPoint::new("FILE_READ");
        let waiting = Waiting(self);
        poll_fn(move |cx| {
            let entries = &mut *waiting.0;
            entries.waiting = None;
            let polled = point.poll(cx, |cx| entries.poll_entry(cx));
            polled.map(|entry| entry?.transpose())
        })
    }

    fn stop_waiting(&mut self) {
        if let Some(job) = &mut self.running {
            job.stop_waiting();
        }
    }

    fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<DirEntry>>> {
        loop {
            if let Some(entry) = self.batch.entries.pop_front() {
                return Poll::Ready(Some(entry));
            }
            if let Some(job) = &mut self.running {
                self.batch = ready!(job.poll(cx));
                self.running = None;
            } else if let Some(rest) = self.batch.rest.take() {
                let path = self.path.clone();
                self.running = Some(DetachedJob::start("a read of a directory", move || {
                    Batch::read(rest, &path)
                }));
            } else {
                return Poll::Ready(None);
            }
        }
    }
}

/// The wait for one entry. When it is dropped, also by a cancellation, the wait ends.
struct Waiting<'a>(&'a mut ReadDir);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let entries = self.get_mut();
        let site = entries.site;
        let point = entries.waiting.take();
        let mut point = point.unwrap_or_else(|| SendCancelPoint::at("FILE_READ", site));
        let polled = point.poll(cx, |cx| entries.poll_entry(cx));
        match polled {
            Poll::Pending => {
                entries.waiting = Some(point);
                Poll::Pending
            }
            Poll::Ready(Ok(entry)) => Poll::Ready(entry),
            Poll::Ready(Err(cancelled)) => {
                entries.stop_waiting();
                Poll::Ready(Some(Err(cancelled.into())))
            }
        }
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadDir").field(&self.path).finish()
    }
}

/// An entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    dir: Arc<Path>,
    name: OsString,
    /// Or the number of the system's error.
    kind: Result<FileType, i32>,
}

impl DirEntry {
    /// The path of the directory, as it was given to [`read_dir`], with the name.
    pub fn path(&self) -> PathBuf {
        self.dir.join(&self.name)
    }

    /// The name.
    pub fn file_name(&self) -> OsString {
        self.name.clone()
    }

    /// What it is. A symbolic link is one, whatever it leads to. It was read with the entry.
    ///
    /// # Errors
    ///
    /// The system's, on file systems that do not keep the kind in the directory.
    pub fn file_type(&self) -> io::Result<FileType> {
        self.kind.map_err(|number| {
            PathError::make("look at", self.path(), io::Error::from_raw_os_error(number))
        })
    }

    /// Size, kind, times and permissions, of a symbolic link itself.
    ///
    /// # Errors
    ///
    /// The system's, or a cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. It changes nothing.
    #[track_caller]
    pub fn metadata(&self) -> impl Future<Output = io::Result<Metadata>> + use<> {
        symlink_metadata(self.path())
    }
}
