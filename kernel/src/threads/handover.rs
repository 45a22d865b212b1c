//! A job and its value, between its owner and the thread that runs it.
//!
//! All that both sides decide is one step under the lock of the job: whether it starts or is taken
//! back, and whether its value is taken or is late. So a value is taken, disposed of or dropped
//! once.
//!
//! | step | left by |
//! |---|---|
//! | `Waiting` | thread: `run` → `Running`; owner: takes it back → `Over`, and drops the closure |
//! | `Running` | thread: ends → `Done`, or if it was given up → `Over`, and disposes of the value |
//! | `Done` | owner: `poll` → `Over`, with the value; if it was given up, a thread disposes of it |
//!
//! A task that polls is the *waiter*, until the job has ended or the wait is given up. The waiter
//! can change, and so can the kernel that counts the job.

use std::mem::{needs_drop, replace};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use crate::core::polled::PolledWait;
use crate::error::Panic;
use crate::threads::pool::{PoolJob, ThreadPool};
use crate::threads::sync::Mutex;

/// A job that a kernel counts, for other threads.
pub(super) trait JobKernel: Clone + Send {
    /// The job has ended. Wakes the waiter.
    fn ended(&self, waker: Waker);

    /// No task waits for the job any more.
    fn end_count(&self);

    /// The job waits for a thread, and the system refuses to start one.
    fn no_thread(&self, pool: &'static ThreadPool);
}

pub(super) struct HandOver<T, F, D, K>(Mutex<State<T, F, D, K>>);

struct State<T, F, D, K> {
    step: Step<T, F, D>,
    waiter: Option<Waiter<K>>,
    given_up: bool,
}

/// What waits for the end of a job.
pub(super) struct Waiter<K> {
    pub(super) waker: Waker,
    /// The kernel that counts the job.
    pub(super) kernel: Option<K>,
}

impl<K: JobKernel> Waiter<K> {
    /// What was waited for has come.
    pub(super) fn wake(self) {
        match self.kernel {
            Some(kernel) => kernel.ended(self.waker),
            None => self.waker.wake(),
        }
    }
}

enum Step<T, F, D> {
    Waiting(F, Option<D>),
    Running,
    Done(Outcome<T, D>),
    Over,
}

/// The result of a job, and what disposes of its value if it is not taken.
struct Outcome<T, D> {
    result: Result<T, Panic>,
    dispose: Option<D>,
}

/// A job, as its owner sees it.
pub(super) trait Awaited<T, K>: PoolJob + PolledWait {
    /// Takes the result, or waits for it.
    fn poll(&self, waiter: Waiter<K>) -> Poll<Result<T, Panic>>;

    /// Ends the wait. The end of the job wakes no task.
    fn stop_waiting(&self);

    /// Gives the job up. If it has not started and `takes_back`, it is dropped here.
    fn give_up(self: Arc<Self>, takes_back: bool) -> GivenUp;

    /// For the leaf around a poll function, which gives the wait up.
    fn as_wait(self: Arc<Self>) -> Arc<dyn PolledWait>;
}

/// What is left of a job that its owner has given up.
pub(super) enum GivenUp {
    /// The job was not started, and may still be in the queue.
    NotStarted,
    /// It runs or will run, as long as this is alive. Its thread disposes of the value.
    Running(Weak<dyn Send + Sync>),
    /// It has ended. A thread must run it again, which disposes of the value.
    Ended(Arc<dyn PoolJob>),
    Nothing,
}

impl<T, F, D, K> HandOver<T, F, D, K> {
    pub(super) fn new(job: F, dispose: Option<D>, waiter: Option<Waiter<K>>) -> Self {
        HandOver(Mutex::new(State { step: Step::Waiting(job, dispose), waiter, given_up: false }))
    }
}

impl<T, F, D, K> Awaited<T, K> for HandOver<T, F, D, K>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
    D: FnOnce(T) + Send + 'static,
    K: JobKernel + 'static,
{
    fn poll(&self, waiter: Waiter<K>) -> Poll<Result<T, Panic>> {
        let mut state = self.0.lock();
        match replace(&mut state.step, Step::Over) {
            Step::Done(Outcome { result, dispose }) => {
                drop(state);
                drop((dispose, waiter));
                Poll::Ready(result)
            }
            step => {
                state.step = step;
                let old = state.waiter.replace(waiter);
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }

    fn stop_waiting(&self) {
        let waiter = self.0.lock().waiter.take();
        drop(waiter);
    }

    fn give_up(self: Arc<Self>, takes_back: bool) -> GivenUp {
        let mut state = self.0.lock();
        state.given_up = true;
        let waiter = state.waiter.take();
        let (next, unused, left) = match replace(&mut state.step, Step::Over) {
            step @ Step::Waiting(..) if takes_back => (Step::Over, Some(step), GivenUp::NotStarted),
            step @ (Step::Waiting(..) | Step::Running) => {
                (step, None, GivenUp::Running(Arc::<Self>::downgrade(&self)))
            }
            Step::Done(late) if !late.is_trivial() => {
                (Step::Done(late), None, GivenUp::Ended(self.clone()))
            }
            step => (Step::Over, Some(step), GivenUp::Nothing),
        };
        state.step = next;
        drop(state);
        drop((waiter, unused));
        left
    }

    fn as_wait(self: Arc<Self>) -> Arc<dyn PolledWait> {
        self
    }
}

impl<T, F, D, K: JobKernel> PolledWait for HandOver<T, F, D, K> {
    /// No task waits in that leaf any more, so the job does not count.
    fn leaf_ended(&self) {
        let kernel = self.0.lock().waiter.as_mut().and_then(|waiter| waiter.kernel.take());
        if let Some(kernel) = kernel {
            kernel.end_count();
        }
    }
}

impl<T, F, D, K> PoolJob for HandOver<T, F, D, K>
where
    T: Send,
    F: FnOnce() -> T + Send,
    D: FnOnce(T) + Send,
    K: JobKernel,
{
    fn run(&self) {
        let mut state = self.0.lock();
        match replace(&mut state.step, Step::Over) {
            Step::Waiting(job, dispose) => {
                state.step = Step::Running;
                drop(state);
                let result = catch_unwind(AssertUnwindSafe(job)).map_err(Panic::new);
                self.finish(Outcome { result, dispose });
            }
            // It was given up after its end.
            Step::Done(late) => {
                drop(state);
                late.dispose();
            }
            // It was taken back after a thread had taken it from the queue.
            Step::Running | Step::Over => {}
        }
    }

    fn no_thread(&self, pool: &'static ThreadPool) {
        let kernel = self.0.lock().waiter.as_ref().and_then(|waiter| waiter.kernel.clone());
        if let Some(kernel) = kernel {
            kernel.no_thread(pool);
        }
    }
}

impl<T, F, D: FnOnce(T), K: JobKernel> HandOver<T, F, D, K> {
    /// Stores the result and wakes the waiter, or disposes of the value.
    fn finish(&self, outcome: Outcome<T, D>) {
        let mut state = self.0.lock();
        if state.given_up {
            state.step = Step::Over;
            drop(state);
            return outcome.dispose();
        }
        state.step = Step::Done(outcome);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }
}

impl<T, D> Outcome<T, D> {
    /// Whether nothing would happen if a thread disposed of it.
    fn is_trivial(&self) -> bool {
        self.result.is_ok() && self.dispose.is_none() && !needs_drop::<T>()
    }
}

impl<T, D: FnOnce(T)> Outcome<T, D> {
    fn dispose(self) {
        if let (Ok(value), Some(dispose)) = (self.result, self.dispose) {
            dispose(value);
        }
    }
}
