//! Files: the names and meanings of `std::fs`, over a pool of threads.
//!
//! A call of the system on a file cannot be cancelled, and can block for long: a slow disk, a
//! network that is gone, a pipe without a writer. So each is made on a thread of the kernel's pool
//! ([`run_in_thread`](kernel::run_in_thread)), and the task waits for it. The wait is a
//! cancellation point, and a cancelled call returns at once.
//!
//! ```
//! use std::io;
//! use curium::fs::{self, File};
//!
//! # let dir = std::env::temp_dir().join(format!("curium-doc-{}", std::process::id()));
//! # let dir = dir.as_path();
//! curium::run(async || -> io::Result<()> {
//!     fs::create_dir_all(dir.join("notes")).await?;
//!     let path = dir.join("notes/today");
//!
//!     let mut file = File::create(&path).await?;
//!     file.write_all(b"bread, milk").await?;
//!
//!     assert_eq!(fs::read_to_string(&path).await?, "bread, milk");
//!     fs::remove_dir_all(dir).await
//! })?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! # Cancellation
//!
//! What was begun on a thread goes on there. So a cancelled function such as [`rename`] may have
//! done its work, or may do it later. A [`File`] is exact about it:
//!
//! - A cancelled read moves no position: the same bytes are read again.
//! - A write that returns a cancellation has written nothing. One that was begun when the
//!   cancellation came returns the number of bytes at once; they are written all the same, the
//!   cancellation stays pending for the next await point, and an error comes out of the next call
//!   on the file.
//! - A file that is dropped during a write finishes it. Its error is reported as that of a task
//!   that was not joined.
//!
//! # Errors
//!
//! Errors name the operation and the file, which those of `std` do not. They keep the kind of the
//! system's error, and its number: see [`PathError`].
//!
//! # Threads
//!
//! The pool is bounded, and a call that hangs keeps its thread. Reads of data that the system has
//! in memory need no thread where the file system can do that (`RWF_NOWAIT` of Linux).

pub use ::io::WriteAllError;

pub use crate::fs::copy::copy;
pub use crate::fs::dir::{DirEntry, ReadDir, read_dir};
pub use crate::fs::error::PathError;
pub use crate::fs::file::File;
pub use crate::fs::ops::{
    canonicalize, create_dir, create_dir_all, hard_link, metadata, read, read_link, read_to_string,
    remove_dir, remove_dir_all, remove_file, rename, set_permissions, symlink, symlink_metadata,
    try_exists, write,
};
pub use crate::fs::options::OpenOptions;

mod blocking;
mod copy;
mod dir;
mod error;
mod file;
mod ops;
mod options;
