//! A round of ready tasks that does not run to its end, and the state of a poll in which another
//! kernel is dropped.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use kernel::{
    CancelReason, Kernel, Task, TaskCancelled, TaskEnd, TaskError, current_task, sleep, spawn,
    testing, yield_now,
};

use crate::support::time::secs;

type Log = Rc<RefCell<Vec<u32>>>;
type Place = Rc<RefCell<Option<Task<(), TaskCancelled>>>>;

fn quiet() -> Kernel {
    Kernel::builder().virtual_clock().on_report(|_| ()).build().unwrap()
}

/// A task that logs its poll, and ends.
fn says(log: &Log, n: u32) -> Task<(), TaskCancelled> {
    let log = log.clone();
    spawn(async move {
        log.borrow_mut().push(n);
        Ok(())
    })
}

struct Drops<F: FnMut()>(F);

impl<F: FnMut()> Drop for Drops<F> {
    fn drop(&mut self) {
        self.0();
    }
}

/// A kernel with a parked task that runs `on_drop` when it is dropped.
fn kernel_that(on_drop: impl FnMut() + 'static) -> Kernel {
    let inner = quiet();
    let guard = Drops(on_drop);
    inner.run(async || {
        drop(spawn(async move {
            let _guard = guard;
            sleep(Duration::MAX).await
        }));
        yield_now().await.unwrap();
    });
    inner
}

/// K1, C10: a task that is aborted while it is queued in the round is dropped at once and not
/// polled, and the next task is polled once.
#[test]
fn a_task_aborted_in_the_round_is_not_polled() {
    testing::run(async || {
        let (log, dropped) = (Log::default(), Rc::new(Cell::new(0)));
        let victim: Place = Rc::default();
        let (place, count) = (victim.clone(), dropped.clone());
        let theirs = log.clone();
        let killer = spawn(async move {
            place.take().unwrap().abort();
            assert_eq!(count.get(), 1, "dropped before `abort` returns");
            // It would get the slot, if that were free already.
            let heirs = [1, 2, 3].map(|n| says(&theirs, n));
            for heir in heirs {
                heir.wait().await?;
            }
            Ok::<(), TaskCancelled>(())
        });
        let (guard, polled) = (
            Drops({
                let dropped = dropped.clone();
                move || dropped.set(dropped.get() + 1)
            }),
            log.clone(),
        );
        *victim.borrow_mut() = Some(spawn(async move {
            let _guard = guard;
            polled.borrow_mut().push(99);
            sleep(secs(1)).await
        }));
        let behind = says(&log, 0);
        killer.join().await.unwrap().unwrap();
        behind.wait().await.unwrap();
        assert_eq!((log.take(), dropped.get()), (vec![0, 1, 2, 3], 1));
    });
}

/// K1, K3: when main panics in the middle of a round, the next run starts with the rest of it, each
/// task once and in order.
#[test]
fn a_round_that_main_breaks_off_goes_on_in_the_next_run() {
    for panics in [true, false] {
        let (kernel, log) = (quiet(), Log::default());
        let ran = catch_unwind(AssertUnwindSafe(|| {
            kernel.run(async || {
                says(&log, 1);
                yield_now().await.unwrap();
                let mut begun = false;
                poll_fn(|cx| {
                    if !std::mem::replace(&mut begun, true) {
                        // The next round: 2, main, 3, 4, 5.
                        says(&log, 2);
                        cx.waker().wake_by_ref();
                        drop([3, 4, 5].map(|n| says(&log, n)));
                    }
                    if log.borrow().len() < 2 { Poll::Pending } else { Poll::Ready(()) }
                })
                .await;
                says(&log, 6);
                assert!(!panics, "of main");
            });
        }));
        assert_eq!((ran.is_err(), log.take()), (panics, vec![1, 2]));
        kernel.run(async || drop(says(&log, 7)));
        assert_eq!(log.take(), [3, 4, 5, 6]);
        kernel.run(async || yield_now().await).unwrap();
        assert_eq!(log.take(), [7]);
        kernel.shutdown();
    }
}

/// K1: a task that wakes itself and yields in one poll is polled once more, not twice.
#[test]
fn a_wake_and_a_yield_in_one_poll_are_one_turn() {
    testing::run(async || {
        let polls = Rc::new(Cell::new(0));
        let count = polls.clone();
        let mut turn = Box::pin(yield_now());
        let task = spawn(poll_fn(move |cx| {
            count.set(count.get() + 1);
            if count.get() == 1 {
                cx.waker().wake_by_ref();
                assert!(turn.as_mut().poll(cx).is_pending());
                cx.waker().wake_by_ref();
            }
            Poll::<Result<(), TaskCancelled>>::Pending
        }));
        testing::settle().await.unwrap();
        assert_eq!(polls.get(), 2);
        task.abort();
    });
}

/// C10: a task that aborts itself and yields is dropped when its poll ends, and not polled again.
#[test]
fn a_task_that_aborts_itself_and_yields_is_gone() {
    testing::run(async || {
        let (me, polls) = (Place::default(), Rc::new(Cell::new(0)));
        let (place, count) = (me.clone(), polls.clone());
        *me.borrow_mut() = Some(spawn(async move {
            count.set(count.get() + 1);
            place.borrow().as_ref().unwrap().abort();
            let turn = yield_now().await;
            count.set(count.get() + 1);
            turn
        }));
        testing::settle().await.unwrap();
        assert_eq!((me.take().unwrap().end(), polls.get()), (Some(TaskEnd::Aborted), 1));
    });
}

/// C2: a task that requests its own cancellation after it has yielded gets its turn, and the error
/// at the next leaf that would park.
#[test]
fn a_request_to_oneself_beside_a_yield_loses_neither() {
    testing::run(async || {
        let me = Place::default();
        let place = me.clone();
        *me.borrow_mut() = Some(spawn(async move {
            let asks = async { place.borrow().as_ref().unwrap().request_cancel() };
            let (turn, ()) = futures::join!(yield_now(), asks);
            assert!(turn.is_ok(), "it had parked before");
            sleep(secs(1)).await
        }));
        let joined = me.borrow().as_ref().unwrap().join();
        assert!(matches!(joined.await.unwrap(), Err(TaskError::Cancelled(_))));
        assert_eq!(me.take().unwrap().end(), Some(TaskEnd::Cancelled));
    });
}

/// K4, C2: a poll in which another kernel is dropped continues unaffected: it keeps its turn, its
/// parked leaves and its cancellation.
#[test]
fn a_poll_keeps_what_it_has_while_another_kernel_is_dropped_in_it() {
    let me = Place::default();
    let place = me.clone();
    let inner = kernel_that(move || place.borrow().as_ref().unwrap().request_cancel());
    let harmless = kernel_that(|| ());
    testing::run(async || {
        *me.borrow_mut() = Some(spawn(async move {
            let mut parked = pin!(sleep(secs(1)));
            assert!(futures::poll!(parked.as_mut()).is_pending());
            let drops = async { drop(harmless) };
            let (turn, ()) = futures::join!(yield_now(), drops);
            turn?;
            assert!(futures::poll!(parked.as_mut()).is_pending());
            assert_eq!(current_task().parked.len(), 1);
            drop(inner);
            assert_eq!(current_task().parked.len(), 1);
            // The next leaf gets the error at once, and so does the one that was parked.
            for ended in [yield_now().await, parked.await] {
                let by = ended.unwrap_err().reason();
                assert!(matches!(by, CancelReason::Requested { by: Some(_) }), "{by:?}");
            }
            sleep(secs(1)).await
        }));
        let task = me.borrow().as_ref().unwrap().wait();
        assert!(task.await.is_ok());
        assert_eq!(me.take().unwrap().end(), Some(TaskEnd::Ok));
    });
}

/// K4, G4: a destructor in the other kernel aborts a task of the kernel that polls.
#[test]
fn a_destructor_of_another_kernel_aborts_a_task_here() {
    let victim = Place::default();
    let place = victim.clone();
    let inner = kernel_that(move || place.borrow().as_ref().unwrap().abort());
    testing::run(async || {
        let seen = Rc::new(Cell::new(0));
        let theirs = seen.clone();
        let guard = Drops(move || theirs.set(kernel::tasks().len()));
        *victim.borrow_mut() = Some(spawn(async move {
            let _guard = guard;
            sleep(Duration::MAX).await
        }));
        testing::settle().await.unwrap();
        drop(inner);
        assert_eq!(victim.take().unwrap().end(), Some(TaskEnd::Aborted));
        assert_eq!(seen.get(), 1, "it saw the tasks of its own kernel: main");
        sleep(secs(1)).await.unwrap();
    });
}
