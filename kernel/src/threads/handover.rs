//! A job and its value, between the task that waits for it and the thread that runs it.
//!
//! All that both sides decide is one step under the lock of the job: whether it starts or is given
//! up, and whether its value is taken or is late. So a value is taken, disposed of or dropped once.
//!
//! | step | left by |
//! |---|---|
//! | `Waiting` | thread: `run` → `Running`; task: `give_up` → `Over`, and drops the closure |
//! | `Running` | thread: ends → `Done`; task: `give_up` → `Abandoned` |
//! | `Abandoned` | thread: ends → `Over`, and disposes of the value |
//! | `Done` | task: `poll` → `Over`, with the value; task: `give_up` → `Untaken` |
//! | `Untaken` | a thread: `run` → `Over`, and disposes of the value |

use std::mem::{needs_drop, replace};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker};

use crate::error::Panic;
use crate::threads::pool::{PoolJob, ThreadPool};
use crate::threads::sync::Mutex;

/// The kernel of a job, as far as other threads use it.
pub(super) trait JobKernel: Send + Sync {
    /// The job has ended. Wakes the task that waits for it, if it is a task of this kernel.
    fn ended(&self, waker: Option<Waker>);

    /// The job waits for a thread, and the system refuses to start one.
    fn no_thread(&self, pool: &'static ThreadPool);
}

pub(super) struct HandOver<T, F, D, H> {
    state: Mutex<State<T, F, D>>,
    kernel: H,
}

struct State<T, F, D> {
    step: Step<T, F, D>,
    /// Wakes the task that waits, unless the job has ended or was given up.
    waker: Option<Waker>,
    /// The task is one of the kernel of the job.
    at_home: bool,
}

enum Step<T, F, D> {
    Waiting(F, Option<D>),
    Running,
    Abandoned,
    Done(Outcome<T, D>),
    Untaken(Outcome<T, D>),
    Over,
}

/// The result of a job, and what disposes of its value if no task takes it.
struct Outcome<T, D> {
    result: Result<T, Panic>,
    dispose: Option<D>,
}

/// A job, as its task sees it.
pub(super) trait Awaited<T>: PoolJob {
    /// Takes the result, or waits for it.
    fn poll(&self, waker: &Waker, at_home: bool) -> Poll<Result<T, Panic>>;

    /// Gives the job up. No task waits for it from here on. If it has not started, it is dropped
    /// here.
    fn give_up(self: Arc<Self>) -> GivenUp;
}

/// What is left of a job that its task has given up.
pub(super) enum GivenUp {
    /// The job was not started, and may still be in the queue.
    NotStarted,
    /// It runs, as long as this is alive. Its thread disposes of the value.
    Running(Weak<dyn Send + Sync>),
    /// It has ended. A thread must run it again, which disposes of the value.
    Ended(Arc<dyn PoolJob>),
    Nothing,
}

impl<T, F, D, H> HandOver<T, F, D, H> {
    /// A job whose end wakes `waker`.
    pub(super) fn new(job: F, dispose: Option<D>, waker: Waker, kernel: H) -> Self {
        let state = State { step: Step::Waiting(job, dispose), waker: Some(waker), at_home: true };
        HandOver { state: Mutex::new(state), kernel }
    }

    /// Stores the result, and returns the waker of the task. Returns the result if the task has
    /// gone.
    fn finish(&self, late: Outcome<T, D>) -> Result<(Option<Waker>, bool), Outcome<T, D>> {
        let mut state = self.state.lock();
        match replace(&mut state.step, Step::Over) {
            Step::Running => {
                state.step = Step::Done(late);
                Ok((state.waker.take(), state.at_home))
            }
            _ => Err(late),
        }
    }
}

impl<T, F, D, H> Awaited<T> for HandOver<T, F, D, H>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
    D: FnOnce(T) + Send + 'static,
    H: JobKernel + 'static,
{
    fn poll(&self, waker: &Waker, at_home: bool) -> Poll<Result<T, Panic>> {
        let waker = waker.clone();
        let mut state = self.state.lock();
        match replace(&mut state.step, Step::Over) {
            Step::Done(Outcome { result, dispose }) => {
                drop(state);
                drop(dispose);
                Poll::Ready(result)
            }
            step => {
                state.step = step;
                let old = state.waker.replace(waker);
                state.at_home = at_home;
                drop(state);
                drop(old);
                Poll::Pending
            }
        }
    }

    fn give_up(self: Arc<Self>) -> GivenUp {
        let mut state = self.state.lock();
        let waker = state.waker.take();
        let step = replace(&mut state.step, Step::Over);
        let (next, unused) = match step {
            Step::Running => (Step::Abandoned, None),
            Step::Done(late) if !late.is_trivial() => (Step::Untaken(late), None),
            step => (Step::Over, Some(step)),
        };
        let left = match (&next, &unused) {
            (Step::Abandoned, _) => GivenUp::Running(Arc::<Self>::downgrade(&self)),
            (Step::Untaken(_), _) => GivenUp::Ended(self.clone()),
            (_, Some(Step::Waiting(..))) => GivenUp::NotStarted,
            _ => GivenUp::Nothing,
        };
        state.step = next;
        drop(state);
        drop((waker, unused));
        left
    }
}

impl<T, F, D, H> PoolJob for HandOver<T, F, D, H>
where
    T: Send,
    F: FnOnce() -> T + Send,
    D: FnOnce(T) + Send,
    H: JobKernel,
{
    fn run(&self) {
        let mut state = self.state.lock();
        match replace(&mut state.step, Step::Over) {
            Step::Waiting(job, dispose) => {
                state.step = Step::Running;
                drop(state);
                let mut ended = EndNotice { kernel: &self.kernel, waker: None };
                let result = catch_unwind(AssertUnwindSafe(job)).map_err(Panic::new);
                match self.finish(Outcome { result, dispose }) {
                    Ok((waker, true)) => ended.waker = waker,
                    Ok((waker, false)) => waker.into_iter().for_each(Waker::wake),
                    Err(late) => late.dispose(),
                }
            }
            Step::Untaken(late) => {
                drop(state);
                late.dispose();
            }
            // It was given up after a thread had taken it from the queue.
            _ => {}
        }
    }

    fn no_thread(&self, pool: &'static ThreadPool) {
        self.kernel.no_thread(pool);
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

/// Informs the kernel that a job has ended, also after a panic. It wakes the task in the same step.
/// From then on a virtual clock may jump, even if the task has not taken the value yet.
struct EndNotice<'a, H: JobKernel> {
    kernel: &'a H,
    waker: Option<Waker>,
}

impl<H: JobKernel> Drop for EndNotice<'_, H> {
    fn drop(&mut self) {
        self.kernel.ended(self.waker.take());
    }
}
