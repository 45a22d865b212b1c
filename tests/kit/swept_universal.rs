//! The universal objects between the tasks of one kernel, swept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use curium::kernel::testing::{self, Run};
use curium::kernel::{Result, TaskCancelled, sleep};
use curium::sync::{Closed, UniversalEvent, UniversalQueue, UniversalResult};

use super::checks::{Among, MS, aborts, assert_tried, undisturbed};

/// A queue, and where the items are that are not in it. Each item is at one place at any time.
struct Places {
    queue: UniversalQueue<u32>,
    /// The items that were made.
    made: RefCell<Vec<u32>>,
    got: RefCell<Vec<u32>>,
    /// The items that were not put.
    left: RefCell<Vec<u32>>,
}

impl Places {
    fn of(queue: UniversalQueue<u32>) -> Self {
        let (made, got, left) = Default::default();
        Places { queue, made, got, left }
    }

    fn make(&self, item: u32) -> Hand<'_> {
        self.made.borrow_mut().push(item);
        Hand { item: Some(item), left: &self.left }
    }

    async fn put_from(&self, item: u32) -> Result<()> {
        let mut hand = self.make(item);
        let put = self.queue.put_from(&mut hand.item).await;
        assert_eq!(put.is_ok(), hand.item.is_none());
        put
    }

    /// Puts items until the queue is closed. The last one comes back.
    async fn put_all(&self, first: u32) -> Result<()> {
        for item in first.. {
            if let Err(Closed(back)) = self.queue.put_unless_closed(item).await? {
                assert_eq!(back, item);
                break;
            }
            self.made.borrow_mut().push(item);
        }
        Ok(())
    }

    /// Gets until the end of the queue, one item a millisecond.
    async fn get_all(&self) -> Result<()> {
        while let Some(item) = self.queue.next().await? {
            self.got.borrow_mut().push(item);
            sleep(MS).await?;
        }
        Ok(())
    }

    /// Each item was got or was not put, and no waiter is left.
    async fn are_conserved(&self) {
        self.get_all().await.unwrap();
        let mut there = [self.got.take(), self.left.take()].concat();
        let mut made = self.made.take();
        there.sort_unstable();
        made.sort_unstable();
        assert_eq!(made, there, "the items that were made, and those that are there");
        let shown = format!("{:?}", self.queue);
        assert!(shown.contains("getters: 0, putters: 0"), "{shown}");
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

/// V4, U2: putters compete for one slot with a subject that is cancelled or dropped while it waits
/// or after its item was placed. No item is lost.
#[test]
fn the_items_of_a_full_universal_queue_are_conserved() {
    let setup = async || {
        let puts = async |places: Rc<Places>, first| {
            for item in first..first + 3 {
                places.put_from(item).await?;
            }
            Ok(())
        };
        let gets = async |places: Rc<Places>| places.get_all().await;
        Among::new(Places::of(UniversalQueue::bounded(1)))
            .and(|places| puts(places, 10))
            .and(|places| puts(places, 20))
            .and(gets)
    };
    let subject = |places: Rc<Among<Places>>| async move {
        for item in 31..35 {
            places.put_from(item).await?;
        }
        Ok::<_, TaskCancelled>(())
    };
    let check = async |places: &Among<Places>, run: &Run| {
        undisturbed(run);
        places.other_ends(0, run).await;
        places.other_ends(1, run).await;
        places.queue.close();
        places.other_ends(2, run).await;
        places.are_conserved().await;
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, check);
    assert_tried(&swept, &["QUEUE_PUT"], 10, 150);
}

/// V4, U2: a getter that is cancelled or dropped, also when it was handed an item, leaves the item
/// to the next getter.
#[test]
fn the_items_of_an_empty_universal_queue_are_conserved() {
    let setup = async || {
        let puts = async |places: Rc<Places>| {
            for item in 11..19 {
                places.put_from(item).await?;
                if item % 2 == 0 {
                    sleep(MS).await?;
                }
            }
            Ok(())
        };
        let gets = async |places: Rc<Places>| places.get_all().await;
        Among::new(Places::of(UniversalQueue::bounded(2))).and(gets).and(puts).and(gets)
    };
    let subject = |places: Rc<Among<Places>>| async move {
        for _ in 0..3 {
            let item = places.queue.get().await?;
            places.got.borrow_mut().push(item);
        }
        Ok::<_, TaskCancelled>(())
    };
    let check = async |places: &Among<Places>, run: &Run| {
        undisturbed(run);
        places.other_ends(1, run).await;
        places.queue.close();
        places.other_ends(0, run).await;
        places.other_ends(2, run).await;
        places.are_conserved().await;
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, check);
    assert_tried(&swept, &["QUEUE_GET"], 10, 150);
}

/// V4, U2: a queue is closed while putters and getters wait. The getters empty it, and learn of the
/// end also if one of them is dropped with an item.
#[test]
fn the_end_of_a_universal_queue_reaches_all_waiters() {
    let setup = async || {
        let puts = async |places: Rc<Places>| places.put_all(10).await;
        let closes = async |places: Rc<Places>| {
            sleep(5 * MS / 2).await?;
            places.queue.close();
            Ok(())
        };
        let gets = async |places: Rc<Places>| places.get_all().await;
        Among::new(Places::of(UniversalQueue::bounded(1))).and(puts).and(gets).and(closes)
    };
    let subject = |places: Rc<Among<Places>>| async move { places.get_all().await };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |places, run| {
        undisturbed(run);
        places.queue.close();
        places.others_end(run).await;
        places.are_conserved().await;
    });
    assert_tried(&swept, &["QUEUE_GET"], 20, 250);
}

/// V4, U1, U2: an event, a result and the `join` of a queue are waited for by a subject that is
/// cancelled or dropped. The other waiters are woken all the same.
#[test]
fn universal_events_and_results_reach_all_waiters() {
    struct Objects {
        queue: UniversalQueue<u32>,
        event: UniversalEvent,
        result: UniversalResult<u32, ()>,
        passed: Cell<u32>,
    }
    async fn wait(objects: &Objects) -> Result<()> {
        objects.event.wait().await?;
        assert_eq!(objects.result.get().await?, Ok(&7));
        objects.queue.join().await?;
        objects.passed.set(objects.passed.get() + 1);
        Ok(())
    }
    let setup = async || {
        let objects = Objects {
            queue: UniversalQueue::unbounded(),
            event: UniversalEvent::new(),
            result: UniversalResult::new(),
            passed: Cell::new(0),
        };
        objects.queue.try_put(1).unwrap();
        let sets = async |objects: Rc<Objects>| {
            sleep(MS).await?;
            objects.event.set();
            objects.event.clear();
            sleep(MS).await?;
            objects.result.set(Ok(7)).unwrap();
            sleep(MS).await?;
            objects.queue.task_done().unwrap();
            Ok(())
        };
        let waits = async |objects: Rc<Objects>| wait(&objects).await;
        Among::new(objects).and(waits).and(sets).and(waits)
    };
    let subject = |objects: Rc<Among<Objects>>| async move { wait(&objects).await };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |objects, run| {
        objects.others_end(run).await;
        if undisturbed(run) {
            assert_eq!(objects.passed.get(), 3);
        }
        assert!(!aborts(run) || objects.passed.get() >= 2, "another waiter was lost");
        assert!(format!("{:?}", objects.event).contains("waiters: 0"));
    });
    assert_tried(&swept, &["EVENT_WAIT", "RESULT_WAIT", "QUEUE_JOIN"], 20, 250);
}
