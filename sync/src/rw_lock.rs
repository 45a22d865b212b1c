//! A lock that several readers or one writer hold, first come, first served.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::fmt;
use std::ops::{Deref, DerefMut};

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Holders, Wait, WaitQueue};

/// A lock round a value, for several readers at a time or one writer.
///
/// It is fair: whoever waits is served in order of arrival. A reader that comes while a writer
/// waits, waits behind it. So a task that reads and asks to read again may wait for ever.
///
/// Do not use it unless readers hold it across await points: for a value that is read and written
/// between them, a `RefCell` costs less. Where every holder writes, use a [`Lock`](crate::Lock).
///
/// ```
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::RwLock;
///
/// kernel::run(async || {
///     let config = RwLock::new(1);
///     let (one, other) = (config.read().await?, config.read().await?);
///     assert_eq!((*one, *other), (1, 1));
///     assert!(config.try_write().is_none());
///     drop((one, other));
///     *config.write().await? += 1;
///     assert_eq!(config.into_inner(), 2);
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
#[derive(Default)]
pub struct RwLock<T: ?Sized> {
    readers: Cell<usize>,
    is_written: Cell<bool>,
    holders: Holders,
    /// Each waiter is handed the number of its holding in `holders`.
    waiters: WaitQueue<u32>,
    value: RefCell<T>,
}

/// The weights of the waiters, which tell them apart.
const READER: usize = 1;
const WRITER: usize = 2;

/// The state of a [`RwLock`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RwLockStatistics {
    /// The number of readers that hold the lock.
    pub readers: usize,
    /// Whether a writer holds the lock.
    pub is_written: bool,
    /// The number of tasks that wait to read or to write.
    pub waiting: usize,
}

impl<T> RwLock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        RwLock {
            readers: Cell::new(0),
            is_written: Cell::new(false),
            holders: Holders::new(),
            waiters: WaitQueue::new(),
            value: RefCell::new(value),
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until the lock can be read, and holds it until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the lock is not held then.
    ///
    /// # Cancellation
    ///
    /// A cancelled waiter leaves the queue, and those that waited behind it are served if they can
    /// be. A waiter that was handed the lock before the cancellation gets the guard. If it is
    /// dropped instead, it passes the lock on.
    #[track_caller]
    pub fn read(&self) -> impl Future<Output = Result<RwLockReadGuard<'_, T>, TaskCancelled>> + '_ {
        Wait::new("RWLOCK_READ", Read { lock: self })
    }

    /// Waits until no other task holds the lock, and holds it until the guard is dropped.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the lock is not held then.
    ///
    /// # Cancellation
    ///
    /// As [`read`](RwLock::read).
    #[track_caller]
    pub fn write(
        &self,
    ) -> impl Future<Output = Result<RwLockWriteGuard<'_, T>, TaskCancelled>> + '_ {
        Wait::new("RWLOCK_WRITE", Write { lock: self })
    }

    /// Holds the lock for reading, if no task writes or waits.
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        Read { lock: self }.try_now()
    }

    /// Holds the lock for writing, if it is free and no task waits.
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        Write { lock: self }.try_now()
    }

    /// The value. No guard exists, because this is the only reference to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// The state of the lock now.
    pub fn statistics(&self) -> RwLockStatistics {
        RwLockStatistics {
            readers: self.readers.get(),
            is_written: self.is_written.get(),
            waiting: self.waiters.len(),
        }
    }

    fn take(&self, weight: usize) -> bool {
        if self.is_written.get() {
            return false;
        }
        match weight {
            READER => self.readers.set(self.readers.get() + 1),
            _ if self.readers.get() > 0 => return false,
            _ => self.is_written.set(true),
        }
        true
    }

    /// Hands the lock to the oldest waiters that can hold it together.
    fn serve(&self) {
        while let Some(weight) = self.waiters.oldest_weight() {
            if !self.take(weight) {
                break;
            }
            self.holders.hand_over(&self.waiters);
        }
    }

    fn give_back(&self, weight: usize) {
        match weight {
            READER => self.readers.set(self.readers.get() - 1),
            _ => self.is_written.set(false),
        }
    }

    fn release(&self, weight: usize, number: u32) {
        self.holders.give_back(number);
        self.give_back(weight);
        self.serve();
    }
}

impl<T: ?Sized> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("readers", &self.readers.get())
            .field("is_written", &self.is_written.get())
            .field("waiting", &self.waiters.len())
            .finish_non_exhaustive()
    }
}

/// Holds a [`RwLock`] for reading. Dropping it releases the lock.
#[must_use = "dropped at once, it releases the lock at once"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    // Declared before the release, so that the borrow ends first.
    value: Ref<'a, T>,
    _release: Release<'a, T, READER>,
}

/// Holds a [`RwLock`] for writing. Dropping it releases the lock.
#[must_use = "dropped at once, it releases the lock at once"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    // Declared before the release, so that the borrow ends first.
    value: RefMut<'a, T>,
    _release: Release<'a, T, WRITER>,
}

/// The lock, and the number of the holding in `RwLock::holders`.
struct Release<'a, T: ?Sized, const WEIGHT: usize>(&'a RwLock<T>, u32);

impl<T: ?Sized, const WEIGHT: usize> Drop for Release<'_, T, WEIGHT> {
    fn drop(&mut self) {
        self.0.release(WEIGHT, self.1);
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A wait to read.
struct Read<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

/// A wait to write.
struct Write<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
}

impl<'a, T: ?Sized> Handoff for Read<'a, T> {
    type Item = u32;
    type Output = RwLockReadGuard<'a, T>;

    const NOTED: bool = true;

    fn queue(&self) -> &WaitQueue<u32> {
        &self.lock.waiters
    }

    fn weight(&self) -> usize {
        READER
    }

    fn try_take(&mut self) -> Option<u32> {
        let taken = self.lock.waiters.is_empty() && self.lock.take(READER);
        taken.then(|| self.lock.holders.take())
    }

    fn finish(&mut self, number: u32) -> RwLockReadGuard<'a, T> {
        self.lock.holders.take_handed();
        RwLockReadGuard { value: self.lock.value.borrow(), _release: Release(self.lock, number) }
    }

    #[inline]
    fn parked(&mut self) {
        self.lock.holders.show(&self.lock.waiters);
    }

    fn pass_on(&mut self, number: u32) {
        self.lock.holders.take_handed();
        self.lock.release(READER, number);
    }
}

impl<'a, T: ?Sized> Handoff for Write<'a, T> {
    type Item = u32;
    type Output = RwLockWriteGuard<'a, T>;

    const NOTED: bool = true;

    fn queue(&self) -> &WaitQueue<u32> {
        &self.lock.waiters
    }

    fn weight(&self) -> usize {
        WRITER
    }

    fn try_take(&mut self) -> Option<u32> {
        let taken = self.lock.waiters.is_empty() && self.lock.take(WRITER);
        taken.then(|| self.lock.holders.take())
    }

    fn finish(&mut self, number: u32) -> RwLockWriteGuard<'a, T> {
        self.lock.holders.take_handed();
        RwLockWriteGuard {
            value: self.lock.value.borrow_mut(),
            _release: Release(self.lock, number),
        }
    }

    #[inline]
    fn parked(&mut self) {
        self.lock.holders.show(&self.lock.waiters);
    }

    fn pass_on(&mut self, number: u32) {
        self.lock.holders.take_handed();
        self.lock.release(WRITER, number);
    }

    /// The writer that left may have kept readers waiting.
    fn left(&mut self) {
        self.lock.serve();
    }
}
