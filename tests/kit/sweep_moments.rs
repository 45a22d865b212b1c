//! What the moments and the injections of a sweep do to its subject (V1).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Injected, Injection, Moment};
use curium::kernel::{
    CancelReason, TaskCancelled, TaskEnd, ignore_after, sleep, spawn, timeout_after,
};
use curium::sync::Queue;

const MS: Duration = Duration::from_millis(1);

/// What a subject has seen.
#[derive(Default)]
struct Seen {
    started: Cell<bool>,
    reasons: RefCell<Vec<CancelReason>>,
    cleanups: Cell<u32>,
}

impl Seen {
    /// Notes the reason of a cancellation.
    fn note<T>(&self, result: Result<T, TaskCancelled>) -> Result<T, TaskCancelled> {
        result.inspect_err(|cancelled| self.reasons.borrow_mut().push(cancelled.reason()))
    }
}

async fn sleep_twice(seen: Rc<Seen>) -> Result<(), TaskCancelled> {
    seen.started.set(true);
    seen.note(sleep(MS).await)?;
    seen.note(sleep(MS).await)
}

fn reason_of(injection: Injection) -> Option<CancelReason> {
    match injection {
        Injection::Cancel => Some(CancelReason::Requested { by: None }),
        Injection::Abort => None,
        Injection::Timeout => Some(CancelReason::Timeout),
        Injection::GroupFailed => Some(CancelReason::GroupFailed),
        Injection::ShutDown => Some(CancelReason::Shutdown),
    }
}

/// V1, C1, C2: each injection arrives, once and with its own reason, and the check sees the end. A
/// subject that is woken from its last leaf and then cancelled has completed.
#[test]
fn each_injection_arrives_with_its_reason() {
    testing::sweep().run(
        async || Seen::default(),
        sleep_twice,
        async |seen, run| {
            let reasons = seen.reasons.borrow();
            let Some(Injected { injection, moment, suspension, .. }) =
                run.injected.first().copied()
            else {
                assert_eq!((run.end, reasons.len()), (TaskEnd::Ok, 0));
                return;
            };
            if injection == Injection::Abort {
                assert_eq!((run.end, reasons.len()), (TaskEnd::Aborted, 0));
                // A task that was never polled runs to its first leaf, unless it was dropped.
                assert_eq!(seen.started.get(), moment != Moment::BeforeFirstPoll);
            } else if (moment, suspension) == (Moment::Woken, 2) {
                assert_eq!((run.end, reasons.len()), (TaskEnd::Ok, 0));
            } else {
                assert_eq!(run.end, TaskEnd::Cancelled);
                assert_eq!(*reasons, [reason_of(injection).unwrap()]);
                assert!(run.error.is_some() && seen.started.get());
            }
        },
    );
}

/// V1, Y3: when the subject is parked, it has nothing yet. When it was woken, what it waited for
/// was handed to it: it returns that, or passes it on if it is dropped.
#[test]
fn a_woken_subject_has_been_handed_what_it_waited_for() {
    let empty_queue = async || {
        let queue = Rc::new(Queue::unbounded());
        let source = queue.clone();
        spawn(async move {
            sleep(MS).await?;
            source.put(7).await
        });
        (queue, Cell::new(None))
    };
    type State = (Rc<Queue<u32>>, Cell<Option<u32>>);
    testing::sweep().run(
        empty_queue,
        |state: Rc<State>| async move {
            state.1.set(Some(state.0.get().await?));
            Ok::<_, TaskCancelled>(())
        },
        async |(queue, got), run| {
            let injected = run.injected.first();
            let gets = injected.is_none_or(|injected| {
                injected.moment == Moment::Woken && injected.injection != Injection::Abort
            });
            assert_eq!(got.get(), gets.then_some(7));
            let shut_down = injected.is_some_and(|it| it.injection == Injection::ShutDown);
            if !gets && !shut_down {
                assert_eq!(queue.get().await.unwrap(), 7, "it is left for the next get");
            }
        },
    );
}

/// V1: a suspension at which a timer and the subject's own wake-up are due together, in the order
/// of the queue and in seeded orders.
#[test]
fn an_item_and_a_timeout_that_are_due_together_lose_nothing() {
    testing::sweep().seeds(0..8).run(
        async || {
            let queue = Rc::new(Queue::unbounded());
            let source = queue.clone();
            spawn(async move {
                sleep(MS).await?;
                source.put(()).await
            });
            (queue, Cell::new(0))
        },
        |state: Rc<(Rc<Queue<()>>, Cell<usize>)>| async move {
            let (queue, got) = &*state;
            if ignore_after(MS, queue.get()).await?.is_some() {
                got.set(1);
            }
            Ok::<_, TaskCancelled>(())
        },
        async |(queue, got), run| {
            let shut_down = run.injected.iter().any(|it| it.injection == Injection::ShutDown);
            sleep(2 * MS).await.unwrap();
            let count = queue.len() + got.get();
            assert!(count == 1 || (shut_down && count == 0), "{count} items");
        },
    );
}

/// Sleeps, and cleans up in two steps if it is cancelled.
async fn clean_up_in_two_steps(seen: Rc<Seen>) -> Result<(), TaskCancelled> {
    let slept = seen.note(sleep(MS).await);
    if slept.is_err() {
        for _ in 0..2 {
            if seen.note(sleep(MS).await).is_ok() {
                seen.cleanups.set(seen.cleanups.get() + 1);
            }
        }
    }
    slept
}

/// V1, C4: pairs reach each suspension of the cleanup. There a second cancel changes nothing, and
/// an abort ends it.
#[test]
fn a_second_cancel_in_the_cleanup_changes_nothing() {
    let seconds = RefCell::new(Vec::new());
    let once = [Injection::Cancel, Injection::GroupFailed, Injection::ShutDown];
    let swept = testing::sweep().moments(&[Moment::Parked]).inject(&once).pairs().run(
        async || Seen::default(),
        clean_up_in_two_steps,
        async |seen, run| match run.injected[..] {
            [] => assert_eq!(run.end, TaskEnd::Ok),
            [first, ref second @ ..] => {
                assert_eq!(*seen.reasons.borrow(), [reason_of(first.injection).unwrap()]);
                let aborted = second.iter().find(|it| it.injection == Injection::Abort);
                // Of the suspensions, the first is none of the cleanup.
                let done = aborted.map_or(2, |abort| abort.suspension - 2);
                assert_eq!(seen.cleanups.get() as usize, done);
                let end = if aborted.is_some() { TaskEnd::Aborted } else { TaskEnd::Cancelled };
                assert_eq!(run.end, end);
                let place = |it: &Injected| (it.suspension, it.injection);
                seconds.borrow_mut().extend(second.iter().map(place));
            }
        },
    );
    let (cancel, abort) = (Injection::Cancel, Injection::Abort);
    let of_one = [(2, cancel), (2, abort), (3, cancel), (3, abort)];
    assert_eq!(seconds.into_inner(), of_one.repeat(3));
    assert_eq!((swept.suspensions, swept.runs), (1, 1 + (1 + 1) + 3 * (1 + 4)));
}

/// V1, C4: after a timeout, a cancel is the first of the task and is delivered in the cleanup.
#[test]
fn a_cancel_in_the_cleanup_of_a_timeout_is_delivered() {
    let delivered = Cell::new(0);
    testing::sweep().moments(&[Moment::Parked]).inject(&[Injection::Timeout]).pairs().run(
        async || Seen::default(),
        clean_up_in_two_steps,
        async |seen, run| {
            if run.injected.get(1).is_some_and(|second| second.injection == Injection::Cancel) {
                let reasons = [CancelReason::Timeout, CancelReason::Requested { by: None }];
                assert_eq!(*seen.reasons.borrow(), reasons);
                assert_eq!(seen.cleanups.get(), 1);
                delivered.set(delivered.get() + 1);
            }
        },
    );
    assert_eq!(delivered.get(), 2);
}

/// V1, T3: an injected timeout is the one around the subject, not one of its own.
#[test]
fn an_injected_timeout_is_none_of_the_subjects_own() {
    testing::sweep().inject(&[Injection::Timeout]).run(
        async || Seen::default(),
        |seen: Rc<Seen>| async move {
            let inner = timeout_after(Duration::from_secs(1), sleep(MS)).await;
            seen.note(inner.expect("the inner limit is not reached"))
        },
        async |seen, run| {
            let cut = run.injected.first().is_some_and(|it| it.moment != Moment::Woken);
            let reasons: &[CancelReason] = if cut { &[CancelReason::Timeout] } else { &[] };
            assert_eq!(*seen.reasons.borrow(), reasons);
            assert_eq!(run.end, if cut { TaskEnd::Cancelled } else { TaskEnd::Ok });
        },
    );
}

/// V1: tasks of the setup are cancelled by an injected shutdown, and by no other injection. The
/// check may still spawn tasks.
#[test]
fn only_a_shutdown_reaches_the_tasks_of_the_setup() {
    testing::sweep().run(
        async || {
            let seen = Rc::new(Seen::default());
            let helper = seen.clone();
            spawn(async move { helper.note(sleep(Duration::MAX).await) });
            seen
        },
        |_| sleep(MS),
        async |seen, run| {
            let shut_down =
                run.injected.first().is_some_and(|it| it.injection == Injection::ShutDown);
            let reasons: &[CancelReason] = if shut_down { &[CancelReason::Shutdown] } else { &[] };
            assert_eq!(*seen.reasons.borrow(), reasons);
            spawn(sleep(MS)).await.unwrap();
        },
    );
}
