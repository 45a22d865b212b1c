//! `sync::broadcast`.

use std::cell::Cell;
use std::panic::catch_unwind;
use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskCancelled, sleep, spawn, testing};
use sync::Closed;
use sync::broadcast::{RecvError, TryRecvError, broadcast};
use tokio_test::{assert_pending, assert_ready_eq};

use crate::support::time::secs;

/// Q6, Y4: every receiver gets every item that is sent while it exists, in order. Sending switches
/// to no other task.
#[test]
fn every_receiver_gets_every_item() {
    testing::run(async || {
        let (sender, receiver) = broadcast(4);
        let receivers = [(); 3].map(|()| {
            let mut receiver = receiver.clone();
            spawn(async move {
                let mut got = Vec::new();
                while let Ok(item) = receiver.recv().await? {
                    got.push(item);
                }
                Ok::<_, TaskCancelled>(got)
            })
        });
        testing::settle().await?;
        assert_eq!(receivers[0].state().to_string(), "BROADCAST_RECV");
        let mut late = sender.subscribe();
        drop(receiver);
        for item in 1..=3 {
            sender.send(item).unwrap();
        }
        testing::settle().await?;
        let mut later = sender.subscribe();
        sender.send(4).unwrap();
        drop(sender);
        for receiver in receivers {
            assert_eq!(receiver.await?, [1, 2, 3, 4]);
        }
        assert_eq!((later.recv().await?, later.recv().await?), (Ok(4), Err(RecvError::Closed)));
        assert_eq!((late.recv().await?, late.len()), (Ok(1), 3));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q6: a receiver that is too slow learns how many items it has missed, and goes on with the oldest
/// one that is kept. A fast one misses none.
#[test]
fn a_slow_receiver_learns_how_much_it_missed() {
    let (sender, mut slow) = broadcast(2);
    let mut fast = slow.clone();
    for item in 1..=5 {
        sender.send(item).unwrap();
        assert_eq!(fast.try_recv(), Ok(item));
    }
    assert_eq!(slow.len(), 5);
    assert_eq!(slow.recv().now_or_never(), Some(Ok(Err(RecvError::Lagged(3)))));
    assert_eq!((slow.try_recv(), slow.try_recv()), (Ok(4), Ok(5)));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Empty));
    for item in 6..=9 {
        sender.send(item).unwrap();
    }
    drop(sender);
    assert_eq!(slow.try_recv(), Err(TryRecvError::Lagged(2)));
    let mut copy = slow.clone();
    assert_eq!((slow.try_recv(), slow.try_recv()), (Ok(8), Ok(9)));
    assert_eq!(slow.try_recv(), Err(TryRecvError::Closed));
    assert_eq!((copy.try_recv(), copy.len()), (Ok(8), 1));
}

/// Q6, Q2: without a receiver the item comes back. `closed` waits for that.
#[test]
fn an_item_comes_back_if_no_receiver_is_left() {
    let (sender, receiver) = broadcast(1);
    let mut closed = tokio_test::task::spawn(sender.closed());
    assert_pending!(closed.poll());
    drop(receiver);
    assert_ready_eq!(closed.poll(), Ok(()));
    assert_eq!((sender.is_closed(), sender.send(1)), (true, Err(Closed(1))));
    let mut receiver = sender.subscribe();
    sender.clone().send(2).unwrap();
    assert_eq!(receiver.try_recv(), Ok(2));
    assert!(catch_unwind(|| drop(broadcast::<u32>(0))).is_err());
}

/// Counts its clones and its drops.
#[derive(Default)]
struct Counted(Rc<(Cell<usize>, Cell<usize>)>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.0.set(self.0.0.get() + 1);
        Counted(self.0.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.1.set(self.0.1.get() + 1);
    }
}

/// Q6: an item is dropped once each receiver has taken it, missed it or is gone. The last one gets
/// it without a clone.
#[test]
fn an_item_lives_until_its_last_receiver() {
    let counts = Rc::new((Cell::new(0), Cell::new(0)));
    let item = || Counted(counts.clone());
    let (sender, mut first) = broadcast(2);
    let mut second = first.clone();
    let third = first.clone();
    sender.send(item()).map_err(drop).unwrap();
    drop(first.try_recv());
    drop(third);
    assert_eq!((counts.0.get(), counts.1.get()), (1, 1));
    drop(second.try_recv());
    assert_eq!((counts.0.get(), counts.1.get(), sender.statistics().len), (1, 2, 0));

    // Missed by one, taken by the other.
    for _ in 0..3 {
        sender.send(item()).map_err(drop).unwrap();
        drop(second.try_recv());
    }
    assert_eq!((sender.statistics().len, first.len()), (2, 3));
    drop(first);
    assert_eq!((sender.statistics().len, counts.1.get()), (0, 8));
    sender.send(item()).map_err(drop).unwrap();
    drop(second);
    assert_eq!((sender.statistics().len, counts.1.get()), (0, 9));
}

/// C1, Y3: a cancelled or dropped `recv` has taken nothing, and one that was woken before the
/// cancellation has its item.
#[test]
fn a_recv_that_does_not_return_takes_nothing() {
    testing::run(async || {
        let (sender, mut receiver) = broadcast(2);
        let mut recv = tokio_test::task::spawn(receiver.recv());
        assert_pending!(recv.poll());
        sender.send(1).unwrap();
        drop(recv);
        assert_eq!(receiver.try_recv(), Ok(1));
        let task = spawn(async move {
            let first = receiver.recv().await;
            Ok::<_, TaskCancelled>((first.ok(), sleep(secs(1)).await.is_err()))
        });
        testing::settle().await?;
        task.request_cancel();
        sender.send(2).unwrap();
        assert_eq!(task.await?, (Some(Ok(2)), true));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y6: the statistics count the ends, the items and the waiters.
#[test]
fn a_broadcast_channel_shows_its_state() {
    let (sender, mut receiver) = broadcast(3);
    let other = receiver.clone();
    sender.send(1).unwrap();
    assert_eq!(receiver.try_recv(), Ok(1));
    let mut recv = tokio_test::task::spawn(receiver.recv());
    assert_pending!(recv.poll());
    let now = other.statistics();
    assert_eq!((now.len, now.capacity, now.sent), (1, 3, 1));
    assert_eq!((now.senders, now.receivers, now.waiting), (1, 2, 1));
    assert!(format!("{other:?} {sender:?}").contains("capacity: 3"));
}

/// Q6: a panic in the drop of an item that is left does not keep `closed` from its end.
#[test]
fn the_panic_of_an_item_that_is_left_hides_no_close() {
    #[derive(Clone)]
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("the drop of an item");
        }
    }
    testing::run(async || {
        let (sender, receiver) = broadcast(1);
        assert!(sender.send(Panics).is_ok());
        let waiter = spawn(async move { sender.closed().await });
        testing::settle().await?;
        assert!(catch_unwind(std::panic::AssertUnwindSafe(|| drop(receiver))).is_err());
        waiter.await
    })
    .unwrap();
}
