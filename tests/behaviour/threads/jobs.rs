//! A job on another thread, and the task that waits for it (R1).

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::thread;
use std::time::Duration;

use curium::kernel::{
    self, Kernel, TaskCancelled, TaskError, ThreadPool, run_in_thread, shield, sleep, spawn,
    task_local, testing, timeout_after, yield_now,
};
use futures::FutureExt;

use crate::support::limits;
use crate::support::pool::Gate;
use crate::support::time::secs;

/// R1: the value of the job comes back in one level. An error in it keeps its own type.
#[test]
fn a_job_gives_its_value_or_its_own_error() {
    testing::run(async || {
        let here = thread::current().id();
        assert_ne!(run_in_thread(|| thread::current().id()).await?, here);
        let failed = run_in_thread(|| Err::<u32, _>(io::Error::from(ErrorKind::NotFound)));
        assert_eq!(failed.await?.unwrap_err().kind(), ErrorKind::NotFound);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1: other tasks run while a job does.
#[test]
fn a_job_holds_up_no_other_task() {
    testing::run(async || {
        let gate = Gate::default();
        let theirs = gate.clone();
        let job = spawn(run_in_thread(move || theirs.pass()));
        for _ in 0..100 {
            yield_now().await?;
        }
        assert!(!job.is_done());
        gate.open();
        job.await
    })
    .unwrap();
}

/// R1, K3: a panic of the job goes on in its caller, with its payload.
#[test]
fn the_panic_of_a_job_goes_on_in_its_caller() {
    testing::run(async || {
        let task = spawn(async { run_in_thread(|| panic!("one of {}", 2)).await });
        match task.join().await? {
            Err(TaskError::Panicked(panic)) => assert_eq!(panic.message(), "one of 2"),
            other => panic!("{other:?}"),
        }
        let mut job = Box::pin(run_in_thread(|| panic_any(7_u8)));
        assert!(futures::poll!(job.as_mut()).is_pending());
        let caught = AssertUnwindSafe(job).catch_unwind().await.unwrap_err();
        assert_eq!(caught.downcast_ref::<u8>(), Some(&7));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1, K10: a job sees no values of its task, and no kernel. A kernel of its own works.
#[test]
fn a_job_inherits_nothing() {
    task_local!(static NAME: &'static str);
    testing::run(async || {
        let job = run_in_thread(|| {
            let outside = catch_unwind(kernel::now).is_err();
            let own = kernel::run(async || sleep(Duration::ZERO).await.is_ok());
            (NAME.try_with(|_| ()).is_none(), kernel::is_running(), outside, own)
        });
        let inside = NAME.scope("of the task", shield(timeout_after(secs(9), job)));
        assert_eq!(inside.await.unwrap()?, (true, false, true, true));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1: many jobs that one task waits for at once, by wakers that are not its own.
#[test]
fn a_task_waits_for_many_jobs_at_once() {
    testing::run(async || {
        let jobs = (0..100_u32).map(|number| run_in_thread(move || number * 2));
        let values: Result<Vec<_>, _> = futures::future::join_all(jobs).await.into_iter().collect();
        assert_eq!(values?.into_iter().sum::<u32>(), 9900);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// R1, K7: a job that was begun in one kernel comes back to another one of the thread, which waits
/// for it. The first one does not run meanwhile.
#[test]
fn a_job_comes_back_to_the_kernel_that_waits_for_it() {
    limits::within(|| {
        static ONE: ThreadPool = ThreadPool::new("one", 1);
        let gate = Gate::default();
        let theirs = gate.clone();
        let (first, second) = (Kernel::new().unwrap(), Kernel::new().unwrap());
        let mut job = first.run(async || {
            let mut job = Box::pin(ONE.run_in_thread(move || {
                theirs.pass();
                7
            }));
            assert!(futures::poll!(job.as_mut()).is_pending());
            Some(job)
        });
        let mut job = job.take().unwrap();
        let value = second.run(async || {
            assert!(futures::poll!(job.as_mut()).is_pending());
            gate.open();
            job.await
        });
        assert_eq!(value, Ok(7));
        drop(first.run(yield_now));
        assert_eq!((first.leftovers(), second.leftovers()), Default::default());
    });
}

/// R1, C1: a job that has ended is returned, and a cancellation that came later stays pending.
#[test]
fn a_job_that_has_ended_comes_before_a_cancellation() {
    static ONE: ThreadPool = ThreadPool::new("one", 1);
    testing::run(async || {
        let gate = Gate::default();
        let theirs = gate.clone();
        let task = spawn(async {
            let value = ONE
                .run_in_thread(move || {
                    theirs.pass();
                    7
                })
                .await?;
            assert!(sleep(Duration::MAX).await.is_err());
            Ok::<_, TaskCancelled>(value)
        });
        yield_now().await?;
        gate.open();
        // The only thread begins the next job when it has posted the value of the first. This
        // thread blocks meanwhile, so the task is not polled.
        let (begins, begun) = std::sync::mpsc::channel();
        let mut next = ONE.run_in_thread(move || begins.send(()).unwrap());
        assert!(futures::poll!(&mut next).is_pending());
        begun.recv().unwrap();
        task.request_cancel();
        assert_eq!(task.await?, 7);
        next.await
    })
    .unwrap();
}
