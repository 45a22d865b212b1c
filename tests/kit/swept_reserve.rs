//! `put_from` and `reserve` of a queue, swept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use curium::kernel::testing::{self, Run};
use curium::kernel::{Result, sleep, yield_now};
use curium::sync::{Closed, Queue};

use super::checks::{Among, MS, assert_tried, shuts_down, undisturbed};

/// A queue, and where the items are that are not in it. Each item is at one place at any time.
struct Places {
    queue: Queue<u32>,
    /// The slots that are held.
    held: Cell<usize>,
    /// The items that were made.
    made: RefCell<Vec<u32>>,
    got: RefCell<Vec<u32>>,
    /// The items that were not put.
    left: RefCell<Vec<u32>>,
}

impl Places {
    fn of(queue: Queue<u32>) -> Self {
        let (held, made, got, left) = Default::default();
        Places { queue, held, made, got, left }
    }

    fn make(&self, item: u32) -> Hand<'_> {
        self.made.borrow_mut().push(item);
        Hand { item: Some(item), left: &self.left }
    }

    async fn put_from(&self, item: u32) -> Result<()> {
        let mut hand = self.make(item);
        let put = self.queue.put_from(&mut hand.item).await;
        assert_eq!(put.is_ok(), hand.item.is_none());
        self.fit();
        put
    }

    /// Holds a slot for a while, and then fills it.
    async fn reserve(&self, item: u32) -> Result<()> {
        let mut hand = self.make(item);
        let slot = self.queue.reserve().await?;
        let held = Held::one_more(&self.held);
        self.fit();
        sleep(MS).await?;
        drop(held);
        slot.put(hand.item.take().expect("the item was made"));
        self.fit();
        Ok(())
    }

    /// The same for a queue that may be closed. Returns whether it was not.
    async fn reserve_unless_closed(&self, item: u32) -> Result<bool> {
        let mut hand = self.make(item);
        let slot = match self.queue.reserve_unless_closed().await? {
            Ok(slot) => slot,
            Err(Closed(())) => return Ok(false),
        };
        sleep(MS).await?;
        slot.put(hand.item.take().expect("the item was made"));
        Ok(true)
    }

    /// Gets so many items, one a millisecond.
    async fn get(&self, items: usize) -> Result<()> {
        for _ in 0..items {
            let item = self.queue.get().await?;
            self.got.borrow_mut().push(item);
            self.fit();
            sleep(MS).await?;
        }
        Ok(())
    }

    /// Gets until the end of the queue.
    async fn get_all(&self) -> Result<()> {
        while let Some(item) = self.queue.next().await? {
            self.got.borrow_mut().push(item);
        }
        Ok(())
    }

    /// No item and no held slot is above the bound.
    fn fit(&self) {
        let taken = self.queue.len() + self.held.get();
        assert!(taken <= self.queue.maxsize().unwrap_or(usize::MAX), "{taken} places are taken");
    }

    /// Each item was got or was not put.
    async fn are_conserved(&self) {
        testing::settle().await.unwrap();
        let queued = Vec::from_iter(std::iter::from_fn(|| self.queue.try_get()));
        let mut there = [queued, self.got.take(), self.left.take()].concat();
        let mut made = self.made.take();
        there.sort_unstable();
        made.sort_unstable();
        assert_eq!(made, there, "the items that were made, and those that are there");
    }

    /// All slots can be held, and no other.
    fn are_free(&self) {
        let bound = self.queue.maxsize().expect("a bound");
        let slots: Vec<_> = (0..bound).map(|_| self.queue.try_reserve()).collect();
        assert!(slots.iter().all(Result::is_ok), "a slot is lost: {slots:?}");
        assert!(self.queue.try_reserve().is_err());
    }
}

/// An item that is not put yet. Dropped with it, the item is left.
struct Hand<'a> {
    item: Option<u32>,
    left: &'a RefCell<Vec<u32>>,
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.left.borrow_mut().extend(self.item.take());
    }
}

struct Held<'a>(&'a Cell<usize>);

impl<'a> Held<'a> {
    fn one_more(held: &'a Cell<usize>) -> Self {
        held.set(held.get() + 1);
        Held(held)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// V4, Q2, Y2, Y3: putters of all kinds compete for one slot with a subject that is cancelled or
/// dropped while it waits, is promised the slot, or holds it. No item and no slot is lost.
#[test]
fn the_items_and_slots_of_a_full_queue_are_conserved() {
    let setup = async || {
        let first = async |places: Rc<Places>| {
            places.put_from(11).await?;
            places.reserve(12).await?;
            places.put_from(13).await
        };
        let second = async |places: Rc<Places>| {
            yield_now().await?;
            places.reserve(21).await?;
            places.put_from(22).await
        };
        let gets = async |places: Rc<Places>| places.get(usize::MAX).await;
        Among::new(Places::of(Queue::bounded(1))).and(first).and(second).and(gets)
    };
    let subject = |places: Rc<Among<Places>>| async move {
        places.put_from(31).await?;
        places.reserve(32).await?;
        places.put_from(33).await?;
        places.reserve(34).await
    };
    let check = async |places: &Among<Places>, run: &Run| {
        undisturbed(run);
        places.other_ends(0, run).await;
        places.other_ends(1, run).await;
        places.are_conserved().await;
        places.are_free();
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, check);
    assert_tried(&swept, &["QUEUE_PUT", "QUEUE_RESERVE", "SLEEP"], 30, 400);
}

/// V4, Q2, Y3: with getters that wait, the item of a slot goes to one of them, and the slot to the
/// putter that waits.
#[test]
fn the_slots_of_an_empty_queue_are_conserved() {
    let setup = async || {
        let gets = async |places: Rc<Places>| places.get(2).await;
        let puts = async |places: Rc<Places>| {
            for item in 11..15 {
                places.put_from(item).await?;
            }
            Ok(())
        };
        Among::new(Places::of(Queue::bounded(2))).and(gets).and(puts).and(gets)
    };
    let subject = |places: Rc<Among<Places>>| async move {
        let one = places.queue.try_reserve().ok();
        let held = one.is_some().then(|| Held::one_more(&places.held));
        places.reserve(31).await?;
        drop((one, held));
        places.reserve(32).await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |places, run| {
        undisturbed(run);
        places.others_end(run).await;
        places.are_conserved().await;
        places.are_free();
    });
    assert_tried(&swept, &["QUEUE_RESERVE", "SLEEP"], 20, 250);
}

/// V4, Q2, Y5: a queue is closed while slots are promised and held. Their items come before the
/// end, and the getters learn of the end also if a holder is dropped.
#[test]
fn the_end_of_a_queue_waits_for_held_slots() {
    let setup = async || {
        let reserves = async |places: Rc<Places>| {
            for item in 11.. {
                if !places.reserve_unless_closed(item).await? {
                    break;
                }
            }
            Ok(())
        };
        let closes = async |places: Rc<Places>| {
            sleep(5 * MS / 2).await?;
            places.queue.close();
            Ok(())
        };
        let gets = async |places: Rc<Places>| places.get_all().await;
        Among::new(Places::of(Queue::bounded(1))).and(reserves).and(gets).and(closes).and(gets)
    };
    let subject = |places: Rc<Among<Places>>| async move {
        let mut item = 31;
        while places.reserve_unless_closed(item).await? {
            item += 1;
        }
        places.get_all().await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |places, run| {
        undisturbed(run);
        if shuts_down(run) {
            places.queue.close();
        }
        places.others_end(run).await;
        places.get_all().await.unwrap();
        places.are_conserved().await;
    });
    assert_tried(&swept, &["QUEUE_RESERVE", "SLEEP"], 20, 250);
}
