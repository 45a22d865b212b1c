//! Queues, bounded and not, open and closed, swept.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::testing::{self, Run};
use curium::kernel::{Result, TaskCancelled, sleep, yield_now};
use curium::sync::{Closed, Queue};

use super::checks::{Among, MS, aborts, assert_tried, shuts_down, undisturbed};

/// The item that ends a getter.
const LAST: u32 = 99;

/// A queue, and which items were put, given back and got. Each list is changed in the poll in which
/// the call returns.
struct Items {
    queue: Queue<u32>,
    put: RefCell<Vec<u32>>,
    /// With the number of the getter.
    got: RefCell<Vec<(u32, u32)>>,
    given_back: RefCell<Vec<u32>>,
}

impl Items {
    fn of(queue: Queue<u32>) -> Self {
        let (put, got, given_back) = Default::default();
        Items { queue, put, got, given_back }
    }

    async fn put(&self, item: u32) -> Result<()> {
        self.queue.put(item).await?;
        self.put.borrow_mut().push(item);
        Ok(())
    }

    async fn put_unless_closed(&self, item: u32) -> Result<bool> {
        match self.queue.put_unless_closed(item).await? {
            Ok(()) => self.put.borrow_mut().push(item),
            Err(Closed(back)) => {
                assert_eq!(back, item);
                self.given_back.borrow_mut().push(item);
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn get(&self, getter: u32) -> Result<u32> {
        let item = self.queue.get().await?;
        self.got.borrow_mut().push((getter, item));
        Ok(item)
    }

    async fn next(&self, getter: u32) -> Result<Option<u32>> {
        let item = self.queue.next().await?;
        self.got.borrow_mut().extend(item.map(|item| (getter, item)));
        Ok(item)
    }

    /// Each item that was put was got or is in the queue, and no other. A getter got the items of
    /// one putter in their order. If another getter was dropped, its item came later.
    fn are_conserved(&self, run: &Run) {
        let mut put = self.put.borrow().clone();
        let mut there = self.got.borrow().clone();
        while let Some(item) = self.queue.try_get() {
            there.push((0, item));
        }
        for (getter, putter) in (0..=3).flat_map(|getter| (1..=9).map(move |at| (getter, at))) {
            let of_both = there.iter().filter(|got| (got.0, got.1 / 10) == (getter, putter));
            assert!(of_both.is_sorted() || aborts(run), "out of order: {there:?}");
        }
        let mut there: Vec<u32> = there.into_iter().map(|(_, item)| item).collect();
        put.sort_unstable();
        there.sort_unstable();
        assert_eq!(put, there, "the items that were put, and those that are there");
    }

    /// The queue still takes and gives items, so no place is lost.
    async fn works(&self) {
        let places = self.queue.maxsize().unwrap_or(3);
        for item in 0..places {
            self.queue.try_put(item as u32).expect("all places are free");
        }
        assert!(self.queue.maxsize().is_none() || self.queue.try_put(0).is_err());
        for item in 0..places {
            assert_eq!(self.queue.get().await.unwrap(), item as u32);
        }
    }
}

/// V4, Y2, Y3: a putter that is cancelled or dropped, also when a place was promised to it, loses
/// nothing but its own item, and the putters behind it get their places.
#[test]
fn the_items_of_a_full_queue_are_conserved() {
    let setup = async || {
        let puts = async |items: Rc<Items>| {
            for item in [11, 12, 13] {
                items.put(item).await?;
            }
            Ok(())
        };
        let also_puts = async |items: Rc<Items>| {
            yield_now().await?;
            items.put(21).await?;
            items.put(22).await
        };
        let gets = async |items: Rc<Items>| {
            while items.get(1).await? != LAST {
                sleep(MS).await?;
            }
            Ok(())
        };
        Among::new(Items::of(Queue::bounded(1))).and(puts).and(also_puts).and(gets)
    };
    let subject = |items: Rc<Among<Items>>| async move {
        items.put(31).await?;
        items.put(32).await?;
        items.put(33).await
    };
    let check = async |items: &Among<Items>, run: &Run| {
        undisturbed(run);
        items.other_ends(0, run).await;
        items.other_ends(1, run).await;
        if !shuts_down(run) {
            items.put(LAST).await.unwrap();
        }
        items.other_ends(2, run).await;
        items.are_conserved(run);
        items.works().await;
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, check);
    assert_tried(&swept, &["QUEUE_PUT"], 17, 230);
}

/// V4, Y3: a getter that is cancelled or dropped, also when an item was assigned to it, leaves the
/// item to the next getter, at its place in the order.
#[test]
fn the_items_of_an_empty_queue_are_conserved() {
    let setup = async || {
        let puts = async |items: Rc<Items>| {
            for item in [11, 12, 13, 14, 15, 16] {
                items.put(item).await?;
                sleep(MS).await?;
            }
            Ok(())
        };
        let gets = async |items: Rc<Items>, getter| {
            items.get(getter).await?;
            items.get(getter).await.map(drop)
        };
        Among::new(Items::of(Queue::unbounded()))
            .and(|items| gets(items, 1))
            .and(puts)
            .and(|items| gets(items, 2))
    };
    let subject = |items: Rc<Among<Items>>| async move {
        items.get(3).await?;
        items.get(3).await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |items, run| {
        undisturbed(run);
        items.others_end(run).await;
        assert!(shuts_down(run) || items.put.borrow().len() == 6);
        items.are_conserved(run);
        items.works().await;
    });
    assert_tried(&swept, &["QUEUE_GET"], 13, 190);
}

/// V4, Y3: an item that was assigned to a getter which is then dropped stands at its old place, in
/// front of those that were put later.
#[test]
fn an_item_that_comes_back_stands_at_its_place() {
    let setup = async || {
        Among::new(Items::of(Queue::unbounded())).and(async |items: Rc<Items>| {
            for burst in [10, 20] {
                sleep(MS).await?;
                for item in burst..burst + 4 {
                    items.queue.try_put(item).expect("no bound");
                    items.put.borrow_mut().push(item);
                }
            }
            Ok(())
        })
    };
    let subject = |items: Rc<Among<Items>>| async move {
        items.get(3).await?; // one of four: the rest is behind it
        while items.queue.try_get().is_some_and(|item| item < 13) {}
        items.get(3).await
    };
    let swept = testing::sweep().run(setup, subject, async |items, run| {
        undisturbed(run);
        items.others_end(run).await;
        let mut left = Vec::new();
        while let Some(item) = items.queue.try_get() {
            left.push(item);
        }
        assert!(left.is_sorted(), "out of order: {left:?}");
        let got = items.got.take().len();
        let all = if got == 0 { 8 } else { 5 - got };
        assert!(shuts_down(run) || left.len() == all, "{left:?} are left, {got} were got");
    });
    assert_tried(&swept, &["QUEUE_GET"], 2, 29);
}

/// V4, Y5: a queue that is closed while tasks wait to put and to get. Each item is in the queue,
/// with its getter or back with its putter, and each getter learns of the end.
#[test]
fn the_items_of_a_closed_queue_are_conserved() {
    let setup = async || {
        let puts = async |items: Rc<Items>| {
            // In bursts, so that now the putters wait and now the getters.
            for item in 10.. {
                if !items.put_unless_closed(item).await? {
                    break;
                }
                if item % 6 == 3 {
                    sleep(3 * MS).await?;
                }
            }
            Ok(())
        };
        let gets = async |items: Rc<Items>, getter| {
            while items.next(getter).await?.is_some() {
                sleep(MS).await?;
            }
            Ok(())
        };
        let closes = async |items: Rc<Items>| {
            sleep(9 * MS / 2).await?;
            items.queue.close();
            Ok(())
        };
        Among::new(Items::of(Queue::bounded(2)))
            .and(puts)
            .and(|items| gets(items, 1))
            .and(closes)
            .and(|items| gets(items, 2))
    };
    let subject = |items: Rc<Among<Items>>| async move {
        items.put_unless_closed(31).await?;
        items.put_unless_closed(32).await?;
        while items.next(3).await?.is_some() {
            sleep(MS).await?;
        }
        items.put_unless_closed(33).await.map(drop)
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |items, run| {
        assert!(!undisturbed(run) || items.given_back.borrow().contains(&33));
        items.others_end(run).await;
        assert!(shuts_down(run) || !items.given_back.borrow().is_empty());
        items.queue.close();
        items.are_conserved(run);
        let end: Result<_, TaskCancelled> = items.queue.next().await;
        assert_eq!(end.unwrap(), None, "the queue has ended");
    });
    assert_tried(&swept, &["QUEUE_PUT", "QUEUE_GET"], 32, 400);
}

/// V4, Y5: a queue is closed while an item is assigned to a getter that has not run. When the item
/// is taken, or has come back and is taken by another, the getters that wait learn of the end.
#[test]
fn the_end_of_a_queue_waits_for_an_assigned_item() {
    let setup = async || {
        let gets = async |items: Rc<Items>, getter| items.next(getter).await.map(drop);
        let closes = async |items: Rc<Items>| {
            sleep(MS).await?;
            items.queue.try_put(11).expect("no bound");
            items.put.borrow_mut().push(11);
            items.queue.close();
            Ok(())
        };
        Among::new(Items::of(Queue::unbounded()))
            .and(|items| gets(items, 1))
            .and(|items| gets(items, 2))
            .and(closes)
    };
    // Each getter comes once: a second call would look for the end itself.
    let subject = |items: Rc<Among<Items>>| async move { items.next(3).await };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |items, run| {
        undisturbed(run);
        items.others_end(run).await;
        assert!(shuts_down(run) || items.got.borrow().len() == 1);
        items.are_conserved(run);
    });
    assert_tried(&swept, &["QUEUE_GET"], 7, 120);
}

/// V4, Y5: a queue is closed while a putter that has not run was promised a place. Its item comes
/// before the end; if the putter is dropped, the end comes at once.
#[test]
fn the_end_of_a_queue_waits_for_a_promised_place() {
    let setup = async || {
        let items = Items::of(Queue::bounded(1));
        items.put(11).await.unwrap();
        let closes = async |items: Rc<Items>| {
            sleep(MS).await?;
            let first = items.queue.try_get().expect("the queue is full");
            items.got.borrow_mut().push((1, first));
            items.queue.close();
            while items.next(1).await?.is_some() {}
            Ok(())
        };
        Among::new(items).and(closes)
    };
    let subject = |items: Rc<Among<Items>>| async move {
        let is_put = items.put_unless_closed(31).await?;
        let again = items.put_unless_closed(32).await?;
        assert!(is_put && !again, "the place was promised before the close");
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |items, run| {
        undisturbed(run);
        items.others_end(run).await;
        items.are_conserved(run);
    });
    assert_tried(&swept, &["QUEUE_PUT"], 7, 120);
}

/// V4, Y3: a `join` that is cancelled or dropped leaves the count of unfinished items alone, and
/// the others that wait are woken when all is done.
#[test]
fn the_join_of_a_queue_wakes_all_that_wait_for_it() {
    let setup = async || {
        let works = async |items: Rc<Items>| {
            for _ in 0..3 {
                items.get(1).await?;
                sleep(MS).await?;
                items.queue.task_done().expect("an item was got");
            }
            Ok(())
        };
        let waits = async |items: Rc<Items>| {
            items.queue.join().await?;
            assert_eq!(items.queue.unfinished(), 0);
            Ok(())
        };
        let items = Items::of(Queue::unbounded());
        for item in [11, 12, 13, 14] {
            items.put(item).await.unwrap();
        }
        Among::new(items).and(waits).and(works).and(waits)
    };
    let subject = |items: Rc<Among<Items>>| async move {
        let item = items.queue.try_get().expect("the other has taken one");
        items.got.borrow_mut().push((3, item));
        yield_now().await?;
        items.queue.task_done().expect("an item was got");
        items.queue.join().await?;
        assert_eq!(items.queue.unfinished(), 0);
        Ok::<_, TaskCancelled>(item)
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |items, run| {
        undisturbed(run);
        // What the subject has left undone is done here.
        testing::advance(9 * MS).await.unwrap();
        while items.queue.task_done().is_ok() {}
        items.others_end(run).await;
        items.queue.join().await.unwrap();
        items.are_conserved(run);
        assert!(!aborts(run) || items.queue.unfinished() == 0);
    });
    assert_tried(&swept, &["QUEUE_JOIN"], 14, 200);
}
