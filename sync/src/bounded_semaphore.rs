//! A semaphore that never has more permits than it began with.

use std::fmt;

use kernel::TaskCancelled;

use crate::semaphore::{Permits, Semaphore, SemaphoreStatistics};

/// A [`Semaphore`] that never has more permits than it began with, so that a permit that is given
/// back twice is an error.
///
/// The permits that guards hold count. So [`add_permits`](BoundedSemaphore::add_permits) gives back
/// only those that were taken out with [`Permits::forget`].
///
/// Do not use it where guards give every permit back: they do that once, and a [`Semaphore`]
/// serves.
///
/// ```
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::{BoundedSemaphore, TooManyPermits};
///
/// kernel::run(async || {
///     let slots = BoundedSemaphore::new(2);
///     slots.acquire().await?.forget(); // given back by hand, later and elsewhere
///     assert_eq!(slots.add_permits(1), Ok(()));
///     assert_eq!(slots.add_permits(1), Err(TooManyPermits));
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
pub struct BoundedSemaphore {
    semaphore: Semaphore,
    bound: usize,
}

/// A [`BoundedSemaphore`] would have more permits than it began with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more permits were added than were taken out of the semaphore")]
pub struct TooManyPermits;

impl BoundedSemaphore {
    /// A semaphore with `permits` permits, and never more.
    pub const fn new(permits: usize) -> Self {
        BoundedSemaphore { semaphore: Semaphore::new(permits), bound: permits }
    }

    /// Waits for one permit and holds it until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; no permit is held then.
    ///
    /// # Cancellation
    ///
    /// As [`Semaphore::acquire_many`].
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<Permits<'_>, TaskCancelled>> + '_ {
        self.acquire_many(1)
    }

    /// Waits for `n` permits at once and holds them until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; no permit is held then.
    ///
    /// # Cancellation
    ///
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Panics
    ///
    /// If `n` is greater than the bound, because there are never so many.
    #[track_caller]
    pub fn acquire_many(
        &self,
        n: usize,
    ) -> impl Future<Output = Result<Permits<'_>, TaskCancelled>> + '_ {
        let bound = self.bound;
        assert!(n <= bound, "{n} permits of a semaphore that never has more than {bound}");
        self.semaphore.acquire_many(n)
    }

    /// Takes one permit if it is free and no task waits.
    pub fn try_acquire(&self) -> Option<Permits<'_>> {
        self.semaphore.try_acquire()
    }

    /// Takes `n` permits if they are free and no task waits.
    pub fn try_acquire_many(&self, n: usize) -> Option<Permits<'_>> {
        self.semaphore.try_acquire_many(n)
    }

    /// Adds permits that were taken out before, and serves the waiters.
    ///
    /// # Errors
    ///
    /// [`TooManyPermits`], and none is added.
    pub fn add_permits(&self, n: usize) -> Result<(), TooManyPermits> {
        let now = self.semaphore.statistics();
        if n > self.bound - now.available - now.held {
            return Err(TooManyPermits);
        }
        self.semaphore.add_permits(n);
        Ok(())
    }

    /// The number of free permits.
    pub fn available(&self) -> usize {
        self.semaphore.available()
    }

    /// The number of permits that it began with.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// The state of the semaphore now.
    pub fn statistics(&self) -> SemaphoreStatistics {
        self.semaphore.statistics()
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("bound", &self.bound)
            .field("semaphore", &self.semaphore)
            .finish()
    }
}
