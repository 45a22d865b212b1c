//! Every schedule of small programs with queues of one place, with a cancel at every moment (V4).
//!
//! Each program has three tasks of two operations, and all explorations are complete: see
//! `explored_sync`.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::yield_now;
use curium::sync::{Closed, Queue};

use crate::explored::{Ended, Group, Log, assert_complete, members};

struct Channel {
    queue: Queue<usize>,
    puts: Log,
    gets: Log,
    /// The request of each item that was got.
    got: RefCell<Vec<(usize, usize)>>,
    refused: RefCell<Vec<usize>>,
}

impl Channel {
    fn new() -> Rc<Self> {
        Rc::new(Channel {
            queue: Queue::bounded(1),
            puts: Log::default(),
            gets: Log::default(),
            got: RefCell::default(),
            refused: RefCell::default(),
        })
    }

    async fn put(&self, item: usize) -> Ended {
        let put = self.queue.put_unless_closed(item);
        if let Err(Closed(item)) = self.puts.ask(item, put).await? {
            self.refused.borrow_mut().push(item);
        }
        Ok(())
    }

    async fn get(&self, request: usize) -> Ended {
        if let Some(item) = self.gets.ask(request, self.queue.next()).await? {
            self.got.borrow_mut().push((request, item));
        }
        Ok(())
    }

    async fn put_two(self: Rc<Self>, first: usize) -> Ended {
        self.put(first).await?;
        yield_now().await?;
        self.put(first + 1).await
    }

    async fn get_two(self: Rc<Self>, first: usize) -> Ended {
        self.get(first).await?;
        yield_now().await?;
        self.get(first + 1).await
    }

    /// No member can go on. A full queue with a getter or an empty one with a putter means that a
    /// waiter was not woken. The end of the queue lets all go on.
    fn stuck(&self) {
        let shown = format!("{:?}", self.queue);
        let none = |field: &str| shown.contains(&format!("{field}: 0"));
        assert!(self.queue.is_empty() || none("getters"), "an item was not handed over: {shown}");
        assert!(!self.queue.is_empty() || none("putters"), "a place was not handed over: {shown}");
        self.queue.close();
    }

    /// Checks that each item that was put was got once or is left, and that the oldest getter has
    /// got the oldest item.
    fn check(&self) {
        let asked = self.gets.asked();
        let turn = |request| asked.iter().position(|asked| *asked == request);
        let mut got = self.got.borrow().clone();
        got.sort_unstable_by_key(|(request, _)| turn(*request));
        let mut items: Vec<usize> = got.into_iter().map(|(_, item)| item).collect();
        items.extend(std::iter::from_fn(|| self.queue.try_get()));
        let mut put = self.puts.asked();
        put.retain(|item| !self.refused.borrow().contains(item));
        assert_eq!(items, put, "items are lost, are there twice, or are in another order");
    }
}

/// Explores a program of three members.
#[track_caller]
fn assert_kept(schedules: usize, spawn: impl Fn(Group, [Rc<Channel>; 3])) {
    assert_complete(schedules, async || {
        let channel = Channel::new();
        let three = [(); 3].map(|()| channel.clone());
        members(|g| spawn(g, three), || channel.stuck()).await?;
        channel.check();
        Ok(())
    });
}

/// V4, Y2, Y3: two putters and a getter.
#[test]
fn a_queue_gives_every_item_once_in_the_order_of_the_putters() {
    assert_kept(4_774, |g, [first, second, third]| {
        g.spawn(first.put_two(0));
        g.spawn(second.put_two(2));
        g.spawn(third.get_two(0));
    });
}

/// V4, Y2, Y3: a putter and two getters.
#[test]
fn a_queue_gives_its_items_in_the_order_of_the_getters() {
    assert_kept(3_526, |g, [first, second, third]| {
        g.spawn(first.get_two(0));
        g.spawn(second.get_two(2));
        g.spawn(third.put_two(0));
    });
}

/// V4, Y5: a putter, a getter, and a task that closes the queue, each item of which is got or comes
/// back.
#[test]
fn a_queue_that_is_closed_loses_no_item() {
    assert_kept(2_192, |g, [first, second, third]| {
        g.spawn(first.put_two(0));
        g.spawn(second.get_two(0));
        g.spawn(async move {
            yield_now().await?;
            third.queue.close();
            third.put(2).await
        });
    });
}

/// V4, Y3: a getter that is dropped gives its item to the next one, or back to its place.
#[test]
fn a_dropped_getter_gives_its_item_back() {
    assert_kept(269, |g, [first, second, third]| {
        let victim = g.spawn(async move { first.get(0).await });
        g.spawn(async move { second.get(1).await });
        g.spawn(async move {
            third.put(0).await?;
            yield_now().await?;
            victim.abort();
            third.put(1).await
        });
    });
}

/// V4, Y3: a putter that is dropped gives its place to the next one.
#[test]
fn a_dropped_putter_gives_its_place_back() {
    assert_kept(483, |g, [first, second, third]| {
        let victim = g.spawn(first.put_two(0));
        g.spawn(second.put_two(2));
        g.spawn(async move {
            third.get(0).await?;
            victim.abort();
            third.get(1).await
        });
    });
}

/// V4, Y3: an item that a dropped getter gives back is again before the items that came after it.
#[test]
fn an_item_that_comes_back_goes_to_its_place() {
    assert_kept(761, |g, [first, second, third]| {
        let victim = g.spawn(async move { first.get(0).await });
        g.spawn(second.put_two(0));
        g.spawn(async move {
            yield_now().await?;
            victim.abort();
            third.get(1).await?;
            third.get(2).await
        });
    });
}

/// V4, Y5: a getter waits for what becomes of an item that another one was handed before the end.
#[test]
fn the_last_item_of_a_closed_queue_ends_it_for_all() {
    assert_kept(258, |g, [first, second, third]| {
        g.spawn(first.get_two(0));
        g.spawn(second.get_two(2));
        g.spawn(async move {
            third.put(0).await?;
            third.queue.close();
            Ok(())
        });
    });
}

/// V4, Y5: a getter waits for what becomes of a place that a putter was promised before the end.
#[test]
fn a_promised_place_that_is_given_back_ends_a_closed_queue() {
    assert_kept(1_569, |g, [first, second, third]| {
        let victim = g.spawn(first.put_two(0));
        g.spawn(second.get_two(0));
        g.spawn(async move {
            yield_now().await?;
            third.queue.close();
            victim.abort();
            Ok(())
        });
    });
}
