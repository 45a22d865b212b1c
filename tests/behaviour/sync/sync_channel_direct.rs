//! `sync::channel(0)`: the two sides meet.

use std::task::Poll;

use futures::FutureExt;
use kernel::{TaskCancelled, spawn, testing, yield_now};
use sync::{Closed, TryPutError, TryRecvError, channel};
use tokio_test::{assert_pending, assert_ready_eq};

use crate::support::log::Log;

/// Q3: a `put` waits until a receiver takes its item, and none is kept in between.
#[test]
fn a_put_waits_for_its_receiver() {
    testing::run(async || {
        let (sender, receiver) = channel(0);
        let log = Log::default();
        let putter = spawn({
            let log = log.clone();
            async move {
                for item in [1, 2] {
                    sender.put(item).await?.unwrap();
                    log.push(format!("put {item}"));
                }
                Ok::<_, TaskCancelled>(())
            }
        });
        testing::settle().await?;
        assert_eq!(log.take(), Vec::<String>::new());
        assert_eq!((receiver.len(), receiver.statistics().waiting_senders), (0, 1));
        assert_eq!(receiver.recv().await?, Some(1));
        testing::settle().await?;
        assert_eq!(log.take(), ["put 1"]);
        assert_eq!(receiver.recv().await?, Some(2));
        putter.await?;
        assert_eq!(receiver.recv().await?, None);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q3, Y4: with a receiver that waits, a put is done at once and switches to no other task.
#[test]
fn a_put_to_a_waiting_receiver_does_not_wait() {
    let (sender, receiver) = channel(0);
    assert_eq!(sender.try_put(1), Err(TryPutError::Full(1)));
    assert!(sender.try_reserve().is_err());
    let mut recv = tokio_test::task::spawn(receiver.recv());
    assert_pending!(recv.poll());
    assert_eq!(sender.put(2).now_or_never(), Some(Ok(Ok(()))));
    assert_eq!(sender.try_put(3), Err(TryPutError::Full(3)), "the receiver has its item");
    assert!(recv.is_woken());
    assert_ready_eq!(recv.poll(), Ok(Some(2)));
}

/// Q1, Q3: `try_recv` takes the item of the sender that has waited longest.
#[test]
fn a_try_takes_the_item_of_the_oldest_sender() {
    let (sender, receiver) = channel(0);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    let mut puts = [1, 2].map(|item| tokio_test::task::spawn(sender.put(item)));
    puts.iter_mut().for_each(|put| assert_pending!(put.poll()));
    assert_eq!(receiver.try_recv(), Ok(1));
    assert!(puts[0].is_woken() && !puts[1].is_woken());
    assert_ready_eq!(puts[0].poll(), Ok(Ok(())));
    let mut list = Vec::new();
    assert_eq!(receiver.recv_many(&mut list, 5).now_or_never(), Some(Ok(1)));
    assert_eq!(list, [2]);
    assert_ready_eq!(puts[1].poll(), Ok(Ok(())));
}

/// Q2, Y3: a `put_from` that is dropped while it waits has its item again; one whose item was taken
/// before it was dropped has not.
#[test]
fn a_dropped_put_from_has_its_item_again() {
    let (sender, receiver) = channel(0);
    let mut item = Some(1);
    let mut put = Box::pin(sender.put_from(&mut item));
    assert!(put.as_mut().now_or_never().is_none());
    drop(put);
    assert_eq!((item, receiver.try_recv()), (Some(1), Err(TryRecvError::Empty)));

    let mut put = Box::pin(sender.put_from(&mut item));
    assert!(put.as_mut().now_or_never().is_none());
    assert_eq!(receiver.try_recv(), Ok(1));
    drop(put);
    assert_eq!(item, None);

    let mut item = Some(2);
    let mut put = Box::pin(sender.put_from(&mut item));
    assert!(put.as_mut().now_or_never().is_none());
    receiver.close();
    drop(put);
    assert_eq!((item, receiver.try_recv()), (Some(2), Err(TryRecvError::Closed)));
}

/// Y3: a `put` that is dropped or cancelled while it waits leaves no item behind.
#[test]
fn a_put_that_did_not_happen_leaves_nothing_behind() {
    testing::run(async || {
        let (sender, receiver) = channel(0);
        let putter = spawn({
            let sender = sender.clone();
            async move { sender.put(1).await.map(drop) }
        });
        testing::settle().await?;
        putter.cancel().await?;
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let other = spawn(async move { sender.put(2).await });
        assert_eq!(receiver.recv().await?, Some(2));
        assert_eq!(other.await?, Ok(()));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q2, Y2: `reserve` waits for a receiver in the line of the senders. A dropped slot goes to the
/// sender behind it, whose item is there already.
#[test]
fn a_slot_is_a_receiver_that_waits() {
    let (sender, receiver) = channel(0);
    let mut reserve = tokio_test::task::spawn(sender.reserve());
    assert!(reserve.poll().is_pending());
    let mut put = tokio_test::task::spawn(sender.put(2));
    assert_pending!(put.poll());
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty), "the older sender has no item yet");

    let mut first = tokio_test::task::spawn(receiver.recv());
    assert_pending!(first.poll());
    assert!(reserve.is_woken() && !put.is_woken());
    let Poll::Ready(Ok(Ok(slot))) = reserve.poll() else { panic!("a receiver waits") };
    let mut second = tokio_test::task::spawn(receiver.recv());
    assert_pending!(second.poll());
    assert_ready_eq!(first.poll(), Ok(Some(2)));
    assert_ready_eq!(put.poll(), Ok(Ok(())));
    slot.put(1);
    assert_ready_eq!(second.poll(), Ok(Some(1)));

    let mut reserve = tokio_test::task::spawn(sender.reserve());
    assert!(reserve.poll().is_pending());
    let mut put = tokio_test::task::spawn(sender.put(4));
    assert_pending!(put.poll());
    let mut third = tokio_test::task::spawn(receiver.recv());
    assert_pending!(third.poll());
    drop(reserve);
    assert_ready_eq!(third.poll(), Ok(Some(4)));
}

/// Y3: the item of a slot whose receiver has left waits for the next one, and the end waits for it.
#[test]
fn a_slot_outlives_its_receiver() {
    let (sender, receiver) = channel(0);
    let mut recv = tokio_test::task::spawn(receiver.recv());
    assert_pending!(recv.poll());
    let slot = sender.try_reserve().unwrap();
    assert!(sender.try_reserve().is_err(), "one receiver waits");
    drop(recv);
    sender.close();
    let mut late = tokio_test::task::spawn(receiver.recv());
    assert_pending!(late.poll());
    slot.put(1);
    assert_ready_eq!(late.poll(), Ok(Some(1)));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

/// Q1, Y3: an item that a dropped receiver was handed goes to the next one, or waits in the
/// channel before those of the senders that wait.
#[test]
fn an_item_that_comes_back_is_first() {
    let (sender, receiver) = channel(0);
    let mut recv = tokio_test::task::spawn(receiver.recv());
    assert_pending!(recv.poll());
    sender.try_put(1).unwrap();
    let mut put = tokio_test::task::spawn(sender.put(2));
    assert_pending!(put.poll());
    drop(recv);
    assert_eq!((receiver.len(), receiver.try_recv(), receiver.try_recv()), (1, Ok(1), Ok(2)));
    assert_ready_eq!(put.poll(), Ok(Ok(())));
}

/// Q3: senders that wait when a channel is closed get their items back, in order of arrival.
#[test]
fn the_close_gives_waiting_senders_their_items_back() {
    testing::run(async || {
        let (sender, receiver) = channel(0);
        let log = Log::default();
        for item in [1, 2, 3] {
            let (sender, log) = (sender.clone(), log.clone());
            spawn(async move {
                let Err(Closed(item)) = sender.put(item).await? else { panic!("it is closed") };
                log.push(format!("{item} came back"));
                Ok::<_, TaskCancelled>(())
            });
        }
        testing::settle().await?;
        sender.close();
        assert_eq!(receiver.recv().await?, None);
        testing::settle().await?;
        assert_eq!(log.take(), ["1 came back", "2 came back", "3 came back"]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K2, Y2: a sender whose budget is spent queues in that poll, and loses nothing.
#[test]
fn a_busy_sender_yields_and_loses_nothing() {
    testing::run(async || {
        let (sender, receiver) = channel(0);
        let receivers = [(); 2].map(|()| {
            let receiver = receiver.clone();
            spawn(async move {
                let mut got = Vec::new();
                while let Some(item) = receiver.recv().await? {
                    got.push(item);
                }
                Ok::<_, TaskCancelled>(got)
            })
        });
        let beside = spawn(async move {
            yield_now().await?;
            Ok::<_, TaskCancelled>(())
        });
        for item in 0..1_000 {
            sender.put(item).await?.unwrap();
        }
        drop((sender, receiver));
        beside.await?;
        let mut all = Vec::new();
        for receiver in receivers {
            all.extend(receiver.await?);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1_000));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
