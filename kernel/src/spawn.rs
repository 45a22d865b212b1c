//! Spawning a task, and awaiting it. What else its handle can do is in `task_handle.rs`.
//!
//! A task belongs to its kernel, or to its group, not to its handle: dropping the handle leaves the
//! task running.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::panic::Location;

use crate::core::current;
use crate::core::life::{SlotOf, by_size};
use crate::core::state::TaskRef;
use crate::error::TaskCancelled;
use crate::task::bounds::SpawnOutput;
use crate::wait::join::{Join, TaskFuture};

/// Starts a task. It is queued behind all ready tasks, and the caller continues.
///
/// The future need not be `Send`. It returns a `Result`, or `()` if the task cannot fail. A task
/// that is spawned while the kernel shuts down starts cancelled.
///
/// If the compiler cannot infer the error type of an `async` block, end the block with `Ok::<_,
/// TaskCancelled>(value)`. A block that never ends needs its type at the call: `spawn::<_,
/// Result<(), TaskCancelled>>(async { .. })`.
///
/// ```
/// use curium::kernel::{self, TaskCancelled, spawn};
///
/// kernel::run(async || {
///     let task = spawn(async { Ok::<_, TaskCancelled>(6 * 7) });
///     assert_eq!(task.await?, 42);
///     Ok::<_, TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn spawn<F, R>(future: F) -> Task<R::Value, R::Error>
where
    F: Future<Output = R> + 'static,
    R: SpawnOutput,
{
    match spawn_as::<F, F, R>(future) {
        Some(task) => task,
        None => current::outside("kernel::spawn"),
    }
}

/// [`spawn`] for a task that is named after the type `N`. `None`: no kernel runs on this thread.
#[inline(always)]
pub(crate) fn spawn_as<N, F, R>(future: F) -> Option<Task<R::Value, R::Error>>
where
    F: Future<Output = R> + 'static,
    R: SpawnOutput,
{
    let admit = by_size::<F, R::Error, fn(F) -> Option<TaskRef>>(
        admit_large::<N, F, R>,
        admit_small::<N, F, R>,
    );
    admit(future).map(Task::of)
}

#[inline(always)]
fn admit_small<N, F, R>(future: F) -> Option<TaskRef>
where
    F: Future<Output = R> + 'static,
    R: SpawnOutput,
{
    current::try_with(|core| core.admit_as::<N, F, R::Error>(future, None))
}

fn admit_large<N, F, R>(future: F) -> Option<TaskRef>
where
    F: Future<Output = R> + 'static,
    R: SpawnOutput,
{
    let body = Box::pin(SlotOf::<F, R::Error>::Running { future });
    current::try_with(|core| core.admit_boxed(body, std::any::type_name::<N>, None))
}

/// [`spawn`] with a name for the monitor and the reports.
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn spawn_named<F, R>(name: impl Into<Cow<'static, str>>, future: F) -> Task<R::Value, R::Error>
where
    F: Future<Output = R> + 'static,
    R: SpawnOutput,
{
    let admit = by_size::<F, R::Error, fn(F) -> Option<TaskRef>>(
        admit_large::<F, F, R>,
        admit_small::<F, F, R>,
    );
    let Some(task) = admit(future) else {
        current::outside("kernel::spawn_named");
    };
    // Before `of`, in which observers see the task.
    task.core().set_name(&task, name.into());
    Task::of(task)
}

/// The handle of a task: to await it, cancel it and inspect it.
///
/// `task.await` waits for the task to end and returns its `Result<T, E>`, where `E` implements
/// `From<TaskCancelled>`. The error is the task's own, or a cancellation as `E`: of the caller
/// while it waited, or of a task that was aborted. A panic of the task is resumed in the caller.
/// The await also panics if the outcome was already taken: an earlier `join` took it, or the group
/// of a member that failed. To tell these cases apart, use [`join`](Task::join). To await a task
/// and keep its handle, await a reference.
///
/// ```
/// use curium::kernel::{self, Result, TaskCancelled, sleep, spawn};
/// # use std::time::Duration;
///
/// async fn answer() -> Result<u32> {
///     sleep(Duration::from_millis(1)).await?;
///     Ok(42)
/// }
///
/// kernel::run(async || {
///     let (one, two) = (spawn(answer()), spawn(answer()));
///     assert_eq!((&one).await? + two.await?, 84);
///     assert!(one.is_done());
///     Ok::<_, TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// Dropping the handle leaves the task running. A failure that no caller takes is reported when the
/// task has ended and its last handle is dropped.
///
/// A task and its handle stay on the thread of their kernel. Send other threads a
/// [`handle`](crate::handle) of the kernel and the task's [`id`](Task::id):
///
/// ```
/// use std::thread;
///
/// use curium::kernel::{self, TaskCancelled, handle, sleep, spawn};
///
/// kernel::run(async || {
///     let task = spawn(sleep(std::time::Duration::MAX));
///     let (handle, id) = (handle(), task.id());
///     thread::spawn(move || handle.request_cancel(id));
///     task.wait().await
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
#[doc(alias = "JoinHandle")]
// The compiler shows the next line when it refuses to send a task.
pub struct Task<T, E> /* stays on its thread: send `kernel::handle()` and its `id()` instead */ {
    pub(crate) cell: TaskRef,
    output: PhantomData<fn() -> (T, E)>,
}

impl<T: 'static, E: 'static> Task<T, E> {
    /// The handle of a task that was just admitted.
    #[inline]
    pub(crate) fn of(cell: TaskRef) -> Self {
        cell.announce_if_not_queued();
        Task { cell, output: PhantomData }
    }

    /// Waits for the task to end and takes its outcome, as two nested results; `task.await`
    /// flattens them. The first call takes the outcome; later calls return
    /// [`TaskError::Taken`](crate::TaskError::Taken).
    ///
    /// # Errors
    ///
    /// The outer error: *this* wait was cancelled. The inner error: how the task ended, if it did
    /// not succeed.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the task goes on and its outcome stays with it.
    #[track_caller]
    pub fn join(&self) -> Join<T, E> {
        Join::new(Location::caller(), &self.cell)
    }
}

impl<T: 'static, E: From<TaskCancelled> + 'static> IntoFuture for Task<T, E> {
    type Output = Result<T, E>;
    type IntoFuture = TaskFuture<T, E>;

    /// Waits for the task to end and returns its result. The first call takes it.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the task continues. To await it again, await a reference.
    ///
    /// # Panics
    ///
    /// When awaited: resumes the task's own panic, and panics if the outcome was already taken.
    #[track_caller]
    fn into_future(self) -> TaskFuture<T, E> {
        TaskFuture::new(self.join())
    }
}
