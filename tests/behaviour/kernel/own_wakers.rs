//! Tasks whose waker was cloned, as a future of another crate does it. They are polled on a way of
//! their own, and by the long one in a kernel that records.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use kernel::{
    Builder, Kernel, Link, Task, TaskCancelled, TaskEnd, Watcher, sleep, spawn, testing, yield_now,
};

use crate::support::time::secs;

type Ended = Result<(), TaskCancelled>;

/// Sees nothing; but a kernel that is watched has a run loop of its own.
struct Nobody;

impl Watcher for Nobody {
    fn begin(&self, _: Link) {}
    fn end(&self) {}
}

/// What a task does in its second poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Returns,
    Parks,
    WakesItself,
    Yields,
    Sleeps,
    CancelsItself,
    AbortsItself,
    Panics,
}

const ACTS: [Act; 8] = [
    Act::Returns,
    Act::Parks,
    Act::WakesItself,
    Act::Yields,
    Act::Sleeps,
    Act::CancelsItself,
    Act::AbortsItself,
    Act::Panics,
];

#[derive(Default)]
struct Shared {
    waker: RefCell<Option<Waker>>,
    task: RefCell<Option<Task<(), TaskCancelled>>>,
    polls: Cell<u32>,
}

impl Shared {
    /// Polls after which the task parks again, but for the act of the second.
    async fn run(self: Rc<Self>, act: Act) -> Ended {
        poll_fn(|cx| {
            let first = self.waker.replace(Some(cx.waker().clone())).is_none();
            if first { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        let with_task =
            |act: fn(&Task<(), TaskCancelled>)| act(self.task.borrow().as_ref().unwrap());
        match act {
            Act::Returns => return Ok(()),
            Act::Parks => {}
            Act::WakesItself => self.waker.borrow().as_ref().unwrap().wake_by_ref(),
            Act::Yields => yield_now().await?,
            Act::Sleeps => sleep(secs(1)).await?,
            Act::CancelsItself => with_task(Task::request_cancel),
            Act::AbortsItself => with_task(Task::abort),
            Act::Panics => panic!("in the second poll"),
        }
        poll_fn(|_| {
            self.polls.set(self.polls.get() + 1);
            Poll::Pending
        })
        .await
    }
}

/// How the task has ended, and how often it was polled after its act.
async fn does(act: Act) -> (Option<TaskEnd>, u32) {
    let shared = Rc::new(Shared::default());
    let task = spawn(shared.clone().run(act));
    *shared.task.borrow_mut() = Some(task);
    testing::settle().await.unwrap();
    let waker = shared.waker.borrow().clone().unwrap();
    waker.wake_by_ref();
    // Queued behind it, and polled in the same round with the waker that is nobody's.
    let next = spawn(async { sleep(secs(2)).await });
    assert!(next.join().await.unwrap().is_ok(), "{act:?}");
    let seen = (shared.task.borrow().as_ref().unwrap().end(), shared.polls.get());
    waker.wake();
    testing::settle().await.unwrap();
    let wakes = shared.polls.get() - seen.1;
    assert_eq!(wakes, u32::from(seen.0.is_none()), "{act:?}: a wake after its end, or none");
    let task = shared.task.take().unwrap();
    task.abort();
    task.wait().await.unwrap();
    seen
}

/// K3, C4, T4: a task with a waker of its own is polled like any other, whatever it does in the
/// poll, and the tasks after it are.
#[test]
fn a_task_with_a_waker_of_its_own_is_polled_like_any_other() {
    let kernels: [fn(Builder) -> Builder; 4] = [
        |builder| builder,
        |builder| builder.watcher(Nobody),
        |builder| builder.flight_recorder(1 << 16),
        |builder| builder.report_long_polls(Duration::from_secs(60)),
    ];
    for of in kernels {
        let quiet = of(Kernel::builder().on_report(|_| ()));
        testing::run_with(quiet, async || {
            for act in ACTS {
                let expected = match act {
                    Act::Returns => (Some(TaskEnd::Ok), 0),
                    Act::Parks | Act::Yields | Act::Sleeps => (None, 1),
                    Act::WakesItself => (None, 2),
                    // The request makes it ready, and no leaf returns the cancellation.
                    Act::CancelsItself => (None, 2),
                    Act::AbortsItself => (Some(TaskEnd::Aborted), 1),
                    Act::Panics => (Some(TaskEnd::Panicked), 0),
                };
                assert_eq!(does(act).await, expected, "{act:?}");
            }
        });
    }
}

/// K3: so is the future of `run`, which is no task of the table.
#[test]
fn a_main_future_with_a_waker_of_its_own_is_polled_to_its_end() {
    let polls = Cell::new(0);
    let value = testing::run(async || {
        let mut wakes = Vec::new();
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            wakes.push(cx.waker().clone());
            cx.waker().wake_by_ref();
            if polls.get() < 5 { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        sleep(secs(1)).await.map(|()| wakes.len())
    });
    assert_eq!((value, polls.get()), (Ok(5), 5));
}
