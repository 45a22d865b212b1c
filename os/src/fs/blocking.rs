//! The calls of the system that block, on a thread of the pool.

use std::io;
use std::path::Path;

use kernel::run_in_thread;

use crate::fs::error::PathError;

/// Runs `call` on a thread of the pool. When this is dropped or cancelled, a call that still waits
/// for a thread is not made, and one that was begun goes on.
#[track_caller]
pub(super) fn blocking<T, F>(call: F) -> impl Future<Output = io::Result<T>>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    let job = run_in_thread(call);
    async move { job.await? }
}

/// The same for a call on a path, which its error names.
#[track_caller]
pub(super) fn at_path<T, F>(
    operation: &'static str,
    path: &Path,
    call: F,
) -> impl Future<Output = io::Result<T>> + use<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Path) -> io::Result<T> + Send + 'static,
{
    let path = path.to_owned();
    blocking(move || call(&path).map_err(|error| PathError::make(operation, path, error)))
}

/// The same for a call on two paths.
#[track_caller]
pub(super) fn between<T, F>(
    operation: &'static str,
    from: &Path,
    to: &Path,
    call: F,
) -> impl Future<Output = io::Result<T>> + use<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
{
    let (from, to) = (from.to_owned(), to.to_owned());
    blocking(move || {
        call(&from, &to).map_err(|error| PathError::between(operation, [&from, &to], error))
    })
}
