//! What a sweep finds, what it refuses, and what it says (V1).

use std::cell::Cell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Injection, Moment, Sweep, SweptSite};
use curium::kernel::{TaskCancelled, cancellable, sleep, spawn, timeout_after, yield_now};
use curium::sync::{Event, Queue};
use futures::poll;

use crate::{assert_says, panic_of};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// Two queues, the second of which is emptied slowly.
struct Queues {
    from: Rc<Queue<u32>>,
    to: Rc<Queue<u32>>,
    taken: Rc<Cell<usize>>,
}

impl Queues {
    /// Three items in the first queue, and a task that takes one a millisecond from the second.
    async fn new() -> Self {
        let queues = Queues {
            from: Rc::new(Queue::unbounded()),
            to: Rc::new(Queue::bounded(1)),
            taken: Rc::default(),
        };
        for item in 0..3 {
            queues.from.put(item).await.unwrap();
        }
        let (to, taken) = (queues.to.clone(), queues.taken.clone());
        spawn(async move {
            loop {
                sleep(MS).await?;
                to.get().await?;
                taken.set(taken.get() + 1);
            }
            #[allow(unreachable_code, reason = "it names the error")]
            Ok::<(), TaskCancelled>(())
        });
        queues
    }

    fn count(&self) -> usize {
        self.from.len() + self.to.len() + self.taken.get()
    }
}

async fn move_three(queues: Rc<Queues>) -> Result<(), TaskCancelled> {
    for _ in 0..3 {
        let item = queues.from.get().await?;
        queues.to.put(item).await?;
    }
    Ok(())
}

/// V1: the mover that loses the item that it holds when it is cancelled.
#[test]
#[should_panic(expected = "parked at suspension 1 (QUEUE_PUT at")]
fn a_mover_that_loses_its_item_is_found() {
    testing::sweep().run(Queues::new, move_three, async |queues, run| {
        assert_eq!(queues.count(), 3, "items are lost; the mover ended: {:?}", run.end);
    });
}

/// The item that a mover has taken. What is left of it at the end goes back.
struct Hand<'a> {
    item: Option<u32>,
    from: &'a Queue<u32>,
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        if let Some(item) = self.item.take() {
            self.from.try_put(item).expect("no bound");
        }
    }
}

async fn move_three_by_hand(queues: Rc<Queues>) -> Result<(), TaskCancelled> {
    let mut hand = Hand { item: None, from: &queues.from };
    for _ in 0..3 {
        hand.item = Some(queues.from.get().await?);
        queues.to.put_from(&mut hand.item).await?;
    }
    Ok(())
}

/// V1, Q2: the same mover with `put_from`. It loses nothing, also if it is aborted, because its
/// hand is empty only when the item is placed.
#[test]
fn a_mover_that_puts_from_its_hand_loses_nothing() {
    let swept = testing::sweep().pairs().seeds(0..8).run(
        Queues::new,
        move_three_by_hand,
        async |queues, run| {
            assert_eq!(queues.count(), 3, "the mover ended: {:?}", run.end);
        },
    );
    let parked = |site: &SweptSite| site.kind == "QUEUE_PUT" && site.suspended > 0;
    assert!(swept.sites.iter().any(parked), "{:#?}", swept.sites);
}

async fn move_three_into_slots(queues: Rc<Queues>) -> Result<(), TaskCancelled> {
    for _ in 0..3 {
        let slot = queues.to.reserve().await?;
        slot.put(queues.from.get().await?);
    }
    Ok(())
}

/// V1, Q2: a mover that reserves a slot before it takes an item loses nothing.
#[test]
fn a_mover_that_reserves_first_loses_nothing() {
    let swept = testing::sweep().pairs().seeds(0..8).run(
        Queues::new,
        move_three_into_slots,
        async |queues, run| {
            assert_eq!(queues.count(), 3, "the mover ended: {:?}", run.end);
        },
    );
    let parked = |site: &SweptSite| site.kind == "QUEUE_RESERVE" && site.suspended > 0;
    assert!(swept.sites.iter().any(parked), "{:#?}", swept.sites);
}

/// Sweeps a subject without state, whose check accepts everything.
#[track_caller]
fn sweep_of<F>(sweep: Sweep, subject: impl Fn() -> F)
where
    F: Future<Output = Result<(), TaskCancelled>> + 'static,
{
    sweep.run(async || (), |_| subject(), async |_, _| {});
}

fn one_cancel() -> Sweep {
    testing::sweep().moments(&[Moment::Parked]).inject(&[Injection::Cancel])
}

/// V1: all failures are in one panic, in order, and a text that was there before is not repeated.
#[test]
fn all_failures_are_listed_and_equal_ones_are_named_once() {
    let text = panic_of(|| {
        testing::sweep().inject(&[Injection::Cancel, Injection::Abort]).run(
            async || (),
            |_| sleep(MS),
            async |_, run| {
                let Some(injected) = run.injected.first() else { return };
                assert!(injected.moment == Moment::Woken, "lost");
                assert!(injected.injection == Injection::Cancel, "torn");
            },
        )
    });
    let line = line!() - 8;
    let sleep = format!("suspension 1 (SLEEP at tests/kit/sweep_failures.rs:{line}:17)");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "5 of 9 runs of the sweep failed; the subject has 1 suspension".to_owned(),
            "  1. cancel, before the first poll: lost".to_owned(),
            "  2. abort, before the first poll: as 1".to_owned(),
            format!("  3. cancel, parked at {sleep}: as 1"),
            format!("  4. abort, parked at {sleep}: as 1"),
            format!("  5. abort, woken from {sleep}: torn"),
        ]
    );
}

/// V1: if the first run fails, it is the only one.
#[test]
fn a_first_run_that_fails_is_the_only_one() {
    let text = panic_of(|| {
        testing::sweep().run(async || (), |_| sleep(MS), async |_, _| panic!("never holds"))
    });
    assert_says(&text, &["1 of 1 runs", "  1. without an injection: never holds"]);
}

/// V1: a failure names its seed, and both of two injections.
#[test]
fn a_failure_names_its_seed_and_both_injections() {
    let text = panic_of(|| {
        one_cancel().pairs().seeds(4..6).run(
            async || (),
            |_| async {
                let slept = sleep(MS).await;
                sleep(2 * MS).await?;
                slept
            },
            async |_, run| {
                let second = run.injected.get(1).map(|second| second.injection);
                assert!(second != Some(Injection::Abort) || run.seed != Some(5), "torn");
            },
        )
    });
    assert_says(
        &text,
        &[
            "1 of 16 runs of the sweep failed; the subject has 4 suspensions",
            "  1. cancel, parked at suspension 1 (SLEEP at tests/kit/",
            ", then abort, parked at suspension 2 (SLEEP at tests/kit/",
            ", seed 5: torn",
        ],
    );
}

/// V1: a panic of the subject fails the run, with the same text whatever was injected.
#[test]
fn a_panic_of_the_subject_is_a_failure() {
    let subject = async || {
        assert!(sleep(MS).await.is_ok(), "an error was not expected");
        Ok(())
    };
    let text = panic_of(|| sweep_of(testing::sweep().moments(&[Moment::Parked]), subject));
    assert_says(
        &text,
        &["4 of 8 runs", "1. cancel, parked at", "the subject panicked: an error was not expected"],
    );
    assert_eq!(text.matches("an error was not expected").count(), 1, "{text}");
}

/// V1: a subject that swallows the cancellation and parks for ever.
#[test]
fn a_deadlock_after_a_swallowed_cancel_is_a_failure() {
    let subject = async || {
        if sleep(MS).await.is_err() {
            Event::new().wait().await?;
        }
        Ok(())
    };
    let text = panic_of(|| sweep_of(one_cancel(), subject));
    let deadlock = "deadlock: every task is parked and nothing is left that could wake one of them";
    assert_says(&text, &["1 of 4 runs", deadlock, "EVENT_WAIT", "sweep_failures.rs:"]);
}

/// V1, C9: so is a subject that waits in a future that is not Curium's.
#[test]
fn a_deadlock_in_a_foreign_future_is_a_failure() {
    let text = panic_of(|| sweep_of(one_cancel(), async || pending().await));
    assert_says(&text, &["1. without an injection: deadlock:"]);
    // The door for foreign futures makes the difference, if there is something to wait for.
    sweep_of(one_cancel(), async || {
        let endless = cancellable(pending::<()>());
        timeout_after(MS, endless).await.unwrap_or(Ok(()))
    });
}

/// V1: what is left after the shutdown is counted.
#[test]
fn leftovers_are_a_failure() {
    let subject = async || {
        let mut leaked = Box::pin(timeout_after(HOUR, sleep(HOUR)));
        let slept = sleep(MS).await;
        if slept.is_err() {
            assert!(poll!(&mut leaked).is_pending());
            Box::leak(Box::new(leaked));
        }
        slept
    };
    let text = panic_of(|| sweep_of(one_cancel(), subject));
    assert_says(&text, &["1 of 4 runs", "left behind after the shutdown: Leftovers {"]);
}

/// V1: a subject that is always ready again is given up.
#[test]
fn a_subject_that_never_ends_is_a_failure() {
    let text = panic_of(|| {
        sweep_of(one_cancel(), async || {
            loop {
                let _ = yield_now().await;
            }
        });
    });
    assert_says(&text, &["1 of 1 runs", "the run did not end after 1000000 polls"]);
}

/// V1: a failed assertion in a task without a handle is no secret.
#[test]
fn a_panic_in_another_task_is_a_failure() {
    let subject = async || {
        if sleep(MS).await.is_err() {
            spawn::<_, ()>(async { panic!("in another task") });
        }
        Ok(())
    };
    let text = panic_of(|| sweep_of(one_cancel(), subject));
    assert_says(
        &text,
        &["1 of 4 runs", "a panic outside main was not taken", "reported: ", "in another task"],
    );
}

/// V1, K6: nor is one in a destructor that an abort runs.
#[test]
fn a_panic_in_a_destructor_is_a_failure() {
    struct Unfinished(bool);
    impl Drop for Unfinished {
        fn drop(&mut self) {
            assert!(!self.0, "dropped in the middle");
        }
    }
    let subject = async || {
        let mut step = Unfinished(true);
        let slept = sleep(MS).await;
        step.0 = false;
        slept
    };
    let sweep = testing::sweep().moments(&[Moment::Parked]);
    let text = panic_of(|| sweep_of(sweep, subject));
    assert_says(&text, &["1 of 8 runs", "1. abort, parked at", "dropped in the middle"]);
}

/// V1: a subject that parks somewhere else in a later run is refused.
#[test]
fn a_subject_that_parks_elsewhere_is_refused() {
    let runs = Cell::new(0);
    let text = panic_of(|| {
        sweep_of(testing::sweep(), || {
            runs.set(runs.get() + 1);
            let other = runs.get() > 1;
            async move { if other { yield_now().await } else { sleep(MS).await } }
        });
    });
    assert_says(
        &text,
        &[
            "the subject is not deterministic: at suspension 1 it was first suspended at SLEEP at ",
            ", 0 ns after the start, poll 2, and in a later run (without an injection) it was \
             suspended at YIELD, 0 ns after the start, poll 2; the sweep needs",
        ],
    );
}

/// V1: so is one that sleeps at the same place for another time, once that matters.
#[test]
fn a_subject_that_parks_at_another_time_is_refused() {
    let runs = Cell::new(0);
    let text = panic_of(|| {
        sweep_of(one_cancel().seeds(7..8), || {
            runs.set(runs.get() + 1);
            let time = runs.get() * MS;
            async move {
                sleep(time).await?;
                sleep(MS).await
            }
        });
    });
    assert_says(&text, &["at suspension 2 it was first", ", 1000000 ns after", ", seed 7) it was"]);
}

/// V1: and one that parks more often in a later run than in the first, or less often.
#[test]
fn a_subject_with_another_number_of_suspensions_is_refused() {
    let times = |first: u32, later: u32| {
        let runs = Cell::new(0);
        panic_of(|| {
            sweep_of(one_cancel(), || {
                runs.set(runs.get() + 1);
                let times = if runs.get() == 1 { first } else { later };
                async move {
                    for _ in 0..times {
                        sleep(MS).await?;
                    }
                    Ok(())
                }
            });
        })
    };
    assert_says(&times(1, 2), &["suspension 2 it was first not suspended again, and in a later"]);
    assert_says(&times(2, 1), &["suspension 2 it was first suspended at", "it was not suspended"]);
}

/// V1, K4: a sweep runs kernels, so it cannot be inside one.
#[test]
fn a_sweep_inside_a_kernel_is_refused() {
    let text = panic_of(|| {
        testing::run(async || sweep_of(one_cancel(), || sleep(MS)));
    });
    assert_says(&text, &["testing::sweep was called inside a running kernel of this thread"]);
}
