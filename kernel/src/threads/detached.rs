//! A job that is not tied to a wait: its wait ends, and the job goes on.
//!
//! `run_in_thread` is for calls that nothing depends on any longer once their waiter is gone. The
//! owner of a [`DetachedJob`] can come back to it: a file waits for the write that it has begun
//! before it begins another one.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::core::current;
use crate::error::Panic;
use crate::task::waker::{Message, Remote};
use crate::threads::pool::{JOBS, PoolJob, ThreadPool};

/// A job on a thread of the pool, and its value when it has ended.
///
/// It is no leaf: poll it inside a [`CancelPoint`](crate::CancelPoint). It needs no kernel, and can
/// be sent to another thread. A job that still waits for a thread when this is dropped is not
/// started, unless it is to run in any case. Any other job goes on to its end, and its value is
/// dropped on its thread; the kernel of the thread that drops this lists it as abandoned.
pub struct DetachedJob<T> {
    /// What the job does, for the list of abandoned threads.
    name: &'static str,
    site: &'static Location<'static>,
    shared: Arc<Shared<T>>,
    counted: Option<Counted>,
    /// The number of the job in the queue.
    number: u64,
    /// It runs also if this is dropped before it has a thread.
    in_any_case: bool,
}

struct Shared<T>(Mutex<State<T>>);

struct State<T> {
    /// What is held here is dropped when the job has ended.
    alive: Option<Arc<dyn Send + Sync>>,
    result: Option<Result<T, Panic>>,
    waker: Option<Waker>,
    /// The number under which a kernel counts the job, and the mailbox of that kernel.
    counted_as: Option<(Arc<Remote>, u64)>,
}

/// Counts an unfinished job that is waited for in a task. While it counts, a virtual clock does not
/// jump, and an idle kernel is not in a deadlock (K8). When the job has ended, its thread ends the
/// count as well, because the task may take its value much later.
struct Counted(Arc<Remote>, u64);

impl Drop for Counted {
    fn drop(&mut self) {
        let Counted(remote, number) = self;
        let here = current::try_with(|core| {
            let mine = Arc::ptr_eq(core.remote(), remote);
            if mine {
                core.job_done(*number, None);
            }
            mine
        });
        if here != Some(true) {
            drop(remote.post(Message::JobDone(*number, None)));
        }
    }
}

impl<T: Send + 'static> DetachedJob<T> {
    /// Queues a job for a thread of the pool. `name` says what it does.
    #[track_caller]
    pub fn start(name: &'static str, job: impl FnOnce() -> T + Send + 'static) -> Self {
        let mut started = DetachedJob::start_uncancellable(name, job);
        started.in_any_case = false;
        started
    }

    /// The same for a job that runs in any case, also if this is dropped before it has a thread.
    #[track_caller]
    pub fn start_uncancellable(
        name: &'static str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Self {
        let (shared, number) = DetachedJob::queue(job);
        let site = Location::caller();
        DetachedJob { name, site, shared, counted: None, number, in_any_case: true }
    }

    fn queue(job: impl FnOnce() -> T + Send + 'static) -> (Arc<Shared<T>>, u64) {
        let state =
            State { alive: Some(Arc::new(())), result: None, waker: None, counted_as: None };
        let shared = Arc::new(Shared(Mutex::new(state)));
        let call = Call { job: Mutex::new(Some(job)), shared: shared.clone() };
        let place = JOBS.submit(Arc::new(call));
        if place.short {
            current::try_with(|core| core.wait_for_thread(&JOBS));
        }
        (shared, place.number)
    }

    /// The value of the job, once: later polls stay pending. Wakes the task when the job has ended.
    ///
    /// # Panics
    ///
    /// With the panic of the job.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let is_new = !self.counted.as_ref().is_some_and(Counted::is_here);
        if is_new {
            self.counted = Counted::new();
        }
        let result = match self.shared.poll(cx.waker(), self.counted.as_ref()) {
            Poll::Pending => {
                // If the pool becomes short later, it says so to the kernel that counts the job.
                if is_new && JOBS.is_short() {
                    current::try_with(|core| core.wait_for_thread(&JOBS));
                }
                return Poll::Pending;
            }
            Poll::Ready(result) => result,
        };
        self.counted = None;
        match result {
            Ok(value) => Poll::Ready(value),
            Err(panic) => panic.resume(),
        }
    }

    /// Ends the wait, not the job: its end wakes no task, and a virtual clock does not wait for it.
    /// The next [`poll`](DetachedJob::poll) waits again.
    pub fn stop_waiting(&mut self) {
        self.counted = None;
        self.shared.forget_waiter();
    }
}

impl<T> Drop for DetachedJob<T> {
    fn drop(&mut self) {
        self.shared.forget_waiter();
        if !self.in_any_case && JOBS.take_back(self.number) {
            return;
        }
        let alive = self.shared.lock().alive.as_ref().map(Arc::downgrade);
        if let Some(alive) = alive {
            current::try_with(|core| core.abandon(self.name.to_owned(), self.site, alive));
        }
    }
}

/// The job, on its way to a thread.
struct Call<T, F> {
    job: Mutex<Option<F>>,
    shared: Arc<Shared<T>>,
}

impl<T: Send, F: FnOnce() -> T + Send> PoolJob for Call<T, F> {
    fn run(&self) {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(job) = job {
            self.shared.finish(catch_unwind(AssertUnwindSafe(job)).map_err(Panic::new));
        }
    }

    fn no_thread(&self, pool: &'static ThreadPool) {
        let counted_as = self.shared.lock().counted_as.clone();
        if let Some((remote, _)) = counted_as {
            drop(remote.post(Message::NoThread(pool)));
        }
    }
}

impl<T> fmt::Debug for DetachedJob<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.shared.lock().result.is_some();
        f.debug_struct("DetachedJob").field("ended", &ended).finish_non_exhaustive()
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stores the result, and wakes the task that waits for it.
    fn finish(&self, result: Result<T, Panic>) {
        let mut state = self.lock();
        state.result = Some(result);
        state.alive = None;
        let (waker, counted_as) = (state.waker.take(), state.counted_as.take());
        drop(state);
        match counted_as {
            // The kernel wakes the task in the same step: from then on a virtual clock may jump.
            Some((remote, number)) => drop(remote.post(Message::JobDone(number, waker))),
            None => waker.into_iter().for_each(Waker::wake),
        }
    }

    fn forget_waiter(&self) {
        let mut state = self.lock();
        let left = (state.waker.take(), state.counted_as.take());
        drop(state);
        drop(left);
    }

    fn poll(&self, waker: &Waker, counted: Option<&Counted>) -> Poll<Result<T, Panic>> {
        let (waker, counted_as) = (waker.clone(), counted.map(Counted::copy));
        let mut state = self.lock();
        if let Some(result) = state.result.take() {
            return Poll::Ready(result);
        }
        let old = state.waker.replace(waker);
        let old = (old, std::mem::replace(&mut state.counted_as, counted_as));
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Counted {
    /// Counts a job in the kernel of this thread, if one polls a task.
    fn new() -> Option<Counted> {
        let counted = current::try_with(|core| {
            core.running_id()?;
            Some(Counted(core.remote().clone(), core.count_job()))
        });
        counted.flatten()
    }

    fn is_here(&self) -> bool {
        current::try_with(|core| Arc::ptr_eq(core.remote(), &self.0)) == Some(true)
    }

    fn copy(&self) -> (Arc<Remote>, u64) {
        (self.0.clone(), self.1)
    }
}
