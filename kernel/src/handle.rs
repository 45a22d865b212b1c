//! The handle of a kernel for other threads.

use std::panic::Location;
use std::sync::Arc;

use crate::core::current;
use crate::error::KernelGone;
use crate::id::TaskId;
use crate::run::kernel::Kernel;
use crate::task::bounds::SpawnOutput;
use crate::task::waker::{Message, Remote};
use crate::threads::call::call;
use crate::threads::call_async::CallAsync;

/// A handle of this kernel for other threads.
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn handle() -> Handle {
    current::with("kernel::handle", |core| Handle::new(core.remote().clone()))
}

/// Whether a kernel runs on this thread. Code that blocks its thread would block the kernel and all
/// its tasks.
///
/// ```
/// use curium::kernel;
///
/// assert!(!kernel::is_running());
/// kernel::run(async || assert!(kernel::is_running()));
/// ```
pub fn is_running() -> bool {
    current::try_with(|_| ()).is_some()
}

impl Kernel {
    /// A handle for other threads.
    pub fn handle(&self) -> Handle {
        Handle::new(self.core().remote().clone())
    }
}

/// Controls a kernel from any thread: spawns tasks in it and requests their cancellation.
///
/// Made by [`handle`](crate::handle). It does not keep the kernel running. But while a handle
/// exists, an idle kernel sleeps instead of panicking because of a deadlock. When the last handle
/// is dropped, the kernel checks for a deadlock again.
///
/// Do not use a handle in a signal handler: call no method of it, do not drop it, and use no waker
/// of a task. Each of these takes a lock and may allocate, and the interrupted thread may hold that
/// lock. Instead, write to a pipe or an eventfd that a task or a thread reads.
pub struct Handle {
    remote: Arc<Remote>,
}

impl Handle {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        remote.add_handle();
        Handle { remote }
    }

    #[cfg(feature = "cores")]
    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    /// Spawns a task. `build` is sent to the kernel's thread and makes the future there, so the
    /// future itself need not be `Send`.
    ///
    /// A failure of the task is reported like that of any task that is not joined. `Ok` means that
    /// `build` is in the mailbox of the kernel. If the kernel ends before it runs `build`, it drops
    /// `build` on its own thread.
    ///
    /// This never waits. Requests queue in memory, without a bound. The kernel serves some of them
    /// between two batches of its tasks, so many requests delay only one another. A thread that
    /// makes requests faster than they are served should wait for answers in between.
    ///
    /// # Errors
    ///
    /// [`KernelGone`]; `build` is dropped here and not called.
    pub fn spawn<B, F, R>(&self, build: B) -> Result<(), KernelGone>
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = R> + 'static,
        R: SpawnOutput,
    {
        let spawn = move || drop(crate::spawn(build()));
        self.remote.post(Message::Spawn(Box::new(spawn))).map_err(|_| KernelGone)
    }

    /// Runs a future on the kernel, and blocks this thread until the future has ended. For threads
    /// without a kernel.
    ///
    /// `build` is sent to the kernel's thread and makes the future there, so the future itself need
    /// not be `Send`; its output is. The future runs in a task of its own, which inherits nothing
    /// (see [`task_local!`](crate::task_local)). A thread that a task has started has a nearer way:
    /// [`Here::wait`](crate::Here::wait).
    ///
    /// ```
    /// use std::{sync::Arc, thread, time::Duration};
    /// use curium::kernel::{self, TaskCancelled, sleep};
    /// use curium::sync::UniversalEvent;
    ///
    /// kernel::run(async || {
    ///     let (handle, slept) = (kernel::handle(), Arc::new(UniversalEvent::new()));
    ///     let theirs = slept.clone();
    ///     thread::spawn(move || {
    ///         let called = handle.call(|| sleep(Duration::from_millis(1)));
    ///         assert_eq!(called, Ok(Ok(())));
    ///         theirs.set();
    ///     });
    ///     slept.wait().await
    /// })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`KernelGone`]: before the call, and then `build` is dropped here; or while it waits, and
    /// then the kernel has dropped `build` or the future on its own thread. A kernel that is built
    /// and does not run is not gone: the call waits for it.
    ///
    /// # Cancellation
    ///
    /// The caller cannot be cancelled. If the task of the future is cancelled, as by the shutdown
    /// of the kernel, the await points inside the future return the error, and the call returns
    /// what the future makes of it. If the grace of the shutdown is over, the future is dropped,
    /// and the call returns [`KernelGone`].
    ///
    /// # Panics
    ///
    /// With the panic of `build` or of the future. And if a kernel runs on this thread, this one or
    /// another: the call would block it, and may wait for itself.
    #[track_caller]
    pub fn call<B, F>(&self, build: B) -> Result<F::Output, KernelGone>
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        call(&self.remote, build).ok_or(KernelGone)
    }

    /// Runs a future on the kernel, and waits in this task until the future has ended. For tasks of
    /// other kernels; from a thread without a kernel, use [`call`](Handle::call).
    ///
    /// `build` is sent to the kernel's thread and makes the future there. The future is polled and
    /// dropped there, so it need not be `Send`; its output is. It runs in a task of its own, which
    /// inherits nothing (see [`task_local!`](crate::task_local)).
    ///
    /// The two kernels may wait for each other. A certain deadlock that leads through both is not
    /// found: while the call waits, this kernel cannot know that nothing will come.
    ///
    /// ```
    /// use std::{sync::mpsc, thread, time::Duration};
    /// use curium::kernel::{self, TaskCancelled, sleep, timeout_after};
    ///
    /// let (give, take) = mpsc::channel();
    /// let other = thread::spawn(move || {
    ///     kernel::run(async || {
    ///         give.send(kernel::handle()).expect("it is awaited");
    ///         sleep(Duration::from_secs(3600)).await
    ///     })
    /// });
    /// let other_kernel = take.recv()?;
    /// kernel::run(async || {
    ///     let slow = other_kernel.call_async(|| sleep(Duration::from_secs(3600)));
    ///     // The sleep in the other kernel is cancelled, and has ended when this returns.
    ///     let late = timeout_after(Duration::from_millis(1), async { slow.await? }).await;
    ///     assert!(late.is_err());
    /// #   let main = other_kernel.call_async(async || kernel::tasks()[0].id).await?;
    /// #   other_kernel.request_cancel(main).expect("it runs");
    ///     Ok::<(), TaskCancelled>(())
    /// })?;
    /// # let _ = other.join().expect("no panic");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`](crate::TaskCancelled): the wait was cancelled before the future was sent;
    /// or the future is gone, because its kernel is, or because it was aborted there. Then the
    /// reason is that of the caller's cancellation, if there was one, and else
    /// [`Abandoned`](crate::CancelReason::Abandoned).
    ///
    /// # Cancellation
    ///
    /// A cancellation of the caller is passed on: the await points of the future return it, the
    /// future cleans up, and the call returns what the future makes of it. An error that holds it
    /// is the same cancellation here. So `handle.call_async(..).await??` passes it on, as if the
    /// future had run in this task. A cancellation that reaches no await point of the future
    /// stays pending here. Dropped, the call cancels the future, with the reason
    /// [`Abandoned`](crate::CancelReason::Abandoned), and does not wait.
    ///
    /// # Panics
    ///
    /// When polled outside a kernel, and with the panic of `build` or of the future.
    #[track_caller]
    pub fn call_async<B, F>(&self, build: B) -> CallAsync<F::Output>
    where
        B: FnOnce() -> F + 'static,
        // The compiler shows the next lines when it refuses to send something.
        B: Send, // it is sent to the other kernel: make inside what stays on its thread
        F: Future + 'static,
        F::Output: Send + 'static, // it is sent back: return what need not stay on its thread
    {
        CallAsync::new(Some(self.remote.clone()), build, Location::caller())
    }

    /// Requests the cancellation of a task, and does not wait. If the task has ended, this does
    /// nothing.
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
