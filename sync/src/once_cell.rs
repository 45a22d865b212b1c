//! A value that is made once, by the first task that needs it.

use std::cell;
use std::fmt;
use std::panic::Location;

use kernel::TaskCancelled;

use crate::lock::Lock;

/// A value that is made once, by an async function, when a task first needs it.
///
/// While one task makes it, the others wait. If that one fails or is cancelled, the next one makes
/// it with its own function.
///
/// Do not use it where the value can be made without an await: `std::cell::OnceCell` does that.
///
/// ```
/// use curium::kernel::{self, Result, TaskCancelled, yield_now};
/// use curium::sync::OnceCell;
///
/// async fn look_up() -> Result<String> {
///     yield_now().await?;
///     Ok("the address".to_owned())
/// }
///
/// kernel::run(async || {
///     let address = OnceCell::new();
///     assert_eq!(address.get(), None);
///     assert_eq!(address.get_or_try_init(look_up).await?, "the address");
///     assert_eq!(address.get_or_try_init(look_up).await?, "the address"); // does not wait
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
pub struct OnceCell<T> {
    value: cell::OnceCell<T>,
    /// Held by the task that makes the value.
    turn: Lock<()>,
}

/// The state of a [`OnceCell`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnceCellStatistics {
    /// Whether there is a value.
    pub is_set: bool,
    /// Whether a task makes it.
    pub is_being_made: bool,
    /// The number of tasks that wait for it.
    pub waiting: usize,
}

impl<T> OnceCell<T> {
    /// A cell without a value.
    pub const fn new() -> Self {
        OnceCell { value: cell::OnceCell::new(), turn: Lock::new(()) }
    }

    /// The value, if there is one.
    pub fn get(&self) -> Option<&T> {
        self.value.get()
    }

    /// Sets the value. A task that is making one then drops its own.
    ///
    /// # Errors
    ///
    /// Gives the value back if there is one already.
    pub fn set(&self, value: T) -> Result<(), T> {
        self.value.set(value)
    }

    /// The value. If there is none, makes it with `make`, or waits while another task makes it.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`], while it waits.
    ///
    /// # Cancellation
    ///
    /// Neither the cell nor the other tasks are changed. A `make` that is interrupted is made again
    /// by the next task that waits, with a function of its own.
    #[track_caller]
    pub fn get_or_init(
        &self,
        make: impl AsyncFnOnce() -> T,
    ) -> impl Future<Output = Result<&T, TaskCancelled>> {
        self.get_or_try_init(async || Ok(make().await))
    }

    /// [`get_or_init`](OnceCell::get_or_init) with a function that may fail.
    ///
    /// # Errors
    ///
    /// That of `make`; and [`TaskCancelled`] as an `E`, while this waits.
    ///
    /// # Cancellation
    ///
    /// As [`get_or_init`](OnceCell::get_or_init).
    #[track_caller]
    pub fn get_or_try_init<E: From<TaskCancelled>>(
        &self,
        make: impl AsyncFnOnce() -> Result<T, E>,
    ) -> impl Future<Output = Result<&T, E>> {
        let site = Location::caller();
        async move {
            if let Some(value) = self.get() {
                return Ok(value);
            }
            let _turn = self.turn.acquire_at(site).await?;
            if let Some(value) = self.get() {
                return Ok(value);
            }
            let value = make().await?;
            Ok(self.value.get_or_init(|| value))
        }
    }

    /// Takes the value out. No task waits, because this is the only reference to the cell.
    pub fn take(&mut self) -> Option<T> {
        self.value.take()
    }

    /// Returns the value.
    pub fn into_inner(self) -> Option<T> {
        self.value.into_inner()
    }

    /// The state of the cell now.
    pub fn statistics(&self) -> OnceCellStatistics {
        OnceCellStatistics {
            is_set: self.get().is_some(),
            is_being_made: self.get().is_none() && self.turn.is_held(),
            waiting: self.turn.statistics().waiting,
        }
    }
}

impl<T> Default for OnceCell<T> {
    fn default() -> Self {
        OnceCell::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceCell<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceCell").field(&self.get()).finish()
    }
}
