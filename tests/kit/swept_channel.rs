//! Channels, with places and without, swept.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::testing::{self, Run};
use curium::kernel::{Result, ignore_after, sleep, yield_now};
use curium::sync::{Closed, Receiver, Sender, channel};

use super::checks::{Among, MS, aborts, assert_tried, shuts_down, undisturbed};

/// Both ends of a channel until they are taken, the items that were made, and where those are that
/// are not in the channel. Each item is at one place at any time.
struct Ends {
    sender: RefCell<Option<Sender<u32>>>,
    receiver: RefCell<Option<Receiver<u32>>>,
    made: RefCell<Vec<u32>>,
    got: RefCell<Vec<u32>>,
    /// The items that were not put.
    left: RefCell<Vec<u32>>,
}

/// An item that is not put yet. Dropped with it, the item is left.
struct Hand<'a>(Option<u32>, &'a RefCell<Vec<u32>>);

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        self.1.borrow_mut().extend(self.0.take());
    }
}

impl Ends {
    fn of(capacity: usize) -> Self {
        let (sender, receiver) = channel(capacity);
        let (made, got, left) = Default::default();
        let (sender, receiver) = (RefCell::new(Some(sender)), RefCell::new(Some(receiver)));
        Ends { sender, receiver, made, got, left }
    }

    fn sender(&self) -> Sender<u32> {
        self.sender.borrow().clone().expect("an end is left")
    }

    fn receiver(&self) -> Receiver<u32> {
        self.receiver.borrow().clone().expect("an end is left")
    }

    fn make(&self, item: u32) -> Hand<'_> {
        self.made.borrow_mut().push(item);
        Hand(Some(item), &self.left)
    }

    /// Returns whether the channel was open.
    async fn put_from(&self, sender: &Sender<u32>, item: u32) -> Result<bool> {
        let mut hand = self.make(item);
        let put = sender.put_from(&mut hand.0).await;
        assert_eq!(matches!(put, Ok(Ok(()))), hand.0.is_none());
        Ok(put?.is_ok())
    }

    async fn reserve(&self, sender: &Sender<u32>, item: u32) -> Result<bool> {
        let mut hand = self.make(item);
        let slot = match sender.reserve().await? {
            Ok(slot) => slot,
            Err(Closed(())) => return Ok(false),
        };
        sleep(MS).await?;
        slot.put(hand.0.take().expect("the item was made"));
        Ok(true)
    }

    /// A `put` whose item counts as made when it returns, because a cancel drops it.
    async fn put(&self, sender: &Sender<u32>, item: u32) -> Result<bool> {
        let put = sender.put(item).await?;
        self.made.borrow_mut().push(item);
        self.left.borrow_mut().extend(put.err().map(|Closed(item)| item));
        Ok(put.is_ok())
    }

    async fn recv(&self, receiver: &Receiver<u32>) -> Result<Option<u32>> {
        let item = receiver.recv().await?;
        self.got.borrow_mut().extend(item);
        Ok(item)
    }

    /// The check takes the last ends and all that is left. Each item was got or was not put.
    async fn are_conserved(&self, run: &Run) {
        testing::settle().await.unwrap();
        drop(self.sender.take());
        let receiver = self.receiver.take().expect("an end is left");
        while let Some(item) = receiver.recv().await.unwrap() {
            self.got.borrow_mut().push(item);
        }
        let mut there = [self.got.take(), self.left.take()].concat();
        let mut made = self.made.take();
        there.sort_unstable();
        made.sort_unstable();
        // An aborted `put` cannot say that its item was taken.
        let told = aborts(run).then_some(34);
        there.retain(|item| Some(*item) != told);
        made.retain(|item| Some(*item) != told);
        assert_eq!(made, there, "the items that were made, and those that are there");
    }
}

/// Senders of all kinds and a receiver compete with a subject that sends.
fn sweep_sending(capacity: usize, suspensions: usize, runs: usize) {
    let setup = async move || {
        let puts = async |ends: Rc<Ends>| {
            let sender = ends.sender();
            ends.put_from(&sender, 11).await?;
            ends.reserve(&sender, 12).await?;
            ends.put(&sender, 13).await.map(drop)
        };
        let gets = async |ends: Rc<Ends>| {
            let receiver = ends.receiver();
            while ends.recv(&receiver).await?.is_some() {
                sleep(MS).await?;
            }
            Ok(())
        };
        Among::new(Ends::of(capacity)).and(puts).and(gets)
    };
    let subject = |ends: Rc<Among<Ends>>| async move {
        let sender = ends.sender();
        ends.put_from(&sender, 31).await?;
        ends.reserve(&sender, 32).await?;
        ends.put_from(&sender, 33).await?;
        ends.put(&sender, 34).await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |ends, run| {
        undisturbed(run);
        ends.other_ends(0, run).await;
        drop(ends.sender.take());
        ends.other_ends(1, run).await;
        ends.are_conserved(run).await;
    });
    assert_tried(&swept, &["CHANNEL_PUT", "CHANNEL_RESERVE", "SLEEP"], suspensions, runs);
}

/// V4, Q2, Q3, Y2, Y3: a sender that is cancelled or dropped while it waits, is promised a place,
/// or holds one loses no item and no place.
#[test]
fn what_is_sent_through_a_full_channel_is_conserved() {
    sweep_sending(1, 25, 300);
}

/// V4, Q2, Q3, Y2, Y3: the same without places, where the item of a waiting sender is in the
/// channel.
#[test]
fn what_is_sent_without_places_is_conserved() {
    sweep_sending(0, 25, 300);
}

/// Receivers of all kinds and a sender compete with a subject that receives.
fn sweep_receiving(capacity: usize, suspensions: usize, runs: usize) {
    let setup = async move || {
        let puts = async |ends: Rc<Ends>| {
            let sender = ends.sender();
            for item in 11..16 {
                ends.put_from(&sender, item).await?;
                sleep(MS).await?;
            }
            ends.reserve(&sender, 16).await.map(drop)
        };
        let gets = async |ends: Rc<Ends>| {
            let receiver = ends.receiver();
            for _ in 0..2 {
                ends.recv(&receiver).await?;
                yield_now().await?;
            }
            Ok(())
        };
        Among::new(Ends::of(capacity)).and(gets).and(puts)
    };
    let subject = |ends: Rc<Among<Ends>>| async move {
        let receiver = ends.receiver();
        ends.recv(&receiver).await?;
        ends.recv(&receiver).await?;
        let mut list = Vec::new();
        let many = receiver.recv_many(&mut list, 2).await;
        ends.got.borrow_mut().extend(list);
        many
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |ends, run| {
        undisturbed(run);
        // What the subject has not received is received here, so that the others can end.
        let receiver = ends.receiver();
        for _ in 0..12 {
            let item = ignore_after(MS, receiver.recv()).await.unwrap();
            ends.got.borrow_mut().extend(item.flatten());
        }
        ends.others_end(run).await;
        drop(receiver);
        ends.are_conserved(run).await;
    });
    assert_tried(&swept, &["CHANNEL_RECV"], suspensions, runs);
}

/// V4, Q1, Q3, Y3: a receiver that is cancelled or dropped leaves its item to the others.
#[test]
fn what_is_received_from_a_channel_is_conserved() {
    sweep_receiving(1, 15, 200);
}

/// V4, Q1, Q3, Y3: the same without places.
#[test]
fn what_is_received_without_places_is_conserved() {
    sweep_receiving(0, 15, 200);
}

/// V4, Q3: the last receiver goes, or the channel is closed by hand, while senders wait: each item
/// is received or comes back, and `closed` returns.
#[test]
fn the_close_of_a_channel_gives_the_items_back() {
    let setup = async || {
        let puts = async |ends: Rc<Ends>| {
            let sender = ends.sender();
            let mut item = 10;
            while ends.put_from(&sender, item).await? && ends.reserve(&sender, item + 1).await? {
                item += 2;
            }
            Ok(())
        };
        let gets = async |ends: Rc<Ends>| {
            let receiver = ends.receiver();
            for _ in 0..3 {
                ends.recv(&receiver).await?;
                sleep(MS).await?;
            }
            receiver.close();
            Ok(())
        };
        Among::new(Ends::of(0)).and(puts).and(gets)
    };
    let subject = |ends: Rc<Among<Ends>>| async move {
        let sender = ends.sender();
        ends.put_from(&sender, 31).await?;
        sender.closed().await
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |ends, run| {
        undisturbed(run);
        if shuts_down(run) {
            ends.sender().close();
        }
        ends.others_end(run).await;
        ends.sender().closed().await.unwrap();
        ends.are_conserved(run).await;
    });
    assert_tried(&swept, &["CHANNEL_PUT"], 8, 100);
}
