//! Loom models of a job whose wait is not that of one leaf: it ends and begins again, and the job
//! goes on. As `models.rs`, with up to three preemptions.

use loom::thread;
use std::task::{Poll, Waker};

use super::handover::{Awaited, GivenUp};
use super::models::{Fate, Kernel, check, give_up, is_quiet, job, job_for, pool, wait, waker};
use super::sync;

/// K8: a wait that ends and begins again gets the value, and the kernel learns of the end at most
/// once.
#[test]
fn a_wait_that_begins_again_gets_the_value() {
    check(|| {
        let (pool, kernel, fate) = (pool(1), Kernel::default(), Fate::default());
        let job = job_for(None, &fate);
        let place = pool.submit(job.clone());
        match job.poll(kernel.waiter(Waker::noop().clone())) {
            Poll::Ready(value) => drop(value),
            Poll::Pending => {
                job.stop_waiting();
                drop(wait(&kernel, &*job));
            }
        }
        give_up(pool, place.number, job);
        sync::join();
        assert_eq!(fate.counts(), [1, 0, 1]);
        assert!(kernel.ended() <= 1);
        is_quiet(pool);
    });
}

/// K8: when the leaf around a poll ends, the job does not count any more, unless it has ended. The
/// task is woken all the same: another leaf of it may have polled since.
#[test]
fn a_leaf_that_ends_takes_no_wake_from_another() {
    check(|| {
        let (pool, kernel, fate) = (pool(1), Kernel::default(), Fate::default());
        let job = job_for(None, &fate);
        let place = pool.submit(job.clone());
        let leaf = job.clone().as_wait();
        let waker = waker();
        match job.poll(kernel.waiter(waker.clone())) {
            Poll::Ready(value) => drop(value),
            Poll::Pending => {
                leaf.leaf_ended();
                thread::park();
                assert!(job.poll(kernel.waiter(waker)).is_ready());
                assert_eq!(kernel.ended() + kernel.given_up(), 1);
            }
        }
        drop(leaf);
        give_up(pool, place.number, job);
        sync::join();
        assert_eq!(fate.counts(), [1, 0, 1]);
        is_quiet(pool);
    });
}

/// R1, O3: an uncancellable job runs once, whenever it is given up, and its value is disposed of.
#[test]
fn an_uncancellable_job_runs_once() {
    check(|| {
        let (pool, kernel, fate) = (pool(1), Kernel::default(), Fate::default());
        let job = job(&kernel, &fate);
        pool.submit(job.clone());
        match job.give_up(false) {
            GivenUp::Ended(job) => drop(pool.submit(job)),
            GivenUp::Running(_) => {}
            GivenUp::NotStarted | GivenUp::Nothing => panic!("it was not taken"),
        }
        sync::join();
        assert_eq!(fate.counts(), [1, 1, 1]);
        assert!(kernel.ended() <= 1);
        is_quiet(pool);
    });
}
