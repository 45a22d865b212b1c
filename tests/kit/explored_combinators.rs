//! Every schedule of small programs with a combinator, with a cancel at every moment (V4).
//!
//! The three tasks are the owner of the combinator and its two futures, and all explorations are
//! complete: see `explored_sync`.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::{
    TaskCancelled, TaskGroup, as_completed, cancelled, first_ok, gather, race, sleep, spawn,
    testing, yield_now,
};
use futures::StreamExt;

use crate::explored::{Counted, Ended, assert_complete};

/// How a future ends, if it is not cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    Well,
    Badly,
    Never,
}

use Ends::{Badly, Never, Well};

/// What the futures have done.
#[derive(Default)]
struct Seen {
    begun: Rc<Cell<usize>>,
    alive: Rc<Cell<usize>>,
    succeeded: Cell<usize>,
    failed: Cell<usize>,
}

impl Seen {
    /// A future that gives 1, or fails. It awaits in its cleanup.
    async fn arm(&self, ends: Ends) -> io::Result<usize> {
        let _alive = Counted::new(&self.alive, 1);
        self.begun.set(self.begun.get() + 1);
        let worked = match ends {
            Never => sleep(Duration::MAX).await,
            Well | Badly => yield_now().await,
        };
        if let Err(cancelled) = worked {
            yield_now().await.expect("a cancellation is delivered once");
            return Err(cancelled.into());
        }
        let counted = if ends == Well { &self.succeeded } else { &self.failed };
        counted.set(counted.get() + 1);
        if ends == Well { Ok(1) } else { Err(io::Error::other("its own")) }
    }
}

/// Whether it only passes a cancellation on.
fn is_echo(error: &io::Error) -> bool {
    cancelled(error).is_some()
}

/// Runs `combine` in a task that is cancelled when nothing can go on any more.
async fn owned<F>(arms: [Ends; 2], combine: impl FnOnce(Rc<Seen>, [Ends; 2]) -> F) -> Ended
where
    F: Future<Output = ()> + 'static,
{
    let seen = Rc::new(Seen::default());
    let combined = combine(seen.clone(), arms);
    let owner = spawn(async move {
        combined.await;
        assert_eq!(seen.alive.get(), 0, "a future has outlived its combinator");
        Ok::<_, TaskCancelled>(())
    });
    testing::settle().await?;
    owner.request_cancel();
    owner.wait().await
}

async fn gathers(seen: Rc<Seen>, [one, two]: [Ends; 2]) {
    match gather((seen.arm(one), seen.arm(two))).await {
        Ok(values) => assert_eq!((values, seen.succeeded.get()), ((1, 1), 2)),
        // A failure after a cancellation of the caller is reported.
        Err(error) if is_echo(&error) => {}
        Err(_) => assert!(seen.failed.get() > 0, "a failure of none"),
    }
}

async fn races(seen: Rc<Seen>, [one, two]: [Ends; 2]) {
    let results = match race((seen.arm(one), seen.arm(two))).await {
        Ok(raced) => std::iter::once(raced.first).chain(raced.late).collect(),
        Err(_) => Vec::new(),
    };
    let values = results.iter().flatten().count();
    let errors = results.iter().filter_map(|result| result.as_ref().err());
    let failures = errors.filter(|error| !is_echo(error)).count();
    assert_eq!((values, failures), (seen.succeeded.get(), seen.failed.get()), "a result is lost");
}

async fn first_successes(seen: Rc<Seen>, [one, two]: [Ends; 2]) {
    match first_ok([one, two].map(|ends| seen.arm(ends))).await {
        Ok(value) => assert!(value == 1 && seen.succeeded.get() > 0),
        Err(errors) => {
            let real = std::iter::once(&errors.first)
                .chain(&errors.others)
                .filter(|error| !is_echo(error))
                .count();
            assert_eq!((real, seen.succeeded.get()), (seen.failed.get(), 0), "a result is lost");
        }
    }
}

/// Takes the outputs by `next` and by the stream in turn; after a cancellation as well, unless a
/// future would never end.
async fn completes(seen: Rc<Seen>, arms: [Ends; 2]) {
    let mut outputs = as_completed(arms.map(|ends| seen.arm(ends)));
    let most = if arms.contains(&Never) { 1 } else { 2 };
    let (mut got, mut cancels) = (0, 0);
    while got < 2 && cancels < most {
        let next = match got {
            0 => outputs.next().await.transpose(),
            _ => StreamExt::next(&mut outputs).await,
        };
        match next.expect("one for each") {
            Ok(_) => got += 1,
            Err(_) => cancels += 1,
        }
    }
    assert_eq!(got, seen.begun.get() - seen.alive.get(), "an output is lost");
    drop(outputs);
}

/// V4, S5: no future outlives a `gather`, and a failure is not lost.
#[test]
fn a_gather_ends_with_all_its_futures() {
    for (arms, schedules) in [([Well, Well], 4), ([Well, Badly], 4), ([Never, Badly], 12)] {
        println!("{arms:?}");
        assert_complete(schedules, async || owned(arms, gathers).await);
    }
}

/// V4, S5: each value and failure of a `race` comes out.
#[test]
fn a_race_loses_no_result() {
    for (arms, schedules) in [([Well, Well], 4), ([Well, Badly], 4), ([Never, Well], 10)] {
        println!("{arms:?}");
        assert_complete(schedules, async || owned(arms, races).await);
    }
}

/// V4, S5: `first_ok` gives a success if there is one, and all errors otherwise.
#[test]
fn first_ok_loses_no_success_and_no_error() {
    for (arms, schedules) in [([Badly, Well], 5), ([Badly, Badly], 5), ([Never, Well], 18)] {
        println!("{arms:?}");
        assert_complete(schedules, async || owned(arms, first_successes).await);
    }
}

/// V4, S5: outputs are got once each, by the stream as well, whatever is cancelled.
#[test]
fn outputs_as_completed_are_got_once() {
    for (arms, schedules) in [([Well, Badly], 5), ([Never, Well], 17)] {
        println!("{arms:?}");
        assert_complete(schedules, async || owned(arms, completes).await);
    }
}

/// V4, G6: the ends of a group's members are got once each, by the stream and by `next_done`.
#[test]
fn ends_of_members_are_got_once() {
    assert_complete(262, async || {
        let owner = spawn(async {
            let group = TaskGroup::<TaskCancelled>::new();
            let members = [(); 2].map(|()| group.spawn(yield_now()).id());
            let (mut got, mut cancels) = (Vec::new(), 0);
            while got.len() < 2 && cancels < 2 {
                let next = match got.len() {
                    0 => group.ends().next().await,
                    _ => group.next_done().await.transpose(),
                };
                match next.expect("one for each") {
                    Ok(member) => got.push(member.id),
                    Err(_) => cancels += 1,
                }
            }
            got.sort_unstable();
            assert!(got == members || cancels == 2, "an end is lost: {got:?}");
            group.join().await
        });
        testing::settle().await?;
        owner.wait().await
    });
}
