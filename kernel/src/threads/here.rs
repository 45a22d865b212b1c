//! The way of a thread into the kernel of its task.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use crate::core::current;
use crate::error::{CancelReason, TaskCancelled};
use crate::id::TaskId;
use crate::task::waker::{Message as Mail, Remote};
use crate::threads::answer::{Promise, promise};
use crate::threads::exchange::{Exchange, Notify};
use crate::threads::work::{AnyWork, promised};

/// What a thread sends to its task.
pub(super) enum Message {
    /// Run this, and answer.
    Wait(Box<dyn FnOnce() -> AnyWork + Send>),
    /// Deliver a cancellation that is pending, at that file and line.
    Check(Promise<Result<(), TaskCancelled>>, &'static Location<'static>),
    /// The body of the thread has ended.
    Ended,
}

/// What a thread and its task share.
pub(super) type Line = Exchange<Message, Served>;

/// The task of a thread, for the thread.
pub(super) struct Served {
    pub(super) remote: Arc<Remote>,
    pub(super) task: TaskId,
}

impl Notify for Served {
    fn notify(&self) {
        drop(self.remote.post(Mail::Thread(self.task)));
    }
}

/// The way of a [thread](crate::spawn_thread) into the kernel of its task.
///
/// Everything that a thread asks of its kernel goes through this value: it waits for a future with
/// [`wait`](Here::wait), and asks for a cancellation with [`check`](Here::check). It stays on its
/// thread, and with it everything that the kernel does for the thread.
///
/// When the task is gone (it was aborted, or dropped with its group or its kernel), the thread is
/// *abandoned*. From then on every call returns [`TaskCancelled`] with the reason
/// [`CancelReason::Abandoned`]. The thread should clean up without the kernel, and end.
// The compiler shows the next line when it refuses to send the way of a thread.
pub struct Here /* stays on its thread: send `kernel::handle()` and use `Handle::call` */ {
    line: Arc<Line>,
    stays: PhantomData<*const ()>,
}

impl Here {
    pub(super) fn new(line: Arc<Line>) -> Self {
        Here { line, stays: PhantomData }
    }

    /// Runs a future on the kernel, and blocks this thread until the future has ended.
    ///
    /// `build` is sent to the kernel's thread and makes the future there. So the future itself need
    /// not be `Send`; its output is. The future runs in the task of this thread, as if the task had
    /// awaited it: it sees the task's [`task_local!`](crate::task_local) values, and is shown where
    /// it waits. Meanwhile a virtual clock may jump, and a deadlock is found.
    ///
    /// ```
    /// use std::time::Duration;
    /// use curium::kernel::{self, TaskCancelled, sleep, spawn_thread, timeout_after};
    ///
    /// kernel::run(async || {
    ///     let thread = spawn_thread(|here| {
    ///         here.wait(|| sleep(Duration::from_millis(1)))??;
    ///         let late = here.wait(|| timeout_after(Duration::ZERO, sleep(Duration::MAX)))?;
    ///         Ok::<_, TaskCancelled>(late.is_err())
    ///     });
    ///     assert!(thread.await?);
    ///     Ok::<_, TaskCancelled>(())
    /// })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`] with the reason [`CancelReason::Abandoned`]: the task is gone, and the
    /// future was not run, or was dropped. A cancellation of the task is not this error: the await
    /// points inside the future return it, and the future decides what becomes of it.
    ///
    /// # Cancellation
    ///
    /// That of the future. A cancellation of the task that came before the call is delivered in it,
    /// at the first await point that would park. If the future has no such point, the cancellation
    /// stays pending.
    ///
    /// # Panics
    ///
    /// With the panic of `build` or of the future. And if a kernel runs on this thread: the call
    /// would block it.
    #[track_caller]
    pub fn wait<B, F>(&self, build: B) -> Result<F::Output, TaskCancelled>
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        refuse_in_kernel("Here::wait");
        let (promise, answer) = promise();
        let work = move || promised(build, promise);
        if self.line.send(Message::Wait(Box::new(work))).is_err() {
            return Err(abandoned());
        }
        match answer.wait() {
            Some(Ok(value)) => Ok(value),
            Some(Err(panic)) => panic.resume(),
            None => Err(abandoned()),
        }
    }

    /// Delivers a cancellation of the task that is pending, without waiting for anything else. For
    /// code that computes for long.
    ///
    /// It is an await point as any other: what it returns is delivered, and is not delivered again.
    /// While nothing is pending, it costs one load and does not ask the kernel. After a
    /// `request_cancel` on the kernel's thread has returned, the next `check` returns the error.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]: the cancellation of the task, or [`CancelReason::Abandoned`].
    ///
    /// # Panics
    ///
    /// If a kernel runs on this thread.
    #[track_caller]
    pub fn check(&self) -> Result<(), TaskCancelled> {
        refuse_in_kernel("Here::check");
        if !self.line.may_be_pending() {
            return Ok(());
        }
        let (promise, answer) = promise();
        if self.line.send(Message::Check(promise, Location::caller())).is_err() {
            return Err(abandoned());
        }
        answer.wait().unwrap_or_else(|| Err(abandoned()))
    }
}

fn abandoned() -> TaskCancelled {
    TaskCancelled::new(CancelReason::Abandoned)
}

/// A call that sleeps until a kernel answers must not block a kernel: it may be the same one.
#[track_caller]
pub(super) fn refuse_in_kernel(call: &str) {
    assert!(
        current::try_with(|_| ()).is_none(),
        "`{call}` would block the kernel that runs on this thread, with all its tasks; await the \
         future instead, or make the call on a thread without a kernel"
    );
}

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Here").field("abandoned", &self.line.is_closed()).finish_non_exhaustive()
    }
}
