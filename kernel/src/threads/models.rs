//! Loom models of a pool and of its jobs: every interleaving with up to three preemptions
//! (`LOOM_MAX_PREEMPTIONS` changes the number).
//!
//! `.ci/models` runs them. They run the files that ship, with the lock and the threads of loom. A
//! lost call appears as a job that is left in the queue when all threads have ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

use loom::sync::{Condvar, Mutex};
use loom::thread::{self, Thread};

use super::handover::{Awaited, GivenUp, HandOver, JobKernel, Waiter};
use super::pool::ThreadPool;
use super::sync::{self, REFUSALS};
use crate::task::waker::ShortPool;

/// Runs `model` in every interleaving within the bound.
pub(super) fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(move || {
        REFUSALS.set(0);
        model();
        sync::join();
    });
}

/// A pool that is a `static`, as far as its threads can see. Each interleaving leaks one.
pub(super) fn pool(limit: usize) -> &'static ThreadPool {
    Box::leak(Box::new(ThreadPool::new("model", limit)))
}

/// The kernel of a job. Its counters are atomics of std, which add no interleavings.
#[derive(Clone, Default)]
pub(super) struct Kernel(Arc<Counts>);

#[derive(Default)]
struct Counts {
    ended: AtomicUsize,
    given_up: AtomicUsize,
    refused: AtomicBool,
}

impl JobKernel for Kernel {
    fn ended(&self, waker: Waker) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        waker.wake();
    }

    fn end_count(&self) {
        self.0.given_up.fetch_add(1, Ordering::Relaxed);
    }

    fn no_thread(&self, _: &'static ThreadPool) {
        self.0.refused.store(true, Ordering::Relaxed);
    }
}

impl Kernel {
    /// The ends of jobs that it has learnt of.
    pub(super) fn ended(&self) -> usize {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// The leaves that have ended before.
    pub(super) fn given_up(&self) -> usize {
        self.0.given_up.load(Ordering::Relaxed)
    }

    /// A task of it that waits.
    pub(super) fn waiter(&self, waker: Waker) -> Waiter<Kernel> {
        Waiter { waker, kernel: Some(self.clone()) }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(super) fn waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// What became of a job and of its value.
#[derive(Clone, Default)]
pub(super) struct Fate(Arc<[AtomicUsize; 3]>);

impl Fate {
    fn add(&self, what: usize) {
        self.0[what].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> [usize; 3] {
        [0, 1, 2].map(|what| self.0[what].load(Ordering::Relaxed))
    }
}

const RAN: usize = 0;
const DISPOSED: usize = 1;
const DROPPED: usize = 2;

/// The value of a job, or what a job holds.
pub(super) struct Value(Fate);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.add(DROPPED);
    }
}

/// A job whose value counts its end, and for which a task of `kernel` waits. Its waker does nothing
/// until a thread waits for it: loom cannot unpark a thread that waits for the end of another.
pub(super) fn job(kernel: &Kernel, fate: &Fate) -> Arc<impl Awaited<Value, Kernel> + use<>> {
    job_for(Some(kernel.waiter(Waker::noop().clone())), fate)
}

pub(super) fn job_for(
    waiter: Option<Waiter<Kernel>>,
    fate: &Fate,
) -> Arc<impl Awaited<Value, Kernel> + use<>> {
    let (value, ran) = (Value(fate.clone()), fate.clone());
    let body = move || {
        ran.add(RAN);
        value
    };
    let disposes = fate.clone();
    let dispose = move |_: Value| disposes.add(DISPOSED);
    Arc::new(HandOver::new(body, Some(dispose), waiter))
}

/// Waits for the value on this thread of the model.
pub(super) fn wait(kernel: &Kernel, job: &dyn Awaited<Value, Kernel>) -> Value {
    let waker = waker();
    loop {
        match job.poll(kernel.waiter(waker.clone())) {
            Poll::Ready(value) => return value.unwrap_or_else(|panic| panic.resume()),
            Poll::Pending => thread::park(),
        }
    }
}

/// Gives a job up, as the future does.
pub(super) fn give_up(
    pool: &'static ThreadPool,
    number: u64,
    job: Arc<impl Awaited<Value, Kernel> + 'static>,
) {
    match job.give_up(true) {
        GivenUp::NotStarted => {
            pool.take_back(number);
        }
        GivenUp::Ended(job) => drop(pool.submit(job)),
        GivenUp::Running(_) | GivenUp::Nothing => {}
    }
}

/// No job is left, and no thread.
pub(super) fn is_quiet(pool: &ThreadPool) {
    let shown = format!("{pool:?}");
    assert!(shown.contains("threads: 0, idle: 0, waiting: 0"), "{shown}");
}

/// R1: the value comes back, once, whether a thread is started for the job or is going to sleep.
#[test]
fn a_value_is_taken_once() {
    check(|| {
        let (pool, kernel, fate) = (pool(1), Kernel::default(), Fate::default());
        for round in 1..=2 {
            let job = job(&kernel, &fate);
            pool.submit(job.clone());
            drop(wait(&kernel, &*job));
            give_up(pool, 0, job);
            assert_eq!(fate.counts(), [round, 0, round]);
        }
        sync::join();
        assert_eq!(kernel.ended(), 2);
        is_quiet(pool);
    });
}

/// R1: of a job that is given up at any moment, either nothing runs, or its value is disposed of,
/// and what it holds is dropped once.
#[test]
fn an_abandoned_job_is_disposed_of_once() {
    check(|| {
        let (pool, kernel, fate) = (pool(1), Kernel::default(), Fate::default());
        let job = job(&kernel, &fate);
        let place = pool.submit(job.clone());
        give_up(pool, place.number, job);
        sync::join();
        let [ran, disposed, dropped] = fate.counts();
        assert_eq!((ran, dropped), (disposed, 1));
        assert!(kernel.ended() <= ran);
        is_quiet(pool);
    });
}

/// R1: the same when the task looks at the job once more before it gives it up.
#[test]
fn a_job_is_taken_or_disposed_of() {
    check(|| {
        let (pool, kernel, fate) = (pool(1), Kernel::default(), Fate::default());
        let job = job(&kernel, &fate);
        let place = pool.submit(job.clone());
        thread::yield_now();
        let taken = job.poll(kernel.waiter(Waker::noop().clone())).is_ready();
        give_up(pool, place.number, job);
        sync::join();
        let [ran, disposed, dropped] = fate.counts();
        assert_eq!((ran, dropped), (disposed + usize::from(taken), 1));
        is_quiet(pool);
    });
}

/// R1: two kernels submit at once to one thread or to two, and every job runs.
#[test]
fn every_job_gets_a_thread() {
    for limit in [1, 2] {
        check(move || {
            let (pool, fate) = (pool(limit), Fate::default());
            let theirs = fate.clone();
            let other = thread::spawn(move || {
                pool.submit(job(&Kernel::default(), &theirs));
            });
            pool.submit(job(&Kernel::default(), &fate));
            other.join().unwrap();
            sync::join();
            assert_eq!(fate.counts()[RAN], 2);
            is_quiet(pool);
        });
    }
}

/// R1: a job gets a thread while the one before it waits for its effect.
#[test]
fn a_busy_thread_calls_the_next_one() {
    check(|| {
        let (pool, fate) = (pool(2), Fate::default());
        let (done, kernel) = (Arc::new((Mutex::new(false), Condvar::new())), Kernel::default());
        let theirs = done.clone();
        let waits = move || {
            let mut done = theirs.0.lock().unwrap();
            while !*done {
                done = theirs.1.wait(done).unwrap();
            }
        };
        let waiter = || Some(kernel.waiter(Waker::noop().clone()));
        pool.submit(Arc::new(HandOver::new(waits, None::<fn(())>, waiter())));
        let ends = move || {
            *done.0.lock().unwrap() = true;
            done.1.notify_one();
        };
        pool.submit(Arc::new(HandOver::new(ends, None::<fn(())>, waiter())));
        pool.submit(job(&kernel, &fate));
        sync::join();
        assert_eq!((kernel.ended(), fate.counts()[RAN]), (3, 1));
        is_quiet(pool);
    });
}

/// R1: a job that is given up before it starts does not take the thread of the next one.
#[test]
fn a_job_that_is_taken_back_delays_no_other() {
    check(|| {
        let (pool, fate) = (pool(1), Fate::default());
        let kernel = Kernel::default();
        let (first, second) = (job(&kernel, &Fate::default()), job(&kernel, &fate));
        let place = pool.submit(first.clone());
        let theirs = second.clone();
        let other = thread::spawn(move || {
            pool.submit(theirs);
        });
        give_up(pool, place.number, first);
        drop(wait(&kernel, &*second));
        other.join().unwrap();
        sync::join();
        is_quiet(pool);
    });
}

/// R1: when the system refuses a thread, each kernel whose job waits knows it, also if another
/// kernel, or a thread of the pool, was refused. When one of them tries again, every job runs.
#[test]
fn each_kernel_learns_that_there_is_no_thread() {
    for refusals in [1, 2] {
        check(move || {
            REFUSALS.set(refusals);
            let (pool, fate) = (pool(2), Fate::default());
            let submit = |fate: &Fate| {
                let (kernel, fate) = (Kernel::default(), fate.clone());
                move || (pool.submit(job(&kernel, &fate)).short, kernel)
            };
            let other = thread::spawn(submit(&fate));
            let mine = submit(&fate)();
            let others = other.join().unwrap();
            sync::join();
            let left = 2 - fate.counts()[RAN];
            let knows = [mine, others]
                .into_iter()
                .filter(|(short, kernel)| *short || kernel.0.refused.load(Ordering::Relaxed));
            assert!(knows.count() >= left, "a job waits and its kernel does not know");
            while fate.counts()[RAN] < 2 {
                pool.try_again();
                sync::join();
            }
            assert!(!pool.try_again(), "it is not short any more");
            is_quiet(pool);
        });
    }
}
