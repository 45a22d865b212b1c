//! Counted permits, first come, first served.

use std::cell::Cell;
use std::fmt;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

/// A number of permits; tasks acquire some and give them back.
///
/// Waiters are served strictly in order, so one that asks for many is not overtaken by those that
/// ask for few.
///
/// ```
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::Semaphore;
///
/// kernel::run(async || {
///     let slots = Semaphore::new(2);
///     let one = slots.acquire().await?;
///     assert!(slots.try_acquire_many(2).is_none());
///     drop(one);
///     let both = slots.acquire_many(2).await?;
///     assert!(slots.try_acquire().is_none());
///     drop(both);
///     assert_eq!(slots.available(), 2);
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
pub struct Semaphore {
    available: Cell<usize>,
    waiters: WaitQueue,
}

impl Semaphore {
    /// A semaphore with so many permits.
    pub const fn new(permits: usize) -> Self {
        Semaphore { available: Cell::new(permits), waiters: WaitQueue::new() }
    }

    /// Waits for one permit and holds it until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; no permit is held then.
    ///
    /// # Cancellation
    ///
    /// As [`acquire_many`](Semaphore::acquire_many).
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<Permits<'_>, TaskCancelled>> + '_ {
        self.acquire_many(1)
    }

    /// Waits for `n` permits at once and holds them until the guard is dropped.
    ///
    /// For more than there will ever be it waits until [`add_permits`](Semaphore::add_permits) made
    /// them.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; no permit is held then.
    ///
    /// # Cancellation
    ///
    /// A cancelled waiter leaves the queue and holds nothing. One that was given its permits before
    /// it was cancelled gets the guard; one that is dropped then gives them to the next.
    #[track_caller]
    pub fn acquire_many(
        &self,
        n: usize,
    ) -> impl Future<Output = Result<Permits<'_>, TaskCancelled>> + '_ {
        Wait::new("SEMAPHORE_ACQUIRE", Acquire { semaphore: self, n })
    }

    /// One permit, if it is free and no task waits.
    pub fn try_acquire(&self) -> Option<Permits<'_>> {
        self.try_acquire_many(1)
    }

    /// `n` permits, if they are free and no task waits.
    pub fn try_acquire_many(&self, n: usize) -> Option<Permits<'_>> {
        let mut acquire = Acquire { semaphore: self, n };
        acquire.try_take().map(|()| acquire.finish(()))
    }

    /// Adds permits for good and serves who waits for them.
    ///
    /// # Panics
    ///
    /// If there are more than `usize::MAX` then.
    pub fn add_permits(&self, n: usize) {
        let sum = self.available.get().checked_add(n);
        self.available.set(sum.expect("a semaphore holds at most usize::MAX permits"));
        self.serve();
    }

    /// How many permits nobody holds.
    pub fn available(&self) -> usize {
        self.available.get()
    }

    /// Hands permits to the oldest waiters, as far as they go.
    fn serve(&self) {
        while let Some(n) = self.waiters.oldest_weight() {
            let Some(rest) = self.available.get().checked_sub(n) else {
                break;
            };
            self.available.set(rest);
            if self.waiters.hand_over(()).is_err() {
                self.available.set(rest + n);
            }
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available", &self.available.get())
            .field("waiting", &self.waiters.len())
            .finish()
    }
}

/// Somebody who waits for `n` permits.
struct Acquire<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl<'a> Handoff for Acquire<'a> {
    type Item = ();
    type Output = Permits<'a>;

    fn queue(&self) -> &WaitQueue {
        &self.semaphore.waiters
    }

    fn try_take(&mut self) -> Option<()> {
        if !self.semaphore.waiters.is_empty() {
            return None;
        }
        let rest = self.semaphore.available.get().checked_sub(self.n)?;
        self.semaphore.available.set(rest);
        Some(())
    }

    fn weight(&self) -> usize {
        self.n
    }

    fn finish(&mut self, (): ()) -> Permits<'a> {
        Permits { semaphore: self.semaphore, n: self.n }
    }

    fn pass_on(&mut self, (): ()) {
        self.semaphore.add_permits(self.n);
    }

    /// It may have been the big one that kept smaller ones waiting.
    fn left(&mut self) {
        self.semaphore.serve();
    }
}

/// Permits of a [`Semaphore`]; given back when dropped.
#[derive(Debug)]
#[must_use = "dropped at once, it gives the permits back at once"]
pub struct Permits<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl Permits<'_> {
    /// How many.
    pub fn count(&self) -> usize {
        self.n
    }

    /// Keeps them for good: the semaphore has so many fewer.
    pub fn forget(mut self) {
        self.n = 0;
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        if self.n > 0 {
            self.semaphore.add_permits(self.n);
        }
    }
}
