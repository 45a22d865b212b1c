//! A thread that is a task: the task serves the thread until its body has ended.

use std::borrow::Cow;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::{Context, Wake, Waker};
use std::thread;

use crate::core::current;
use crate::core::jobs::Counted;
use crate::core::state::Core;
use crate::error::Panic;
use crate::spawn::{Task, spawn_named};
use crate::task::bounds::SpawnOutput;
use crate::task_handle::name_of_code;
use crate::threads::answer::promise;
use crate::threads::here::{Here, Line, Message, Served};
use crate::threads::work::AnyWork;
use crate::wait::point::CancelPoint;

/// Starts a thread that is a task: synchronous code, which is joined, listed and cancelled like any
/// other task.
///
/// For code that computes for long, or waits in calls that block, and must not do so on the thread
/// of the kernel. Each call has a thread of its own for as long as `body` runs; for short calls,
/// [`run_in_thread`](crate::run_in_thread) uses a bounded number of threads again and again.
///
/// `body` gets [`Here`], its way into the kernel: [`here.wait(..)`](Here::wait) runs a future on
/// the kernel, and [`here.check()`](Here::check) delivers a cancellation. In a group, use
/// [`g.spawn_thread(..)`](crate::GroupRef::spawn_thread): then the group waits for the thread.
///
/// ```
/// use std::sync::Arc;
/// use curium::kernel::{self, TaskCancelled, spawn_thread};
/// use curium::sync::UniversalQueue;
///
/// kernel::run(async || {
///     let numbers = Arc::new(UniversalQueue::unbounded());
///     let theirs = numbers.clone();
///     let sum = spawn_thread(move |here| {
///         let mut sum = 0;
///         loop {
///             let numbers = theirs.clone();
///             // Blocks this thread, and not the kernel.
///             let next = here.wait(move || async move { numbers.next().await })?;
///             match next? { // the task was cancelled while it waited
///                 Some(number) => sum += number,
///                 None => return Ok::<u32, TaskCancelled>(sum),
///             }
///         }
///     });
///     for number in 1..=4 {
///         numbers.put(number).await?;
///     }
///     numbers.close();
///     assert_eq!(sum.await?, 10);
///     Ok::<_, TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// # What the kernel sees
///
/// The task starts the thread at its first poll. While the thread computes, the task is parked in
/// `THREAD`, at the line of this call; in [`Here::wait`] it is parked where the future waits. While
/// the thread computes, a virtual clock does not jump. `body` sees no
/// [`task_local!`](crate::task_local!) values; a future in [`Here::wait`] sees those that the
/// caller of `spawn_thread` sees.
///
/// # Cancellation
///
/// A thread cannot be stopped. A cancellation is delivered at the next [`Here::check`], or in the
/// next [`Here::wait`], and a `cancel().await` returns when `body` has ended. A body that calls
/// neither is not cancelled.
///
/// If the task is aborted, or dropped with its group or its kernel, the thread is *abandoned*: its
/// result is dropped when it ends, [`Here`] refuses from then on, and
/// [`abandoned_threads`](crate::abandoned_threads) lists it until it ends. A task that is aborted
/// before its first poll starts no thread.
///
/// # Panics
///
/// Outside a kernel. A panic of `body` is the panic of the task. If the system gives no thread, the
/// task panics, and `body` is dropped.
#[track_caller]
pub fn spawn_thread<B, R>(body: B) -> Task<R::Value, R::Error>
where
    B: FnOnce(&Here) -> R + Send + 'static,
    R: SpawnOutput + Send,
{
    current::with("kernel::spawn_thread", |_| ());
    spawn_named(name_of_code::<B>(), serve_thread(body, Location::caller()))
}

/// [`spawn_thread`] with a name for the monitor, for the reports, and for the system's thread.
///
/// # Panics
///
/// As [`spawn_thread`].
#[track_caller]
pub fn spawn_thread_named<B, R>(
    name: impl Into<Cow<'static, str>>,
    body: B,
) -> Task<R::Value, R::Error>
where
    B: FnOnce(&Here) -> R + Send + 'static,
    R: SpawnOutput + Send,
{
    current::with("kernel::spawn_thread_named", |_| ());
    spawn_named(name, serve_thread(body, Location::caller()))
}

/// The future of a task that serves a thread. Its output is that of `body`.
pub(crate) async fn serve_thread<B, R>(body: B, site: &'static Location<'static>) -> R
where
    B: FnOnce(&Here) -> R + Send + 'static,
    R: Send + 'static,
{
    let core = current::with("spawn_thread", Rc::clone);
    let (give, ended) = promise();
    let thread = ThreadTask::start(core, site, move |here| {
        give.give(catch_unwind(AssertUnwindSafe(|| body(here))).map_err(Panic::new));
    });
    thread.serve().await;
    match ended.take().expect("the body has ended") {
        Ok(output) => output,
        Err(panic) => panic.resume(),
    }
}

/// A thread, in the future of its task. Dropped before the body has ended, it abandons the thread.
struct ThreadTask {
    core: Rc<Core>,
    line: Arc<Line>,
    alive: Weak<()>,
    name: String,
    site: &'static Location<'static>,
    /// What runs for the thread. It is here and not in `serve`, so that the exchange is closed
    /// before the thread wakes.
    work: Option<AnyWork>,
    ended: bool,
}

impl ThreadTask {
    fn start(
        core: Rc<Core>,
        site: &'static Location<'static>,
        body: impl FnOnce(&Here) + Send + 'static,
    ) -> Self {
        let served = core.with_running(|task| (task.id(), core.name_of(task)));
        let (task, name) = served.expect("a task is polled");
        let served = Served { remote: core.remote().clone(), task };
        let line = Arc::new(Line::new(served, core.due(0)));
        let alive = Arc::new(());
        let weak = Arc::downgrade(&alive);
        let theirs = line.clone();
        let run = move || {
            let _alive = alive;
            body(&Here::new(theirs.clone()));
            // Refused if the thread is abandoned.
            drop(theirs.send(Message::Ended));
        };
        // The system's interface ends a name at its first zero.
        let started = thread::Builder::new().name(name.replace('\0', " ")).spawn(run);
        if let Err(error) = started {
            no_thread(site, &error);
        }
        core.thread_tasks.set(core.thread_tasks.get() + 1);
        ThreadTask { core, line, alive: weak, name, site, work: None, ended: false }
    }

    /// Does what the thread asks for, until its body has ended.
    async fn serve(mut self) {
        // It is never cancelled: a cancellation stays pending until the thread asks for it.
        let mut point = CancelPoint::shielded("THREAD", self.site);
        // While the thread computes, the task waits for a job (K8).
        let mut computes = Some(Counted::new(&self.core));
        loop {
            let next = poll_fn(|cx| {
                let noted = Waker::from(Arc::new(NotesCancel {
                    line: self.line.clone(),
                    waker: cx.waker().clone(),
                }));
                point.poll(&mut Context::from_waker(&noted), |_| self.line.poll_next())
            });
            match next.await.expect("a shielded leaf is not cancelled") {
                Message::Wait(build) => {
                    drop(computes.take());
                    let work = self.work.insert(build());
                    let answer = work.await;
                    drop(self.work.take());
                    computes = Some(Counted::new(&self.core));
                    self.line.set_pending(self.core.due(0));
                    answer();
                }
                Message::Check(promise, site) => {
                    let due = self.core.due(0);
                    let delivered =
                        if due { Err(self.core.deliver(0, Some(site))) } else { Ok(()) };
                    self.line.set_pending(self.core.due(0));
                    promise.give(delivered);
                }
                Message::Ended => break,
            }
        }
        self.ended = true;
        drop(computes);
    }
}

impl Drop for ThreadTask {
    fn drop(&mut self) {
        let core = &self.core;
        core.thread_tasks.set(core.thread_tasks.get() - 1);
        let left = self.line.close();
        if !self.ended && !matches!(left, Some(Message::Ended)) {
            core.abandon(std::mem::take(&mut self.name), self.site, self.alive.clone());
        }
        self.line.set_pending(true);
        core.discard(left);
        core.discard(self.work.take());
    }
}

#[cold]
fn no_thread(site: &'static Location<'static>, error: &io::Error) -> ! {
    panic!(
        "the system gives no thread for the task that was started at {site} (raise its limit of \
         threads, `ulimit -u` or the `pids.max` of the control group, or its memory): {error}"
    );
}

/// The waker that a request for a cancellation wakes, in the call that makes the request.
struct NotesCancel {
    line: Arc<Line>,
    waker: Waker,
}

impl Wake for NotesCancel {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.line.set_pending(true);
        self.waker.wake_by_ref();
    }
}
