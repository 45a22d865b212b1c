//! Every schedule of small programs with priority and last-in-first-out queues (V4).
//!
//! Each has three tasks and is complete: see `explored_sync`.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use curium::kernel::yield_now;
use curium::sync::order::Order;
use curium::sync::{LifoQueue, PriorityQueue, Queue};

use crate::explored::{Ended, assert_complete, members};

/// Two items are put while the first getter waits and is aborted. The second getter takes what
/// `first` finds in the queue, and the other item is left.
fn assert_kept<O, Q>(schedules: usize, queue: fn() -> Q, first: fn(&[u32]) -> Option<&u32>)
where
    O: Order<u32> + 'static,
    Q: Deref<Target = Queue<u32, O>> + 'static,
{
    assert_complete(schedules, async || {
        let queue = Rc::new(queue());
        let put = Rc::new(RefCell::new(Vec::new()));
        let got = Rc::new(RefCell::new(Vec::new()));
        let spawn = |g: crate::explored::Group| {
            let get = async |queue: Rc<Q>, got: Rc<RefCell<Vec<u32>>>| -> Ended {
                let item = queue.get().await?;
                got.borrow_mut().push(item);
                Ok(())
            };
            let victim = g.spawn(get(queue.clone(), got.clone()));
            g.spawn(get(queue.clone(), got.clone()));
            let (queue, put) = (queue.clone(), put.clone());
            g.spawn(async move {
                for item in [2, 1, 3] {
                    queue.put(item).await?;
                    put.borrow_mut().push(item);
                }
                victim.abort();
                yield_now().await
            });
        };
        members(spawn, || queue.close()).await.ok();
        let mut left = Vec::from_iter(std::iter::from_fn(|| queue.try_get()));
        let mut there = left.clone();
        there.extend_from_slice(&got.borrow());
        let mut put = put.borrow().clone();
        there.sort_unstable();
        put.sort_unstable();
        assert_eq!(there, put, "items are lost or there twice");
        while !left.is_empty() {
            let mut sorted = left.clone();
            // The order of arrival is 2, 1, 3.
            sorted.sort_unstable_by_key(|item| [2, 1, 3].iter().position(|at| at == item));
            assert_eq!(first(&sorted), Some(&left[0]), "out of order: {left:?}");
            left.remove(0);
        }
        Ok(())
    });
}

/// V4, Q1, Y3: an item that a dropped getter gives back to a priority queue is in its place.
#[test]
fn an_item_comes_back_to_its_place_in_a_priority_queue() {
    assert_kept(106, || PriorityQueue::bounded(3), |items| items.iter().min());
}

/// V4, Q1, Y3: the same for a last-in-first-out queue.
#[test]
fn an_item_comes_back_to_its_place_in_a_lifo_queue() {
    assert_kept(106, || LifoQueue::bounded(3), |items| items.last());
}
