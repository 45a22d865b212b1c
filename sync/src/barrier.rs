//! A point at which a number of tasks wait for each other.

use std::cell::Cell;
use std::fmt;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

/// A point at which `n` tasks wait for each other, again and again.
///
/// When the last of `n` comes, all go on, the oldest first, and the barrier is ready for the next
/// `n`. A task that is cancelled while it waits has not come: another one must take its place.
///
/// Do not use it to wait for tasks to end: a [`TaskGroup`](kernel::TaskGroup) does that, also if
/// one of them fails. With a barrier, the others would wait for ever.
///
/// ```
/// use std::rc::Rc;
/// use curium::kernel::{self, TaskCancelled, spawn};
/// use curium::sync::Barrier;
///
/// kernel::run(async || {
///     let ready = Rc::new(Barrier::new(2));
///     let other = spawn({
///         let ready = ready.clone();
///         async move { ready.wait().await }
///     });
///     let here = ready.wait().await?;
///     let there = other.await?;
///     assert!(here.is_leader() != there.is_leader());
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
pub struct Barrier {
    n: usize,
    waiters: WaitQueue<BarrierWaitResult>,
    passed: Cell<u64>,
}

/// The state of a [`Barrier`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BarrierStatistics {
    /// How many tasks it takes.
    pub n: usize,
    /// The number of tasks that wait.
    pub waiting: usize,
    /// How often it has let `n` tasks go on.
    pub passed: u64,
}

/// What [`Barrier::wait`] returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Whether this task was the last to come: one of the `n` is.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl Barrier {
    /// A barrier for `n` tasks. With 0 or 1, no task waits.
    pub const fn new(n: usize) -> Self {
        Barrier { n, waiters: WaitQueue::new(), passed: Cell::new(0) }
    }

    /// Waits until `n` tasks have come.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the task has not come then.
    ///
    /// # Cancellation
    ///
    /// A cancelled or dropped waiter does not count. If the last task had come before the
    /// cancellation, the wait ends well.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<BarrierWaitResult, TaskCancelled>> + '_ {
        Wait::new("BARRIER_WAIT", Come { barrier: self })
    }

    /// The state of the barrier now.
    pub fn statistics(&self) -> BarrierStatistics {
        BarrierStatistics { n: self.n, waiting: self.waiters.len(), passed: self.passed.get() }
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").field("n", &self.n).field("waiting", &self.waiters.len()).finish()
    }
}

/// A wait for the others.
struct Come<'a> {
    barrier: &'a Barrier,
}

impl Handoff for Come<'_> {
    type Item = BarrierWaitResult;
    type Output = BarrierWaitResult;

    fn queue(&self) -> &WaitQueue<BarrierWaitResult> {
        &self.barrier.waiters
    }

    fn try_take(&mut self) -> Option<BarrierWaitResult> {
        let Barrier { n, waiters, passed } = self.barrier;
        if waiters.len() + 1 < *n {
            return None;
        }
        passed.set(passed.get() + 1);
        waiters.hand_over_all(|| BarrierWaitResult(false));
        Some(BarrierWaitResult(true))
    }

    fn finish(&mut self, result: BarrierWaitResult) -> BarrierWaitResult {
        result
    }

    /// The others have gone on already, so there is nothing to pass on.
    fn pass_on(&mut self, _: BarrierWaitResult) {}
}
