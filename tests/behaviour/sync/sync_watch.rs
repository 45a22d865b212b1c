//! `sync::watch`.

use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskCancelled, sleep, spawn, testing};
use sync::watch;
use tokio_test::{assert_pending, assert_ready_eq};

use crate::support::time::secs;

/// Q5, Y2, Y4: a send wakes every receiver that waits, in order, and switches to none. They see the
/// latest value, not each.
#[test]
fn receivers_see_the_latest_value() {
    testing::run(async || {
        let (sender, receiver) = watch(0);
        let waiters = [(); 3].map(|()| {
            let mut receiver = receiver.clone();
            spawn(async move {
                assert!(receiver.changed().await?);
                Ok::<_, TaskCancelled>((*receiver.borrow(), receiver.has_changed()))
            })
        });
        testing::settle().await?;
        assert_eq!(waiters[0].state().to_string(), "WATCH_CHANGED");
        assert_eq!(*sender.send(1), 0, "the old value");
        sender.send(2);
        for waiter in waiters {
            assert_eq!(waiter.await?, (2, false));
        }
        assert!(receiver.has_changed());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q5: what a receiver has seen is no change; a value that is equal is one.
#[test]
fn a_change_is_a_send_that_was_not_seen() {
    let (sender, mut receiver) = watch("one");
    assert!(receiver.changed().now_or_never().is_none(), "the first value is no change");
    sender.send("one");
    assert_eq!(receiver.changed().now_or_never(), Some(Ok(true)));
    assert!(receiver.changed().now_or_never().is_none());
    sender.send("two");
    assert_eq!(*receiver.borrow(), "two");
    assert!(receiver.has_changed(), "a look is not an update");
    let mut copy = receiver.clone();
    assert_eq!(*receiver.borrow_and_update(), "two");
    assert!(!receiver.has_changed() && copy.has_changed());
    assert_eq!(copy.changed().now_or_never(), Some(Ok(true)));
    assert!(!sender.subscribe().has_changed());
}

/// Q5: `changed` is false once no sender is left, but not before the last change was seen.
#[test]
fn the_last_sender_ends_the_changes() {
    let (sender, mut receiver) = watch(1);
    let other = sender.clone();
    let mut late = receiver.clone();
    let mut changed = tokio_test::task::spawn(receiver.changed());
    assert_pending!(changed.poll());
    drop(sender);
    assert_pending!(changed.poll(), "a sender is left");
    other.send(2);
    assert_ready_eq!(changed.poll(), Ok(true));
    drop((changed, other));
    assert_eq!(receiver.changed().now_or_never(), Some(Ok(false)));
    assert_eq!(late.changed().now_or_never(), Some(Ok(true)));
    assert_eq!(late.changed().now_or_never(), Some(Ok(false)));
    assert_eq!(*late.borrow(), 2);
}

/// Q5: a value that is held stays as it is while a sender replaces or changes it.
#[test]
fn a_held_value_stays_as_it_is() {
    let (sender, receiver) = watch(vec![1]);
    let held = receiver.borrow();
    sender.send_modify(|list| list.push(2));
    assert_eq!((&*held, &*receiver.borrow()), (&vec![1], &vec![1, 2]));
    drop(held);
    let before = Rc::as_ptr(&receiver.borrow());
    sender.send(vec![3]);
    assert_ne!(before, Rc::as_ptr(&receiver.borrow()));
    assert_eq!(sender.statistics().version, 2);
}

/// Q5: `closed` waits until no receiver is left. A sender needs none, and can make one.
#[test]
fn a_watch_without_receivers_takes_values() {
    let (sender, receiver) = watch(1);
    let mut closed = tokio_test::task::spawn(sender.closed());
    assert_pending!(closed.poll());
    drop(receiver);
    assert_ready_eq!(closed.poll(), Ok(()));
    assert!(sender.is_closed());
    sender.send(2);
    assert_eq!(*sender.subscribe().borrow(), 2);
    let receiver = sender.subscribe();
    let now = receiver.statistics();
    assert_eq!((now.version, now.senders, now.receivers, now.waiting), (1, 1, 1, 0));
    assert!(format!("{sender:?} {receiver:?}").contains("has_changed: false"));
}

/// C1, Y3: a change that comes before a cancellation is returned. One that comes to a dropped or
/// cancelled wait is seen by the next.
#[test]
fn no_change_is_lost() {
    testing::run(async || {
        for send_first in [true, false] {
            let (sender, mut receiver) = watch(1);
            let task = spawn(async move {
                let first = receiver.changed().await;
                let slept = sleep(secs(1)).await.is_err();
                Ok::<_, TaskCancelled>((first.is_ok(), slept, receiver.has_changed()))
            });
            testing::settle().await?;
            if send_first {
                sender.send(2);
                task.request_cancel();
            } else {
                task.request_cancel();
                sender.send(2);
            }
            assert_eq!(task.await?, (true, true, false));
        }
        let (sender, mut receiver) = watch(1);
        let mut changed = tokio_test::task::spawn(receiver.changed());
        assert_pending!(changed.poll());
        sender.send(2);
        drop(changed);
        assert_eq!(receiver.changed().now_or_never(), Some(Ok(true)));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q5: a panic in the drop of the old value hides the change from no receiver.
#[test]
fn the_panic_of_an_old_value_hides_no_change() {
    #[derive(Clone)]
    struct Value(bool);
    impl Drop for Value {
        fn drop(&mut self) {
            assert!(!self.0, "the drop of a value");
        }
    }
    testing::run(async || {
        let (sender, mut receiver) = watch(Value(true));
        let waiter = spawn(async move { receiver.changed().await });
        testing::settle().await?;
        let change = || sender.send_modify(|value| value.0 = false);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(change)).is_err());
        assert!(waiter.await?);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
