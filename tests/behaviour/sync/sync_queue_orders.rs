//! `sync::PriorityQueue` and `sync::LifoQueue`, and what a queue shows of itself.

use std::cmp::Reverse;
use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskCancelled, spawn, testing};
use sync::{LifoQueue, NothingToFinish, PriorityQueue, Queue, TryPutError};
use tokio_test::{assert_pending, assert_ready_ok};

/// Q1: the smallest item comes first; of equal ones, the one that was put first.
#[test]
fn a_priority_queue_gives_the_smallest_first_and_ties_as_they_came() {
    testing::run(async || {
        let queue = PriorityQueue::unbounded();
        for (at, priority) in [3, 1, 2, 1, 3, 1].into_iter().enumerate() {
            queue.put(Job { priority, at }).await?;
        }
        let mut got = Vec::new();
        while let Some(Job { priority, at }) = queue.try_get() {
            got.push((priority, at));
        }
        assert_eq!(got, [(1, 1), (1, 3), (1, 5), (2, 2), (3, 0), (3, 4)]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Compared by the priority alone.
#[derive(Debug)]
struct Job {
    priority: u32,
    at: usize,
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.priority.cmp(&other.priority)
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Job {}

/// Q1: an item that a dropped getter gives back has its position again, among its equals too.
#[test]
fn an_item_that_comes_back_is_before_its_later_equals() {
    let queue = PriorityQueue::unbounded();
    let mut getter = tokio_test::task::spawn(queue.get());
    assert_pending!(getter.poll());
    queue.try_put(Job { priority: 1, at: 0 }).map_err(|_| ()).unwrap();
    queue.try_put(Job { priority: 1, at: 1 }).map_err(|_| ()).unwrap();
    queue.try_put(Job { priority: 0, at: 2 }).map_err(|_| ()).unwrap();
    drop(getter);
    let got: Vec<usize> = std::iter::from_fn(|| queue.try_get()).map(|job| job.at).collect();
    assert_eq!(got, [2, 0, 1]);

    let queue = LifoQueue::unbounded();
    let mut getter = tokio_test::task::spawn(queue.get());
    assert_pending!(getter.poll());
    for item in 0..3 {
        queue.try_put(item).unwrap();
    }
    drop(getter);
    assert_eq!(std::iter::from_fn(|| queue.try_get()).collect::<Vec<_>>(), [2, 1, 0]);
}

/// Q1: the last item comes first.
#[test]
fn a_lifo_queue_gives_the_last_first() {
    let queue = LifoQueue::bounded(3);
    for item in [1, 2, 3] {
        queue.try_put(item).unwrap();
    }
    assert_eq!(queue.try_put(4), Err(TryPutError::Full(4)));
    assert_eq!(queue.try_get(), Some(3));
    queue.try_put(5).unwrap();
    assert_eq!(std::iter::from_fn(|| queue.try_get()).collect::<Vec<_>>(), [5, 2, 1]);
}

/// Y2: the putters of a full one get their slots in order of arrival, whatever they put. An item
/// goes to a waiting getter at once.
#[test]
fn slots_and_getters_keep_their_order() {
    let queue = PriorityQueue::bounded(1);
    queue.try_put(5).unwrap();
    let [mut nine, mut one] = [9, 1].map(|item| tokio_test::task::spawn(queue.put(item)));
    assert_pending!(nine.poll());
    assert_pending!(one.poll());
    assert_eq!(queue.try_get(), Some(5));
    assert!(nine.is_woken() && !one.is_woken(), "the smaller item has overtaken");
    assert_ready_ok!(nine.poll());
    assert_eq!(queue.try_get(), Some(9));
    assert_ready_ok!(one.poll());
    assert_eq!(queue.get().now_or_never(), Some(Ok(1)));

    let [mut first, mut second] = [(); 2].map(|()| tokio_test::task::spawn(queue.get()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    queue.try_put(2).unwrap();
    queue.try_put(1).unwrap();
    assert_eq!((assert_ready_ok!(first.poll()), assert_ready_ok!(second.poll())), (2, 1));
}

/// Q2, Y5: they have the rest of a queue: `put_from`, slots, `task_done` and `join`, and the end.
#[test]
fn they_have_all_that_a_queue_has() {
    testing::run(async || {
        let queue = Rc::new(PriorityQueue::bounded(2));
        let slot = queue.reserve().await?;
        let mut item = Some(Reverse(1));
        queue.put_from(&mut item).await?;
        assert_eq!((item, queue.try_put(Reverse(7)).is_err()), (None, true));
        slot.put(Reverse(2));
        let worker = spawn({
            let queue = queue.clone();
            async move {
                let mut got = Vec::new();
                while let Some(Reverse(item)) = queue.next().await? {
                    got.push(item);
                    queue.task_done().expect("an item was put");
                }
                Ok::<_, TaskCancelled>(got)
            }
        });
        queue.join().await?;
        queue.close();
        assert_eq!(worker.await?, [2, 1]);
        assert_eq!(queue.task_done(), Err(NothingToFinish));
        assert!(queue.put_unless_closed(Reverse(3)).await?.is_err());
        assert!(format!("{queue:?}").starts_with("PriorityQueue(Queue"), "{queue:?}");
        assert!(format!("{:?}", LifoQueue::<u8>::bounded(1)).starts_with("LifoQueue(Queue"));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y6: the statistics count the items, the waiters of each side, the held slots and the items that
/// are not done.
#[test]
fn a_queue_shows_its_state() {
    let queue = Queue::bounded(2);
    let slot = queue.try_reserve().unwrap();
    queue.try_put(1).unwrap();
    let mut putter = tokio_test::task::spawn(queue.put(2));
    let mut joiner = tokio_test::task::spawn(queue.join());
    assert_pending!(putter.poll());
    assert_pending!(joiner.poll());
    let now = queue.statistics();
    assert_eq!((now.len, now.maxsize, now.closed), (1, Some(2), false));
    assert_eq!((now.getters, now.putters, now.held), (0, 1, 1));
    assert_eq!((now.unfinished, now.joiners), (1, 1));

    drop(slot);
    assert_ready_ok!(putter.poll());
    while queue.try_get().is_some() {}
    let mut getter = tokio_test::task::spawn(queue.next());
    assert_pending!(getter.poll());
    let now = queue.statistics();
    assert_eq!((now.len, now.getters, now.putters, now.held, now.unfinished), (0, 1, 0, 0, 2));
    queue.close();
    assert!(queue.statistics().closed);
}
