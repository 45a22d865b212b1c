//! Threads that run on although the task that they served is gone, or waits no more.
//!
//! No thread can be stopped. When no task waits for it, the thread is *abandoned*: neither do the
//! clock and the shutdown. It is listed here until it ends, or, if it belongs to a pool, until it
//! has done with the job.

use std::fmt;
use std::panic::Location;
use std::sync::Weak;
use std::time::Instant;

use crate::core::current;
use crate::core::report::Report;
use crate::core::state::Core;

/// A thread that is busy with what no task waits for any more.
///
/// The wait for a job ([`run_in_thread`](crate::run_in_thread)) was cancelled or dropped while the
/// job ran. Or the task of a thread ([`spawn_thread`](crate::spawn_thread)) was aborted, or dropped
/// with its group or its kernel. Listed by [`abandoned_threads`], and named in
/// [`Report::Abandoned`] at the shutdown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AbandonedThread {
    /// The name of the task, or of the pool.
    pub name: String,
    /// The file and line of the call that started the work on the thread.
    pub site: &'static Location<'static>,
    /// When it was abandoned.
    pub since: Instant,
}

impl fmt::Display for AbandonedThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, started at {}", self.name, self.site)
    }
}

/// A thread in the list of its kernel.
pub(crate) struct Entry {
    /// What the code on the thread holds until it ends. So the end needs no message, and
    /// cannot be missed.
    alive: Weak<dyn Send + Sync>,
    thread: AbandonedThread,
}

impl Core {
    /// Lists a thread until `alive` is dropped.
    #[cold]
    pub(crate) fn abandon(
        &self,
        name: String,
        site: &'static Location<'static>,
        alive: Weak<dyn Send + Sync>,
    ) {
        let thread = AbandonedThread { name, site, since: self.now() };
        let mut abandoned = self.abandoned.borrow_mut();
        abandoned.retain(|entry| entry.alive.strong_count() > 0);
        abandoned.push(Entry { alive, thread });
    }

    pub(super) fn abandoned(&self) -> Vec<AbandonedThread> {
        let mut abandoned = self.abandoned.borrow_mut();
        abandoned.retain(|entry| entry.alive.strong_count() > 0);
        abandoned.iter().map(|entry| entry.thread.clone()).collect()
    }

    /// Names the threads that the shutdown leaves behind.
    pub(crate) fn report_abandoned(&self) {
        let left = self.abandoned();
        if !left.is_empty() {
            self.report(&Report::Abandoned(&left));
        }
    }
}

/// The threads of this kernel that are busy with what no task waits for any more, in the order in
/// which they were abandoned.
///
/// ```
/// use std::sync::mpsc;
/// use curium::kernel::{self, TaskCancelled, spawn_thread, yield_now};
///
/// kernel::run(async || {
///     let (end, ended) = mpsc::channel::<()>();
///     let thread = spawn_thread(move |_here| {
///         let _ = ended.recv(); // a call that blocks and cannot be cancelled
///     });
///     yield_now().await?;
///     thread.abort();
///     assert_eq!(kernel::abandoned_threads().len(), 1);
///     drop(end);
///     Ok::<_, TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn abandoned_threads() -> Vec<AbandonedThread> {
    current::with("kernel::abandoned_threads", |core| core.abandoned())
}
