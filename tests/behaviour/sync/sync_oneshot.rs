//! `sync::oneshot`.

use futures::FutureExt;
use kernel::{TaskCancelled, sleep, spawn, testing};
use sync::{Closed, TryRecvError, oneshot};
use tokio_test::{assert_pending, assert_ready_eq};

use crate::support::time::secs;

/// Q4, Y4: the value goes to the receiver, which gets it once. Sending does not wait.
#[test]
fn the_value_is_received_once() {
    testing::run(async || {
        let (sender, mut receiver) = oneshot();
        assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
        let waiter = spawn(async move {
            let first = receiver.recv().await?;
            Ok::<_, TaskCancelled>((first, receiver.recv().await?))
        });
        testing::settle().await?;
        sender.send(7).unwrap();
        assert_eq!(waiter.await?, (Some(7), None));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q4: a sender that is dropped without sending ends the wait.
#[test]
fn a_dropped_sender_is_none() {
    let (sender, mut receiver) = oneshot::<u32>();
    let mut recv = tokio_test::task::spawn(receiver.recv());
    assert_pending!(recv.poll());
    drop(sender);
    assert!(recv.is_woken());
    assert_ready_eq!(recv.poll(), Ok(None));
    drop(recv);
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Closed));
}

/// Q4, Q2: the value comes back if the receiver is gone or closed. `closed` says so before.
#[test]
fn the_value_comes_back_if_the_receiver_is_gone() {
    let (sender, mut receiver) = oneshot();
    receiver.close();
    assert!(sender.is_closed());
    assert_eq!(sender.send(7), Err(Closed(7)));
    let (sender, receiver) = oneshot::<u32>();
    let mut closed = tokio_test::task::spawn(sender.closed());
    assert_pending!(closed.poll());
    drop(receiver);
    assert_ready_eq!(closed.poll(), Ok(()));
    drop(closed);
    assert_eq!(sender.send(7), Err(Closed(7)));
}

/// C1, Y3: a cancelled or dropped `recv` does not lose the value.
#[test]
fn the_value_outlives_a_recv() {
    let (sender, mut receiver) = oneshot();
    let mut recv = tokio_test::task::spawn(receiver.recv());
    assert_pending!(recv.poll());
    sender.send(7).unwrap();
    drop(recv);
    assert_eq!(receiver.recv().now_or_never(), Some(Ok(Some(7))));

    testing::run(async || {
        let (sender, mut receiver) = oneshot();
        let task = spawn(async move {
            assert!(receiver.recv().await.is_err());
            sleep(secs(1)).await?;
            receiver.recv().await
        });
        testing::settle().await?;
        task.request_cancel();
        testing::settle().await?;
        sender.send(8).unwrap();
        assert_eq!(task.await?, Some(8));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
