//! Every schedule of small programs with `watch` and `broadcast`, with a cancel at every moment
//! (V4).
//!
//! Each has three tasks and is complete: see `explored_sync`. A `oneshot` is a channel.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::yield_now;
use curium::sync::{broadcast, watch};

use crate::explored::{assert_complete, members};

/// V4, Q5, Y3: two receivers and a sender of two values. A receiver that is not cancelled sees the
/// last value, and no value twice.
#[test]
fn the_receivers_of_a_watch_see_the_last_value() {
    assert_complete(3_854, async || {
        let (sender, receiver) = watch(0);
        let sent = Rc::new(RefCell::new(0));
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (count, all) = (sent.clone(), seen.clone());
        let spawn = |g: crate::explored::Group| {
            for _ in 0..2 {
                let (mut receiver, all) = (receiver.clone(), all.clone());
                g.spawn(async move {
                    let mut values = vec![0];
                    while receiver.changed().await? {
                        values.push(*receiver.borrow());
                    }
                    assert!(values.is_sorted_by(|one, other| one < other), "{values:?}");
                    all.borrow_mut().push(*values.last().expect("one"));
                    Ok(())
                });
            }
            g.spawn(async move {
                for value in 1..=2 {
                    sender.send(value);
                    *count.borrow_mut() = value;
                    yield_now().await?;
                }
                Ok(())
            });
        };
        members(spawn, || ()).await?;
        let (seen, sent) = (seen.borrow(), *sent.borrow());
        assert!(seen.iter().all(|value| *value == sent), "{seen:?} of {sent}");
        Ok(())
    });
}

/// V4, Q6, Y3: two receivers and a sender of three items, of which one is kept. A receiver that is
/// not cancelled accounts for every item.
#[test]
fn the_receivers_of_a_broadcast_account_for_every_item() {
    assert_complete(20_164, async || {
        let (sender, receiver) = broadcast(1);
        let sent = Rc::new(RefCell::new(0));
        let ends = Rc::new(RefCell::new(Vec::new()));
        let (count, all) = (sent.clone(), ends.clone());
        let spawn = |g: crate::explored::Group| {
            for _ in 0..2 {
                let (mut receiver, all) = (receiver.clone(), all.clone());
                g.spawn(async move {
                    let mut next = 0;
                    loop {
                        match receiver.recv().await? {
                            Ok(item) if item == next => next += 1,
                            Ok(item) => panic!("{item} instead of {next}"),
                            Err(broadcast::RecvError::Lagged(missed)) => next += missed,
                            Err(broadcast::RecvError::Closed) => break,
                        }
                    }
                    all.borrow_mut().push(next);
                    Ok(())
                });
            }
            g.spawn(async move {
                for item in 0..3 {
                    // Both receivers may be cancelled already.
                    *count.borrow_mut() += u64::from(sender.send(item).is_ok());
                    yield_now().await?;
                }
                Ok(())
            });
        };
        members(spawn, || ()).await?;
        let (ends, sent) = (ends.borrow(), *sent.borrow());
        assert!(ends.iter().all(|end| *end == sent), "{ends:?} of {sent}");
        Ok(())
    });
}
