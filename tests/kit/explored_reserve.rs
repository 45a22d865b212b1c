//! Every schedule of small programs with `put_from` and `reserve`, with a cancel at every moment
//! (V4).
//!
//! Each program has three tasks and a queue of one place, and all explorations are complete: see
//! `explored_sync`.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{TaskCancelled, TaskGroup, yield_now};
use curium::sync::{Closed, Queue};

use crate::explored::{Counted, Ended, Group, Log, assert_complete};

struct Places {
    queue: Queue<usize>,
    /// The requests for a place, each with the number of its item.
    asked: Log,
    gets: Log,
    held: Rc<Cell<usize>>,
    /// The request of each item that was got.
    got: RefCell<Vec<(usize, usize)>>,
    /// The items in the order in which they were put.
    put: RefCell<Vec<usize>>,
    /// The items that were not put.
    left: RefCell<Vec<usize>>,
    made: Cell<usize>,
}

impl Places {
    fn new() -> Rc<Self> {
        let (asked, gets, held, got, put, left, made) = Default::default();
        let queue = Queue::bounded(1);
        Rc::new(Places { queue, asked, gets, held, got, put, left, made })
    }

    fn make(&self, item: usize) -> Hand<'_> {
        self.made.set(self.made.get() + 1);
        Hand { item: Some(item), left: &self.left }
    }

    async fn put_from(&self, item: usize) -> Ended {
        let mut hand = self.make(item);
        let put = self.asked.ask(item, self.queue.put_from(&mut hand.item)).await;
        assert_eq!(put.is_ok(), hand.item.is_none());
        self.put.borrow_mut().extend(put.is_ok().then_some(item));
        put
    }

    /// Holds a place over a turn of the others, and fills it.
    async fn reserve(&self, item: usize) -> Ended {
        let mut hand = self.make(item);
        let slot = self.asked.ask(item, self.queue.reserve_unless_closed()).await?;
        let Ok(slot) = slot else { return Ok(()) };
        let held = Counted::new(&self.held, 1);
        assert_eq!((self.held.get(), self.queue.len()), (1, 0), "the place is taken twice");
        yield_now().await?;
        assert_eq!((self.held.get(), self.queue.len()), (1, 0), "the place is taken twice");
        drop(held);
        self.put.borrow_mut().push(item);
        slot.put(hand.item.take().expect("the item was made"));
        Ok(())
    }

    async fn get(&self, request: usize) -> Ended {
        if let Some(item) = self.gets.ask(request, self.queue.next()).await? {
            self.got.borrow_mut().push((request, item));
        }
        Ok(())
    }

    async fn get_two(self: Rc<Self>, first: usize) -> Ended {
        self.get(first).await?;
        self.get(first + 1).await
    }

    /// Lets all members end. None of them can go on before a step: a full queue with a getter, or
    /// an empty one with a putter, means that a waiter was not woken.
    async fn let_all_end(&self) -> Ended {
        loop {
            testing::settle().await?;
            let shown = format!("{:?}", self.queue);
            let none = |field: &str| shown.contains(&format!("{field}: 0"));
            assert!(none("held"), "a place was not given back: {shown}");
            assert!(self.queue.is_empty() || none("getters"), "an item is stuck: {shown}");
            assert!(!self.queue.is_empty() || none("putters"), "a place is stuck: {shown}");
            match self.queue.try_get() {
                Some(item) => self.got.borrow_mut().push((usize::MAX, item)),
                None => break,
            }
        }
        self.queue.close();
        Ok(())
    }

    /// The items in the order in which they were assigned to the getters.
    fn got(&self) -> Vec<usize> {
        let asked = self.gets.asked();
        let turn = |request| asked.iter().position(|asked| *asked == request);
        let mut got = self.got.borrow().clone();
        got.sort_by_key(|(request, _)| turn(*request).unwrap_or(usize::MAX));
        got.into_iter().map(|(_, item)| item).collect()
    }

    /// Checks that each item is with a getter or was not put, and that places and items were given
    /// in order.
    fn check(&self) {
        assert_eq!(self.got(), *self.put.borrow(), "items are lost, or in another order");
        let there = self.got().len() + self.left.borrow().len();
        assert_eq!(there, self.made.get(), "items are lost, or are there twice");
        self.asked.assert_served_in_order(|_, _| true);
        assert!(self.queue.try_reserve().is_err(), "the queue is closed");
    }
}

/// An item that is not put yet. Dropped with it, the item is left.
struct Hand<'a> {
    item: Option<usize>,
    left: &'a RefCell<Vec<usize>>,
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.left.borrow_mut().extend(self.item.take());
    }
}

/// Explores a program of three members.
#[track_caller]
fn assert_kept(schedules: usize, spawn: impl Fn(Group, [Rc<Places>; 3])) {
    assert_complete(schedules, async || {
        let places = Places::new();
        TaskGroup::<TaskCancelled>::scope(async |g| {
            spawn(g, [(); 3].map(|()| places.clone()));
            places.let_all_end().await
        })
        .await?;
        places.check();
        Ok(())
    });
}

/// V4, Q2, Y2: putters from variables, and a getter.
#[test]
fn put_from_keeps_every_item_and_their_order() {
    assert_kept(2_066, |g, [first, second, third]| {
        g.spawn(async move {
            first.put_from(0).await?;
            yield_now().await?;
            first.put_from(1).await
        });
        g.spawn(async move {
            second.put_from(2).await?;
            yield_now().await?;
            second.put_from(3).await
        });
        g.spawn(third.get_two(0));
    });
}

/// V4, Q2, Y2: putters that reserve, and a getter.
#[test]
fn a_reserved_place_is_given_to_one_putter_at_a_time() {
    assert_kept(3_969, |g, [first, second, third]| {
        g.spawn(async move {
            first.reserve(0).await?;
            yield_now().await?;
            first.reserve(1).await
        });
        g.spawn(async move { second.reserve(2).await });
        g.spawn(third.get_two(0));
    });
}

/// V4, Q2, Y2, Y3: `put_from` and `reserve` wait in one queue, and a dropped one passes its place
/// on.
#[test]
fn putters_of_all_kinds_share_one_order() {
    assert_kept(442, |g, [first, second, third]| {
        let victim = g.spawn(async move {
            first.reserve(0).await?;
            first.put_from(1).await
        });
        g.spawn(async move {
            second.put_from(2).await?;
            second.reserve(3).await
        });
        g.spawn(async move {
            third.get(0).await?;
            victim.abort();
            third.get(1).await
        });
    });
}

/// V4, Q2, Y5: a queue is closed while places are waited for and held. What was promised is good,
/// and the getter learns of the end.
#[test]
fn a_held_place_of_a_closed_queue_is_filled_or_given_back() {
    assert_kept(3_163, |g, [first, second, third]| {
        let victim = g.spawn(async move {
            first.reserve(0).await?;
            yield_now().await?;
            first.reserve(1).await
        });
        g.spawn(second.get_two(0));
        g.spawn(async move {
            yield_now().await?;
            third.queue.close();
            let refused = third.queue.reserve_unless_closed().await?;
            assert_eq!(refused.unwrap_err(), Closed(()));
            victim.abort();
            Ok(())
        });
    });
}
