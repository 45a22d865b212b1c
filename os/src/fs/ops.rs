//! The functions of `std::fs`, each on a thread of the pool.

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use crate::fs::blocking::{at_path, between};

/// Reads a whole file.
///
/// # Errors
///
/// The system's, with the path (a [`PathError`](crate::fs::PathError) is inside), or a
/// cancellation. The same holds for all functions of this module.
///
/// # Cancellation
///
/// The call returns at once, and what was read is dropped. It changes nothing.
#[track_caller]
pub fn read(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Vec<u8>>> {
    at_path("read", path.as_ref(), |path| std::fs::read(path))
}

/// Reads a whole file as text.
///
/// # Errors
///
/// As [`read`]; of the kind `InvalidData` if it is not UTF-8.
///
/// # Cancellation
///
/// As [`read`].
#[track_caller]
pub fn read_to_string(path: impl AsRef<Path>) -> impl Future<Output = io::Result<String>> {
    at_path("read", path.as_ref(), |path| std::fs::read_to_string(path))
}

/// Writes a whole file. An old one is replaced: it is emptied first, so that a reader may see it
/// half written. Write another file and [`rename`] it if that matters.
///
/// The contents are copied once, for the thread that writes them.
///
/// # Errors
///
/// As [`read`]. The file may have been written in part.
///
/// # Cancellation
///
/// The call returns at once. A write that was begun is finished, and its error is lost. One that
/// still waits for a thread is not begun.
#[track_caller]
pub fn write(
    path: impl AsRef<Path>,
    contents: impl AsRef<[u8]>,
) -> impl Future<Output = io::Result<()>> {
    let contents = contents.as_ref().to_vec();
    at_path("write", path.as_ref(), move |path| std::fs::write(path, contents))
}

/// Renames a file or directory. An old file of the new name is replaced, at one moment.
///
/// # Errors
///
/// As [`read`], with both paths. Of the kind `CrossesDevices` if they are on two file systems.
///
/// # Cancellation
///
/// The call returns at once. It may have been done, or be done later: a call that changes a
/// directory cannot be taken back.
#[track_caller]
pub fn rename(
    from: impl AsRef<Path>,
    to: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> {
    between("rename", from.as_ref(), to.as_ref(), |from, to| std::fs::rename(from, to))
}

/// Makes another name, `link`, for the file `original`.
///
/// # Errors
///
/// As [`read`], with both paths.
///
/// # Cancellation
///
/// As [`rename`].
#[track_caller]
pub fn hard_link(
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> {
    between("link", original.as_ref(), link.as_ref(), |original, link| {
        std::fs::hard_link(original, link)
    })
}

/// Makes a symbolic link, `link`, that leads to `original`, which need not exist.
///
/// # Errors
///
/// As [`read`], with both paths.
///
/// # Cancellation
///
/// As [`rename`].
#[cfg(unix)]
#[track_caller]
pub fn symlink(
    original: impl AsRef<Path>,
    link: impl AsRef<Path>,
) -> impl Future<Output = io::Result<()>> {
    between("make a symbolic link from", link.as_ref(), original.as_ref(), |link, original| {
        std::os::unix::fs::symlink(original, link)
    })
}

/// Where a symbolic link leads to.
///
/// # Errors
///
/// As [`read`]. Of the kind `InvalidInput` if it is no symbolic link.
///
/// # Cancellation
///
/// As [`read`].
#[track_caller]
pub fn read_link(path: impl AsRef<Path>) -> impl Future<Output = io::Result<PathBuf>> {
    at_path("read the link", path.as_ref(), |path| std::fs::read_link(path))
}

/// The absolute path without symbolic links. The file must exist.
///
/// # Errors
///
/// As [`read`].
///
/// # Cancellation
///
/// As [`read`].
#[track_caller]
pub fn canonicalize(path: impl AsRef<Path>) -> impl Future<Output = io::Result<PathBuf>> {
    at_path("resolve", path.as_ref(), |path| std::fs::canonicalize(path))
}

/// Size, kind, times and permissions of a file. A symbolic link is followed.
///
/// # Errors
///
/// As [`read`].
///
/// # Cancellation
///
/// As [`read`].
#[track_caller]
pub fn metadata(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Metadata>> {
    at_path("look at", path.as_ref(), |path| std::fs::metadata(path))
}

/// The same as [`metadata`], but of a symbolic link itself.
///
/// # Errors
///
/// As [`read`].
///
/// # Cancellation
///
/// As [`read`].
#[track_caller]
pub fn symlink_metadata(path: impl AsRef<Path>) -> impl Future<Output = io::Result<Metadata>> {
    at_path("look at", path.as_ref(), |path| std::fs::symlink_metadata(path))
}

/// Whether something of this name exists. A symbolic link that leads to nothing does not.
///
/// # Errors
///
/// As [`read`], if it cannot be said.
///
/// # Cancellation
///
/// As [`read`].
#[track_caller]
pub fn try_exists(path: impl AsRef<Path>) -> impl Future<Output = io::Result<bool>> {
    at_path("look at", path.as_ref(), |path| std::fs::exists(path))
}

/// Sets who may read, write and run a file.
///
/// # Errors
///
/// As [`read`].
///
/// # Cancellation
///
/// As [`rename`].
#[track_caller]
pub fn set_permissions(
    path: impl AsRef<Path>,
    permissions: Permissions,
) -> impl Future<Output = io::Result<()>> {
    at_path("set the permissions of", path.as_ref(), move |path| {
        std::fs::set_permissions(path, permissions)
    })
}

/// Makes a directory. The directory around it must exist.
///
/// # Errors
///
/// As [`read`]. Of the kind `AlreadyExists` if there is something of that name.
///
/// # Cancellation
///
/// As [`rename`].
#[track_caller]
pub fn create_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_path("create the directory", path.as_ref(), |path| std::fs::create_dir(path))
}

/// Makes a directory and all directorys around it that are missing. It is well if they exist.
///
/// # Errors
///
/// As [`read`].
///
/// # Cancellation
///
/// The call returns at once. Some of the directorys may be made, also later.
#[track_caller]
pub fn create_dir_all(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_path("create the directory", path.as_ref(), |path| std::fs::create_dir_all(path))
}

/// Removes a file or a symbolic link.
///
/// # Errors
///
/// As [`read`].
///
/// # Cancellation
///
/// As [`rename`].
#[track_caller]
pub fn remove_file(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_path("remove", path.as_ref(), |path| std::fs::remove_file(path))
}

/// Removes an empty directory.
///
/// # Errors
///
/// As [`read`]. Of the kind `DirectoryNotEmpty` if it is not empty.
///
/// # Cancellation
///
/// As [`rename`].
#[track_caller]
pub fn remove_dir(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_path("remove the directory", path.as_ref(), |path| std::fs::remove_dir(path))
}

/// Removes a directory and everything in it. Symbolic links are removed, not followed.
///
/// # Errors
///
/// As [`read`]; a part may have been removed.
///
/// # Cancellation
///
/// The call returns at once. A removal that was begun goes on to its end.
#[track_caller]
pub fn remove_dir_all(path: impl AsRef<Path>) -> impl Future<Output = io::Result<()>> {
    at_path("remove the directory", path.as_ref(), |path| std::fs::remove_dir_all(path))
}
