//! A job that is not tied to a wait: its wait ends, and the job goes on.
//!
//! [`run_in_thread`](crate::run_in_thread) is for calls that nothing depends on any longer once
//! their waiter is gone, and is this with a leaf around it. The owner of a [`DetachedJob`] can come
//! back to it: a file waits for the write that it has begun before it begins another one.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::core::current;
use crate::core::jobs::{Counted, CountedJob};
use crate::core::polled::note_wait;
use crate::error::Panic;
use crate::threads::handover::{Awaited, GivenUp, HandOver, JobKernel, Waiter};
use crate::threads::pool::{JOBS, ThreadPool};

/// A job on a thread of the pool, and its value when it has ended.
///
/// It is no leaf: poll it inside a [`CancelPoint`](crate::CancelPoint). It needs no kernel, and can
/// be sent to another thread. A job that still waits for a thread when this is dropped is not
/// started, unless it was started as uncancellable. Any other job goes on to its end, and its value
/// is dropped on a thread of the pool; the kernel of the thread that drops this lists it as
/// abandoned.
#[doc(hidden)]
pub struct DetachedJob<T> {
    /// What the job does, for the list of abandoned threads.
    name: &'static str,
    site: &'static Location<'static>,
    pool: &'static ThreadPool,
    /// The number of the job in the queue.
    number: u64,
    takes_back: bool,
    counted: Option<Counted>,
    job: Arc<dyn Awaited<T, CountedJob>>,
}

impl<T: Send + 'static> DetachedJob<T> {
    /// Queues a job for a thread of the pool. `name` says what it does.
    #[track_caller]
    pub fn start(name: &'static str, job: impl FnOnce() -> T + Send + 'static) -> Self {
        DetachedJob::submit((&JOBS, name, Location::caller()), job, None::<fn(T)>, None)
    }

    /// The same for a job that runs in any case, also if this is dropped before it has a thread.
    #[track_caller]
    pub fn start_uncancellable(
        name: &'static str,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Self {
        let started = (&JOBS, name, Location::caller());
        let mut started = DetachedJob::submit(started, job, None::<fn(T)>, None);
        started.takes_back = false;
        started
    }

    /// Queues a job in a pool, under a name and a site, whose end wakes `waker`.
    pub(super) fn submit<D: FnOnce(T) + Send + 'static>(
        (pool, name, site): (&'static ThreadPool, &'static str, &'static Location<'static>),
        job: impl FnOnce() -> T + Send + 'static,
        dispose: Option<D>,
        waker: Option<&Waker>,
    ) -> Self {
        let counted = waker.and_then(|_| Counted::here());
        let waiter = waker.map(|waker| Waiter::new(waker, counted.as_ref()));
        let job = Arc::new(HandOver::new(job, dispose, waiter));
        let place = pool.submit(job.clone());
        if place.short {
            current::try_with(|core| core.wait_for_thread(pool));
        }
        DetachedJob { name, site, pool, number: place.number, takes_back: true, counted, job }
    }

    /// The value of the job, once: later polls stay pending. Wakes the task when the job has ended.
    ///
    /// # Panics
    ///
    /// With the panic of the job.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        let polled = self.poll_result(cx.waker());
        if polled.is_pending() {
            note_wait(self.job.clone().as_wait());
        }
        polled.map(|result| result.unwrap_or_else(|panic| panic.resume()))
    }

    pub(super) fn poll_result(&mut self, waker: &Waker) -> Poll<Result<T, Panic>> {
        let is_new = !self.counted.as_ref().is_some_and(Counted::is_here);
        if is_new {
            self.counted = Counted::here();
        }
        let polled = self.job.poll(Waiter::new(waker, self.counted.as_ref()));
        if polled.is_ready() {
            self.counted = None;
        } else if is_new && self.pool.is_short() {
            // If the pool becomes short later, it says so to the kernel that counts the job.
            current::try_with(|core| core.wait_for_thread(self.pool));
        }
        polled
    }

    /// Ends the wait, not the job: its end wakes no task, and a virtual clock does not wait for it.
    /// The next [`poll`](DetachedJob::poll) waits again.
    pub fn stop_waiting(&mut self) {
        self.counted = None;
        self.job.stop_waiting();
    }
}

impl<T> Drop for DetachedJob<T> {
    fn drop(&mut self) {
        match self.job.clone().give_up(self.takes_back) {
            GivenUp::NotStarted => {
                self.pool.take_back(self.number);
            }
            GivenUp::Running(alive) => {
                current::try_with(|core| core.abandon(self.name.to_owned(), self.site, alive));
            }
            GivenUp::Ended(job) => drop(self.pool.submit(job)),
            GivenUp::Nothing => {}
        }
    }
}

impl Waiter<CountedJob> {
    pub(super) fn new(waker: &Waker, counted: Option<&Counted>) -> Self {
        Waiter { waker: waker.clone(), kernel: counted.map(Counted::job) }
    }
}

impl JobKernel for CountedJob {
    fn ended(&self, waker: Waker) {
        CountedJob::ended(self, waker);
    }

    fn end_count(&self) {
        CountedJob::end_count(self);
    }

    fn no_thread(&self, pool: &'static ThreadPool) {
        CountedJob::no_thread(self, pool);
    }
}

impl<T> fmt::Debug for DetachedJob<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DetachedJob").field("name", &self.name).finish_non_exhaustive()
    }
}
