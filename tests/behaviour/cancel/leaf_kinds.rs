//! Every kind of leaf of the kernel, cancelled and dropped before its first poll, while it is
//! parked, and after it was woken but not polled (C1 to C4).
//!
//! Anything left behind (a timer, a record, a job) fails the run at its end.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use kernel::{
    Task, TaskCancelled, TaskError, TaskGroup, ThreadPool, cancellable, interval, shield, sleep,
    spawn, testing, yield_now,
};

use crate::support::time::secs;

type Leaf = Pin<Box<dyn Future<Output = Result<(), TaskCancelled>>>>;

/// Completes a parked leaf, so that it is woken, without polling it.
enum Wake {
    By(Box<dyn FnOnce()>),
    /// When this task ends, the leaf has been woken, if this task was polled before it.
    With(Leaf),
}

impl Wake {
    /// Releases a job that would never end otherwise.
    fn clean_up(self) {
        match self {
            Wake::By(wake) => wake(),
            Wake::With(unused) => drop(unused),
        }
    }
}

/// A leaf that was not polled yet.
struct Rig {
    leaf: Leaf,
    wake: Wake,
}

impl Rig {
    fn by<T>(
        leaf: impl Future<Output = Result<T, TaskCancelled>> + 'static,
        wake: impl FnOnce() + 'static,
    ) -> Self {
        Rig { leaf: Box::pin(async { leaf.await.map(drop) }), wake: Wake::By(Box::new(wake)) }
    }

    fn with(
        leaf: impl Future<Output = Result<(), TaskCancelled>> + 'static,
        wake: impl Future<Output = Result<(), TaskCancelled>> + 'static,
    ) -> Self {
        Rig { leaf: Box::pin(leaf), wake: Wake::With(Box::pin(wake)) }
    }

    /// A leaf that waits for a task, which does not end when it is cancelled.
    fn on_task<T, F>(leaf: impl FnOnce(Rc<Task<(), TaskCancelled>>) -> F) -> Self
    where
        F: Future<Output = Result<T, TaskCancelled>> + 'static,
    {
        let task = Rc::new(spawn(shield(sleep(Duration::MAX))));
        Rig::by(leaf(task.clone()), move || task.abort())
    }

    /// A leaf of a group with one member, which ends when it is cancelled, or does not.
    fn on_group<T, F>(ends: bool, leaf: impl FnOnce(TaskGroup<TaskCancelled>) -> F) -> Self
    where
        F: Future<Output = Result<T, TaskCancelled>> + 'static,
    {
        let group = TaskGroup::new();
        let member = match ends {
            true => group.spawn(sleep(Duration::MAX)),
            false => group.spawn(shield(sleep(Duration::MAX))),
        };
        Rig::by(leaf(group), move || member.abort())
    }
}

/// A job that waits until it is released. The wake returns when the thread has posted its result.
fn job() -> Rig {
    let (go, gate) = mpsc::channel::<()>();
    let pool: &'static ThreadPool = Box::leak(Box::new(ThreadPool::new("one-by-one", 1)));
    let job = pool.run_in_thread(move || gate.recv().is_err());
    Rig::by(job, move || {
        drop(go);
        // The only thread begins the next job when it has done with the first.
        let (begins, begun) = mpsc::channel();
        let mut next = pool.run_in_thread(move || begins.send(()).unwrap());
        assert!((&mut next).now_or_never().is_none());
        begun.recv().unwrap();
    })
}

fn ticks() -> Rig {
    let second_tick = async {
        let mut ticks = interval(secs(1));
        ticks.tick().await?;
        ticks.tick().await.map(drop)
    };
    Rig::with(second_tick, sleep(secs(1)))
}

fn foreign() -> Rig {
    let (sender, receiver) = oneshot::channel::<()>();
    Rig::by(cancellable(receiver), move || {
        sender.send(()).ok();
    })
}

/// A kind of leaf, and how often it must be polled until it is parked.
struct Kind {
    name: &'static str,
    polls: usize,
    make: fn() -> Rig,
}

const KINDS: [Kind; 12] = [
    Kind { name: "sleep", polls: 1, make: || Rig::with(sleep(secs(1)), sleep(secs(1))) },
    Kind { name: "yield_now", polls: 1, make: || Rig::by(yield_now(), || ()) },
    Kind { name: "join", polls: 1, make: || Rig::on_task(async |task| task.join().await) },
    Kind { name: "wait", polls: 1, make: || Rig::on_task(async |task| task.wait().await) },
    Kind { name: "cancel", polls: 1, make: || Rig::on_task(async |task| task.cancel().await) },
    Kind { name: "tick", polls: 2, make: ticks },
    Kind {
        name: "group join",
        polls: 1,
        make: || Rig::on_group(true, async |group| group.join().await),
    },
    Kind {
        name: "next_done",
        polls: 1,
        make: || Rig::on_group(true, async |group| group.next_done().await),
    },
    Kind {
        name: "cancel_remaining",
        polls: 1,
        make: || Rig::on_group(false, async |group| group.cancel_remaining().await),
    },
    Kind { name: "settle", polls: 1, make: || Rig::with(testing::settle(), testing::settle()) },
    Kind { name: "run_in_thread", polls: 1, make: job },
    Kind { name: "cancellable", polls: 1, make: foreign },
];

/// Whether the leaf gave its value, and whether the next leaf does.
type Seen = (bool, bool);
const CANCELLED: Seen = (false, true);
const COMPLETED: Seen = (true, false);

fn spawned(leaf: Leaf) -> Task<Seen, TaskCancelled> {
    spawn(async {
        let first = leaf.await.is_ok();
        Ok((first, sleep(secs(5)).await.is_ok()))
    })
}

/// Lets all other tasks be polled so often.
async fn let_run(polls: usize) {
    for _ in 0..polls {
        yield_now().await.unwrap();
    }
}

/// A task in `leaf` that was woken and not polled since.
async fn spawned_and_woken(kind: &Kind) -> Task<Seen, TaskCancelled> {
    let Rig { leaf, wake } = (kind.make)();
    match wake {
        Wake::With(mut other) => {
            assert!(futures::poll!(other.as_mut()).is_pending());
            let task = spawned(leaf);
            other.await.unwrap();
            task
        }
        Wake::By(wake) => {
            let task = spawned(leaf);
            let_run(kind.polls).await;
            wake();
            task
        }
    }
}

/// Only main is left, and main is not parked.
fn assert_nothing_left(kind: &Kind) {
    let left: Vec<String> = kernel::tasks().iter().map(ToString::to_string).collect();
    assert_eq!(left.len(), 1, "{}: {left:?}", kind.name);
    assert!(kernel::current_task().parked.is_empty(), "{}: {left:?}", kind.name);
}

/// C2: cancelled before its first poll, it gives the error; the next leaf works (C4).
#[test]
fn a_leaf_cancelled_before_its_first_poll_gives_the_error() {
    for kind in &KINDS {
        testing::run(async || {
            let Rig { leaf, wake } = (kind.make)();
            let task = spawned(leaf);
            task.request_cancel();
            assert_eq!(task.join().await.unwrap().unwrap(), CANCELLED, "{}", kind.name);
            wake.clean_up();
            assert_nothing_left(kind);
        });
    }
}

/// C2: cancelled while it is parked, it gives the error; the next leaf works (C4).
#[test]
fn a_leaf_cancelled_while_it_is_parked_gives_the_error() {
    // A yield never parks, because it is ready from the start.
    for kind in KINDS.iter().filter(|kind| kind.name != "yield_now") {
        testing::run(async || {
            let Rig { leaf, wake } = (kind.make)();
            let task = spawned(leaf);
            let_run(kind.polls).await;
            assert!(!task.is_done());
            task.request_cancel();
            assert_eq!(task.join().await.unwrap().unwrap(), CANCELLED, "{}", kind.name);
            wake.clean_up();
            assert_nothing_left(kind);
        });
    }
}

/// C1, C3: cancelled after it was woken, it has completed, and the next leaf gives the error.
#[test]
fn a_leaf_cancelled_after_it_was_woken_has_completed() {
    for kind in &KINDS {
        testing::run(async || {
            let task = spawned_and_woken(kind).await;
            assert_eq!(task.state().to_string(), expected_state(kind), "{}", kind.name);
            task.request_cancel();
            assert_eq!(task.join().await.unwrap().unwrap(), COMPLETED, "{}", kind.name);
            assert_nothing_left(kind);
        });
    }
}

/// A wake from another thread is still in the mailbox.
fn expected_state(kind: &Kind) -> &'static str {
    if kind.name == "run_in_thread" { "THREAD_WAIT" } else { "READY" }
}

/// C3: a leaf that the polling task drops, in each of the three states, leaves nothing behind, and
/// that task continues undisturbed.
#[test]
fn a_dropped_leaf_leaves_nothing_behind() {
    for (kind, state) in KINDS.iter().flat_map(|kind| (0..3).map(move |state| (kind, state))) {
        testing::run(async || {
            let Rig { mut leaf, mut wake } = (kind.make)();
            if let Wake::With(other) = &mut wake {
                assert!(futures::poll!(other.as_mut()).is_pending());
            }
            for _ in 0..if state > 0 { kind.polls } else { 0 } {
                assert!(futures::poll!(leaf.as_mut()).is_pending(), "{}", kind.name);
            }
            if state == 2 {
                match wake {
                    Wake::By(wake) => wake(),
                    Wake::With(other) => other.await.unwrap(),
                }
                drop(leaf);
            } else {
                drop(leaf);
                wake.clean_up();
            }
            assert_nothing_left(kind);
            assert_eq!(sleep(secs(5)).await, Ok(()), "{}", kind.name);
        });
    }
}

/// C10: so does a leaf whose task is aborted in each of the three states.
#[test]
fn a_leaf_of_an_aborted_task_leaves_nothing_behind() {
    for kind in &KINDS {
        for polls in [0, kind.polls] {
            testing::run(async || {
                let Rig { leaf, wake } = (kind.make)();
                let task = spawned(leaf);
                let_run(polls).await;
                task.abort();
                wake.clean_up();
                assert!(matches!(task.join().await.unwrap(), Err(TaskError::Aborted)));
                assert_nothing_left(kind);
            });
        }
        testing::run(async || {
            let task = spawned_and_woken(kind).await;
            task.abort();
            assert!(matches!(task.join().await.unwrap(), Err(TaskError::Aborted)));
            assert_nothing_left(kind);
            assert_eq!(sleep(secs(5)).await, Ok(()), "{}", kind.name);
        });
    }
}

/// C3: a join that was woken and then dropped has not taken the outcome.
#[test]
fn a_join_dropped_after_it_was_woken_leaves_the_outcome() {
    testing::run(async || {
        let task = spawn(async {
            sleep(secs(1)).await?;
            Ok::<_, TaskCancelled>(7)
        });
        let mut join = Box::pin(task.join());
        assert!(futures::poll!(join.as_mut()).is_pending());
        task.wait().await.unwrap();
        drop(join);
        assert_eq!(task.join().await.unwrap().unwrap(), 7);
    });
}

/// C3: an ending that a dropped `next_done` was handed goes to the next call.
#[test]
fn an_ending_told_to_a_dropped_next_done_is_told_again() {
    testing::run(async || {
        let group = TaskGroup::<TaskCancelled>::new();
        let member = group.spawn(sleep(Duration::MAX));
        let mut asking = Box::pin(group.next_done());
        assert!(futures::poll!(asking.as_mut()).is_pending());
        member.abort();
        drop(asking);
        let done = group.next_done().await.unwrap().unwrap();
        assert_eq!(done.id, member.id());
        group.join().await.unwrap();
    });
}

/// C4: a cancelled tick is not lost: the next call waits for the same tick.
#[test]
fn a_cancelled_tick_is_not_lost() {
    testing::run(async || {
        let started = kernel::now();
        let task = spawn(async {
            let mut ticks = interval(secs(10));
            let first = ticks.tick().await?;
            assert!(ticks.tick().await.is_err());
            Ok::<_, TaskCancelled>((first, ticks.tick().await?))
        });
        sleep(secs(4)).await.unwrap();
        task.request_cancel();
        let (first, second) = task.join().await.unwrap().unwrap();
        assert_eq!((first - started, second - started), (secs(0), secs(10)));
    });
}
