//! A kernel's handle for other threads.

use std::sync::Arc;

use crate::core::current;
use crate::id::TaskId;
use crate::run::kernel::Kernel;
use crate::task::bounds::SpawnOutput;
use crate::task::waker::{Message, Remote};

/// A handle of this kernel for other threads.
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn handle() -> Handle {
    current::with("kernel::handle", |core| Handle::new(core.remote().clone()))
}

impl Kernel {
    /// A handle for other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(self.core().remote().clone())
    }
}

/// Speaks to a kernel from any thread: spawns tasks in it and asks for their cancellation.
///
/// Made by [`handle`](crate::handle). It does not keep the kernel running, but while it lives a
/// kernel with nothing to do waits for it instead of reporting a deadlock. When the last one goes,
/// the kernel looks again.
///
/// No method of it may be called in a signal handler, nor may it be dropped there, nor may a waker
/// of a task be used: each takes a lock and may allocate, and the thread that was interrupted may
/// hold that lock. A handler writes to a pipe or to an eventfd that a task or a thread reads.
pub struct Handle {
    remote: Arc<Remote>,
}

/// The kernel that this handle spoke to is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel is gone; nothing was started")]
pub struct KernelGone;

impl Handle {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        remote.add_handle();
        Handle { remote }
    }

    /// Spawns a task: `build` is sent to the kernel's thread and makes the future there, so the
    /// future itself need not be `Send`.
    ///
    /// Its failure is reported like that of any task that nobody joins. Ok means that the kernel
    /// has `build`; one that goes before it comes to it drops it, unused, on its own thread.
    ///
    /// Never waits: requests queue in memory, without a bound. The kernel serves some of them
    /// between two rounds of its tasks, so many of them delay one another and nothing else. A
    /// thread that makes them faster than they are served should wait for answers in between.
    ///
    /// # Errors
    ///
    /// [`KernelGone`]; `build` is dropped here, unused.
    pub fn spawn<B, F, R>(&self, build: B) -> Result<(), KernelGone>
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = R> + 'static,
        R: SpawnOutput,
    {
        let spawn = move || drop(crate::spawn(build()));
        self.remote.post(Message::Spawn(Box::new(spawn))).map_err(|_| KernelGone)
    }

    /// Requests the cancellation of a task, and does not wait. On an ended task: nothing.
    ///
    /// # Errors
    ///
    /// [`KernelGone`].
    pub fn request_cancel(&self, task: TaskId) -> Result<(), KernelGone> {
        self.remote.post(Message::Cancel(task)).map_err(|_| KernelGone)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Handle::new(self.remote.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.remote.drop_handle();
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
