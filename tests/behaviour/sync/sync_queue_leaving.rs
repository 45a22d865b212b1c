//! `sync::Queue`: getters and putters that are cancelled or dropped in every state.

use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use kernel::{Task, TaskCancelled, TaskError, sleep, spawn, testing, timeout_after};
use sync::Queue;
use tokio_test::{assert_pending, assert_ready_ok};

fn getter(queue: &Rc<Queue<u32>>) -> Task<u32, TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.get().await })
}

fn putter(queue: &Rc<Queue<u32>>, item: u32) -> Task<(), TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.put(item).await })
}

/// C2, Y3: a getter cancelled before its first poll or while parked takes nothing.
#[test]
fn a_cancelled_getter_takes_nothing() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        let unpolled = getter(&queue);
        unpolled.request_cancel();
        let [parked, other] = [0; 2].map(|_| getter(&queue));
        testing::settle().await?;
        assert_eq!(parked.state().to_string(), "QUEUE_GET");
        parked.cancel().await?;
        queue.put(1).await?;
        queue.put(2).await?;
        assert_eq!(other.join().await?.unwrap(), 1);
        assert_eq!(queue.get().await?, 2);
        assert!(matches!(unpolled.join().await?, Err(TaskError::Cancelled(_))));
        assert!(matches!(parked.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, C3, Y3: if an item is assigned and the getter cancelled in one tick, in either order, the
/// item is returned, and the cancellation is delivered at the next await point that parks.
#[test]
fn assign_and_cancel_in_one_tick_return_the_item_and_keep_the_cancel() {
    for put_first in [true, false] {
        testing::run(async || {
            let queue = Rc::new(Queue::unbounded());
            let task = spawn({
                let queue = queue.clone();
                async move {
                    let item = queue.get().await.ok();
                    Ok::<_, TaskCancelled>((item, sleep(Duration::from_secs(1)).await.is_err()))
                }
            });
            testing::settle().await?;
            if put_first {
                queue.put(7).await?;
                task.request_cancel();
            } else {
                task.request_cancel();
                queue.put(7).await?;
            }
            assert_eq!(task.join().await?.unwrap(), (Some(7), true), "{put_first}");
            assert!(queue.is_empty());
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// Y3: the item of a getter that is dropped before it ran goes to the next getter, or to the front
/// of the queue.
#[test]
fn the_item_of_a_dropped_getter_is_passed_on() {
    testing::run(async || {
        let queue = Rc::new(Queue::unbounded());
        let [first, second] = [0; 2].map(|_| getter(&queue));
        testing::settle().await?;
        queue.put(1).await?;
        first.abort();
        assert_eq!(second.join().await?.unwrap(), 1);
        let alone = getter(&queue);
        testing::settle().await?;
        queue.put(2).await?;
        queue.put(3).await?;
        alone.abort();
        assert_eq!(queue.get().await?, 2, "back at the front");
        assert_eq!(queue.get().await?, 3);
        assert!(matches!(first.join().await?, Err(TaskError::Aborted)));
        assert!(matches!(alone.join().await?, Err(TaskError::Aborted)));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3, Y2: items that come back from several dropped getters are in order, whichever getter is
/// dropped first.
#[test]
fn items_that_come_back_from_several_getters_keep_their_order() {
    for oldest_first in [false, true] {
        let queue = Queue::unbounded();
        let mut first = tokio_test::task::spawn(queue.get());
        let mut second = tokio_test::task::spawn(queue.get());
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        queue.try_put(1).unwrap();
        queue.try_put(2).unwrap();
        queue.try_put(3).unwrap();
        if oldest_first {
            drop(first);
            drop(second);
        } else {
            drop(second);
            drop(first);
        }
        let items: Vec<_> = std::iter::from_fn(|| queue.try_get()).collect();
        assert_eq!(items, [1, 2, 3], "oldest dropped first: {oldest_first}");
    }
}

/// Y3: the losing arm of a `select!` that held an item gives it back.
#[test]
fn a_select_loser_that_held_an_item_loses_nothing() {
    testing::run(async || {
        let (left, right) = (Rc::new(Queue::unbounded()), Rc::new(Queue::unbounded()));
        let chooser = spawn({
            let (left, right) = (left.clone(), right.clone());
            async move {
                let (get_left, get_right) = (left.get().fuse(), right.get().fuse());
                futures::pin_mut!(get_left, get_right);
                let item = futures::select_biased! {
                    item = get_left => item?,
                    item = get_right => item?,
                };
                Ok::<_, TaskCancelled>(item)
            }
        });
        testing::settle().await?;
        // Both items are assigned before the task with the `select!` runs.
        right.put(2).await?;
        left.put(1).await?;
        assert_eq!(chooser.join().await?.unwrap(), 1);
        assert_eq!(right.try_get(), Some(2));
        assert_eq!(left.try_get(), None);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3, C2: a put that is cancelled, times out or is dropped while it waits leaves no trace.
#[test]
fn a_put_that_did_not_happen_leaves_no_trace() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(1));
        queue.put(1).await?;
        assert!(timeout_after(Duration::from_secs(1), queue.put(2)).await.is_err());
        let unpolled = putter(&queue, 3);
        unpolled.request_cancel();
        let [cancelled, dropped, last] = [4, 5, 6].map(|n| putter(&queue, n));
        testing::settle().await?;
        cancelled.cancel().await?;
        dropped.abort();
        assert_eq!(queue.unfinished(), 1, "only what is in counts");
        assert_eq!(queue.get().await?, 1);
        assert_eq!(queue.get().await?, 6);
        last.join().await?.unwrap();
        assert!(matches!(unpolled.join().await?, Err(TaskError::Cancelled(_))));
        assert!(matches!(cancelled.join().await?, Err(TaskError::Cancelled(_))));
        assert!(matches!(dropped.join().await?, Err(TaskError::Aborted)));
        assert!(queue.is_empty());
        assert_eq!(queue.unfinished(), 2);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3: a putter that was assigned a slot and is dropped before it ran gives the slot to the next
/// putter.
#[test]
fn the_place_of_a_dropped_putter_goes_to_the_next() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(1));
        queue.put(1).await?;
        let [first, second] = [2, 3].map(|n| putter(&queue, n));
        testing::settle().await?;
        assert_eq!(queue.try_get(), Some(1));
        first.abort();
        second.join().await?.unwrap();
        assert_eq!(queue.try_get(), Some(3));
        queue.put(4).await?;
        let alone = putter(&queue, 5);
        testing::settle().await?;
        assert_eq!(queue.try_get(), Some(4));
        alone.abort();
        queue.try_put(6).expect("the place is free again");
        assert!(matches!(first.join().await?, Err(TaskError::Aborted)));
        assert!(matches!(alone.join().await?, Err(TaskError::Aborted)));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, C3: if a slot is assigned and the putter cancelled in one tick, in either order, the item is
/// put.
#[test]
fn a_place_and_a_cancel_in_one_tick_put_the_item_and_keep_the_cancel() {
    for get_first in [true, false] {
        testing::run(async || {
            let queue = Rc::new(Queue::bounded(1));
            queue.put(1).await?;
            let task = spawn({
                let queue = queue.clone();
                async move {
                    let put = queue.put(2).await.is_ok();
                    Ok::<_, TaskCancelled>((put, sleep(Duration::from_secs(1)).await.is_err()))
                }
            });
            testing::settle().await?;
            if get_first {
                assert_eq!(queue.try_get(), Some(1));
                task.request_cancel();
            } else {
                task.request_cancel();
                assert_eq!(queue.try_get(), Some(1));
            }
            assert_eq!(task.join().await?.unwrap(), (true, true), "{get_first}");
            assert_eq!(queue.try_get(), Some(2));
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// C12, Y3: without a kernel: dropped before the first poll, while parked, and after being served.
#[test]
fn polled_by_hand_nothing_is_lost() {
    let queue = Queue::bounded(1);
    drop(tokio_test::task::spawn(queue.get()));
    drop(tokio_test::task::spawn(queue.put(0)));
    assert_eq!((queue.len(), queue.unfinished()), (0, 0));
    let mut parked = tokio_test::task::spawn(queue.get());
    assert_pending!(parked.poll());
    drop(parked);
    queue.try_put(1).unwrap();
    assert_eq!(queue.len(), 1, "the parked getter was gone");
    let mut put = tokio_test::task::spawn(queue.put(2));
    let mut next = tokio_test::task::spawn(queue.put(3));
    assert_pending!(put.poll());
    assert_pending!(next.poll());
    assert_eq!(queue.try_get(), Some(1));
    assert!(put.is_woken());
    drop(put);
    assert!(next.is_woken());
    assert_ready_ok!(next.poll());
    assert_eq!(queue.try_get(), Some(3));
}
