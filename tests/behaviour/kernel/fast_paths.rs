//! The fast paths of a turn: the state of one poll must not leak into the next.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::future::LocalBoxFuture;
use kernel::{
    Kernel, Task, TaskCancelled, TaskEnd, TaskGroup, WaitPolicy, check_cancellation, current_task,
    shield, sleep, spawn, testing, timeout_after, yield_now,
};

use crate::support::limits;
use crate::support::time::secs;

type Ended = Result<(), TaskCancelled>;
type Kept = Rc<RefCell<Option<Waker>>>;

/// A kernel whose reports are dropped.
fn quiet() -> kernel::Builder {
    Kernel::builder().on_report(|_| ())
}

/// A task that keeps its waker and panics in the same poll.
fn panics_and_leaves_its_waker(kept: &Kept) -> Task<(), TaskCancelled> {
    let kept = kept.clone();
    spawn(poll_fn(move |cx| -> Poll<Ended> {
        *kept.borrow_mut() = Some(cx.waker().clone());
        panic!("with its waker given away");
    }))
}

/// A task that counts its polls and parks for ever.
fn counts(polls: &Rc<Cell<u32>>) -> Task<(), TaskCancelled> {
    let polls = polls.clone();
    let mut parked = Box::pin(sleep(Duration::MAX));
    spawn(poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        parked.as_mut().poll(cx)
    }))
}

/// K7, K3: the waker of a task that panicked wakes no task, in particular not the next one.
#[test]
fn the_waker_of_a_panicked_task_wakes_nobody_else() {
    testing::run_with(quiet(), async || {
        let (kept, polls) = (Kept::default(), Rc::new(Cell::new(0)));
        let panicked = panics_and_leaves_its_waker(&kept);
        let next = counts(&polls);
        testing::settle().await.unwrap();
        assert_eq!((panicked.end(), polls.get()), (Some(TaskEnd::Panicked), 1));
        kept.take().unwrap().wake();
        testing::settle().await.unwrap();
        assert_eq!(polls.get(), 1);
        next.cancel().await.unwrap();
    });
}

/// K7, K3: nor does it replace the waker of a task that has one.
#[test]
fn a_task_keeps_its_waker_although_another_one_panicked_before_it() {
    testing::run_with(quiet(), async || {
        let (kept, panicked, polls) = (Kept::default(), Kept::default(), Rc::new(Cell::new(0)));
        let (theirs, count) = (kept.clone(), polls.clone());
        let task = spawn(poll_fn(move |cx| -> Poll<Ended> {
            count.set(count.get() + 1);
            *theirs.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        }));
        testing::settle().await.unwrap();
        let failing = panics_and_leaves_its_waker(&panicked);
        // Queued behind the task that panics, in the same round.
        let first = kept.borrow().clone().unwrap();
        first.wake();
        testing::settle().await.unwrap();
        assert_eq!((failing.end(), polls.get()), (Some(TaskEnd::Panicked), 2));
        for polled in 3..6 {
            let waker = kept.take().unwrap();
            waker.wake();
            testing::settle().await.unwrap();
            assert_eq!(polls.get(), polled, "a wake was lost");
        }
        task.abort();
    });
}

/// K8: the waker of a panicked task hides no deadlock.
#[test]
fn the_waker_of_a_panicked_task_hides_no_deadlock() {
    let text = limits::within(|| {
        let kept = Kept::default();
        let ran = catch_unwind(AssertUnwindSafe(|| {
            quiet().run(async || {
                let panicked = panics_and_leaves_its_waker(&kept);
                panicked.wait().await.unwrap();
                sleep(Duration::MAX).await
            })
        }));
        *ran.unwrap_err().downcast::<String>().unwrap()
    });
    assert!(text.starts_with("deadlock"), "{text}");
}

/// C4, K3: a request of a task to cancel itself is dropped when it panics.
#[test]
fn a_request_to_oneself_goes_with_a_panic() {
    testing::run_with(quiet(), async || {
        let me: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
        let theirs = me.clone();
        let task = spawn(async move {
            theirs.borrow().as_ref().unwrap().request_cancel();
            if check_cancellation().is_some() {
                panic!("cancelled");
            }
            Ok::<(), TaskCancelled>(())
        });
        *me.borrow_mut() = Some(task);
        let next = spawn(async {
            yield_now().await?;
            sleep(secs(1)).await
        });
        assert!(next.join().await.unwrap().is_ok());
        assert_eq!(me.take().unwrap().end(), Some(TaskEnd::Panicked));
    });
}

/// K3, K1: so is a requested turn, also if a destructor requests it after the poll.
#[test]
fn a_yield_goes_with_a_panic() {
    struct Yields(Kept);
    impl Drop for Yields {
        fn drop(&mut self) {
            let waker = self.0.take().unwrap();
            let _ = Box::pin(yield_now()).as_mut().poll(&mut Context::from_waker(&waker));
        }
    }
    testing::run_with(quiet(), async || {
        for late in [false, true] {
            let (kept, polls) = (Kept::default(), Rc::new(Cell::new(0)));
            let guard = late.then(|| Yields(kept.clone()));
            let panicked = spawn(poll_fn(move |cx| -> Poll<Ended> {
                let _at_the_end = &guard;
                if late {
                    *kept.borrow_mut() = Some(cx.waker().clone());
                } else {
                    assert!(Box::pin(yield_now()).as_mut().poll(cx).is_pending());
                }
                panic!("after a yield");
            }));
            let next = counts(&polls);
            testing::settle().await.unwrap();
            assert_eq!((panicked.end(), polls.get()), (Some(TaskEnd::Panicked), 1), "{late}");
            next.cancel().await.unwrap();
        }
    });
}

struct DropsMark(Rc<Cell<u32>>);

impl std::fmt::Debug for DropsMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DropsMark")
    }
}

impl From<TaskCancelled> for DropsMark {
    fn from(_: TaskCancelled) -> Self {
        DropsMark(Rc::default())
    }
}

impl Drop for DropsMark {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// G5: the failures that a success makes void are dropped when the group ends, not when its slot is
/// reused.
#[test]
fn an_overlooked_failure_is_dropped_with_its_group() {
    testing::run(async || {
        let drops = Rc::new(Cell::new(0));
        let won = TaskGroup::<DropsMark>::scope_with(WaitPolicy::FirstOk, async |g| {
            let mark = DropsMark(drops.clone());
            g.spawn(async move { Err::<(), _>(mark) });
            g.spawn(async { sleep(secs(1)).await.map_err(DropsMark::from) });
            Ok(7)
        })
        .await;
        assert_eq!((won.ok(), drops.get()), (Some(7), 1));
    });
}

type Shared = Rc<RefCell<LocalBoxFuture<'static, Ended>>>;

fn share(future: impl Future<Output = Ended> + 'static) -> Shared {
    Rc::new(RefCell::new(future.boxed_local()))
}

fn poll_shared(shared: &Shared) -> impl Future<Output = Ended> + use<> {
    let shared = shared.clone();
    poll_fn(move |cx| shared.borrow_mut().as_mut().poll(cx))
}

thread_local!(static INNER: RefCell<Option<Kernel>> = const { RefCell::new(None) });

/// Drops the inner kernel.
struct DropsInner;

impl Drop for DropsInner {
    fn drop(&mut self) {
        let inner = INNER.with(RefCell::take);
        drop(inner);
    }
}

/// Spawns a task that drops the inner kernel when it is dropped.
struct SpawnsInDrop;

impl Drop for SpawnsInDrop {
    fn drop(&mut self) {
        let inner = DropsInner;
        drop(spawn(async move {
            let _inner = inner;
            Ok::<(), TaskCancelled>(())
        }));
    }
}

/// K9, K4: a task that is spawned too late is dropped where its destructor may drop another kernel.
#[test]
fn a_future_that_is_refused_may_drop_another_kernel() {
    let reports = Rc::new(RefCell::new(Vec::new()));
    let log = reports.clone();
    let sink = move |report: &kernel::Report<'_>| log.borrow_mut().push(report.to_string());
    let outer = Kernel::builder().on_report(sink).build().unwrap();
    let inner = Kernel::new().unwrap();
    let left = inner.run(async || spawn(sleep(Duration::MAX)));
    INNER.set(Some(inner));
    let guard = SpawnsInDrop;
    // Messages that are never read.
    let build = move || {
        let _guard = guard;
        async { Ok::<(), TaskCancelled>(()) }
    };
    outer.handle().spawn(build).unwrap();
    drop(outer);
    assert_eq!(left.end(), Some(TaskEnd::Aborted));
    assert_eq!(reports.take(), [] as [&str; 0]);
}

impl Wake for DropsInner {
    fn wake(self: Arc<Self>) {}
}

/// K9, K4: so may the waker that a sleep leaves behind when it moves to another kernel.
#[test]
fn a_waker_that_a_sleep_leaves_behind_may_drop_another_kernel() {
    let (one, two, inner) = (quiet().build().unwrap(), quiet().build().unwrap(), quiet());
    let inner = inner.build().unwrap();
    let left = inner.run(async || spawn(sleep(Duration::MAX)));
    INNER.set(Some(inner));
    let mut nap = Box::pin(sleep(secs(1000)));
    let waker = Waker::from(Arc::new(DropsInner));
    one.run(async || {
        assert!(nap.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        // The cancellation takes the waker of its record, so the timer has the last one.
        kernel::handle().request_cancel(current_task().id).unwrap();
        while check_cancellation().is_none() {
            yield_now().await.unwrap();
        }
        assert_eq!(left.end(), None);
    });
    two.run(async || {
        assert!(futures::poll!(nap.as_mut()).is_pending());
        assert_eq!(left.end(), Some(TaskEnd::Aborted));
    });
}

/// A leaf of one kernel, polled again in another one.
fn moves_to_another_kernel(leaf: impl Future<Output = Ended> + 'static) {
    let kernel = || quiet().virtual_clock().build().unwrap();
    let (one, two) = (kernel(), kernel());
    let leaf = share(leaf);
    one.run(async || {
        assert!(poll_shared(&leaf).now_or_never().is_none());
    });
    two.run(async || {
        // Other tasks occupy the slots that the leaf and its scope have in their own kernel.
        let beside = spawn(timeout_after(secs(9), shield(sleep(secs(9)))));
        let slept = timeout_after(secs(5), sleep(secs(9)));
        let (moved, slept) = futures::join!(poll_shared(&leaf), slept);
        assert_eq!(moved, Ok(()));
        assert!(slept.is_err(), "its time was over");
        assert_eq!(check_cancellation(), None);
        assert!(current_task().parked.is_empty());
        assert!(beside.cancel().await.is_ok());
    });
    drop(leaf);
    one.shutdown();
    assert_eq!(two.leftovers(), kernel::Leftovers::default());
    two.shutdown();
}

/// K8: a sleep that was polled with the waker of another executor moves to another kernel, too.
#[test]
fn a_sleep_with_a_foreign_waker_moves_to_another_kernel() {
    moves_to_another_kernel(sleep(secs(1)));
}

/// T4, K8: a timeout that moves to another kernel bounds nothing there, and affects no task there.
#[test]
fn a_timeout_that_moves_to_another_kernel_harms_nobody_there() {
    moves_to_another_kernel(async {
        let slept = timeout_after(secs(5), sleep(secs(1))).await;
        slept.expect("the clock that bounds it does not run")
    });
}

/// C7: nor does a shield.
#[test]
fn a_shield_that_moves_to_another_kernel_harms_nobody_there() {
    moves_to_another_kernel(shield(sleep(secs(1))));
}

/// K8: a leaf that is dropped while its kernel does not run leaves no record in it, whether none or
/// another kernel runs then.
#[test]
fn a_leaf_dropped_outside_its_kernel_leaves_no_record() {
    let kernel = || quiet().virtual_clock().build().unwrap();
    let (one, two) = (kernel(), kernel());
    let leaf = || Box::pin(timeout_after(secs(5), sleep(secs(9))));
    let (mut first, mut second) = (leaf(), leaf());
    one.run(async || {
        assert!(first.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
    });
    assert_eq!(one.leftovers().leaves, 2);
    drop(first);
    assert_eq!(one.leftovers().leaves, 1);
    two.run(async || drop(second));
    assert_eq!(one.leftovers(), kernel::Leftovers::default());
}

/// The same for a leaf that outlives its kernel.
#[test]
fn a_leaf_may_outlive_its_kernel() {
    let kernel = quiet().virtual_clock().build().unwrap();
    let mut leaf = Box::pin(timeout_after(secs(5), sleep(secs(9))));
    kernel.run(async || assert!(leaf.as_mut().now_or_never().is_none()));
    drop(kernel);
    drop(leaf);
}
