//! Every schedule of small programs with a channel without places, with a cancel at every moment
//! (V4).
//!
//! Each has three tasks of two operations and is complete: see `explored_sync`. A channel with
//! places is a queue, for which `explored_queue` and `explored_reserve` do the same.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::yield_now;
use curium::sync::{Closed, Receiver, Sender, channel};

use crate::explored::{Ended, Group, Log, assert_complete, members};

struct Ends {
    sender: Sender<usize>,
    receiver: Receiver<usize>,
    puts: Log,
    gets: Log,
    /// The request of each item that was received.
    got: RefCell<Vec<(usize, usize)>>,
    refused: RefCell<Vec<usize>>,
}

impl Ends {
    fn new() -> Rc<Self> {
        let (sender, receiver) = channel(0);
        let (puts, gets) = Default::default();
        Rc::new(Ends {
            sender,
            receiver,
            puts,
            gets,
            got: RefCell::default(),
            refused: RefCell::default(),
        })
    }

    async fn put(&self, item: usize) -> Ended {
        if let Err(Closed(item)) = self.puts.ask(item, self.sender.put(item)).await? {
            self.refused.borrow_mut().push(item);
        }
        Ok(())
    }

    /// Puts through a slot. Its item stands where it is put, so it has no order.
    async fn reserve(&self, item: usize) -> Ended {
        match self.sender.reserve().await? {
            Ok(slot) => {
                let put = async {
                    slot.put(item);
                    Ok(())
                };
                self.puts.ask(item, put).await?;
            }
            Err(Closed(())) => self.refused.borrow_mut().push(item),
        }
        Ok(())
    }

    async fn get(&self, request: usize) -> Ended {
        if let Some(item) = self.gets.ask(request, self.receiver.recv()).await? {
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

    /// No member can go on: then no side waits for the other one.
    fn stuck(&self) {
        let now = self.sender.statistics();
        let one = now.waiting_senders == 0 || now.waiting_receivers == 0;
        assert!(one && (now.len == 0 || now.waiting_receivers == 0), "they did not meet: {now:?}");
        self.sender.close();
    }

    /// Checks that each item that was put was received once or is left. With `ordered`, the
    /// receiver that asked first has the item that was put first.
    fn check(&self, ordered: bool) {
        let asked = self.gets.asked();
        let turn = |request| asked.iter().position(|asked| *asked == request);
        let mut got = self.got.borrow().clone();
        got.sort_unstable_by_key(|(request, _)| turn(*request));
        let mut items: Vec<usize> = got.into_iter().map(|(_, item)| item).collect();
        items.extend(std::iter::from_fn(|| self.receiver.try_recv().ok()));
        let mut put = self.puts.asked();
        put.retain(|item| !self.refused.borrow().contains(item));
        if !ordered {
            put.sort_unstable();
            items.sort_unstable();
        }
        assert_eq!(items, put, "items are lost, are there twice, or are in another order");
    }
}

/// Explores a program of three members.
#[track_caller]
fn assert_kept(schedules: usize, ordered: bool, spawn: impl Fn(Group, [Rc<Ends>; 3])) {
    assert_complete(schedules, async || {
        let ends = Ends::new();
        let three = [(); 3].map(|()| ends.clone());
        members(|g| spawn(g, three), || ends.stuck()).await?;
        ends.check(ordered);
        Ok(())
    });
}

/// V4, Q1, Q3, Y2: two senders and a receiver.
#[test]
fn senders_without_places_are_served_in_order() {
    assert_kept(5_508, true, |g, [first, second, third]| {
        g.spawn(first.put_two(0));
        g.spawn(second.put_two(2));
        g.spawn(third.get_two(0));
    });
}

/// V4, Q1, Q3, Y2: a sender and two receivers.
#[test]
fn receivers_without_places_are_served_in_order() {
    assert_kept(5_508, true, |g, [first, second, third]| {
        g.spawn(first.get_two(0));
        g.spawn(second.get_two(2));
        g.spawn(third.put_two(0));
    });
}

/// V4, Q2, Q3: a sender that reserves among one that puts and a receiver.
#[test]
fn a_slot_without_places_meets_a_receiver() {
    assert_kept(2_763, false, |g, [first, second, third]| {
        g.spawn(async move {
            first.reserve(0).await?;
            first.reserve(1).await
        });
        g.spawn(second.put_two(2));
        g.spawn(third.get_two(0));
    });
}

/// V4, Q3, Y5: a sender, a receiver, and a task that closes the channel.
#[test]
fn a_channel_without_places_that_is_closed_loses_no_item() {
    assert_kept(3_002, true, |g, [first, second, third]| {
        g.spawn(first.put_two(0));
        g.spawn(second.get_two(0));
        g.spawn(async move {
            yield_now().await?;
            third.sender.close();
            third.put(2).await
        });
    });
}

/// V4, Y3: a receiver that is dropped gives its item to the next one.
#[test]
fn a_dropped_receiver_gives_its_item_back() {
    assert_kept(363, true, |g, [first, second, third]| {
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

/// V4, Q2, Y3: a sender that is dropped while it waits for a receiver, or holds one, lets the next
/// one have it.
#[test]
fn a_dropped_reserver_lets_the_next_sender_meet() {
    assert_kept(488, false, |g, [first, second, third]| {
        let victim = g.spawn(async move {
            let slot = first.sender.reserve().await?;
            yield_now().await?;
            drop(slot);
            Ok(())
        });
        g.spawn(second.put_two(2));
        g.spawn(async move {
            third.get(0).await?;
            victim.abort();
            third.get(1).await
        });
    });
}
