//! An open file.
//!
//! The position is kept here, not in the system: regular files are read and written at an offset
//! (`pread`, `pwrite`), so that a read that is given up changes nothing. Pipes, terminals and other
//! devices have no offsets (`Mode::Stream`). There a read that is given up takes bytes all the
//! same, and they are kept for the next read.

use std::fmt;
use std::fs::{Metadata, Permissions};
use std::io::{self, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kernel::{CancelPoint, DetachedJob};
use rustix::fs::OFlags;

use crate::fs::blocking::blocking;
use crate::fs::file::read::Reading;
use crate::fs::file::shared::Shared;
use crate::fs::file::write::Written;
use crate::fs::options::OpenOptions;

mod at;
mod end;
mod poll;
mod read;
mod seek;
mod shared;
mod write;

/// The most that one call reads or writes. The bytes are copied once, into a buffer that the file
/// keeps for its next call.
const MAX_CALL: usize = 2 << 20;

/// An open file, with a position.
///
/// Reading, writing and seeking take `&mut self`, because they share the position.
/// [`read_at`](File::read_at) and [`write_at`](File::write_at) take `&self` and an offset, so
/// several tasks can use them at once. A file is `Send`. Reading, writing and seeking need no
/// kernel: under the executor of another crate they work alike, but nothing is cancelled there.
///
/// It is a stream ([`AsyncRead`](::io::AsyncRead), [`AsyncWrite`](::io::AsyncWrite),
/// [`AsyncSeek`](::io::AsyncSeek)), so everything in [`io`](::io) works on it: `read_exact`,
/// `read_to_end`, and the lines of a [`BufReader`](::io::BufReader). Through these traits it writes
/// behind: a write is done when a thread has the bytes, and a flush or a close waits until they are
/// written. The methods of this type wait for their own writes. What a read through the traits has
/// begun is returned by the next one.
///
/// ```
/// use curium::fs::File;
/// use curium::io::{BufReadExt, BufReader};
///
/// curium::run(async || -> std::io::Result<()> {
///     let mut lines = BufReader::new(File::open("Cargo.toml").await?).lines();
///     assert_eq!(lines.next().await?.as_deref(), Some("[package]"));
///     Ok(())
/// })?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Dropping
///
/// The file is closed. A write that was begun is finished first: inside a kernel by a task, for
/// which the shutdown of the kernel waits, and otherwise by its thread, if the process lives so
/// long. An error that no call has returned is reported, as that of a task that was not joined, or
/// to `tracing` outside a kernel. To see it, call [`flush`](File::flush) or
/// [`sync_all`](File::sync_all) before.
pub struct File {
    shared: Arc<Shared>,
    mode: Mode,
    /// Of the next read or write, unless the mode is [`Mode::Stream`].
    position: u64,
    reading: Reading,
    /// A write that was begun. The position moves when it has ended.
    writing: Option<DetachedJob<Written>>,
    /// Waits for other changes that are left.
    left: Option<DetachedJob<()>>,
    /// Gets the length of the file, for a seek from its end.
    end: Option<DetachedJob<io::Result<u64>>>,
    /// The buffer of the next call.
    spare: Vec<u8>,
    /// Whether a read is tried first without a thread.
    tries_cache: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// It has offsets.
    Positional,
    /// It has offsets, and each write goes to its end.
    Append,
    /// It has none, or the system does not report them.
    Stream,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// The system's, with the path (a [`PathError`](crate::fs::PathError) is inside), or a
    /// cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. If the file is opened all the same, it is closed.
    #[track_caller]
    pub fn open<P: AsRef<Path>>(path: P) -> impl Future<Output = io::Result<File>> + use<P> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing. It is made if it does not exist, and emptied if it does.
    ///
    /// # Errors
    ///
    /// As [`open`](File::open).
    ///
    /// # Cancellation
    ///
    /// As [`open`](File::open). The file may have been made or emptied, also later.
    #[track_caller]
    pub fn create<P: AsRef<Path>>(path: P) -> impl Future<Output = io::Result<File>> + use<P> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file, which must not exist, and opens it for reading and writing.
    ///
    /// # Errors
    ///
    /// As [`open`](File::open); of the kind `AlreadyExists` if there is something of that name.
    ///
    /// # Cancellation
    ///
    /// As [`open`](File::open). The file may have been made, also later.
    #[track_caller]
    pub fn create_new<P: AsRef<Path>>(path: P) -> impl Future<Output = io::Result<File>> + use<P> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Options for a file that is opened in another way.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file of `std`, with its position. Errors cannot name it.
    pub fn from_std(file: std::fs::File) -> File {
        File::adopt(file, PathBuf::new())
    }

    /// Finds out what the file is. This does not block on a local file system.
    pub(super) fn adopt(mut file: std::fs::File, path: PathBuf) -> File {
        let kind = file.metadata().map(|metadata| metadata.file_type());
        let has_offsets = kind.is_ok_and(|kind| kind.is_file() || kind.is_block_device());
        let position = file.stream_position().ok().filter(|_| has_offsets);
        let flags = rustix::fs::fcntl_getfl(&file).unwrap_or(OFlags::empty());
        let mode = match position {
            None => Mode::Stream,
            Some(_) if flags.contains(OFlags::APPEND) => Mode::Append,
            Some(_) => Mode::Positional,
        };
        File::new(Shared::new(file, path), mode, position.unwrap_or(0))
    }

    fn new(shared: Arc<Shared>, mode: Mode, position: u64) -> File {
        File {
            shared,
            mode,
            position,
            reading: Reading::Nothing,
            writing: None,
            left: None,
            end: None,
            spare: Vec::new(),
            tries_cache: cfg!(target_os = "linux"),
        }
    }

    /// The plain file, at the position of this one. Waits for a write that was begun.
    ///
    /// # Errors
    ///
    /// That of a write that was begun, the system's, or a cancellation; then the file is dropped.
    /// Of the kind `ResourceBusy` if a cancelled read of a pipe or device has taken bytes that no
    /// other read has returned yet.
    ///
    /// # Cancellation
    ///
    /// The file is dropped.
    #[track_caller]
    pub fn into_std(mut self) -> impl Future<Output = io::Result<std::fs::File>> {
        let mut point = CancelPoint::new("FILE_WRITE");
        async move {
            self.written(&mut point).await?;
            if self.mode == Mode::Stream && !matches!(self.reading, Reading::Nothing) {
                let busy = io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "a read that was cancelled holds some of its bytes; read them first",
                );
                return Err(self.shared.error("give back", busy));
            }
            // A duplicate has the same position. Threads may still use the descriptor itself.
            let plain = self.shared.file.try_clone().and_then(|mut plain| {
                if self.mode != Mode::Stream {
                    plain.seek(io::SeekFrom::Start(self.position))?;
                }
                Ok(plain)
            });
            plain.map_err(|error| self.shared.error("give back", error))
        }
    }

    /// Another handle of the same open file. It begins at the position of this one and then has its
    /// own, unlike in `std`. Options such as the append mode are shared. Waits for a write that was
    /// begun, because that moves the position.
    ///
    /// # Errors
    ///
    /// The system's; that of an earlier write that was begun and not waited for; or a cancellation.
    ///
    /// # Cancellation
    ///
    /// The call returns at once. It changes nothing.
    #[track_caller]
    pub fn try_clone(&mut self) -> impl Future<Output = io::Result<File>> + '_ {
        let mut point = CancelPoint::new("FILE_WRITE");
        let waiting = Waiting(self);
        async move {
            waiting.0.written(&mut point).await?;
            let File { shared, mode, position, .. } = &*waiting.0;
            let plain =
                shared.file.try_clone().map_err(|error| shared.error("duplicate", error))?;
            Ok(File::new(Shared::new(plain, shared.path.clone()), *mode, *position))
        }
    }

    /// Size, kind, times and permissions. It does not wait for a write that was begun.
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
        let shared = self.shared.clone();
        blocking(move || shared.file.metadata().map_err(|error| shared.error("look at", error)))
    }

    /// Sets who may read, write and run the file. Waits for what was begun by calls that were given
    /// up.
    ///
    /// # Errors
    ///
    /// As [`set_len`](File::set_len).
    ///
    /// # Cancellation
    ///
    /// As [`set_len`](File::set_len).
    #[track_caller]
    pub fn set_permissions(
        &self,
        permissions: Permissions,
    ) -> impl Future<Output = io::Result<()>> + use<> {
        let (mut point, shared) = (CancelPoint::new("FILE_WRITE"), self.shared.clone());
        async move {
            at::in_turn(&shared, &mut point).await?;
            let set = move |file: &std::fs::File| file.set_permissions(permissions);
            at::change(&shared, point, "set the permissions of", set).await
        }
    }

    /// Ends the wait of a call that is given up. A read of a file with offsets is forgotten. What
    /// else was begun goes on.
    fn stop_waiting(&mut self) {
        self.end = None;
        match &mut self.reading {
            Reading::Running(job, _) if self.mode == Mode::Stream => job.stop_waiting(),
            Reading::Running(..) => self.reading = Reading::Nothing,
            Reading::Nothing | Reading::Kept(..) => {}
        }
        if let Some(job) = &mut self.writing {
            job.stop_waiting();
        }
        if let Some(job) = &mut self.left {
            job.stop_waiting();
        }
    }
}

/// The wait of one call on a file. When it is dropped, also by a cancellation, the wait ends.
struct Waiting<'a>(&'a mut File);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.stop_waiting();
    }
}

impl AsFd for File {
    /// The descriptor. Its own position is not that of this file.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.file.as_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("path", &self.shared.path)
            // Unknown while a write moves it.
            .field("position", &self.writing.is_none().then_some(self.position))
            .field("fd", &self.shared.file.as_fd())
            .finish_non_exhaustive()
    }
}
