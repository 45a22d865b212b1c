//! What a file shares with the threads that work on it.
//!
//! A *change* is a call of the system that a thread makes for a file and that is not taken back: a
//! write, a new length, a sync. All changes begin here. One is *left* when no call of its own waits
//! for it any longer, because that was given up, or because the write came through the traits. A
//! later call waits for the changes that are left before it begins, and returns the error of the
//! first that has failed. Changes whose calls still wait run side by side: these are calls at
//! offsets, which several tasks make.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use kernel::DetachedJob;

use crate::fs::error::PathError;

/// The descriptor of a file, its path for errors, and its changes.
///
/// It is closed when the file is dropped and no thread uses it any longer.
pub(super) struct Shared {
    pub(super) file: fs::File,
    pub(super) path: PathBuf,
    changes: Mutex<Changes>,
    /// Notified when a change has ended.
    ended: Condvar,
}

#[derive(Default)]
struct Changes {
    /// How many have begun. It is also the number of the last one.
    begun: u64,
    /// The numbers of those that have not ended and for which a call of their own waits.
    awaited: Vec<u64>,
    /// The numbers of those that are left.
    left: Vec<u64>,
    /// How many threads wait until one has ended.
    waiting: usize,
    /// An error that no call has returned yet.
    kept: Option<io::Error>,
}

impl Shared {
    pub(super) fn new(file: fs::File, path: PathBuf) -> Arc<Self> {
        Arc::new(Shared { file, path, changes: Mutex::default(), ended: Condvar::new() })
    }

    pub(super) fn error(&self, operation: &'static str, source: io::Error) -> io::Error {
        PathError::make(operation, &self.path, source)
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps an error for the next call.
    pub(super) fn keep(&self, error: io::Error) {
        self.changes().keep(error);
    }

    pub(super) fn take_kept(&self) -> Option<io::Error> {
        self.changes().kept.take()
    }

    /// Whether a change is left, or an error is kept.
    pub(super) fn has_news(&self) -> bool {
        let changes = self.changes();
        !changes.left.is_empty() || changes.kept.is_some()
    }

    /// How many changes have begun.
    pub(super) fn begun(&self) -> u64 {
        self.changes().begun
    }

    /// Begins a change for which no call needs to wait.
    pub(super) fn begin(self: &Arc<Self>) -> Change {
        let mut changes = self.changes();
        changes.begun += 1;
        let number = changes.begun;
        changes.left.push(number);
        drop(changes);
        Change { shared: self.clone(), number, error: None }
    }

    /// Begins a change for which a call waits. The change is left when the second value is dropped
    /// before it has ended.
    pub(super) fn begin_awaited(self: &Arc<Self>) -> (Change, Awaited) {
        let change = self.begin();
        let mut changes = self.changes();
        changes.left.retain(|left| *left != change.number);
        changes.awaited.push(change.number);
        drop(changes);
        let awaited = Awaited { shared: self.clone(), number: change.number };
        (change, awaited)
    }

    /// Waits for the changes that are left, on a thread. `None` if there are none.
    pub(super) fn wait_for_left(self: &Arc<Self>) -> Option<DetachedJob<()>> {
        let left = self.changes().left.clone();
        if left.is_empty() {
            return None;
        }
        let shared = self.clone();
        // They have begun before, so they do not wait for the thread of this job.
        Some(DetachedJob::start("a wait for a change of a file", move || {
            let runs = |changes: &mut Changes| changes.left.iter().any(|one| left.contains(one));
            let mut changes = shared.changes();
            changes.waiting += 1;
            let ended = shared.ended.wait_while(changes, runs);
            ended.unwrap_or_else(PoisonError::into_inner).waiting -= 1;
        }))
    }
}

impl Changes {
    /// The first error is kept, because what follows it is often its consequence.
    fn keep(&mut self, error: io::Error) {
        self.kept.get_or_insert(error);
    }
}

/// A change, from its beginning to the moment when its call takes it. It ends when it is dropped,
/// also if it was never made. Its error is then kept for the next call.
pub(super) struct Change {
    shared: Arc<Shared>,
    number: u64,
    error: Option<io::Error>,
}

impl Change {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Makes a call of the system, on a thread of the pool.
    pub(super) fn make<T>(
        mut self,
        operation: &'static str,
        call: impl FnOnce(&fs::File) -> io::Result<T>,
    ) -> Made<T> {
        let value = self.note(operation, call(&self.shared.file));
        Made { value, change: self }
    }

    /// Notes the error of a call of the system, with the path.
    pub(super) fn note<T>(&mut self, operation: &'static str, made: io::Result<T>) -> Option<T> {
        made.map_err(|error| self.error = Some(self.shared.error(operation, error))).ok()
    }

    pub(super) fn has_failed(&self) -> bool {
        self.error.is_some()
    }

    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let mut changes = self.shared.changes();
        if let Some(error) = self.error.take() {
            changes.keep(error);
        }
        changes.left.retain(|left| *left != self.number);
        changes.awaited.retain(|awaited| *awaited != self.number);
        let waiting = changes.waiting > 0;
        drop(changes);
        if waiting {
            self.shared.ended.notify_all();
        }
    }
}

/// A change that was made, and what the system has returned.
pub(super) struct Made<T> {
    change: Change,
    value: Option<T>,
}

impl<T> Made<T> {
    pub(super) fn take(mut self) -> io::Result<T> {
        let error = self.change.take_error();
        self.value.take().ok_or_else(|| error.expect("there is a value or an error"))
    }
}

/// The wait of the call that has begun a change.
pub(super) struct Awaited {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut changes = self.shared.changes();
        if let Some(at) = changes.awaited.iter().position(|awaited| *awaited == self.number) {
            changes.awaited.swap_remove(at);
            changes.left.push(self.number);
        }
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
