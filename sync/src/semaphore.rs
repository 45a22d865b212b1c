//! Counted permits, first come, first served.

use std::cell::Cell;
use std::fmt;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Holders, Wait, WaitQueue};

/// A number of permits that tasks acquire and give back.
///
/// Waiters are served strictly in order: requests for few permits never overtake an older request
/// for many.
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
    /// The free permits and those that guards hold.
    all: Cell<usize>,
    holders: Holders,
    /// Each waiter is handed the number of its taking in `holders`.
    waiters: WaitQueue<u32>,
}

/// The state of a [`Semaphore`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SemaphoreStatistics {
    /// The number of free permits.
    pub available: usize,
    /// The number of permits that guards hold, or that are on their way to a waiter.
    pub held: usize,
    /// The number of tasks that wait.
    pub waiting: usize,
}

impl Semaphore {
    /// A semaphore with `permits` permits.
    pub const fn new(permits: usize) -> Self {
        Semaphore {
            available: Cell::new(permits),
            all: Cell::new(permits),
            holders: Holders::new(),
            waiters: WaitQueue::new(),
        }
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
    /// A request for more permits than exist waits until [`add_permits`](Semaphore::add_permits)
    /// has added enough.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; no permit is held then.
    ///
    /// # Cancellation
    ///
    /// A cancelled waiter leaves the queue and holds nothing. A waiter that was handed its permits
    /// before the cancellation gets the guard. If it is dropped instead, the next waiter gets them.
    #[track_caller]
    pub fn acquire_many(
        &self,
        n: usize,
    ) -> impl Future<Output = Result<Permits<'_>, TaskCancelled>> + '_ {
        Wait::new("SEMAPHORE_ACQUIRE", Acquire { semaphore: self, n })
    }

    /// Takes one permit if it is free and no task waits.
    pub fn try_acquire(&self) -> Option<Permits<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits if they are free and no task waits.
    pub fn try_acquire_many(&self, n: usize) -> Option<Permits<'_>> {
        Acquire { semaphore: self, n }.try_now()
    }

    /// Adds permits permanently and serves the waiters.
    ///
    /// # Panics
    ///
    /// If the number of permits would exceed `usize::MAX`.
    pub fn add_permits(&self, n: usize) {
        let sum = self.all.get().checked_add(n);
        self.all.set(sum.expect("a semaphore holds at most usize::MAX permits"));
        self.give_back(n);
    }

    fn give_back(&self, n: usize) {
        self.available.set(self.available.get() + n);
        if !self.waiters.is_empty() {
            self.serve();
        }
    }

    /// The number of free permits.
    pub fn available(&self) -> usize {
        self.available.get()
    }

    /// The state of the semaphore now.
    pub fn statistics(&self) -> SemaphoreStatistics {
        let available = self.available.get();
        let held = self.all.get() - available;
        SemaphoreStatistics { available, held, waiting: self.waiters.len() }
    }

    /// Hands the free permits to the oldest waiters until the next request exceeds the rest.
    #[inline(never)]
    fn serve(&self) {
        while let Some(n) = self.waiters.oldest_weight() {
            let Some(rest) = self.available.get().checked_sub(n) else {
                break;
            };
            self.available.set(rest);
            self.holders.hand_over(&self.waiters);
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

/// A wait for `n` permits.
struct Acquire<'a> {
    semaphore: &'a Semaphore,
    n: usize,
}

impl<'a> Acquire<'a> {
    #[inline]
    fn permits(&self, number: u32) -> Permits<'a> {
        Permits { semaphore: self.semaphore, n: self.n, number }
    }
}

impl<'a> Handoff for Acquire<'a> {
    type Item = u32;
    type Output = Permits<'a>;

    const NOTED: bool = true;

    fn queue(&self) -> &WaitQueue<u32> {
        &self.semaphore.waiters
    }

    fn try_take(&mut self) -> Option<u32> {
        if !self.semaphore.waiters.is_empty() {
            return None;
        }
        let rest = self.semaphore.available.get().checked_sub(self.n)?;
        self.semaphore.available.set(rest);
        Some(self.semaphore.holders.take())
    }

    #[inline]
    fn try_now(&mut self) -> Option<Permits<'a>> {
        self.try_take().map(|number| self.permits(number))
    }

    fn weight(&self) -> usize {
        self.n
    }

    fn finish(&mut self, number: u32) -> Permits<'a> {
        self.semaphore.holders.take_handed();
        self.permits(number)
    }

    #[inline]
    fn parked(&mut self) {
        self.semaphore.holders.show(&self.semaphore.waiters);
    }

    fn pass_on(&mut self, number: u32) {
        self.semaphore.holders.take_handed();
        self.semaphore.holders.give_back(number);
        self.semaphore.give_back(self.n);
    }

    /// The waiter that left may be a large request that kept smaller ones waiting.
    fn left(&mut self) {
        self.semaphore.serve();
    }
}

/// Permits of a [`Semaphore`]. Dropping them gives them back.
#[must_use = "dropped at once, it gives the permits back at once"]
pub struct Permits<'a> {
    semaphore: &'a Semaphore,
    n: usize,
    /// The number of the taking in `Semaphore::holders`.
    number: u32,
}

impl Permits<'_> {
    /// The number of permits.
    pub fn count(&self) -> usize {
        self.n
    }

    /// Removes these permits from the semaphore permanently.
    pub fn forget(mut self) {
        let all = &self.semaphore.all;
        all.set(all.get() - std::mem::take(&mut self.n));
    }
}

impl Drop for Permits<'_> {
    fn drop(&mut self) {
        self.semaphore.holders.give_back(self.number);
        if self.n > 0 {
            self.semaphore.give_back(self.n);
        }
    }
}

impl fmt::Debug for Permits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits").field("n", &self.n).finish_non_exhaustive()
    }
}
