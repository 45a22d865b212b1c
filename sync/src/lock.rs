//! Mutual exclusion between tasks, strictly first come, first served.

use std::cell::{Cell, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use kernel::wait_queue::{Handoff, Holder, Wait, WaitQueue};
use kernel::{TaskCancelled, TaskId};

/// A lock round a value, to be held across await points.
///
/// A release hands the lock to the oldest waiter at once. A task that comes later cannot take it
/// first, and the releaser cannot take it back before the waiter runs. A guard that is dropped by
/// a panic releases the lock too: there is no poisoning.
///
/// For a value that is never held across an await point, a `RefCell` costs less. Between threads,
/// use `std::sync::Mutex`.
///
/// ```
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::Lock;
///
/// kernel::run(async || {
///     let counter = Lock::new(0);
///     *counter.acquire().await? += 1;
///     assert_eq!(counter.into_inner(), 1);
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
#[doc(alias = "Mutex")]
#[derive(Default)]
pub struct Lock<T: ?Sized> {
    held: Cell<bool>,
    holder: Holder,
    waiters: WaitQueue,
    value: RefCell<T>,
}

/// The state of a [`Lock`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockStatistics {
    /// Whether the lock is held, or on its way to a waiter.
    pub is_held: bool,
    /// The task that took the lock, or to which it was handed over. `None` if it is free or was
    /// taken outside a task. A guard that was moved to another task still counts for this one.
    pub holder: Option<TaskId>,
    /// The number of the kernel of that task, as in [`Snapshot::kernel`]. Kernels that take turns
    /// on a thread may share a lock, and two of their tasks may have the same id.
    ///
    /// [`Snapshot::kernel`]: kernel::insight::Snapshot::kernel
    pub holder_kernel: Option<u32>,
    /// The number of tasks that wait for it.
    pub waiting: usize,
}

impl<T> Lock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Lock {
            held: Cell::new(false),
            holder: Holder::new(),
            waiters: WaitQueue::new(),
            value: RefCell::new(value),
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> Lock<T> {
    /// Waits for the lock and holds it until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the lock is not held then.
    ///
    /// # Cancellation
    ///
    /// A cancelled waiter leaves the queue. A waiter that was handed the lock before the
    /// cancellation gets the guard. If it is dropped instead, it passes the lock on.
    #[doc(alias = "lock")]
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<LockGuard<'_, T>, TaskCancelled>> + '_ {
        Wait::new("LOCK_ACQUIRE", Acquire { lock: self })
    }

    pub(crate) fn acquire_at<'a>(
        &'a self,
        site: &'static Location<'static>,
    ) -> impl Future<Output = Result<LockGuard<'a, T>, TaskCancelled>> + use<'a, T> {
        Wait::at("LOCK_ACQUIRE", site, Acquire { lock: self })
    }

    /// Takes the lock if it is free. A lock that was handed to a waiter which has not run yet is
    /// not free.
    pub fn try_acquire(&self) -> Option<LockGuard<'_, T>> {
        Acquire { lock: self }.try_now()
    }

    /// Whether the lock is held.
    pub fn is_held(&self) -> bool {
        self.held.get()
    }

    /// The state of the lock now.
    pub fn statistics(&self) -> LockStatistics {
        LockStatistics {
            is_held: self.is_held(),
            holder: self.holder.taker().task().filter(|_| self.is_held()),
            holder_kernel: self.holder.taker().kernel().filter(|_| self.is_held()),
            waiting: self.waiters.len(),
        }
    }

    /// The value. No guard exists, because this is the only reference to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    fn release(&self) {
        if !self.holder.hand_over(&self.waiters) {
            self.held.set(false);
        }
    }
}

impl<T: ?Sized> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("held", &self.held.get())
            .field("waiting", &self.waiters.len())
            .finish_non_exhaustive()
    }
}

/// A wait for the lock.
struct Acquire<'a, T: ?Sized> {
    lock: &'a Lock<T>,
}

impl<'a, T: ?Sized> Acquire<'a, T> {
    #[inline]
    fn guard(&self) -> LockGuard<'a, T> {
        LockGuard { value: self.lock.value.borrow_mut(), lock: Release(self.lock) }
    }
}

impl<'a, T: ?Sized> Handoff for Acquire<'a, T> {
    type Item = ();
    type Output = LockGuard<'a, T>;

    const NOTED: bool = true;

    fn queue(&self) -> &WaitQueue {
        &self.lock.waiters
    }

    fn try_take(&mut self) -> Option<()> {
        let free = !self.lock.held.replace(true);
        if free {
            self.lock.holder.take();
        }
        free.then_some(())
    }

    #[inline]
    fn try_now(&mut self) -> Option<LockGuard<'a, T>> {
        self.try_take().map(|()| self.guard())
    }

    fn finish(&mut self, (): ()) -> LockGuard<'a, T> {
        self.lock.holder.take_handed();
        self.guard()
    }

    #[inline]
    fn parked(&mut self) {
        self.lock.holder.show(&self.lock.waiters);
    }

    fn pass_on(&mut self, (): ()) {
        self.lock.release();
    }
}

/// Holds a [`Lock`] and gives access to its value. Dropping it releases the lock.
#[must_use = "dropped at once, it releases the lock at once"]
pub struct LockGuard<'a, T: ?Sized> {
    // Declared before the release, so that the borrow ends first.
    value: RefMut<'a, T>,
    lock: Release<'a, T>,
}

struct Release<'a, T: ?Sized>(&'a Lock<T>);

impl<T: ?Sized> Drop for Release<'_, T> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl<'a, T: ?Sized> LockGuard<'a, T> {
    /// The lock that this guard holds.
    pub fn lock(this: &Self) -> &'a Lock<T> {
        this.lock.0
    }
}

impl<T: ?Sized> Deref for LockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for LockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
