//! Jobs in a pool of one thread, swept (R1).

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};

use curium::kernel::{Result, ThreadPool, abandoned_threads, testing, yield_now};
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
struct Value(Arc<Counts>);

impl Drop for Value {
    fn drop(&mut self) {
        add(&self.0.dropped);
    }
}

/// Jobs that wait for a go.
struct Jobs {
    goes: Queue<Sender<()>>,
    counts: Arc<Counts>,
    made: Cell<usize>,
    taken: Cell<usize>,
}

impl Jobs {
    fn new() -> Self {
        let (made, taken) = (Cell::new(0), Cell::new(0));
        Jobs { goes: Queue::unbounded(), counts: Arc::default(), made, taken }
    }

    async fn one(&self) -> Result<()> {
        let (go, waits) = channel::<()>();
        self.goes.try_put(go).expect("no bound");
        self.made.set(self.made.get() + 1);
        let (value, disposes) = (Value(self.counts.clone()), self.counts.clone());
        let job = ONE.run_in_thread(move || {
            add(&value.0.ran);
            let _ = waits.recv(); // the go is that its sender is dropped
            value
        });
        drop(job.dispose(move |_| add(&disposes.disposed)).await?);
        self.taken.set(self.taken.get() + 1);
        Ok(())
    }
}

/// V4, R1: a job whose waiter is cancelled or dropped is not started, or its value is disposed of,
/// once; and the only thread serves the next job.
#[test]
fn the_jobs_of_a_pool_and_their_values_are_conserved() {
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
        // In turn: of two at once, the second may end in the poll that the first causes.
        jobs.one().await?;
        jobs.one().await
    };
    let swept = testing::sweep().run(setup, subject, async |jobs, run| {
        jobs.goes.close();
        jobs.others_end(run).await;
        while jobs.goes.try_get().is_some() {}
        ONE.run_in_thread(|| ()).await.unwrap();
        let [ran, disposed, dropped] =
            [&jobs.counts.ran, &jobs.counts.disposed, &jobs.counts.dropped]
                .map(|count| count.load(Ordering::Relaxed));
        assert_eq!((ran, dropped), (jobs.taken.get() + disposed, jobs.made.get()));
        assert!(!undisturbed(run) || jobs.taken.get() == 2);
        assert_eq!(abandoned_threads().len(), 0);
    });
    assert_tried(&swept, &["THREAD_WAIT"], 1, 14);
}
