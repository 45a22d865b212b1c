//! `sync::Queue::reserve`: slots that are held before there is an item.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use kernel::{TaskCancelled, sleep, spawn, testing};
use sync::{Closed, Queue, TryPutError};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};

const MS: Duration = Duration::from_millis(1);

fn all(queue: &Queue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_get()).collect()
}

/// Q2, C12: outside a kernel, a held slot counts against the bound and not as an item, and its
/// item is put without a wait.
#[test]
fn a_held_slot_is_filled_without_a_wait() {
    let queue = Queue::bounded(2);
    let slot = assert_ready_ok!(tokio_test::task::spawn(queue.reserve()).poll());
    assert_eq!((queue.len(), queue.unfinished(), queue.maxsize()), (0, 0, Some(2)));
    assert_eq!(queue.try_put(1), Ok(()));
    assert_eq!(queue.try_put(2), Err(TryPutError::Full(2)));
    assert_eq!(queue.try_reserve().unwrap_err(), TryPutError::Full(()));
    slot.put(3);
    assert_eq!((queue.len(), queue.unfinished()), (2, 2));
    assert_eq!(queue.try_put(4), Err(TryPutError::Full(4)));
    assert_eq!(all(&queue), [1, 3]);
}

/// Q2: a held slot holds up no putter while there is room, and its item stands behind those that
/// were put before it.
#[test]
fn a_held_slot_is_room_and_no_position() {
    let queue = Queue::bounded(3);
    let [first, second] = [(); 2].map(|()| queue.try_reserve().unwrap());
    let mut put = tokio_test::task::spawn(queue.put(1));
    assert_ready_ok!(put.poll());
    second.put(2);
    assert_eq!(queue.try_get(), Some(1));
    assert_eq!(queue.try_put(3), Ok(()));
    first.put(4);
    assert_eq!(all(&queue), [2, 3, 4]);
    let slots: Vec<_> = (0..3).map(|_| queue.try_reserve().unwrap()).collect();
    assert!(queue.try_reserve().is_err(), "all slots are held");
    drop(slots);
    assert_eq!((0..4).filter(|item| queue.try_put(*item).is_ok()).count(), 3);
}

/// Q2, Y2: a dropped slot goes to the oldest putter; `put`, `put_from` and `reserve` wait in one
/// queue.
#[test]
fn a_dropped_slot_goes_to_the_next_putter_in_order() {
    let queue = Queue::bounded(1);
    let slot = queue.try_reserve().unwrap();
    let mut item = Some(2);
    let mut put = tokio_test::task::spawn(queue.put(1));
    let mut reserve = tokio_test::task::spawn(queue.reserve());
    let mut put_from = tokio_test::task::spawn(queue.put_from(&mut item));
    let mut last = tokio_test::task::spawn(queue.reserve());
    assert_pending!(put.poll());
    assert_pending!(reserve.poll());
    assert_pending!(put_from.poll());
    assert_pending!(last.poll());
    drop(slot);
    assert!(put.is_woken() && !reserve.is_woken());
    assert_eq!(queue.try_put(9), Err(TryPutError::Full(9)), "the slot is promised");
    assert_ready_ok!(put.poll());
    assert!(!reserve.is_woken());
    assert_eq!(queue.try_get(), Some(1));
    assert!(reserve.is_woken() && !put_from.is_woken());
    let slot = assert_ready_ok!(reserve.poll());
    assert!(!put_from.is_woken());
    drop(slot);
    assert!(put_from.is_woken() && !last.is_woken());
    assert_ready_ok!(put_from.poll());
    assert!(!last.is_woken());
    assert_eq!(queue.try_get(), Some(2));
    assert_ready_ok!(last.poll()).put(3);
    assert_eq!(all(&queue), [3]);
}

/// Q2, Y3: a `reserve` that is dropped after the slot was promised to it passes it on.
#[test]
fn a_promised_slot_is_passed_on() {
    let queue = Queue::bounded(1);
    queue.try_put(1).unwrap();
    let mut first = tokio_test::task::spawn(queue.reserve());
    let mut second = tokio_test::task::spawn(queue.put(2));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(queue.try_get(), Some(1));
    assert!(first.is_woken() && !second.is_woken());
    drop(first);
    assert!(second.is_woken());
    assert_ready_ok!(second.poll());
    assert_eq!(all(&queue), [2]);
}

/// Q2, Y2: a putter that came while a slot was promised is served when the promised slot is held,
/// if there is another one.
#[test]
fn a_promise_that_becomes_a_held_slot_serves_the_putters_behind_it() {
    let queue = Queue::bounded(2);
    (0..2).for_each(|item| queue.try_put(item).unwrap());
    let mut reserve = tokio_test::task::spawn(queue.reserve());
    assert_pending!(reserve.poll());
    assert_eq!(all(&queue), [0, 1]);
    let mut put = tokio_test::task::spawn(queue.put(2));
    assert_pending!(put.poll(), "the older one is first");
    let slot = assert_ready_ok!(reserve.poll());
    assert!(put.is_woken());
    assert_ready_ok!(put.poll());
    slot.put(3);
    assert_eq!(all(&queue), [2, 3]);
}

/// Q2, Y3: the item of a slot goes to a getter that waits, and the slot to a putter that waits.
/// While all slots are held, a getter that waits makes no room.
#[test]
fn the_item_of_a_slot_goes_to_a_waiting_getter() {
    let queue = Queue::bounded(1);
    let slot = queue.try_reserve().unwrap();
    let mut get = tokio_test::task::spawn(queue.get());
    assert_pending!(get.poll());
    assert_eq!(queue.try_put(1), Err(TryPutError::Full(1)));
    let mut put = tokio_test::task::spawn(queue.put(2));
    assert_pending!(put.poll());
    slot.put(3);
    assert!(get.is_woken() && put.is_woken());
    assert_eq!(assert_ready_ok!(get.poll()), 3);
    assert_ready_ok!(put.poll());
    assert_eq!(all(&queue), [2]);
}

/// Q2: an unbounded queue has a slot at any time.
#[test]
fn an_unbounded_queue_has_slots_without_end() {
    let queue = Queue::unbounded();
    let mut slots: Vec<_> = (0..100).map(|_| queue.try_reserve().unwrap()).collect();
    assert_eq!((queue.maxsize(), queue.try_put(0)), (None, Ok(())));
    slots.drain(..50).for_each(|slot| slot.put(1));
    drop(slots);
    assert_eq!((queue.len(), queue.try_put(2)), (51, Ok(())));
}

/// Q2, C1, C3: promised a slot and cancelled in one tick, in either order, the task holds the slot,
/// and the cancellation is delivered at the next await point that parks.
#[test]
fn promised_and_cancelled_in_one_tick_the_slot_is_held() {
    for get_first in [true, false] {
        testing::run(async || {
            let queue = Rc::new(Queue::bounded(1));
            queue.put(1).await?;
            let holder = spawn({
                let queue = queue.clone();
                async move {
                    let slot = queue.reserve().await?;
                    let cancelled = sleep(MS).await.is_err();
                    slot.put(2);
                    Ok::<_, TaskCancelled>(cancelled)
                }
            });
            testing::settle().await?;
            assert_eq!(holder.state().to_string(), "QUEUE_RESERVE");
            if get_first {
                assert_eq!(queue.try_get(), Some(1));
                holder.request_cancel();
            } else {
                holder.request_cancel();
                assert_eq!(queue.try_get(), Some(1));
            }
            assert!(holder.join().await?.unwrap(), "{get_first}");
            assert_eq!(all(&queue), [2]);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// Q2, Y2, K2: a `reserve` that begins with the budget spent keeps its slot for the next poll, so
/// that no later putter gets it.
#[test]
fn a_reserve_with_the_budget_spent_keeps_its_slot() {
    testing::run(async || {
        let queue = Rc::new(Queue::bounded(1));
        let holder = spawn({
            let queue = queue.clone();
            async move {
                for _ in 0..128 {
                    drop(queue.reserve().await?);
                }
                queue.reserve().await?.put(1);
                Ok::<(), TaskCancelled>(())
            }
        });
        kernel::yield_now().await?;
        assert!(!holder.is_done());
        assert_eq!(queue.try_put(2), Err(TryPutError::Full(2)));
        holder.join().await?.unwrap();
        assert_eq!(all(&queue), [1]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q2, Y3: the losing arm of a `select!` that was promised a slot gives it back.
#[test]
fn a_select_loser_gives_its_slot_back() {
    testing::run(async || {
        let [left, right] = [(); 2].map(|()| Rc::new(Queue::bounded(1)));
        left.put(1).await?;
        right.put(2).await?;
        let chooser = spawn({
            let (left, right) = (left.clone(), right.clone());
            async move {
                let (to_left, to_right) = (left.reserve().fuse(), right.reserve().fuse());
                futures::pin_mut!(to_left, to_right);
                let slot = futures::select_biased! {
                    slot = to_left => slot?,
                    slot = to_right => slot?,
                };
                slot.put(3);
                Ok::<(), TaskCancelled>(())
            }
        });
        testing::settle().await?;
        assert_eq!((right.try_get(), left.try_get()), (Some(2), Some(1)));
        assert!(right.try_put(4).is_err(), "the slot is promised");
        chooser.join().await?.unwrap();
        assert_eq!((all(&left), right.try_put(4)), (vec![3], Ok(())));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q2, Y5: a slot that is held when the queue is closed is still good, and the getters wait for its
/// item.
#[test]
fn a_held_slot_outlives_the_close() {
    let queue = Queue::bounded(2);
    let [first, second] = [(); 2].map(|()| queue.try_reserve().unwrap());
    queue.close();
    assert_eq!(queue.try_reserve().unwrap_err(), TryPutError::Closed(()));
    let mut next = tokio_test::task::spawn(queue.next());
    assert_pending!(next.poll(), "an item may come");
    first.put(1);
    assert_eq!(assert_ready_ok!(next.poll()), Some(1));
    let mut next = tokio_test::task::spawn(queue.next());
    assert_pending!(next.poll(), "one more may come");
    drop(second);
    assert!(next.is_woken());
    assert_eq!(assert_ready_ok!(next.poll()), None);
    queue.close();
    assert_eq!(assert_ready_ok!(tokio_test::task::spawn(queue.next()).poll()), None);
}

/// Q2, Y5: a `reserve` that was promised a slot before the close holds it. The others learn of the
/// close.
#[test]
fn a_reserve_learns_of_the_close_unless_it_was_promised_a_slot() {
    let queue = Queue::bounded(1);
    queue.try_put(1).unwrap();
    let mut promised = tokio_test::task::spawn(queue.reserve_unless_closed());
    let mut refused = tokio_test::task::spawn(queue.reserve_unless_closed());
    assert_pending!(promised.poll());
    assert_pending!(refused.poll());
    assert_eq!(queue.try_get(), Some(1));
    queue.close();
    assert!(refused.is_woken());
    assert_eq!(assert_ready_ok!(refused.poll()).unwrap_err(), Closed(()));
    let mut next = tokio_test::task::spawn(queue.next());
    assert_pending!(next.poll(), "a slot is promised");
    let slot = assert_ready_ok!(promised.poll()).unwrap();
    assert!(!next.is_woken(), "the slot is held");
    slot.put(2);
    assert_eq!(assert_ready_ok!(next.poll()), Some(2));
    let mut late = tokio_test::task::spawn(queue.reserve_unless_closed());
    assert_eq!(assert_ready_ok!(late.poll()).unwrap_err(), Closed(()));
}

/// Q2, Y5: a plain `reserve` is for queues that stay open, and panics on a closed one.
#[test]
fn a_reserve_in_a_closed_queue_is_a_clear_panic() {
    for parked in [false, true] {
        let queue = Queue::bounded(1);
        queue.try_put(1).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut reserve = tokio_test::task::spawn(queue.reserve());
            if parked {
                assert_pending!(reserve.poll());
            }
            queue.close();
            let _ = assert_ready!(reserve.poll());
        }));
        let panic = caught.unwrap_err();
        let text = panic.downcast_ref::<&str>().expect("a text");
        assert!(text.starts_with("`reserve` in a queue that is closed"), "{text}");
        assert_eq!(all(&queue), [1]);
    }
}

/// A waker that panics.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker's own panic");
    }
}

/// Q2: a slot is given back also if the waker of the getter panics while the item is handed over.
#[test]
fn a_waker_that_panics_keeps_no_slot() {
    let queue = Queue::bounded(1);
    let waker = Waker::from(Arc::new(Panics));
    let mut get = Box::pin(queue.get());
    assert!(get.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let slot = queue.try_reserve().unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| slot.put(1))).is_err());
    drop(get);
    assert_eq!((all(&queue), queue.try_put(2)), (vec![1], Ok(())));
    assert!(queue.try_reserve().is_err());
}
