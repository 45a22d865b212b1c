//! Waiting until something that a lock guards has changed.

use std::panic::Location;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

use crate::lock::LockGuard;

/// Waits, together with a [`Lock`](crate::Lock), for a change of what the lock guards.
///
/// `wait` consumes the guard and returns a new one, so the types show that an interrupted wait has
/// released the lock. A notification without a waiter does nothing.
///
/// ```
/// use std::rc::Rc;
/// use curium::kernel::{self, TaskCancelled, spawn};
/// use curium::sync::{Condition, Lock};
///
/// kernel::run(async || {
///     let shared = Rc::new((Lock::new(Vec::new()), Condition::new()));
///     let consumer = spawn({
///         let shared = shared.clone();
///         async move {
///             let (lock, changed) = &*shared;
///             let guard = lock.acquire().await?;
///             let mut items = changed.wait_for(guard, |items| !items.is_empty()).await?;
///             Ok::<_, TaskCancelled>(items.pop())
///         }
///     });
///     let (lock, changed) = &*shared;
///     lock.acquire().await?.push(7);
///     changed.notify(1);
///     assert_eq!(consumer.await?, Some(7));
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
#[derive(Debug, Default)]
pub struct Condition {
    waiters: WaitQueue,
}

/// The state of a [`Condition`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionStatistics {
    /// The number of tasks that wait for a notification. Those that were notified and wait for the
    /// lock are in [`Lock::statistics`](crate::Lock::statistics).
    pub waiting: usize,
}

impl Condition {
    /// A condition without waiters.
    pub const fn new() -> Self {
        Condition { waiters: WaitQueue::new() }
    }

    /// Releases the lock, waits for a notification, and takes the lock again, behind the tasks that
    /// already wait for it. There are no spurious wake-ups, but the value may have changed again
    /// since the notification: loop, or use [`wait_for`](Condition::wait_for).
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the lock is not held then.
    ///
    /// # Cancellation
    ///
    /// The lock is released. A notified waiter that is cancelled or dropped before it has the lock
    /// again passes the notification on.
    #[track_caller]
    pub fn wait<'a, T: ?Sized>(
        &'a self,
        guard: LockGuard<'a, T>,
    ) -> impl Future<Output = Result<LockGuard<'a, T>, TaskCancelled>> + 'a {
        self.wait_at(Location::caller(), guard)
    }

    async fn wait_at<'a, T: ?Sized>(
        &'a self,
        site: &'static Location<'static>,
        guard: LockGuard<'a, T>,
    ) -> Result<LockGuard<'a, T>, TaskCancelled> {
        let lock = LockGuard::lock(&guard);
        let waiting = Waiting { condition: self, guard: Some(guard) };
        Wait::at("CONDITION_WAIT", site, waiting).await?;
        let mut notified = Notified { condition: self, used: false };
        let guard = lock.acquire_at(site).await?;
        notified.used = true;
        Ok(guard)
    }

    /// Waits until `predicate` is true of what the lock guards. Returns at once if it is true
    /// already.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the lock is not held then.
    ///
    /// # Cancellation
    ///
    /// As [`wait`](Condition::wait).
    #[track_caller]
    pub fn wait_for<'a, T: ?Sized>(
        &'a self,
        mut guard: LockGuard<'a, T>,
        mut predicate: impl FnMut(&mut T) -> bool + 'a,
    ) -> impl Future<Output = Result<LockGuard<'a, T>, TaskCancelled>> + 'a {
        let site = Location::caller();
        async move {
            while !predicate(&mut guard) {
                guard = self.wait_at(site, guard).await?;
            }
            Ok(guard)
        }
    }

    /// Wakes the `n` oldest waiters, or all if there are fewer. Neither blocks nor switches to
    /// another task.
    pub fn notify(&self, n: usize) {
        for _ in 0..n {
            if self.waiters.hand_over(()).is_err() {
                break;
            }
        }
    }

    /// Wakes every task that waits now. Neither blocks nor switches to another task.
    pub fn notify_all(&self) {
        self.waiters.hand_over_all(|| ());
    }

    /// The state of the condition now.
    pub fn statistics(&self) -> ConditionStatistics {
        ConditionStatistics { waiting: self.waiters.len() }
    }
}

/// A wait for a notification. It holds the lock until it is queued.
struct Waiting<'a, T: ?Sized> {
    condition: &'a Condition,
    guard: Option<LockGuard<'a, T>>,
}

impl<T: ?Sized> Handoff for Waiting<'_, T> {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.condition.waiters
    }

    /// Releases the lock. The waiter is queued in the same poll, so it misses no notification.
    fn try_take(&mut self) -> Option<()> {
        self.guard = None;
        None
    }

    fn finish(&mut self, (): ()) {}

    fn pass_on(&mut self, (): ()) {
        self.condition.notify(1);
    }
}

/// A received notification. Dropping it unused passes it on.
struct Notified<'a> {
    condition: &'a Condition,
    used: bool,
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.condition.notify(1);
        }
    }
}
