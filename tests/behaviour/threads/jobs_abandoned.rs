//! Jobs whose task has gone: before they start, while they wait for a thread, while they run, and
//! after their end (R1). What they held is dropped once, and late values are disposed of once.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

use curium::kernel::future::RunInThread;
use curium::kernel::{
    self, AbandonedThread, DetachedJob, Kernel, TaskCancelled, TaskError, ThreadPool,
    abandoned_threads, spawn, testing, timeout_after, yield_now,
};

use crate::support::pool::Gate;
use crate::support::reports;

/// What became of a job and of its value, each with the thread on which it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Started,
    Disposed,
    /// What the job held, or its value.
    Dropped,
}

use Fate::{Disposed, Dropped, Started};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<(Fate, ThreadId)>>>);

impl Log {
    fn add(&self, fate: Fate) {
        self.0.lock().unwrap().push((fate, thread::current().id()));
    }

    /// What has happened, without the threads.
    fn fates(&self) -> Vec<Fate> {
        self.0.lock().unwrap().iter().map(|(fate, _)| *fate).collect()
    }

    /// Whether the last of it happened on the kernel's thread, which is this one.
    fn ended_here(&self) -> bool {
        self.0.lock().unwrap().last().unwrap().1 == thread::current().id()
    }
}

struct Value(Log);

impl Drop for Value {
    fn drop(&mut self) {
        self.0.add(Dropped);
    }
}

/// A job on a pool of one thread.
struct Rig {
    pool: &'static ThreadPool,
    log: Log,
    gate: Gate,
    starts: mpsc::Receiver<()>,
}

impl Rig {
    /// A rig, and a job that waits at the gate. Its late value is disposed of.
    fn new(
        pool: &'static ThreadPool,
    ) -> (Self, RunInThread<Value, impl FnOnce() -> Value + Send, impl FnOnce(Value) + Send>) {
        let (log, gate, (started, starts)) = (Log::default(), Gate::default(), mpsc::channel());
        let (value, theirs, disposes) = (Value(log.clone()), gate.clone(), log.clone());
        let job = pool.run_in_thread(move || {
            value.0.add(Started);
            started.send(()).unwrap();
            theirs.pass();
            value
        });
        let job = job.dispose(move |_value| disposes.add(Disposed));
        (Rig { pool, log, gate, starts }, job)
    }

    /// Waits until the only thread has done with all jobs before.
    async fn thread_is_free(&self) -> Result<(), TaskCancelled> {
        self.pool.run_in_thread(|| ()).await
    }
}

/// R1: if a cancellation is due when the call is first polled, the job is not started.
#[test]
fn a_job_of_a_cancelled_task_is_not_started() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    testing::run(async || {
        let (rig, job) = Rig::new(&ONE);
        let task = spawn(job);
        task.cancel().await?;
        assert!(matches!(task.join().await?, Err(TaskError::Cancelled(_))));
        assert_eq!((rig.log.fates(), rig.log.ended_here()), (vec![Dropped], true));
        rig.thread_is_free().await?;
        assert_eq!(rig.log.fates(), [Dropped]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1: a job that waits for a thread when its task is cancelled is dropped at once, on the thread
/// of its kernel, and not started.
#[test]
fn a_queued_job_is_dropped_with_its_wait() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    testing::run(async || {
        let (first, holds) = Rig::new(&ONE);
        let holds = spawn(holds);
        yield_now().await?;
        first.starts.recv().unwrap();
        let (rig, job) = Rig::new(&ONE);
        let task = spawn(job);
        yield_now().await?;
        task.cancel().await?;
        assert_eq!((rig.log.fates(), rig.log.ended_here()), (vec![Dropped], true));
        assert_eq!(abandoned_threads().len(), 0);
        first.gate.open();
        drop(holds.await?);
        rig.thread_is_free().await?;
        assert_eq!(rig.log.fates(), [Dropped]);
        assert_eq!(first.log.fates(), [Started, Dropped], "a value that is taken");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1, T6: the wait for a job that runs returns at once when it is cancelled. The job is listed
/// until it ends, and its value is disposed of on its thread.
#[test]
fn a_running_job_is_abandoned_and_listed() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    testing::run(async || {
        let (rig, job) = Rig::new(&ONE);
        let task = spawn(job);
        yield_now().await?;
        rig.starts.recv().unwrap();
        let before = kernel::now();
        task.cancel().await?;
        let listed = abandoned_threads();
        let [AbandonedThread { name, site, since, .. }] = &*listed else { panic!("{listed:?}") };
        assert_eq!((&**name, site.file(), *since), ("one", file!(), before));
        assert_eq!(rig.log.fates(), [Started]);
        rig.gate.open();
        rig.thread_is_free().await?;
        assert_eq!(rig.log.fates(), [Started, Disposed, Dropped]);
        assert!(!rig.log.ended_here());
        assert_eq!(abandoned_threads().len(), 0);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1, T6: so is one whose time is over, or whose future is dropped.
#[test]
fn a_timeout_or_a_drop_abandons_a_running_job() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    for timed in [true, false] {
        testing::run(async || {
            let (rig, job) = Rig::new(&ONE);
            let mut job = Box::pin(job);
            assert!(futures::poll!(job.as_mut()).is_pending());
            rig.starts.recv().unwrap();
            match timed {
                // While a job runs the virtual clock stands still, but this time is over.
                true => assert!(timeout_after(Duration::ZERO, job).await.is_err()),
                false => drop(job),
            }
            assert_eq!(abandoned_threads().len(), 1);
            rig.gate.open();
            rig.thread_is_free().await?;
            assert_eq!(rig.log.fates(), [Started, Disposed, Dropped]);
            assert_eq!(abandoned_threads().len(), 0);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// R1: the value of a job that has ended is disposed of on a thread of the pool if the future is
/// dropped before it takes it.
#[test]
fn a_value_that_was_not_taken_is_disposed_of_on_a_thread() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    testing::run(async || {
        let (rig, job) = Rig::new(&ONE);
        let mut job = Box::pin(job);
        assert!(futures::poll!(job.as_mut()).is_pending());
        rig.gate.open();
        rig.thread_is_free().await?;
        assert_eq!(rig.log.fates(), [Started]);
        drop(job);
        rig.thread_is_free().await?;
        assert_eq!(rig.log.fates(), [Started, Disposed, Dropped]);
        assert!(!rig.log.ended_here());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1: a late value without `dispose`, and the payload of a late panic, are dropped on the thread.
#[test]
fn a_late_value_is_dropped_on_its_thread() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    for panics in [false, true] {
        testing::run(async || {
            let (log, gate, (started, starts)) = (Log::default(), Gate::default(), mpsc::channel());
            let (value, theirs) = (Value(log.clone()), gate.clone());
            let job = ONE.run_in_thread(move || {
                started.send(()).unwrap();
                theirs.pass();
                if panics {
                    std::panic::panic_any(value);
                }
                value
            });
            let task = spawn(job);
            yield_now().await?;
            starts.recv().unwrap();
            task.cancel().await?;
            gate.open();
            ONE.run_in_thread(|| ()).await?;
            assert_eq!((log.fates(), log.ended_here()), (vec![Dropped], false));
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// R1, K3: a `dispose` that panics costs no thread.
#[test]
fn a_panic_of_dispose_costs_no_thread() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    testing::run(async || {
        let (gate, (started, starts)) = (Gate::default(), mpsc::channel());
        let theirs = gate.clone();
        let job = ONE.run_in_thread(move || {
            started.send(()).unwrap();
            theirs.pass();
        });
        let task = spawn(job.dispose(|()| panic!("a value that is late")));
        yield_now().await?;
        starts.recv().unwrap();
        task.cancel().await?;
        gate.open();
        assert_eq!(ONE.run_in_thread(|| 7).await?, 7);
        assert_eq!(abandoned_threads().len(), 0);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1, K5: the shutdown names the abandoned jobs that still run, and does not wait for them.
#[test]
fn the_shutdown_names_the_abandoned_and_does_not_wait() {
    static STUCK: ThreadPool = ThreadPool::new("stuck-ones", 2);
    let gate = Gate::default();
    let ((), texts) = reports::texts(async || {
        for _ in 0..2 {
            let (theirs, (started, starts)) = (gate.clone(), mpsc::channel::<()>());
            let job = STUCK.run_in_thread(move || {
                started.send(()).unwrap();
                theirs.pass();
            });
            drop(spawn(job));
            yield_now().await.unwrap();
            starts.recv().unwrap();
        }
        // Both are waited for until the shutdown cancels the tasks.
        assert_eq!(abandoned_threads().len(), 0);
    });
    gate.open();
    let [text] = &*texts else { panic!("{texts:?}") };
    let named = format!("stuck-ones, started at {}:", file!());
    assert!(text.contains("2 abandoned threads"), "{text}");
    assert_eq!(text.matches(&named).count(), 2, "{named} in {text}");
}

/// R1: a job that ends on the thread of a kernel that is gone harms nothing.
#[test]
fn a_job_outlives_its_kernel() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    let gate = Gate::default();
    let (theirs, (done, ended)) = (gate.clone(), mpsc::channel::<()>());
    let kernel = Kernel::builder().on_report(|_| ()).build().unwrap();
    kernel.run(async || {
        let job = ONE.run_in_thread(move || {
            theirs.pass();
            done
        });
        drop(spawn(job));
        yield_now().await.unwrap();
    });
    drop(kernel);
    gate.open();
    // It is an error when the value has been dropped.
    assert!(ended.recv().is_err());
}

/// R1: a job that its owner may come back to is listed once the owner has gone, until it ends.
#[test]
fn a_detached_job_is_listed_when_its_owner_has_gone() {
    let ((), texts) = reports::texts(async || {
        let (start, started) = mpsc::channel();
        let (go, waits) = mpsc::channel::<()>();
        let mut job = DetachedJob::start("a read", move || {
            start.send(()).unwrap();
            let _ = waits.recv(); // the go is that its sender is dropped
        });
        started.recv().unwrap();
        job.stop_waiting();
        assert_eq!(abandoned_threads(), [], "its owner may come back");
        drop(job);
        let [listed] = &abandoned_threads()[..] else { panic!("one is listed") };
        assert_eq!((&*listed.name, listed.site.file()), ("a read", file!()));
        drop(go);
        while !abandoned_threads().is_empty() {
            yield_now().await.unwrap();
        }
        // One that has ended is not listed.
        let mut job = DetachedJob::start("ended", || ());
        poll_fn(|cx| job.poll(cx)).await;
        drop(job);
        assert_eq!(abandoned_threads(), []);
    });
    assert_eq!(texts, [] as [String; 0]);
}
