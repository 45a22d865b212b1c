//! Copying a file. It can take long, so it stops when its caller is gone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::fs::blocking::between;

/// How much is copied by one call of the system.
const PART: u64 = 64 << 20;

/// Copies a file and its permissions, and returns the number of bytes. The system copies, and on
/// some file systems the two files share their blocks then.
///
/// # Errors
///
/// As [`read`](crate::fs::read), with both paths; a part may have been copied. Of the kind
/// `InvalidInput` if `from` is no regular file.
///
/// # Cancellation
///
/// The call returns at once. A copy that was begun stops after the next 64 MiB, and what was copied
/// stays.
#[track_caller]
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> impl Future<Output = io::Result<u64>> {
    let caller = Caller::default();
    let is_gone = caller.0.clone();
    let copy =
        between("copy", from.as_ref(), to.as_ref(), move |from, to| copy_parts(from, to, &is_gone));
    async move {
        let _caller = caller;
        copy.await
    }
}

/// Sets its flag when it is dropped.
#[derive(Default)]
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn copy_parts(from: &Path, to: &Path, is_gone: &AtomicBool) -> io::Result<u64> {
    let from = File::open(from)?;
    let metadata = from.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let permissions = metadata.permissions();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(permissions.mode());
    let to = options.open(to)?;
    if to.metadata()?.is_file() {
        to.set_permissions(permissions)?;
    }
    let mut copied = 0;
    while !is_gone.load(Ordering::Relaxed) {
        let part = io::copy(&mut (&from).take(PART), &mut &to)?;
        copied += part;
        if part < PART {
            break;
        }
    }
    Ok(copied)
}
