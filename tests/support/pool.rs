//! A pool of threads that has no thread left, so that what is given to it waits.

use std::sync::{Arc, Condvar, Mutex};

use kernel::{DetachedJob, Task, TaskCancelled, run_in_thread, spawn, yield_now};

/// A gate at which jobs wait until it opens.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn pass(&self) {
        let (open, opened) = &*self.0;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
    }

    pub(crate) fn open(&self) {
        let (open, opened) = &*self.0;
        *open.lock().unwrap() = true;
        opened.notify_all();
    }
}

/// Occupies every thread of the pool with jobs for which no task waits. What is queued behind them
/// does not run before the gate opens.
pub(crate) fn hold_up() -> Gate {
    let gate = Gate::default();
    for _ in 0..100 {
        let gate = gate.clone();
        drop(DetachedJob::start_uncancellable("a gate", move || gate.pass()));
    }
    gate
}

/// More jobs than the pool has threads. They wait at one gate, and what is queued behind them does
/// not run before it opens.
pub(crate) struct Occupied {
    gate: Gate,
    jobs: Vec<Task<(), TaskCancelled>>,
    opens: bool,
}

impl Occupied {
    pub(crate) async fn new() -> Occupied {
        let gate = Gate::default();
        let job = |_| {
            let gate = gate.clone();
            spawn(async move { run_in_thread(move || gate.pass()).await })
        };
        let jobs = (0..300).map(job).collect();
        yield_now().await.unwrap();
        Occupied { gate, jobs, opens: true }
    }

    /// Opens the gate, and waits for the jobs.
    pub(crate) async fn release(self) {
        self.gate.open();
        for job in &self.jobs {
            job.await.unwrap();
        }
    }

    /// Leaves the gate to the caller.
    pub(crate) fn leave(mut self) -> Gate {
        self.opens = false;
        self.gate.clone()
    }
}

impl Drop for Occupied {
    /// Also if the test fails, because other tests of the process use the pool.
    fn drop(&mut self) {
        if self.opens {
            self.gate.open();
        }
    }
}
