//! `oneshot`, `watch` and `broadcast`, swept.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{Result, TaskCancelled, ignore_after, sleep, yield_now};
use curium::sync::{broadcast, oneshot, watch};

use super::checks::{Among, MS, assert_tried, shuts_down, undisturbed};

/// V4, Q4, Y3: whatever interrupts the receiver, the value is received, comes back to the sender,
/// or is still there.
#[test]
fn the_value_of_a_oneshot_is_conserved() {
    struct One {
        sender: RefCell<Option<oneshot::Sender<u32>>>,
        receiver: RefCell<Option<oneshot::Receiver<u32>>>,
        came_back: RefCell<Vec<u32>>,
        got: RefCell<Vec<u32>>,
    }
    let setup = async || {
        let (sender, receiver) = oneshot();
        let (sender, receiver) = (RefCell::new(Some(sender)), RefCell::new(Some(receiver)));
        let (came_back, got) = Default::default();
        Among::new(One { sender, receiver, came_back, got }).and(async |one: Rc<One>| {
            let sender = one.sender.take().expect("it is here");
            sleep(MS).await?;
            one.came_back.borrow_mut().extend(sender.send(7).err().map(|back| back.0));
            Ok(())
        })
    };
    let subject = |one: Rc<Among<One>>| async move {
        let mut receiver = one.receiver.take().expect("it is here");
        let got = receiver.recv().await;
        if got.is_err() {
            // The cleanup waits again.
            let again = receiver.recv().await?;
            one.got.borrow_mut().extend(again);
        }
        one.got.borrow_mut().extend(got.clone().ok().flatten());
        got.map(drop)
    };
    let swept = testing::sweep().pairs().seeds(0..4).run(setup, subject, async |one, run| {
        undisturbed(run);
        one.others_end(run).await;
        let kept = one.receiver.take().and_then(|mut receiver| receiver.try_recv().ok());
        let there = one.got.borrow().len() + one.came_back.borrow().len() + kept.iter().len();
        // An aborted receiver that was handed the value drops it with itself.
        assert!(there <= 1 && (there == 1 || !run.injected.is_empty()), "{there} values");
    });
    assert_tried(&swept, &["CHANNEL_RECV"], 4, 60);
}

/// V4, Q5, Y2, Y3: a receiver that is interrupted misses no change, and the others see all.
#[test]
fn every_receiver_of_a_watch_sees_the_last_value() {
    struct Watched {
        sender: watch::Sender<u32>,
        first: watch::Receiver<u32>,
        seen: RefCell<Vec<(&'static str, u32)>>,
    }
    impl Watched {
        /// Looks at each change until the value is 3.
        async fn look(
            &self,
            name: &'static str,
            receiver: &mut watch::Receiver<u32>,
        ) -> Result<()> {
            while *receiver.borrow() < 3 && receiver.changed().await? {
                self.seen.borrow_mut().push((name, *receiver.borrow()));
            }
            Ok(())
        }
    }
    let setup = async || {
        let (sender, first) = watch(0);
        let watched = Watched { sender, first, seen: RefCell::default() };
        let looks =
            async |watched: Rc<Watched>| watched.look("other", &mut watched.first.clone()).await;
        let sends = async |watched: Rc<Watched>| {
            for value in 1..=3 {
                sleep(MS).await?;
                watched.sender.send(value);
            }
            Ok(())
        };
        Among::new(watched).and(looks).and(sends).and(looks)
    };
    let subject = |watched: Rc<Among<Watched>>| async move {
        let mut receiver = watched.first.clone();
        if let Err(cancelled) = watched.look("subject", &mut receiver).await {
            // In a shutdown the sender is gone as well.
            ignore_after(9 * MS, watched.look("subject", &mut receiver)).await?;
            return Err(cancelled);
        }
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().pairs().seeds(0..4).run(setup, subject, async |watched, run| {
        undisturbed(run);
        watched.others_end(run).await;
        let seen = watched.seen.take();
        let last = |name| seen.iter().filter(|at| **at == (name, 3)).count();
        assert!(last("other") == 2 || shuts_down(run), "{seen:?}");
        assert!(!run.injected.is_empty() || last("subject") == 1, "{seen:?}");
        let now = watched.sender.statistics();
        assert_eq!((now.receivers, now.waiting), (1, 0), "an end is lost");
    });
    assert_tried(&swept, &["WATCH_CHANGED"], 8, 120);
}

/// V4, Q6, Y2, Y3: each receiver gets every item or learns how many it has missed, also if it is
/// interrupted and goes on.
#[test]
fn every_receiver_of_a_broadcast_accounts_for_every_item() {
    struct Sent {
        sender: RefCell<Option<broadcast::Sender<u32>>>,
        receivers: RefCell<Vec<broadcast::Receiver<u32>>>,
        count: Cell<u32>,
    }
    /// Takes all items. Each is the next one, or one after those that were missed.
    async fn take(receiver: &mut broadcast::Receiver<u32>, next: &mut u32) -> Result<()> {
        loop {
            match receiver.recv().await? {
                Ok(item) => {
                    assert_eq!(item, *next, "out of order");
                    *next += 1;
                }
                Err(broadcast::RecvError::Lagged(missed)) => *next += missed as u32,
                Err(broadcast::RecvError::Closed) => return Ok(()),
            }
            // The other receiver is the slow one.
            sleep(2 * MS).await?;
        }
    }
    let setup = async || {
        let (sender, first) = broadcast(2);
        let receivers = RefCell::new(vec![first.clone(), first]);
        let sent = Sent { sender: RefCell::new(Some(sender)), receivers, count: Cell::new(0) };
        let takes = async |sent: Rc<Sent>| {
            let (mut receiver, mut next) = (sent.receivers.borrow_mut().pop().expect("two"), 0);
            take(&mut receiver, &mut next).await?;
            assert_eq!(next, sent.count.get(), "an item is not accounted for");
            Ok(())
        };
        let sends = async |sent: Rc<Sent>| {
            let sender = sent.sender.take().expect("it is here");
            for item in 0..6 {
                sender.send(item).expect("a receiver is left");
                sent.count.set(item + 1);
                sleep(MS).await?;
            }
            Ok(())
        };
        Among::new(sent).and(takes).and(sends)
    };
    let subject = |sent: Rc<Among<Sent>>| async move {
        let (mut receiver, mut next) = (sent.receivers.borrow_mut().pop().expect("two"), 0);
        let first = take(&mut receiver, &mut next).await;
        if first.is_err() {
            yield_now().await?;
            take(&mut receiver, &mut next).await?;
        }
        assert_eq!(next, sent.count.get(), "an item is not accounted for");
        first
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |sent, run| {
        undisturbed(run);
        sent.others_end(run).await;
        assert!(shuts_down(run) || sent.count.get() == 6);
    });
    assert_tried(&swept, &["BROADCAST_RECV", "SLEEP"], 8, 100);
}
