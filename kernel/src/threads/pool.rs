//! A job on another thread, for the few system calls that always block, such as a lookup of a host
//! name.
//!
//! All kernels of the process share the threads. The number of threads is bounded, because a call
//! that hangs keeps its thread, and a thousand such calls must not use a thousand threads. Further
//! jobs wait for a thread, first come, first served. A thread ends when no job waits.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::thread;

use crate::core::current;
use crate::core::state::Core;
use crate::error::{Panic, TaskCancelled};
use crate::task::waker::{Message, Remote};
use crate::wait::in_kernel::InKernel;
use crate::wait::point::CancelPoint;

/// The largest number of jobs that run at one time in the process.
const THREADS: usize = 64;

/// The jobs that wait for a thread, and the number of threads.
///
/// Invariant: *a thread checks this queue before it ends*. So while a job waits, at least one
/// thread runs, and it takes the job later. Threads start and end under this lock, so the number is
/// exact. No code of the program runs under the lock: no job, no waker, no destructor.
static JOBS: Mutex<Jobs> =
    Mutex::new(Jobs { threads: 0, next_number: 0, waiting: BTreeMap::new() });

struct Jobs {
    threads: usize,
    next_number: u64,
    /// The keys are increasing numbers, so the map is in order of arrival.
    waiting: BTreeMap<u64, Job>,
}

type Job = Box<dyn FnOnce() + Send>;

fn jobs() -> MutexGuard<'static, Jobs> {
    JOBS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queued job. If this value is dropped while the job waits for a thread, the job is removed from
/// the queue and dropped.
pub(super) struct Queued(u64);

/// The system refused to start a thread, and no other thread runs that could take the job.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system gives no thread for a job (raise its limit of threads, `ulimit -u` or the \
     `pids.max` of the control group, or its memory): {0}"
)]
struct NoThread(#[source] io::Error);

impl Queued {
    /// Queues a job, and starts a thread unless the largest number of threads is reached.
    pub(super) fn new(job: Job) -> io::Result<Queued> {
        let mut jobs = jobs();
        let number = jobs.next_number;
        jobs.next_number += 1;
        jobs.waiting.insert(number, job);
        if jobs.threads < THREADS {
            match thread::Builder::new().name("curium-job".into()).spawn(run_jobs) {
                Ok(_) => jobs.threads += 1,
                Err(error) if jobs.threads == 0 => {
                    let job = jobs.waiting.remove(&number);
                    drop(jobs);
                    drop(job);
                    // The kind of the system's error is `WouldBlock`, which callers would take for
                    // "not ready yet".
                    return Err(io::Error::other(NoThread(error)));
                }
                // Another thread is running, and takes the job later.
                Err(_) => {}
            }
        }
        Ok(Queued(number))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let job = jobs().waiting.remove(&self.0);
        drop(job);
    }
}

/// The loop of a thread: runs one job after the other until none is left.
fn run_jobs() {
    loop {
        let next = {
            let mut jobs = jobs();
            let next = jobs.waiting.pop_first();
            if next.is_none() {
                jobs.threads -= 1;
            }
            next
        };
        let Some((_, job)) = next else { return };
        // A panic here comes from a waker, or from dropping a value that was not taken. It must not
        // end the thread, which serves other jobs.
        let mut payload = catch_unwind(AssertUnwindSafe(job)).err();
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload.take()))) {
            // The drop of the payload has panicked. The new payload may do the same, so it is
            // leaked.
            #[allow(clippy::mem_forget)]
            std::mem::forget(again);
        }
    }
}

/// The result of a job, and the waker of the task that waits for it.
struct Shared<T> {
    done: Mutex<Done<T>>,
}

struct Done<T> {
    result: Option<Result<T, Panic>>,
    waker: Option<Waker>,
}

/// Counts an unfinished job as long as a task waits for it. While the job counts, a virtual clock
/// does not jump, and an idle kernel is not in a deadlock.
struct Out(Rc<Core>, u64);

impl Out {
    fn new(core: Rc<Core>) -> Self {
        let job = core.next_cancel_seq();
        core.jobs.borrow_mut().insert(job);
        Out(core, job)
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.0.jobs.borrow_mut().remove(&self.1);
    }
}

/// Informs the kernel that a job has ended, also when its waker panics.
struct Back(Arc<Remote>, u64);

impl Drop for Back {
    fn drop(&mut self) {
        drop(self.0.post(Message::JobDone(self.1)));
    }
}

/// Runs `job` on another thread and waits for its value.
///
/// At most 64 jobs run at one time in a process, for all its kernels together. Further jobs wait
/// for a thread, first come, first served. So a job that waits for a later job, or for an effect of
/// one, may wait for ever: 64 such jobs leave no thread for the job that they wait for. A job that
/// hangs keeps its thread. Several jobs may run on one thread, one after the other, and then see
/// the same thread-locals.
///
/// # Errors
///
/// The outer error: this wait was cancelled. The inner error: the system refused to start a thread,
/// and no other thread runs that could take the job. Its kind is never one that means "not ready
/// yet", such as `WouldBlock`.
///
/// # Cancellation
///
/// The wait returns at once. A job that still waits for a thread is not started, and is dropped
/// here. A job that runs cannot be stopped: it runs to its end, and its value is dropped on its
/// thread.
///
/// # Panics
///
/// When polled outside a kernel, and with the panic of the job.
#[track_caller]
pub fn run_in_thread<T, F>(job: F) -> impl Future<Output = Result<io::Result<T>, TaskCancelled>>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    let site = std::panic::Location::caller();
    InKernel::new("a job", site, async move {
        let core = current::with("a job", Rc::clone);
        let mut point = CancelPoint::at("THREAD_WAIT", site);
        let shared = Arc::new(Shared { done: Mutex::new(Done { result: None, waker: None }) });
        let theirs = shared.clone();
        let remote = core.remote().clone();
        let out = Out::new(core);
        let number = out.1;
        let job = move || {
            // Dropped after the wake. From then on a virtual clock may jump, even if the task has
            // not taken the value yet.
            let _back = Back(remote, number);
            theirs.finish(catch_unwind(AssertUnwindSafe(job)).map_err(Panic::new));
        };
        let queued = match Queued::new(Box::new(job)) {
            Ok(queued) => queued,
            Err(error) => return Ok(Err(error)),
        };
        let result = std::future::poll_fn(|cx| point.poll(cx, |cx| shared.poll(cx.waker())));
        let result = result.await?;
        drop((queued, out));
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(panic) => panic.resume(),
        }
    })
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Done<T>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the result, and wakes the task that waits for it.
    fn finish(&self, result: Result<T, Panic>) {
        let waker = {
            let mut done = self.lock();
            done.result = Some(result);
            done.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, waker: &Waker) -> Poll<Result<T, Panic>> {
        let waker = waker.clone();
        let mut done = self.lock();
        match done.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                let old = done.waker.replace(waker);
                drop(done);
                drop(old);
                Poll::Pending
            }
        }
    }
}
