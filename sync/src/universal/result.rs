//! A result that one side sets and others wait for.

use std::panic::Location;
use std::sync::OnceLock;
use std::time::Duration;

use kernel::TaskCancelled;

use super::{TimedOut, UniversalEvent};
use crate::event::EventStatistics;

/// The result of something that happens elsewhere: set once, and read by tasks of any kernel,
/// futures of any executor, and threads.
///
/// The readers get references, because there may be several. The last owner takes the result out
/// with [`into_inner`](UniversalResult::into_inner). To move values between threads one after the
/// other, use a [`UniversalQueue`](crate::UniversalQueue).
///
/// In a task of Curium a wait is cancelled like any other. Elsewhere it is never cancelled.
///
/// ```
/// use std::sync::Arc;
/// use std::thread;
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::UniversalResult;
///
/// let parsed = Arc::new(UniversalResult::new());
/// let theirs = parsed.clone();
/// let thread = thread::spawn(move || theirs.set("42".parse::<u32>()));
/// kernel::run(async || {
///     assert_eq!(parsed.get().await?, Ok(&42));
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # thread.join().unwrap().unwrap();
/// # Ok::<(), TaskCancelled>(())
/// ```
#[derive(Debug)]
pub struct UniversalResult<T, E> {
    result: OnceLock<Result<T, E>>,
    is_set: UniversalEvent,
}

impl<T, E> UniversalResult<T, E> {
    /// A result that is not set.
    pub const fn new() -> Self {
        UniversalResult { result: OnceLock::new(), is_set: UniversalEvent::new() }
    }

    /// Sets the result and wakes all waiters. It never blocks.
    ///
    /// # Errors
    ///
    /// If a result is set already, it stays, and this one is returned.
    pub fn set(&self, result: Result<T, E>) -> Result<(), Result<T, E>> {
        self.result.set(result)?;
        self.is_set.set();
        Ok(())
    }

    /// Whether the result is set.
    pub fn is_set(&self) -> bool {
        self.result.get().is_some()
    }

    /// The state of the result at one moment.
    pub fn statistics(&self) -> EventStatistics {
        EventStatistics { is_set: self.is_set(), ..self.is_set.statistics() }
    }

    /// Waits for the result. Returns at once if it is set already.
    ///
    /// # Errors
    ///
    /// Outside, [`TaskCancelled`]. Inside, the error that was set.
    ///
    /// # Cancellation
    ///
    /// The result stays unchanged.
    #[track_caller]
    pub fn get(&self) -> impl Future<Output = Result<Result<&T, &E>, TaskCancelled>> + '_ {
        let set = self.is_set.wait_as("RESULT_WAIT", Location::caller());
        async move {
            set.await?;
            Ok(self.known())
        }
    }

    /// [`get`](UniversalResult::get) in a plain thread: blocks it, at most for the time limit.
    /// `Duration::MAX` is no limit; zero does not wait.
    ///
    /// # Errors
    ///
    /// Outside, [`TimedOut`]. Inside, the error that was set.
    ///
    /// # Panics
    ///
    /// In a thread that runs a kernel, which this would block.
    #[track_caller]
    pub fn get_blocking(&self, limit: Duration) -> Result<Result<&T, &E>, TimedOut> {
        self.is_set.block_as("get_blocking", limit)?;
        Ok(self.known())
    }

    /// The result, if it is set.
    pub fn try_get(&self) -> Option<Result<&T, &E>> {
        self.result.get().map(Result::as_ref)
    }

    /// Takes the result out, if it is set.
    pub fn into_inner(self) -> Option<Result<T, E>> {
        self.result.into_inner()
    }

    fn known(&self) -> Result<&T, &E> {
        self.try_get().expect("it is set before the event")
    }
}

impl<T, E> Default for UniversalResult<T, E> {
    fn default() -> Self {
        UniversalResult::new()
    }
}
