//! A job on another thread, awaited here: for the few system calls that cannot be done otherwise,
//! such as looking a name up.
//!
//! The threads are the process's, not a kernel's, and there is a bound to their number: a call that
//! hangs keeps its thread, and a thousand of them must not take a thousand threads. Further jobs
//! wait for one in the order in which they came. A thread ends when no job is left.

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

/// Jobs that run at one time, in the whole process.
const THREADS: usize = 64;

/// The jobs that wait for a thread, and how many threads there are.
///
/// Invariant: *a thread looks here before it ends*, so while a job waits, a thread runs that will
/// take it. Threads are started and leave under this lock, so the count is exact. Nothing of a
/// program runs under it: no job, no waker, no destructor.
static JOBS: Mutex<Jobs> =
    Mutex::new(Jobs { threads: 0, next_number: 0, waiting: BTreeMap::new() });

struct Jobs {
    threads: usize,
    next_number: u64,
    /// By number, so in order of arrival.
    waiting: BTreeMap<u64, Job>,
}

type Job = Box<dyn FnOnce() + Send>;

fn jobs() -> MutexGuard<'static, Jobs> {
    JOBS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A job that was queued. Dropped while the job still waits, it takes it out and drops it.
struct Queued(u64);

/// The system gave no thread, and none runs that could take the job.
#[derive(Debug, thiserror::Error)]
#[error(
    "the system gives no thread for a job (raise its limit of threads, `ulimit -u` or the \
     `pids.max` of the control group, or its memory): {0}"
)]
struct NoThread(#[source] io::Error);

impl Queued {
    /// Queues a job, and starts a thread if there may be one more.
    fn new(job: Job) -> io::Result<Queued> {
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
                    // Not of the kind that the system's error has: that is `WouldBlock`.
                    return Err(io::Error::other(NoThread(error)));
                }
                // One of those that run takes it.
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

/// What a thread does: one job after the other until none is left.
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
        // What panics here is a waker, or a value that nobody took: the thread is for the others.
        let mut payload = catch_unwind(AssertUnwindSafe(job)).err();
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload.take()))) {
            // A payload whose own drop panics, with its like perhaps, cannot be dropped.
            #[allow(clippy::mem_forget)]
            std::mem::forget(again);
        }
    }
}

/// Where the job leaves its result, and whom it wakes.
struct Shared<T> {
    done: Mutex<Done<T>>,
}

struct Done<T> {
    result: Option<Result<T, Panic>>,
    waker: Option<Waker>,
}

/// Counts a job while it is out: a virtual clock waits for it, and it is no deadlock.
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

/// Tells the kernel that a job is back, also when its waker panics.
struct Back(Arc<Remote>, u64);

impl Drop for Back {
    fn drop(&mut self) {
        drop(self.0.post(Message::JobDone(self.1)));
    }
}

/// Runs `job` on another thread and waits for its value.
///
/// At most 64 jobs run at one time in a process, whatever number of kernels it has; further ones
/// wait for a thread, first come, first served. So a job that waits for another job, or for
/// something that only a later job does, may wait for ever: 64 of them leave no thread for the one
/// that they wait for. A job that hangs keeps its thread. Several jobs may run on one thread, one
/// after the other, and then see the same thread locals.
///
/// # Errors
///
/// Outside, that this wait was cancelled; inside, that the system gave no thread and no job is
/// running whose thread would come free. Its kind is none that means "not yet".
///
/// # Cancellation
///
/// The caller is free at once. A job that still waits for a thread is not started, and is dropped
/// here. One that runs cannot be stopped: it finishes on its own, and its value is dropped there.
///
/// # Panics
///
/// When polled outside a kernel, and with the panic of the job.
#[track_caller]
pub fn on_thread<T, F>(job: F) -> impl Future<Output = Result<io::Result<T>, TaskCancelled>>
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
            // After the wake; from then on a virtual clock may jump although nobody took the value.
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

    /// Leaves the result, and wakes who waits for it.
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
