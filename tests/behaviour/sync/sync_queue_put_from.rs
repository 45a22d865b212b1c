//! `sync::Queue::put_from`: the item stays in the variable of the caller until it is placed.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use kernel::{TaskCancelled, TaskError, ignore_after, sleep, spawn, testing, timeout_after};
use sync::Queue;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};

const MS: Duration = Duration::from_millis(1);

/// A full queue of one slot, with item 1.
fn full() -> Rc<Queue<u32>> {
    let queue = Rc::new(Queue::bounded(1));
    queue.try_put(1).unwrap();
    queue
}

fn all(queue: &Queue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_get()).collect()
}

/// Polls a future once, and drops it.
fn poll_and_drop<T>(future: impl Future<Output = Result<T, TaskCancelled>>) -> bool {
    tokio_test::task::spawn(future).poll().is_ready()
}

/// Q2, C12: outside a kernel the item is in the variable until the poll that places it.
#[test]
fn the_item_is_taken_when_it_is_placed() {
    let queue = full();
    let mut item = Some(2);
    assert!(!poll_and_drop(queue.put_from(&mut item)), "the queue is full");
    assert_eq!(item, Some(2));
    let mut put = tokio_test::task::spawn(queue.put_from(&mut item));
    assert_pending!(put.poll());
    assert_eq!(queue.try_get(), Some(1));
    assert!(put.is_woken());
    assert_ready_ok!(put.poll());
    drop(put);
    assert_eq!((item, queue.unfinished()), (None, 2));
    assert_eq!(all(&queue), [2]);
}

/// Q2, Y3: with a getter that waits, the item goes to it.
#[test]
fn the_item_goes_to_a_waiting_getter() {
    let queue = Queue::bounded(1);
    let mut get = tokio_test::task::spawn(queue.get());
    assert_pending!(get.poll());
    let mut item = Some(7);
    assert!(poll_and_drop(queue.put_from(&mut item)));
    assert_eq!((item, queue.len()), (None, 0));
    assert_eq!(assert_ready_ok!(get.poll()), 7);
}

/// Q2, Y3: dropped after a slot was promised to it, the call leaves the item in the variable, and
/// the slot goes to the next putter.
#[test]
fn a_promised_slot_that_is_dropped_leaves_the_item() {
    let queue = full();
    let mut item = Some(2);
    let mut first = tokio_test::task::spawn(queue.put_from(&mut item));
    let mut second = tokio_test::task::spawn(queue.put(3));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(queue.try_get(), Some(1));
    assert!(first.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken());
    assert_ready_ok!(second.poll());
    assert_eq!(item, Some(2));
    assert_eq!(all(&queue), [3]);
}

/// Q2: an empty variable completes at once, whether the queue is full or closed, and puts nothing.
#[test]
fn an_empty_variable_is_put_at_once() {
    let (queue, mut nothing) = (full(), None);
    assert!(poll_and_drop(queue.put_from(&mut nothing)));
    queue.close();
    assert!(poll_and_drop(queue.put_from(&mut nothing)));
    assert_eq!(nothing, None);
    assert_eq!(all(&queue), [1]);
    assert_eq!(queue.unfinished(), 1);
}

/// Q2, K2: a loop over calls that are ready at once yields, with items and without one.
#[test]
fn a_loop_of_calls_that_are_ready_yields() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        let turns = Rc::new(Cell::new(0));
        let other = spawn({
            let turns = turns.clone();
            async move {
                loop {
                    kernel::yield_now().await?;
                    turns.set(turns.get() + 1);
                }
                #[allow(unreachable_code, reason = "it names the error")]
                Ok::<(), TaskCancelled>(())
            }
        });
        for item in 0..1_000 {
            let mut item = Some(item);
            queue.put_from(&mut item).await?;
            assert!(item.is_none());
            queue.put_from(&mut item).await?;
        }
        assert!(turns.get() >= 2_000 / 128 - 1, "only {} turns", turns.get());
        assert_eq!(all(&queue), Vec::from_iter(0..1_000));
        other.cancel().await?;
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q2, C2: a cancelled call leaves the item in the variable, and the call can be made again in the
/// cleanup.
#[test]
fn a_cancelled_call_leaves_the_item() {
    testing::run(async || {
        let queue = full();
        let putter = spawn({
            let queue = queue.clone();
            async move {
                let mut item = Some(2);
                let put = queue.put_from(&mut item).await;
                assert!(put.is_err() && item == Some(2));
                queue.put_from(&mut item).await?;
                Ok::<_, TaskCancelled>(item)
            }
        });
        testing::settle().await?;
        assert_eq!(putter.state().to_string(), "QUEUE_PUT");
        putter.request_cancel();
        testing::settle().await?;
        assert_eq!(queue.get().await?, 1);
        assert_eq!(putter.join().await?.unwrap(), None);
        assert_eq!(all(&queue), [2]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q2, C1, C3: promised a slot and cancelled in one tick, in either order, the call puts the item,
/// and the cancellation is delivered at the next await point that parks.
#[test]
fn promised_and_cancelled_in_one_tick_the_item_is_put() {
    for get_first in [true, false] {
        testing::run(async || {
            let queue = full();
            let putter = spawn({
                let queue = queue.clone();
                async move {
                    let mut item = Some(2);
                    let put = queue.put_from(&mut item).await.is_ok();
                    Ok::<_, TaskCancelled>((put, item, sleep(MS).await.is_err()))
                }
            });
            testing::settle().await?;
            if get_first {
                assert_eq!(queue.try_get(), Some(1));
                putter.request_cancel();
            } else {
                putter.request_cancel();
                assert_eq!(queue.try_get(), Some(1));
            }
            assert_eq!(putter.join().await?.unwrap(), (true, None, true), "{get_first}");
            assert_eq!(all(&queue), [2]);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// Q2, T1: nothing is lost to a timeout, and `?` keeps its type.
#[test]
fn a_timeout_leaves_the_item() {
    testing::run(async || {
        let (queue, mut item) = (full(), Some(2));
        let timed = timeout_after(MS, async {
            queue.put_from(&mut item).await?;
            Ok::<(), curium::Error>(())
        });
        assert!(timed.await.is_err());
        assert_eq!(item, Some(2));
        assert!(ignore_after(MS, queue.put_from(&mut item)).await?.is_none());
        assert_eq!((item, all(&queue)), (Some(2), vec![1]));
        Ok::<(), curium::Error>(())
    })
    .unwrap();
}

/// Q2, Y3: the losing arm of a `select!`, also one that was promised a slot, leaves its item.
#[test]
fn a_select_loser_leaves_the_item() {
    testing::run(async || {
        let (left, right) = (full(), full());
        let chooser = spawn({
            let (left, right) = (left.clone(), right.clone());
            async move {
                let (mut to_left, mut to_right) = (Some(2), Some(3));
                {
                    let put_left = left.put_from(&mut to_left).fuse();
                    let put_right = right.put_from(&mut to_right).fuse();
                    futures::pin_mut!(put_left, put_right);
                    futures::select_biased! {
                        put = put_left => put?,
                        put = put_right => put?,
                    }
                }
                Ok::<_, TaskCancelled>((to_left, to_right))
            }
        });
        testing::settle().await?;
        assert_eq!((right.try_get(), left.try_get()), (Some(1), Some(1)));
        assert_eq!(chooser.join().await?.unwrap(), (None, Some(3)));
        assert_eq!((all(&left), all(&right)), (vec![2], vec![]));
        assert!(right.try_put(4).is_ok(), "the promised slot is free again");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q2, Y3: an aborted task leaves the item where it was, here in a lock that outlives the task.
#[test]
fn an_abort_leaves_the_item() {
    testing::run(async || {
        let queue = full();
        let kept = Rc::new(sync::Lock::new(Some(3)));
        let putter = spawn({
            let (queue, kept) = (queue.clone(), kept.clone());
            async move {
                let mut item = kept.acquire().await?;
                queue.put_from(&mut item).await
            }
        });
        testing::settle().await?;
        putter.abort();
        assert!(matches!(putter.join().await?, Err(TaskError::Aborted)));
        assert_eq!(*kept.acquire().await?, Some(3));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q2, Y5: into a queue that is closed, before or during the wait, the call panics as `put` does,
/// and the item stays in the variable.
#[test]
fn a_panic_of_a_closed_queue_leaves_the_item() {
    for parked in [false, true] {
        let (queue, mut item) = (full(), Some(2));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut put = tokio_test::task::spawn(queue.put_from(&mut item));
            if parked {
                assert_pending!(put.poll());
            }
            queue.close();
            let _ = assert_ready!(put.poll());
        }));
        let panic = caught.unwrap_err();
        let text = panic.downcast_ref::<&str>().expect("a text");
        assert!(text.starts_with("`put_from` into a queue that is closed"), "{text}");
        assert_eq!(item, Some(2));
        assert_eq!(all(&queue), [1]);
    }
}

/// Q2, Y5: a call that was promised a slot before the close is done, and the getters wait for it.
#[test]
fn a_slot_that_was_promised_before_the_close_is_filled() {
    let (queue, mut item) = (full(), Some(2));
    let mut put = tokio_test::task::spawn(queue.put_from(&mut item));
    assert_pending!(put.poll());
    assert_eq!(queue.try_get(), Some(1));
    queue.close();
    let mut next = tokio_test::task::spawn(queue.next());
    assert_pending!(next.poll(), "an item is to come");
    assert_ready_ok!(put.poll());
    assert_eq!(assert_ready_ok!(next.poll()), Some(2));
    drop(put);
    assert_eq!(item, None);
}
