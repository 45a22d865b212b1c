//! `sync::UniversalQueue`: getters and putters that are cancelled or dropped in every state.

use std::sync::Arc;
use std::time::Duration;

use curium::kernel::{
    Task, TaskCancelled, TaskError, ignore_after, sleep, spawn, testing, timeout_after,
};
use curium::sync::UniversalQueue;
use futures::FutureExt;
use tokio_test::{assert_pending, assert_ready_ok};

type Shared = Arc<UniversalQueue<u32>>;

const SECOND: Duration = Duration::from_secs(1);

fn getter(queue: &Shared) -> Task<u32, TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.get().await })
}

fn putter(queue: &Shared, item: u32) -> Task<(), TaskCancelled> {
    let queue = queue.clone();
    spawn(async move { queue.put(item).await })
}

fn all(queue: &UniversalQueue<u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.try_get()).collect()
}

/// C2, U2: a waiter that is cancelled before its first poll or while it waits leaves no trace.
#[test]
fn a_cancelled_waiter_leaves_no_trace() {
    testing::run(async || {
        let queue = Arc::new(UniversalQueue::bounded(1));
        let unpolled = getter(&queue);
        unpolled.request_cancel();
        let [parked, other] = [0; 2].map(|_| getter(&queue));
        testing::settle().await?;
        parked.cancel().await?;
        queue.put(1).await?;
        assert_eq!(other.await?, 1);
        for getter in [unpolled, parked] {
            assert!(matches!(getter.join().await?, Err(TaskError::Cancelled(_))));
        }
        queue.put(2).await?;
        let [parked, other] = [3, 4].map(|item| putter(&queue, item));
        testing::settle().await?;
        parked.cancel().await?;
        assert_eq!((queue.get().await?, queue.get().await?), (2, 4));
        other.await?;
        assert_eq!((queue.len(), queue.unfinished()), (0, 3));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, C3, U2: if an item is handed over and the getter cancelled in one tick, in either order, the
/// item is returned, and the cancellation comes at the next await point that parks.
#[test]
fn handed_over_and_cancelled_in_one_tick_the_getter_keeps_the_item() {
    for put_first in [true, false] {
        testing::run(async || {
            let queue: Shared = Arc::new(UniversalQueue::unbounded());
            let task = spawn({
                let queue = queue.clone();
                async move {
                    let item = queue.get().await.ok();
                    Ok::<_, TaskCancelled>((item, sleep(SECOND).await.is_err()))
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
            assert_eq!(task.await?, (Some(7), true), "{put_first}");
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// C1, U2: if an item is placed and its putter cancelled in one tick, in either order, the put has
/// been done.
#[test]
fn placed_and_cancelled_in_one_tick_the_put_is_done() {
    for get_first in [true, false] {
        testing::run(async || {
            let queue: Shared = Arc::new(UniversalQueue::bounded(1));
            queue.put(1).await?;
            let task = spawn({
                let queue = queue.clone();
                async move {
                    let mut item = Some(2);
                    let put = queue.put_from(&mut item).await.is_ok();
                    Ok::<_, TaskCancelled>((put, item, sleep(SECOND).await.is_err()))
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
            assert_eq!(task.await?, (true, None, true), "{get_first}");
            assert_eq!(all(&queue), [2]);
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// C1, K2, U2: a getter that was handed an item and is polled again with a spent budget and a
/// pending cancellation keeps the item.
#[test]
fn a_getter_keeps_its_item_also_when_its_budget_is_spent() {
    testing::run(async || {
        let (full, queue) = (UniversalQueue::unbounded(), Arc::new(UniversalQueue::unbounded()));
        (0..1000).for_each(|n| full.try_put(n).unwrap());
        let task = spawn({
            let queue = queue.clone();
            async move {
                let spend = async {
                    testing::settle().await?;
                    while full.get().await.is_ok() {}
                    Ok::<_, TaskCancelled>(())
                };
                let (cancelled, item) = futures::join!(spend, queue.get());
                Ok::<_, TaskCancelled>((cancelled, item.ok()))
            }
        });
        // In the poll of the task, `spend` comes first.
        testing::settle().await?;
        queue.try_put(7).unwrap();
        task.request_cancel();
        let (_, item) = task.await?;
        assert_eq!(item, Some(7));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// U2: the item of a getter that is dropped before it ran goes to the next getter, or back to its
/// position in the queue.
#[test]
fn the_item_of_a_dropped_getter_is_passed_on() {
    let queue = UniversalQueue::unbounded();
    let mut gets = [(); 4].map(|()| Some(tokio_test::task::spawn(queue.get())));
    gets.iter_mut().flatten().for_each(|get| assert_pending!(get.poll()));
    (1..=3).for_each(|item| queue.try_put(item).unwrap());
    drop(gets[0].take());
    let fourth = gets[3].as_mut().unwrap();
    assert!(fourth.is_woken());
    assert_eq!(assert_ready_ok!(fourth.poll()), 1);
    queue.try_put(4).unwrap();
    // In the order in which they were put, whichever getter is dropped first.
    drop(gets[1].take());
    drop(gets[2].take());
    assert_eq!(all(&queue), [2, 3, 4]);
}

/// U2: an item that a dropped getter gives back is not lost because the queue has filled up
/// meanwhile. The queue then holds one item more than its bound, and takes the next when there is
/// room again.
#[test]
fn an_item_comes_back_into_a_full_queue() {
    let queue = UniversalQueue::bounded(1);
    let mut get = tokio_test::task::spawn(queue.get());
    assert_pending!(get.poll());
    queue.try_put(1).unwrap();
    queue.try_put(2).unwrap();
    let mut put = tokio_test::task::spawn(queue.put(3));
    assert_pending!(put.poll());
    drop(get);
    assert_eq!(queue.len(), 2);
    assert_eq!(queue.try_get(), Some(1));
    assert!(!put.is_woken(), "there is no room yet");
    assert_eq!(queue.try_get(), Some(2));
    assert_ready_ok!(put.poll());
    assert_eq!(all(&queue), [3]);
    assert_eq!(queue.unfinished(), 3);
}

/// U2: the loser of a `select!` loses no item.
#[test]
fn the_loser_of_a_select_passes_its_item_on() {
    testing::run(async || {
        let (one, other) = (Arc::new(UniversalQueue::unbounded()), UniversalQueue::unbounded());
        let task = spawn({
            let one = one.clone();
            async move {
                futures::select_biased! {
                    item = other.get().fuse() => item,
                    item = one.get().fuse() => item,
                    slept = sleep(SECOND).fuse() => slept.map(|()| 0),
                }
            }
        });
        testing::settle().await?;
        one.put(1).await?;
        assert_eq!(task.await?, 1);
        let taken = futures::select_biased! {
            () = async {}.fuse() => None,
            item = one.get().fuse() => Some(item),
        };
        assert!(taken.is_none());
        one.put(2).await?;
        assert_eq!(one.get().await?, 2);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// T4, U2: gets that time out again and again lose no item.
#[test]
fn gets_that_time_out_lose_nothing() {
    testing::run(async || {
        let queue: Shared = Arc::new(UniversalQueue::bounded(1));
        let producer = spawn({
            let queue = queue.clone();
            async move {
                for item in 0..20 {
                    sleep(3 * SECOND).await?;
                    queue.put(item).await?;
                }
                Ok::<_, TaskCancelled>(())
            }
        });
        let (mut got, mut timeouts) = (Vec::new(), 0);
        while got.len() < 20 {
            match ignore_after(SECOND, queue.get()).await? {
                Some(item) => got.push(item),
                None => timeouts += 1,
            }
        }
        assert_eq!(got, Vec::from_iter(0..20));
        assert!(timeouts >= 20, "{timeouts}");
        producer.await
    })
    .unwrap();
}

/// U2, Q2: a put that does not happen leaves its item in the variable: after a timeout, a cancel
/// and a drop. An empty variable completes at once.
#[test]
fn a_put_that_does_not_happen_leaves_the_item() {
    testing::run(async || {
        let queue: Shared = Arc::new(UniversalQueue::bounded(1));
        queue.put(1).await?;
        let mut item = Some(2);
        assert!(timeout_after(SECOND, queue.put_from(&mut item)).await.is_err());
        assert_eq!(item, Some(2));
        let task = spawn({
            let queue = queue.clone();
            async move {
                let mut item = Some(3);
                let put = queue.put_from(&mut item).await;
                Ok::<_, TaskCancelled>((put.is_err(), item))
            }
        });
        testing::settle().await?;
        task.request_cancel();
        assert_eq!(task.await?, (true, Some(3)));
        assert!(queue.put_from(&mut item).now_or_never().is_none());
        assert_eq!(item, Some(2));
        queue.put_from(&mut None).await?;
        assert_eq!((queue.len(), queue.unfinished()), (1, 1));
        assert_eq!(queue.get().await?, 1);
        queue.put_from(&mut item).await?;
        assert_eq!((item, queue.get().await?), (None, 2));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// U2: a put that was dropped after its item was placed has put it.
#[test]
fn a_put_that_is_dropped_late_has_put_its_item() {
    let queue = UniversalQueue::bounded(1);
    queue.try_put(1).unwrap();
    let mut item = Some(2);
    let mut put = tokio_test::task::spawn(queue.put_from(&mut item));
    assert_pending!(put.poll());
    assert_eq!(queue.try_get(), Some(1));
    assert!(put.is_woken());
    drop(put);
    assert_eq!((item, queue.unfinished()), (None, 2));
    assert_eq!(all(&queue), [2]);
}

/// U2: a waiter that moves to another task or executor is woken there.
#[test]
fn a_waiter_that_moves_is_woken_where_it_is() {
    let queue = UniversalQueue::unbounded();
    let mut get = Box::pin(queue.get());
    let mut first = tokio_test::task::spawn(async { get.as_mut().await });
    assert_pending!(first.poll());
    drop(first);
    let mut second = tokio_test::task::spawn(get);
    assert_pending!(second.poll());
    queue.try_put(1).unwrap();
    assert!(second.is_woken());
    assert_eq!(assert_ready_ok!(second.poll()), 1);
}
