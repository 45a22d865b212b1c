//! Timeouts and cancellations that are mistaken for each other, lost, or never delivered.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use curium::TaskEnd;
use curium::kernel::testing::{self, Injected, Injection, Moment, Run, Swept};
use curium::kernel::{
    TaskCancelled, cancellable, check_cancellation, ignore_after, sleep, spawn, timeout_after,
};
use curium::sync::Queue;
use futures::channel::oneshot;

use crate::hunt::{cannot_happen, found};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);
/// What a task is cancelled by, and goes on to clean up.
const REQUESTS: [Injection; 3] = [Injection::Cancel, Injection::Timeout, Injection::GroupFailed];

/// The run must end well without an injection, and if it came when all that was left could be done
/// without waiting; else with the cancellation.
fn ends_as_it_must(run: &Run, too_late: impl Fn(&Injected) -> bool) {
    let well = run.injected.iter().all(too_late);
    let end = if well { TaskEnd::Ok } else { TaskEnd::Cancelled };
    assert_eq!(run.end, end, "the cancellation was lost");
}

/// Woken at the last suspension: the subject does not wait again.
fn woken_from(last: usize) -> impl Fn(&Injected) -> bool {
    move |injected| injected.moment == Moment::Woken && injected.suspension == last
}

/// A queue that gets one item after a while.
struct Inbox {
    queue: Rc<Queue<u32>>,
    /// Items that came, or timeouts that have ended a wait.
    count: Cell<usize>,
}

impl Inbox {
    async fn with_an_item_after(delay: Duration) -> Self {
        let queue = Rc::new(Queue::unbounded());
        let later = queue.clone();
        spawn(async move {
            sleep(delay).await?;
            later.put(42).await
        });
        Inbox { queue, count: Cell::new(0) }
    }
}

/// V4, C1, C3: cpython#86296: `wait_for` is cancelled in the moment in which its body ends. It
/// returns the value, and the cancellation is gone. Here it arrives at the next await.
#[test]
fn a_cancellation_is_kept_by_a_limited_wait_that_has_its_value() {
    cannot_happen("cpython#86296", || {
        testing::sweep().inject(&REQUESTS).run(
            async || Inbox::with_an_item_after(MS).await,
            |inbox| async move {
                timeout_after(HOUR, inbox.queue.get()).await.expect("an hour is enough")?;
                inbox.count.set(1);
                sleep(MS).await
            },
            async |inbox, run| {
                ends_as_it_must(run, woken_from(2));
                sleep(2 * MS).await.unwrap();
                assert_eq!(inbox.count.get() + inbox.queue.len(), 1, "the item was lost");
            },
        )
    });
}

/// V4, T3: kotlinx.coroutines#67: a loop waits with a limit of its own and takes the expiry of a
/// timeout around the loop for its own, so that the outer timeout ends nothing.
#[test]
fn an_outer_timeout_is_not_taken_for_the_inner_one() {
    cannot_happen("kotlinx.coroutines#67", || {
        testing::sweep().inject(&REQUESTS).run(
            async || Inbox::with_an_item_after(35 * MS).await,
            |inbox| async move {
                while ignore_after(10 * MS, inbox.queue.get()).await?.is_none() {
                    inbox.count.set(inbox.count.get() + 1);
                }
                Ok::<_, TaskCancelled>(())
            },
            async |inbox, run| {
                ends_as_it_must(run, woken_from(4));
                let before = run.injected.first().map_or(4, |injected| injected.suspension);
                assert_eq!(inbox.count.get(), before.saturating_sub(1), "an expiry of its own");
            },
        )
    });
}

/// V4, K2, C1: zio#659: an operation that always completes at once, here a failing one, wins over
/// every cancellation, so that a loop of it never ends. Here at most 128 operations complete after
/// the cancellation.
#[test]
fn a_loop_of_operations_that_fail_at_once_can_be_cancelled() {
    cannot_happen("zio#659", || {
        testing::sweep().inject(&REQUESTS).run(
            async || {
                let queue = Rc::new(Queue::unbounded());
                queue.close();
                Inbox { queue, count: Cell::new(0) }
            },
            |inbox| async move {
                while inbox.count.get() < 1000 {
                    inbox.count.set(inbox.count.get() + 1);
                    let _closed = inbox.queue.put_unless_closed(1).await?;
                }
                Ok::<_, TaskCancelled>(())
            },
            async |inbox, run| {
                ends_as_it_must(run, |injected| injected.suspension == 7);
                let polls = 1 + run.injected.first().map_or(7, |injected| injected.suspension);
                assert!(inbox.count.get() <= 128 * polls + 1, "{} operations", inbox.count.get());
            },
        )
    });
}

/// The answer of something that is not Curium's, an hour later.
async fn an_answer_after_an_hour() -> Cell<Option<oneshot::Receiver<()>>> {
    let (sender, receiver) = oneshot::channel();
    spawn(async move {
        sleep(HOUR).await?;
        let _receiver_is_gone = sender.send(());
        Ok::<_, TaskCancelled>(())
    });
    Cell::new(Some(receiver))
}

fn sweep_a_foreign_wait<const PLANTED: bool>() -> Swept {
    testing::sweep().inject(&REQUESTS).moments(&[Moment::BeforeFirstPoll, Moment::Parked]).run(
        an_answer_after_an_hour,
        |receiver| async move {
            let answer = receiver.take().unwrap();
            // The bug: a cancellation between the check and the answer is not seen.
            if PLANTED {
                check_cancellation().map_or(Ok(()), Err)?;
                let _answer = answer.await;
            } else {
                let _answer = cancellable(answer).await?;
            }
            Ok::<_, TaskCancelled>(())
        },
        async |_, run| ends_as_it_must(run, |_| false),
    )
}

/// V4, C9: zig#25751: a thread looks whether it is cancelled and then blocks in a system call. A
/// request that comes in between is missed, and the call cannot be interrupted.
#[test]
fn a_cancellation_between_the_check_and_the_wait_is_found() {
    found(
        "zig#25751",
        "parked at suspension 1 (FOREIGN): ",
        sweep_a_foreign_wait::<true>,
        sweep_a_foreign_wait::<false>,
    );
}

/// An error of a program that saves something.
#[derive(Debug, thiserror::Error)]
enum Saving {
    #[error("cancelled")]
    Cancelled(#[from] TaskCancelled),
    #[error("the disk is full")]
    Disk,
}

/// V4, C16, T2: cpython#84787: the body of `wait_for` runs out of time and fails in its cleanup;
/// the caller gets the timeout alone. Here the failure is returned, whatever its type.
#[test]
fn the_failure_of_a_cleanup_is_not_lost_behind_the_timeout() {
    cannot_happen("cpython#84787", || {
        testing::sweep().inject(&REQUESTS).run(
            async || (Cell::new(0), Cell::new(0)),
            |failures| async move {
                let body = async {
                    drop(sleep(HOUR).await);
                    sleep(MS).await?;
                    failures.0.set(failures.0.get() + 1);
                    Err::<(), _>(Saving::Disk)
                };
                if let Ok(Err(Saving::Disk)) = timeout_after(MS, body).await {
                    failures.1.set(failures.1.get() + 1);
                }
                Ok::<_, TaskCancelled>(())
            },
            async |(made, seen), run| {
                assert_eq!(made.get(), seen.get(), "a failure was lost");
                assert!(!run.injected.is_empty() || seen.get() == 1);
            },
        )
    });
}

/// V4, T1: cpython#76932: `wait_for` returns when the time is up, while the cancelled body still
/// cleans up; the caller goes on beside it. Here the call returns when the body has ended.
#[test]
fn a_limited_wait_returns_when_its_body_has_ended() {
    cannot_happen("cpython#76932", || {
        testing::sweep().inject(&REQUESTS).run(
            async || Cell::new(false),
            |cleaning| async move {
                let body = async {
                    let ended = sleep(HOUR).await;
                    cleaning.set(true);
                    let slept = sleep(2 * MS).await;
                    cleaning.set(false);
                    slept.and(ended)
                };
                let ended = timeout_after(MS, body).await;
                assert!(!cleaning.get(), "it returned before its body has ended");
                ended.unwrap_or(Ok(()))
            },
            async |cleaning, _| assert!(!cleaning.get()),
        )
    });
}
