//! A job on a thread of a pool: for blocking calls and long computations.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::core::current;
use crate::error::TaskCancelled;
use crate::threads::detached::DetachedJob;
use crate::threads::pool::{JOBS, ThreadPool};
use crate::wait::point::CancelPoint;

/// Runs `job` on another thread and waits for its value: for calls that block, and for computations
/// that would hold up the tasks of the kernel.
///
/// ```
/// use curium::kernel::{self, TaskCancelled, run_in_thread};
///
/// kernel::run(async || {
///     let manifest = run_in_thread(|| std::fs::read_to_string("Cargo.toml")).await?;
///     assert!(manifest.expect("a file of this crate").contains("[package]"));
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// At most 64 jobs run at one time in a process, for all its kernels together. Further jobs wait
/// for a thread, first come, first served, also if the system gives no thread: see [`ThreadPool`],
/// which is also for jobs that shall not share these threads. Look-ups of host names have threads
/// of their own.
///
/// A job inherits nothing of its task: no task-locals ([`task_local!`](crate::task_local)), no
/// timeouts, no shield. It is outside the kernel, so `sleep` and other leaves panic in it, and a
/// [`Handle`](crate::Handle) works. Several jobs run on one thread, one after the other, and see
/// the same thread-locals.
///
/// # Errors
///
/// [`TaskCancelled`]: this wait was cancelled.
///
/// # Cancellation
///
/// The wait returns at once, also if it is a timeout that cancels it. If a cancellation is due when
/// the call is first polled, the job is not started. A job that still waits for a thread is not
/// started either. In both cases it is dropped here. A job that runs cannot be stopped: it is
/// *abandoned*, and runs to its end. Its value is dropped on a thread of the pool, or given to
/// [`dispose`](RunInThread::dispose) there, and its panic is lost but for the message of the panic
/// hook. The same happens if the future is dropped. [`abandoned_threads`](crate::abandoned_threads)
/// lists these threads. The shutdown names those that are left and does not wait for them. A
/// process that ends does not wait for any thread.
///
/// # Panics
///
/// When polled outside a kernel, and with the panic of the job.
#[doc(alias = "spawn_blocking")]
#[track_caller]
pub fn run_in_thread<T, F>(job: F) -> RunInThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    JOBS.run_in_thread(job)
}

impl ThreadPool {
    /// Runs `job` on a thread of this pool and waits for its value, as
    /// [`run_in_thread`](crate::run_in_thread) does in the pool of the process.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]: this wait was cancelled.
    ///
    /// # Cancellation
    ///
    /// As [`run_in_thread`](crate::run_in_thread).
    ///
    /// # Panics
    ///
    /// When polled outside a kernel, and with the panic of the job.
    #[track_caller]
    pub fn run_in_thread<T, F>(&'static self, job: F) -> RunInThread<T, F>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let point = CancelPoint::new("THREAD_WAIT");
        RunInThread { pool: self, point, progress: Progress::New(job, None) }
    }
}

/// The future of [`run_in_thread`](crate::run_in_thread).
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct RunInThread<T, F, D = fn(T)> {
    pool: &'static ThreadPool,
    point: CancelPoint,
    progress: Progress<T, F, D>,
}

enum Progress<T, F, D> {
    New(F, Option<D>),
    Begun(DetachedJob<T>),
    Over,
}

impl<T, F> RunInThread<T, F>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    /// Gives the value to `dispose` if no task takes it, because the wait was cancelled or its
    /// future dropped while the job ran. Without this the value is dropped.
    ///
    /// `dispose` runs on a thread of the pool. It is dropped unused if the value is taken, if the
    /// job does not start, and if the job panics.
    ///
    /// ```
    /// use std::fs::File;
    /// use curium::kernel::{self, TaskCancelled, run_in_thread};
    ///
    /// # let lock = std::env::temp_dir().join(format!("curium-{}.lock", std::process::id()));
    /// kernel::run(async || {
    ///     let (made, gone) = (lock.clone(), lock.clone());
    ///     let file = run_in_thread(move || File::create_new(made))
    ///         .dispose(move |late| drop(late.and_then(|_file| std::fs::remove_file(gone))))
    ///         .await?;
    /// #   assert!(file.is_ok());
    /// #   std::fs::remove_file(lock).expect("a file");
    ///     Ok::<(), TaskCancelled>(())
    /// })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    pub fn dispose<D>(self, dispose: D) -> RunInThread<T, F, D>
    where
        D: FnOnce(T) + Send + 'static,
    {
        let RunInThread { pool, point, progress } = self;
        let progress = match progress {
            Progress::New(job, _) => Progress::New(job, Some(dispose)),
            _ => panic!("`dispose` is called before the first poll"),
        };
        RunInThread { pool, point, progress }
    }
}

impl<T, F, D> Future for RunInThread<T, F, D>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
    D: FnOnce(T) + Send + 'static,
{
    type Output = Result<T, TaskCancelled>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let RunInThread { pool, point, progress } = self.get_mut();
        if current::try_with(|core| core.running_id()).flatten().is_none() {
            current::outside_at("a job", point.site());
        }
        let job = match progress {
            Progress::New(..) => return begin(pool, point, progress, cx),
            Progress::Begun(job) => job,
            Progress::Over => panic!("`run_in_thread` was polled after it had ended"),
        };
        let polled = point.poll(cx, |cx| job.poll_result(cx.waker()));
        if polled.is_ready() {
            // If the wait was cancelled, this gives the job up.
            *progress = Progress::Over;
        }
        polled.map_ok(|result| result.unwrap_or_else(|panic| panic.resume()))
    }
}

/// The first poll. It parks before the job begins, so that a cancellation that is due comes before
/// the job.
fn begin<T, F, D>(
    pool: &'static ThreadPool,
    point: &mut CancelPoint,
    progress: &mut Progress<T, F, D>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, TaskCancelled>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
    D: FnOnce(T) + Send + 'static,
{
    let parked = point.poll(cx, |_| Poll::Pending);
    let new = std::mem::replace(progress, Progress::Over);
    let Progress::New(job, dispose) = new else { unreachable!("this is the first poll") };
    if parked.is_pending() {
        let started = (pool, pool.name(), point.site());
        let job = DetachedJob::submit(started, job, dispose, Some(cx.waker()));
        *progress = Progress::Begun(job);
    }
    parked
}

/// Nothing in it is pinned.
impl<T, F, D> Unpin for RunInThread<T, F, D> {}

impl<T, F, D> fmt::Debug for RunInThread<T, F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunInThread").field("pool", &self.pool).finish_non_exhaustive()
    }
}
