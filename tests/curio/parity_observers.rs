//! What curio's tests of activations check: what an observer sees of the main task.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::cell::RefCell;
use std::rc::Rc;

use kernel::{Kernel, Observed, Observer, TaskCancelled, sleep};

use crate::support::time::MS;

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    fn note(&self, what: &'static str, task: &Observed<'_>) {
        assert_eq!(task.name(), "main", "no task but main");
        self.0.borrow_mut().push(what);
    }
}

impl Observer for Log {
    fn created(&self, task: &Observed<'_>) {
        self.note("created", task);
    }

    fn running(&self, task: &Observed<'_>) {
        self.note("running", task);
    }

    fn suspended(&self, task: &Observed<'_>) {
        self.note("suspended", task);
    }

    fn terminated(&self, task: &Observed<'_>) {
        self.note("terminated", task);
    }
}

const ONE_POLL: [&str; 2] = ["running", "suspended"];

/// K12: a main task that fails after a suspension is seen to run, to wait and to end. Its error
/// comes out of `run`, and the kernel can be shut down.
#[test]
fn an_observer_sees_a_main_task_that_fails() {
    let log = Log::default();
    let kernel = Kernel::builder().observer(log.clone()).build().unwrap();
    let error = kernel.run(async || {
        sleep(MS).await.unwrap();
        Err::<(), _>("dead")
    });
    assert_eq!(error, Err("dead"));
    let expected = [&["created"], &ONE_POLL[..], &ONE_POLL, &["terminated"]].concat();
    assert_eq!(log.0.take(), expected);
    kernel.shutdown();
    assert!(log.0.borrow().is_empty());
}

/// K12: the kernel has no tasks of its own: a run shows main alone, one poll for each sleep and one
/// for its end.
#[test]
fn an_observer_sees_no_task_of_the_kernel_itself() {
    let log = Log::default();
    let builder = Kernel::builder().observer(log.clone());
    builder
        .run(async || {
            for _ in 0..3 {
                sleep(MS).await?;
            }
            Ok::<_, TaskCancelled>(())
        })
        .unwrap();
    let polls = ONE_POLL.repeat(4);
    assert_eq!(log.0.take(), [&["created"], &polls[..], &["terminated"]].concat());
}
