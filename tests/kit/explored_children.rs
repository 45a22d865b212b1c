//! Every schedule of small programs with a borrowing scope, with a cancel at every moment (V4).
//!
//! The three tasks are the owner of a scope and its two children, and all explorations are
//! complete: see `explored_sync`.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{
    TaskError, WaitPolicy, cancelled, scope_with, sleep, spawn, testing, yield_now,
};

use crate::explored::{Counted, Ended, assert_complete};

/// How a child ends, if it is not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Badly,
    Never,
}

use Ends::{Badly, Never, Well};

#[derive(Default)]
struct Seen {
    alive: Rc<Cell<usize>>,
    succeeded: Cell<usize>,
    failed: Cell<usize>,
}

async fn child(seen: &Seen, ends: Ends) -> io::Result<()> {
    let _alive = Counted::new(&seen.alive, 1);
    let worked = match ends {
        Never => sleep(Duration::MAX).await,
        Well | Badly => yield_now().await,
    };
    if let Err(cancelled) = worked {
        yield_now().await.expect("a cancellation is delivered once");
        return Err(cancelled.into());
    }
    let counted = if ends == Well { &seen.succeeded } else { &seen.failed };
    counted.set(counted.get() + 1);
    if ends == Well { Ok(()) } else { Err(io::Error::other("its own")) }
}

/// Whether a scope with this policy must have ended, once no child can go on.
fn is_satisfied(seen: &Seen, policy: WaitPolicy) -> bool {
    let ended = 2 - seen.alive.get();
    match policy {
        WaitPolicy::All => ended == 2 || seen.failed.get() > 0,
        WaitPolicy::Any => ended > 0,
        WaitPolicy::FirstOk => ended == 2 || seen.succeeded.get() > 0,
        WaitPolicy::None => true,
    }
}

/// A scope of two children.
async fn two(policy: WaitPolicy, children: [Ends; 2]) -> Ended {
    let seen = Rc::new(Seen::default());
    let inner = seen.clone();
    let owner = spawn(async move {
        let ended = scope_with(policy, async |s| {
            for ends in children {
                s.spawn(child(&inner, ends));
            }
            yield_now().await?;
            Ok::<_, io::Error>(())
        })
        .await;
        assert_eq!(inner.alive.get(), 0, "a child has outlived its scope");
        ended
    });
    testing::settle().await?;
    assert!(owner.is_done() || !is_satisfied(&seen, policy), "the scope waits for too many");
    owner.request_cancel();
    let (succeeded, failed) = (seen.succeeded.get() > 0, seen.failed.get() > 0);
    let first_ok = policy == WaitPolicy::FirstOk;
    match owner.join().await? {
        Ok(()) => assert!(!failed || (first_ok && succeeded), "a failure is lost"),
        Err(TaskError::Cancelled(error)) => assert!(failed || cancelled(&error).is_some()),
        Err(TaskError::Failed(error)) => {
            assert!(failed && cancelled(&error).is_none(), "{error} without a failure");
            assert!(!first_ok || !succeeded, "a success is lost");
        }
        Err(other) => panic!("the scope ended as {other}"),
    }
    Ok(())
}

/// V4, S3, G1, G2, G3, G5: no child outlives its scope, the scope ends when it is satisfied, and no
/// failure is lost, under each policy.
#[test]
fn a_scope_of_each_policy_ends_with_all_its_children() {
    let programs = [
        (WaitPolicy::All, [Well, Well], 5),
        (WaitPolicy::All, [Well, Badly], 5),
        (WaitPolicy::All, [Never, Badly], 18),
        (WaitPolicy::Any, [Well, Never], 10),
        (WaitPolicy::FirstOk, [Badly, Well], 5),
        (WaitPolicy::None, [Never, Never], 67),
    ];
    for (policy, children, schedules) in programs {
        // Shown if the program fails.
        println!("{policy:?}, {children:?}");
        assert_complete(schedules, async || two(policy, children).await);
    }
}
