//! What a file shares with the threads that work on it.

use std::fs;
use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::fs::error::PathError;

/// The descriptor of a file, its path for errors, and an error that no call has returned yet.
///
/// It is closed when the file is dropped and no thread uses it any longer.
pub(super) struct Shared {
    pub(super) file: fs::File,
    pub(super) path: PathBuf,
    kept: Mutex<Option<io::Error>>,
}

impl Shared {
    pub(super) fn new(file: fs::File, path: PathBuf) -> Arc<Self> {
        Arc::new(Shared { file, path, kept: Mutex::new(None) })
    }

    pub(super) fn error(&self, operation: &'static str, source: io::Error) -> io::Error {
        PathError::make(operation, &self.path, source)
    }

    /// Keeps an error for the next call. The first one is kept, because what follows it is often
    /// its consequence.
    pub(super) fn keep(&self, error: io::Error) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert(error);
    }

    pub(super) fn has_kept(&self) -> bool {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn take_kept(&self) -> Option<io::Error> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Shared {
    /// The file is gone, and so is every call that could return the error.
    fn drop(&mut self) {
        let Some(error) = self.take_kept() else { return };
        // There need be no kernel on this thread whose sink could get it.
        let text = format!("a file was dropped, and this error with it: {error}");
        if tracing::event_enabled!(target: "curium", tracing::Level::ERROR) {
            tracing::error!(target: "curium", "{text}");
        } else {
            eprintln!("curium: {text}");
        }
    }
}

/// The result of a call that has changed the file. If its waiter is gone, the error is kept for the
/// next call.
pub(super) struct Outcome<T> {
    result: Option<io::Result<T>>,
    shared: Arc<Shared>,
}

impl<T> Outcome<T> {
    /// Makes the call, on a thread of the pool.
    pub(super) fn of(
        shared: Arc<Shared>,
        operation: &'static str,
        call: impl FnOnce(&fs::File) -> io::Result<T>,
    ) -> Self {
        let result = call(&shared.file).map_err(|error| shared.error(operation, error));
        Outcome { result: Some(result), shared }
    }

    pub(super) fn take(mut self) -> io::Result<T> {
        self.result.take().expect("it is taken once")
    }
}

impl<T> Drop for Outcome<T> {
    fn drop(&mut self) {
        if let Some(Err(error)) = mem::take(&mut self.result) {
            self.shared.keep(error);
        }
    }
}
