//! Putting a delivered cancellation back.

use std::rc::Rc;

use crate::core::current;
use crate::error::TaskCancelled;

impl TaskCancelled {
    /// Makes this cancellation pending again: the next leaf that would park in its scope returns
    /// it. For code that must not end here, and leaves the cancellation to its caller.
    ///
    /// ```
    /// use std::time::Duration;
    /// use curium::kernel::{self, TaskCancelled, check_cancellation, sleep, spawn};
    ///
    /// /// Waits for a while, or until the task is cancelled. The caller sees the cancellation.
    /// async fn pause() {
    ///     if let Err(cancelled) = sleep(Duration::from_secs(3600)).await {
    ///         cancelled.put_back();
    ///     }
    /// }
    ///
    /// kernel::run(async || {
    ///     let task = spawn(async {
    ///         pause().await;
    ///         assert!(check_cancellation().is_some());
    ///         sleep(Duration::from_secs(3600)).await // ends at once
    ///     });
    ///     task.cancel().await
    /// })
    /// .unwrap();
    /// ```
    ///
    /// It does nothing if the scope has ended, if the scope is not around the caller (the
    /// cancellation is that of another task, which a `join` has returned), if the cancellation is
    /// pending already, and outside a task.
    pub fn put_back(self) {
        // It may wake a foreign waker.
        if let Some(core) = current::try_with(Rc::clone) {
            core.put_back(&self);
        }
    }
}
