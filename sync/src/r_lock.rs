//! A lock that the task which holds it may take again.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;

use kernel::wait_queue::{Handoff, Holder, Taker, Wait, WaitQueue};
use kernel::{TaskCancelled, TaskId};

/// A lock whose owner is a task, which may take it again while it holds it.
///
/// It is free again when every guard is dropped. The guards of one task exist together, so they
/// give shared access to the value: put a `Cell` or a `RefCell` into it. A guard that another task
/// drops counts like any other.
///
/// Do not use it where a [`Lock`](crate::Lock) serves: that one does not need to know its owner,
/// works outside a kernel, and its guard gives `&mut` access. A function that takes a lock again
/// that its caller holds often wants the guard as a parameter instead.
///
/// ```
/// use curium::kernel::{self, Result, TaskCancelled};
/// use curium::sync::RLock;
///
/// async fn log(lock: &RLock<()>, line: &str) -> Result<()> {
///     let _guard = lock.acquire().await?; // the caller may hold it
///     println!("{line}");
///     Ok(())
/// }
///
/// kernel::run(async || {
///     let lock = RLock::new(());
///     let guard = lock.acquire().await?;
///     log(&lock, "one").await?;
///     log(&lock, "two, and nothing in between").await?;
///     drop(guard);
///     assert!(!lock.is_held());
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
#[derive(Default)]
pub struct RLock<T: ?Sized> {
    /// `None` if the lock is free, or was handed to a waiter that has not run yet.
    owner: Cell<Option<Taker>>,
    holder: Holder,
    /// The number of guards, with one for a waiter that was handed the lock.
    guards: Cell<usize>,
    waiters: WaitQueue,
    value: T,
}

/// The state of an [`RLock`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RLockStatistics {
    /// The task that holds the lock. `None` too while the lock is on its way to a waiter.
    pub owner: Option<TaskId>,
    /// The number of the kernel of that task, as in [`Snapshot::kernel`]. Kernels that take turns
    /// on a thread may share a lock, and two of their tasks may have the same id.
    ///
    /// [`Snapshot::kernel`]: kernel::insight::Snapshot::kernel
    pub owner_kernel: Option<u32>,
    /// How often it was taken and not released.
    pub guards: usize,
    /// The number of tasks that wait for it.
    pub waiting: usize,
}

impl<T> RLock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        RLock {
            owner: Cell::new(None),
            holder: Holder::new(),
            guards: Cell::new(0),
            waiters: WaitQueue::new(),
            value,
        }
    }

    /// Returns the value.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T: ?Sized> RLock<T> {
    /// Waits for the lock, unless this task holds it, and holds it until the guard is dropped.
    ///
    /// A call that waits in one branch of a `join!` waits until the lock is free, also if another
    /// branch of the same task has got it meanwhile.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the lock is not held once more then.
    ///
    /// # Cancellation
    ///
    /// A cancelled waiter leaves the queue. A waiter that was handed the lock before the
    /// cancellation gets the guard. If it is dropped instead, it passes the lock on.
    ///
    /// # Panics
    ///
    /// Outside a task, because a task must be its owner.
    #[track_caller]
    pub fn acquire(&self) -> impl Future<Output = Result<RLockGuard<'_, T>, TaskCancelled>> + '_ {
        Wait::new("RLOCK_ACQUIRE", Acquire { lock: self })
    }

    /// Takes the lock if it is free or this task holds it.
    ///
    /// # Panics
    ///
    /// Outside a task.
    #[track_caller]
    pub fn try_acquire(&self) -> Option<RLockGuard<'_, T>> {
        Acquire { lock: self }.try_now()
    }

    /// Whether a task holds the lock.
    pub fn is_held(&self) -> bool {
        self.guards.get() > 0
    }

    /// The value. No guard exists, because this is the only reference to the lock.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// The state of the lock now.
    pub fn statistics(&self) -> RLockStatistics {
        RLockStatistics {
            owner: self.owner.get().and_then(Taker::task),
            owner_kernel: self.owner.get().and_then(Taker::kernel),
            guards: self.guards.get(),
            waiting: self.waiters.len(),
        }
    }

    fn release(&self) {
        let left = self.guards.get() - 1;
        self.guards.set(left);
        if left == 0 {
            self.owner.set(None);
            // Before the hand-over, because code that a wake runs may look at the lock.
            self.guards.set(1);
            if !self.holder.hand_over(&self.waiters) {
                self.guards.set(0);
            }
        }
    }
}

impl<T: ?Sized> fmt::Debug for RLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLock")
            .field("owner", &self.owner.get().and_then(Taker::task))
            .field("guards", &self.guards.get())
            .field("waiting", &self.waiters.len())
            .finish_non_exhaustive()
    }
}

/// Holds an [`RLock`] and gives access to its value. Dropping it releases the lock once.
#[must_use = "dropped at once, it releases the lock at once"]
pub struct RLockGuard<'a, T: ?Sized> {
    lock: &'a RLock<T>,
}

impl<T: ?Sized> Deref for RLockGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.lock.value
    }
}

impl<T: ?Sized> Drop for RLockGuard<'_, T> {
    fn drop(&mut self) {
        self.lock.release();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RLockGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[track_caller]
fn this_task() -> Taker {
    match Taker::running() {
        Some(task) => task,
        None => panic!("an `RLock` belongs to a task; outside a kernel, use a `Lock`"),
    }
}

/// A wait for the lock.
struct Acquire<'a, T: ?Sized> {
    lock: &'a RLock<T>,
}

impl<'a, T: ?Sized> Handoff for Acquire<'a, T> {
    type Item = ();
    type Output = RLockGuard<'a, T>;

    const NOTED: bool = true;

    fn queue(&self) -> &WaitQueue {
        &self.lock.waiters
    }

    #[track_caller]
    fn try_take(&mut self) -> Option<()> {
        let (task, guards) = (this_task(), self.lock.guards.get());
        if guards > 0 && self.lock.owner.get() != Some(task) {
            return None;
        }
        self.lock.owner.set(Some(task));
        if guards == 0 {
            self.lock.holder.take();
        }
        self.lock.guards.set(guards + 1);
        Some(())
    }

    #[track_caller]
    fn try_now(&mut self) -> Option<RLockGuard<'a, T>> {
        self.try_take().map(|()| RLockGuard { lock: self.lock })
    }

    #[inline]
    fn parked(&mut self) {
        self.lock.holder.show(&self.lock.waiters);
    }

    #[track_caller]
    fn finish(&mut self, (): ()) -> RLockGuard<'a, T> {
        self.lock.owner.set(Some(this_task()));
        self.lock.holder.take_handed();
        RLockGuard { lock: self.lock }
    }

    fn pass_on(&mut self, (): ()) {
        self.lock.release();
    }
}
