//! Queues that do not give their items as they came, swept.

use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

use curium::kernel::testing::{self, Run};
use curium::kernel::{Result, sleep, yield_now};
use curium::sync::order::{Order, Smallest};
use curium::sync::{LifoQueue, PriorityQueue, Queue};

use super::checks::{Among, MS, assert_tried, shuts_down, undisturbed};

/// A queue, the items that were made, and where those are that are not in it.
struct Items<Q> {
    queue: Q,
    made: RefCell<Vec<u32>>,
    got: RefCell<Vec<u32>>,
    left: RefCell<Vec<u32>>,
}

struct Hand<'a>(Option<u32>, &'a RefCell<Vec<u32>>);

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().extend(self.0.take());
    }
}

impl<O: Order<u32>, Q: Deref<Target = Queue<u32, O>>> Items<Q> {
    fn of(queue: Q) -> Self {
        let (made, got, left) = Default::default();
        Items { queue, made, got, left }
    }

    async fn put(&self, item: u32) -> Result<()> {
        self.made.borrow_mut().push(item);
        let mut hand = Hand(Some(item), &self.left);
        self.queue.put_from(&mut hand.0).await
    }

    async fn get(&self) -> Result<u32> {
        let item = self.queue.get().await?;
        self.got.borrow_mut().push(item);
        Ok(item)
    }

    /// Each item that was made was got, is in the queue or was not put. Returns those that are in
    /// the queue, in its order.
    fn are_conserved(&self) -> Vec<u32> {
        let queued = Vec::from_iter(std::iter::from_fn(|| self.queue.try_get()));
        let mut there = [queued.clone(), self.got.take(), self.left.take()].concat();
        let mut made = self.made.take();
        there.sort_unstable();
        made.sort_unstable();
        assert_eq!(made, there, "the items that were made, and those that are there");
        queued
    }
}

/// Sweeps a task that puts and gets among a putter and a getter, on a queue of two places.
fn sweep<O, Q>(queue: fn() -> Q, check: impl Fn(Vec<u32>))
where
    O: Order<u32> + 'static,
    Q: Deref<Target = Queue<u32, O>> + 'static,
{
    let setup = async || {
        let puts = async |items: Rc<Items<Q>>| {
            for item in [14, 12, 13] {
                items.put(item).await?;
            }
            Ok(())
        };
        let gets = async |items: Rc<Items<Q>>| {
            for _ in 0..2 {
                items.get().await?;
                sleep(MS).await?;
            }
            Ok(())
        };
        Among::new(Items::of(queue())).and(puts).and(gets)
    };
    let subject = |items: Rc<Among<Items<Q>>>| async move {
        items.get().await?;
        items.put(32).await?;
        items.put(31).await?;
        yield_now().await?;
        items.get().await.map(drop)
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |items, run: &Run| {
        undisturbed(run);
        if !shuts_down(run) {
            // What is missing for the others comes here, and what is too much goes.
            for item in [41, 42] {
                testing::settle().await.unwrap();
                items.made.borrow_mut().push(item);
                items.queue.try_put(item).unwrap_or_else(|_| items.left.borrow_mut().push(item));
                testing::advance(2 * MS).await.unwrap();
                items.got.borrow_mut().extend(items.queue.try_get());
            }
        }
        items.others_end(run).await;
        check(items.are_conserved());
        items.queue.try_put(51).expect("no place is lost");
    });
    assert_tried(&swept, &["QUEUE_PUT", "QUEUE_GET"], 14, 180);
}

/// V4, Q1, Q2, Y3: no item of a priority queue is lost, and what is left is in its order.
#[test]
fn the_items_of_a_priority_queue_are_conserved() {
    sweep::<Smallest<u32>, _>(|| PriorityQueue::bounded(2), |left| assert!(left.is_sorted()));
}

/// V4, Q1, Q2, Y3: no item of a last-in-first-out queue is lost.
#[test]
fn the_items_of_a_lifo_queue_are_conserved() {
    sweep(|| LifoQueue::bounded(2), |left| assert!(left.len() <= 2));
}
