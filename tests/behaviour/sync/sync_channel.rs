//! `sync::channel` with places: its ends, its close, and what it gives back.

use std::cell::Cell;
use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskCancelled, sleep, spawn, testing};
use sync::{Closed, TryPutError, TryRecvError, channel};
use tokio_test::{assert_pending, assert_ready, assert_ready_eq, assert_ready_ok};

use crate::support::time::secs;

/// Q3: when the last sender is gone, the receivers take what is left, and then get `None`.
#[test]
fn the_last_sender_closes_a_channel_and_the_receivers_empty_it() {
    testing::run(async || {
        let (sender, receiver) = channel(4);
        let other = sender.clone();
        sender.put(1).await?.unwrap();
        other.put(2).await?.unwrap();
        drop(sender);
        assert!(!receiver.is_closed(), "a sender is left");
        let waiter = spawn({
            let receiver = receiver.clone();
            async move {
                let mut got = Vec::new();
                while let Some(item) = receiver.recv().await? {
                    got.push(item);
                }
                Ok::<_, TaskCancelled>(got)
            }
        });
        testing::settle().await?;
        assert_eq!(waiter.state().to_string(), "CHANNEL_RECV");
        other.put(3).await?.unwrap();
        drop(other);
        assert_eq!(waiter.await?, [1, 2, 3]);
        assert_eq!(receiver.recv().await?, None);
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q3: when the last receiver is gone, every `put` that waits or comes gives its item back.
#[test]
fn the_last_receiver_closes_a_channel_and_the_items_come_back() {
    testing::run(async || {
        for capacity in [0, 1] {
            let (sender, receiver) = channel(capacity);
            if capacity == 1 {
                sender.put(1).await?.unwrap();
            }
            let other = receiver.clone();
            let putter = spawn({
                let sender = sender.clone();
                async move { sender.put(2).await }
            });
            testing::settle().await?;
            drop(receiver);
            testing::settle().await?;
            assert_eq!(putter.state().to_string(), "CHANNEL_PUT", "a receiver is left");
            drop(other);
            assert_eq!(putter.await?, Err(Closed(2)));
            assert_eq!(sender.put(3).await?, Err(Closed(3)));
            assert_eq!(sender.try_put(4), Err(TryPutError::Closed(4)));
            let mut five = Some(5);
            assert_eq!(sender.put_from(&mut five).await?, Err(Closed(())));
            assert_eq!(five, Some(5));
            assert!(sender.reserve().await?.is_err() && sender.try_reserve().is_err());
            assert_eq!(sender.statistics().receivers, 0);
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Counts its drops.
struct Dropped(Rc<Cell<usize>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// Q3: the items that are in a channel when its last receiver goes are dropped with it, and so is
/// one that is put into a slot that was held before. A promised `put` gives its item back.
#[test]
fn what_is_left_in_a_channel_is_dropped_with_the_last_receiver() {
    let drops = Rc::new(Cell::new(0));
    let item = || Dropped(drops.clone());
    let (sender, receiver) = channel(3);
    sender.try_put(item()).map_err(drop).unwrap();
    let slots = [(); 2].map(|()| sender.try_reserve().unwrap());
    let mut putter = tokio_test::task::spawn(sender.put(item()));
    assert!(putter.poll().is_pending());
    drop(receiver.try_recv());
    assert_eq!(drops.get(), 1);
    assert!(putter.is_woken(), "the putter has the place");
    drop(receiver);
    assert!(matches!(putter.poll(), std::task::Poll::Ready(Ok(Err(Closed(_))))));
    let [one, two] = slots;
    assert_eq!(drops.get(), 2, "the item that came back");
    one.put(item());
    assert_eq!(drops.get(), 3);
    drop(two);
    let (sender, receiver) = channel(2);
    sender.try_put(item()).map_err(drop).unwrap();
    drop(receiver);
    assert_eq!(drops.get(), 4, "the item has outlived the last receiver");
}

/// Q3: either side closes the channel by hand, and `closed` returns; what is in it is taken.
#[test]
fn both_sides_can_close_a_channel() {
    testing::run(async || {
        for by_receiver in [true, false] {
            let (sender, receiver) = channel(1);
            sender.put(1).await?.unwrap();
            let closed = spawn({
                let sender = sender.clone();
                async move { sender.closed().await }
            });
            testing::settle().await?;
            assert_eq!(closed.state().to_string(), "CHANNEL_CLOSED");
            if by_receiver {
                receiver.close();
            } else {
                sender.close();
            }
            closed.await?;
            sender.closed().await?;
            assert_eq!(sender.put(2).await?, Err(Closed(2)));
            assert_eq!(receiver.recv().await?, Some(1));
            assert_eq!(receiver.recv().await?, None);
        }
        let (sender, receiver) = channel::<u32>(1);
        drop(receiver);
        assert!(sender.closed().now_or_never().is_some());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q3, Y5: a slot that is held when the channel is closed by hand is still good, and the receivers
/// wait for it.
#[test]
fn a_held_slot_outlives_the_close_of_a_channel() {
    let (sender, receiver) = channel(1);
    let slot = sender.try_reserve().unwrap();
    sender.close();
    let mut recv = tokio_test::task::spawn(receiver.recv());
    assert_pending!(recv.poll());
    slot.put(1);
    assert_ready_eq!(recv.poll(), Ok(Some(1)));
    drop(recv);
    assert_eq!(receiver.recv().now_or_never(), Some(Ok(None)));
}

/// Q2: `put_from` keeps the item through a cancellation, and `None` is nothing to put.
#[test]
fn put_from_keeps_the_item() {
    testing::run(async || {
        let (sender, receiver) = channel(1);
        sender.put(1).await?.unwrap();
        let item = Rc::new(Cell::new(None));
        let putter = spawn({
            let (sender, kept) = (sender.clone(), item.clone());
            async move {
                let mut item = Some(2);
                let put = sender.put_from(&mut item).await;
                kept.set(item);
                put.map(drop)
            }
        });
        testing::settle().await?;
        putter.cancel().await?;
        assert_eq!(item.get(), Some(2));
        assert_eq!(receiver.recv().await?, Some(1));
        let mut item = item.get();
        sender.put_from(&mut item).await?.unwrap();
        sender.put_from(&mut item).await?.unwrap();
        assert_eq!((item, receiver.recv().await?), (None, Some(2)));
        assert!(receiver.is_empty());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, Y3: an item that was assigned to a receiver which is cancelled in the same tick is received,
/// and the cancellation comes at the next await point that parks.
#[test]
fn assign_and_cancel_in_one_tick_return_the_item() {
    for capacity in [0, 1] {
        testing::run(async || {
            let (sender, receiver) = channel(capacity);
            let task = spawn(async move {
                let item = receiver.recv().await.ok().flatten();
                Ok::<_, TaskCancelled>((item, sleep(secs(1)).await.is_err()))
            });
            testing::settle().await?;
            sender.put(7).await?.unwrap();
            task.cancel().await?;
            assert_eq!(task.await?, (Some(7), true));
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// Y2: `recv_many` takes what is there, up to its limit, and waits for one item if there is none.
/// Putters that waited get the places.
#[test]
fn many_items_are_received_at_once() {
    let (sender, receiver) = channel(3);
    let mut list = Vec::new();
    for item in [1, 2, 3] {
        sender.try_put(item).unwrap();
    }
    let mut putter = tokio_test::task::spawn(sender.put(4));
    assert_pending!(putter.poll());
    assert_eq!(receiver.recv_many(&mut list, 2).now_or_never(), Some(Ok(2)));
    assert_ready!(putter.poll()).unwrap().unwrap();
    assert_eq!(receiver.recv_many(&mut list, 9).now_or_never(), Some(Ok(2)));
    assert_eq!(receiver.recv_many(&mut list, 0).now_or_never(), Some(Ok(0)));
    assert_eq!(list, [1, 2, 3, 4]);
    let mut many = tokio_test::task::spawn(receiver.recv_many(&mut list, 9));
    assert_pending!(many.poll());
    sender.try_put(5).unwrap();
    sender.try_put(6).unwrap();
    assert_eq!(assert_ready_ok!(many.poll()), 2);
    drop(many);
    drop(putter);
    drop(sender);
    assert_eq!(receiver.recv_many(&mut list, 9).now_or_never(), Some(Ok(0)));
    assert_eq!(list, [1, 2, 3, 4, 5, 6]);
}

/// Q1, Y2: an item goes to the receiver that has waited longest, and back to its position if that
/// is dropped.
#[test]
fn an_item_goes_to_the_receiver_that_has_waited_longest() {
    let (sender, receiver) = channel(2);
    let [mut first, mut second] = [(); 2].map(|()| tokio_test::task::spawn(receiver.recv()));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    sender.try_put(1).unwrap();
    sender.try_put(2).unwrap();
    sender.try_put(3).unwrap();
    assert_eq!(receiver.try_recv(), Ok(3));
    drop(first);
    assert_ready_eq!(second.poll(), Ok(Some(2)));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
}

/// Y6: the statistics count the ends, the waiters of each side, the items and the held slots.
#[test]
fn a_channel_shows_its_state() {
    let (sender, receiver) = channel(2);
    let (others, slot) = ((sender.clone(), receiver.clone()), sender.try_reserve().unwrap());
    sender.try_put(1).unwrap();
    let mut putter = tokio_test::task::spawn(sender.put(2));
    assert_pending!(putter.poll());
    let now = sender.statistics();
    assert_eq!((now.len, now.capacity, now.closed, now.held), (1, Some(2), false, 1));
    assert_eq!((now.senders, now.receivers), (2, 2));
    assert_eq!((now.waiting_senders, now.waiting_receivers), (1, 0));
    drop((slot, others));
    assert_eq!((receiver.statistics().senders, receiver.len()), (1, 1));
    assert!(format!("{receiver:?} {sender:?}").contains("capacity: Some(2)"));
    assert_eq!(channel::<u8>(0).0.statistics().capacity, Some(0));
    assert_eq!(channel::<u8>(usize::MAX).0.statistics().capacity, None);
}

/// Q3: a panic in the drop of an item that is left does not keep `closed` from its end.
#[test]
fn the_panic_of_an_item_that_is_left_hides_no_close() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the drop of an item");
        }
    }
    testing::run(async || {
        let (sender, receiver) = channel(1);
        assert!(sender.try_put(Panics).is_ok());
        let waiter = spawn(async move { sender.closed().await });
        testing::settle().await?;
        let dropped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(receiver)));
        assert!(dropped.is_err());
        waiter.await
    })
    .unwrap();
}
