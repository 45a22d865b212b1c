//! Jobs on other threads, swept (R1).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use curium::kernel::{Result, ThreadPool, abandoned_threads, run_in_thread, testing, yield_now};
use curium::sync::Queue;

use super::checks::{Among, assert_tried, undisturbed};

static ONE: ThreadPool = ThreadPool::new("swept", 1);

/// Counts what became of the jobs and their values, on any thread.
#[derive(Default)]
struct Counts {
    ran: AtomicUsize,
    disposed: AtomicUsize,
    dropped: AtomicUsize,
}

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// What a job holds, and then its value.
struct Value {
    counts: Arc<Counts>,
    _alive: Sender<()>,
}

impl Drop for Value {
    fn drop(&mut self) {
        add(&self.counts.dropped);
    }
}

/// Jobs that wait for a go, and what came of each.
struct Jobs {
    goes: Queue<Sender<()>>,
    /// Each job and each value has one of these.
    alive: RefCell<Option<Sender<()>>>,
    ended: Receiver<()>,
    counts: Arc<Counts>,
    made: Cell<usize>,
    taken: Cell<usize>,
}

impl Jobs {
    fn new() -> Self {
        let (alive, ended) = channel();
        let (made, taken) = (Cell::new(0), Cell::new(0));
        let (alive, counts) = (RefCell::new(Some(alive)), Arc::default());
        Jobs { goes: Queue::unbounded(), alive, ended, counts, made, taken }
    }

    /// A job in that pool, or else in that of the process.
    async fn one(&self, pool: Option<&'static ThreadPool>) -> Result<()> {
        let (go, waits) = channel::<()>();
        self.goes.try_put(go).expect("no bound");
        self.made.set(self.made.get() + 1);
        let alive = self.alive.borrow().clone().expect("taken at the end");
        let value = Value { counts: self.counts.clone(), _alive: alive };
        let job = move || {
            add(&value.counts.ran);
            let _ = waits.recv(); // the go is that its sender is dropped
            value
        };
        let job = match pool {
            Some(pool) => pool.run_in_thread(job),
            None => run_in_thread(job),
        };
        drop(job.dispose(|value| add(&value.counts.disposed)).await?);
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }
}

/// Two jobs, one after the other: of two at once, the second may end in the poll that the first
/// causes. A job whose waiter is cancelled or dropped is not started, or runs to its end and its
/// value is disposed of, once.
#[track_caller]
fn sweep_jobs(pool: Option<&'static ThreadPool>) {
    let setup = async || {
        // It lets a job go only when the waiter is parked, so that every run has that suspension.
        Among::new(Jobs::new()).and(async |jobs: Rc<Jobs>| {
            while let Some(go) = jobs.goes.next().await? {
                yield_now().await?;
                yield_now().await?;
                drop(go);
            }
            Ok(())
        })
    };
    let subject = |jobs: Rc<Among<Jobs>>| async move {
        jobs.one(pool).await?;
        jobs.one(pool).await
    };
    let swept = testing::sweep().run(setup, subject, async |jobs, run| {
        jobs.goes.close();
        jobs.others_end(run).await;
        while jobs.goes.try_get().is_some() {}
        drop(jobs.alive.take());
        assert!(jobs.ended.recv().is_err(), "all jobs and values are gone");
        let [ran, disposed, dropped] =
            [&jobs.counts.ran, &jobs.counts.disposed, &jobs.counts.dropped]
                .map(|count| count.load(Ordering::Relaxed));
        assert_eq!((ran, dropped), (jobs.taken.get() + disposed, jobs.made.get()));
        assert!(!undisturbed(run) || jobs.taken.get() == 2);
        // The threads serve the next jobs.
        let seven = || 7;
        let next = pool.map_or_else(|| run_in_thread(seven), |pool| pool.run_in_thread(seven));
        assert_eq!(next.await.unwrap(), 7);
        // The only thread of a pool has done with the others by now.
        assert!(pool.is_none() || abandoned_threads().is_empty());
    });
    assert_tried(&swept, &["THREAD_WAIT"], 2, 29);
}

/// V4, R1, C1: jobs in the pool of the process outlive their waiters and leave nothing.
#[test]
fn a_job_on_a_thread_outlives_its_waiter_and_leaves_nothing() {
    sweep_jobs(None);
}

/// V4, R1, C1: so do jobs in a pool of one thread.
#[test]
fn the_jobs_of_a_pool_and_their_values_are_conserved() {
    sweep_jobs(Some(&ONE));
}
