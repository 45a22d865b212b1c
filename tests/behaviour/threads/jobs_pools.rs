//! Pools of threads of a program's own (R1).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::thread;

use curium::kernel::{TaskCancelled, ThreadPool, run_in_thread, spawn, testing, yield_now};

use crate::support::pool::Gate;

/// R1: the jobs of a pool run on threads of its name, and never more than its limit at once.
#[test]
fn a_pool_has_named_threads_up_to_its_limit() {
    static THREE: ThreadPool = ThreadPool::new("three of them", 3);
    testing::run(async || {
        let (running, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        // Three must run together, again and again.
        let together = Arc::new(Barrier::new(3));
        let jobs: Vec<_> = (0..30)
            .map(|_| {
                let (running, peak) = (running.clone(), peak.clone());
                let together = together.clone();
                spawn(THREE.run_in_thread(move || {
                    peak.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    together.wait();
                    running.fetch_sub(1, Ordering::SeqCst);
                    thread::current().name().map(str::to_owned)
                }))
            })
            .collect();
        for job in jobs {
            assert_eq!(job.await?.as_deref(), Some("three of them"));
        }
        assert_eq!(peak.load(Ordering::SeqCst), 3);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1: the jobs of a pool are served in order of arrival.
#[test]
fn a_pool_serves_first_come_first_served() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    testing::run(async || {
        let order = Arc::new(Mutex::new(Vec::new()));
        let jobs: Vec<_> = (0..50)
            .map(|number| {
                let order = order.clone();
                spawn(ONE.run_in_thread(move || order.lock().unwrap().push(number)))
            })
            .collect();
        for job in jobs {
            job.await?;
        }
        assert!(order.lock().unwrap().iter().copied().eq(0..50));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1: jobs that are stuck in one pool delay neither another pool nor that of the process.
#[test]
fn a_pool_that_is_stuck_delays_no_other() {
    static STUCK: ThreadPool = ThreadPool::new("stuck", 2);
    static OTHER: ThreadPool = ThreadPool::new("other", 1);
    testing::run(async || {
        let (gate, (started, starts)) = (Gate::default(), mpsc::channel());
        let stuck: Vec<_> = (0..5)
            .map(|_| {
                let (theirs, started) = (gate.clone(), started.clone());
                spawn(STUCK.run_in_thread(move || {
                    started.send(()).unwrap();
                    theirs.pass();
                }))
            })
            .collect();
        yield_now().await?;
        (0..2).for_each(|_| starts.recv().unwrap());
        assert_eq!(OTHER.run_in_thread(|| 7).await?, 7);
        assert_eq!(run_in_thread(|| 8).await?, 8);
        let shown = format!("{STUCK:?}");
        assert!(shown.contains("limit: 2, threads: 2, idle: 0, waiting: 3"), "{shown}");
        gate.open();
        for job in stuck {
            job.await?;
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1: a pool without threads, or with a name that no thread can have, is refused when it is made.
#[test]
fn a_pool_that_cannot_work_is_refused() {
    for (name, limit) in [("none", 0), ("a\0b", 1)] {
        assert!(std::panic::catch_unwind(|| ThreadPool::new(name, limit)).is_err());
    }
}
