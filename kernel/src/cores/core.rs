//! One core, as its tasks see it.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;

use crate::cores::ask;
use crate::cores::local::{self, Local, Stopping};
use crate::cores::seen::CoreSnapshots;
use crate::cores::shared::Shared;
use crate::error::TaskCancelled;
use crate::handle::Handle;
use crate::threads::call_async::CallAsync;
use crate::wait::handoff::Wait;

/// One of the cores of [`kernels`](crate::kernels): given to its main function, and found by
/// [`Core::current`] in any of its tasks.
///
/// It stays on its thread. Clones are the same core.
#[derive(Clone)]
pub struct Core {
    shared: Arc<Shared>,
    local: Rc<Local>,
    index: usize,
}

impl Core {
    pub(super) fn new(shared: &Arc<Shared>, index: usize) -> Self {
        Core { shared: shared.clone(), local: Rc::default(), index }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) fn local(&self) -> &Rc<Local> {
        &self.local
    }

    /// The core that this code runs on. `None` in a kernel that [`kernels`](crate::kernels) has not
    /// made.
    pub fn current() -> Option<Core> {
        local::current()
    }

    /// Its number: from 0, and less than the [`count`](Core::count).
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many cores there are.
    pub fn count(&self) -> usize {
        self.shared.count()
    }

    /// Runs a future on the core of that number, and waits here until it has ended.
    ///
    /// The future is made, polled and dropped there, so it need not be `Send`. The call is a future
    /// like any other: a member of a group may be a call. See [`Handle::call_async`] for the rest.
    /// A core serves calls until the main functions of all cores have ended. A call of the own core
    /// is served as one of another.
    ///
    /// ```
    /// use curium::kernel::{CoreErrors, TaskCancelled, kernels};
    ///
    /// let sums = kernels(2, async |core| {
    ///     let other = 1 - core.index();
    ///     let sum = core.call(other, move || async move { (1..=10 + other).sum::<usize>() });
    ///     sum.await
    /// })?;
    /// assert_eq!(sums, [66, 55]);
    /// # Ok::<(), CoreErrors<TaskCancelled>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Handle::call_async`].
    ///
    /// # Cancellation
    ///
    /// Passed on: see [`Handle::call_async`].
    ///
    /// # Panics
    ///
    /// If there is no such core, when polled outside a kernel, and with the panic of the future.
    #[track_caller]
    pub fn call<B, F>(&self, core: usize, build: B) -> CallAsync<F::Output>
    where
        B: FnOnce() -> F + 'static,
        // The compiler shows the next lines when it refuses to send something.
        B: Send, // it is sent to the other core: make inside what stays on its thread
        F: Future + 'static,
        F::Output: Send + 'static, // it is sent back: return what need not stay on its thread
    {
        self.assert_exists(core);
        CallAsync::new(self.shared.remote(core).cloned(), build, Location::caller())
    }

    /// The handle of the kernel of that core. `None` if that core could not start; then this one is
    /// cancelled.
    ///
    /// # Panics
    ///
    /// If there is no such core.
    #[track_caller]
    pub fn handle(&self, core: usize) -> Option<Handle> {
        self.assert_exists(core);
        self.shared.handle(core).cloned()
    }

    #[track_caller]
    fn assert_exists(&self, core: usize) {
        let count = self.count();
        assert!(core < count, "there is no core {core}: the {count} cores are numbered from 0");
    }

    /// What every core does, each at a moment of its own: its tasks, groups and threads, and what
    /// each parked leaf waits for, as [`snapshot`](crate::snapshot) of one kernel.
    ///
    /// A core that does not answer within a quarter of a second, because a task there blocks its
    /// thread, is named, and the others are shown. So this returns soon whatever they do. The time
    /// is real also if the clock of this core is a virtual one. The jobs of
    /// [`run_in_thread`](crate::run_in_thread) hold it up as little.
    ///
    /// A core with more than some hundred tasks, this one too, is shown in parts. Its tasks run
    /// between them, and it has the time for each. So the whole is not one moment: a task may be
    /// missing for which another waits. A [verdict](crate::insight::Verdict) is shown only if no
    /// task of it has run meanwhile.
    ///
    /// ```
    /// use curium::kernel::{CoreErrors, TaskCancelled, kernels};
    ///
    /// kernels(2, async |core| {
    ///     if core.index() == 0 {
    ///         let seen = core.snapshots().await?;
    ///         assert!(seen.to_string().contains("core 1"), "{seen}");
    ///         assert!(seen.cores.iter().all(|core| core.is_ok()));
    ///     }
    ///     Ok(())
    /// })?;
    /// # Ok::<(), CoreErrors<TaskCancelled>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// The answers that have come are lost. It can be called again. A thread that asks the cores is
    /// abandoned, as a job is, and ends at once. Nothing else changes.
    ///
    /// # Panics
    ///
    /// When polled outside a kernel.
    #[track_caller]
    pub fn snapshots(&self) -> impl Future<Output = Result<CoreSnapshots, TaskCancelled>> + use<> {
        ask::snapshots(&self.shared, self.index)
    }

    /// Asks all cores to stop, and does not wait. A second call does nothing.
    ///
    /// 1. [`stopping`](Core::stopping) returns in every core, and servers accept no more.
    /// 2. The main functions have the time of [`drain`](crate::Cores::drain) to end by themselves.
    /// 3. Those that are left are cancelled, with the reason
    ///    [`Shutdown`](crate::CancelReason::Shutdown), and have the time of
    ///    [`grace`](crate::Cores::grace).
    /// 4. What is left then is aborted and reported, with its core and the place where it waits.
    pub fn stop(&self) {
        self.shared.stop();
    }

    /// Waits until the cores are asked to [stop](Core::stop).
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// It only waits, so nothing is lost.
    #[track_caller]
    pub fn stopping(&self) -> impl Future<Output = Result<(), TaskCancelled>> + use<> {
        Wait::new("CORES_STOPPING", Stopping(self.local.clone()))
    }

    /// Whether the cores were asked to [stop](Core::stop).
    pub fn is_stopping(&self) -> bool {
        self.local.is_stopping()
    }

    /// What another crate keeps for all cores, made at the first call for its type.
    #[doc(hidden)]
    pub fn common<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        self.shared.common()
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Core");
        debug.field("index", &self.index).field("count", &self.count()).finish_non_exhaustive()
    }
}
