//! A cancel scope and what is put back, swept (V4).

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Moment};
use curium::kernel::{
    CancelScope, TaskCancelled, TaskEnd, cancellable, cancellable_inside, check_cancellation,
    sleep, spawn,
};
use futures::stream::{FuturesUnordered, StreamExt};

const MS: Duration = Duration::from_millis(1);

struct Button {
    scope: CancelScope,
    stopped: Cell<bool>,
    cleaned: Cell<u32>,
}

/// V4, C15: whatever happens to its task, a run of a scope cleans up once, and the scope's own
/// cancellation never passes for the task's.
#[test]
fn a_cancel_scope_ends_its_body_and_nothing_else() {
    let swept = testing::sweep().pairs().seeds(0..4).run(
        async || {
            let scope = CancelScope::new();
            let button = scope.clone();
            spawn(async move {
                sleep(3 * MS).await?;
                button.cancel();
                Ok::<_, TaskCancelled>(())
            });
            Button { scope, stopped: Cell::new(false), cleaned: Cell::new(0) }
        },
        |button| async move {
            let body = async {
                sleep(MS).await?;
                let ended = sleep(Duration::MAX).await;
                sleep(MS).await?;
                button.cleaned.set(button.cleaned.get() + 1);
                ended
            };
            match button.scope.run(body).await {
                Ok(own) => own?,
                Err(_) => button.stopped.set(true),
            }
            sleep(MS).await
        },
        async |button, run| {
            assert!(button.cleaned.get() <= 1);
            if run.injected.is_empty() {
                assert!(button.stopped.get() && run.end == TaskEnd::Ok);
            } else {
                assert_ne!(run.end, TaskEnd::Failed, "{:?}", run.error);
            }
            assert_eq!(button.scope.run(async { Ok::<_, ()>(7) }).await, Ok(Ok(7)));
        },
    );
    assert!(swept.suspensions >= 12 && swept.runs >= 100, "{swept:?}");
}

/// V4, C13: a cancellation that is put back is delivered again, once, at the next park.
#[test]
fn a_cancellation_that_is_put_back_comes_again() {
    let swept = testing::sweep().run(
        async || Rc::new(Cell::new(0)),
        |count| async move {
            for _ in 0..2 {
                if let Err(cancelled) = sleep(MS).await {
                    cancelled.put_back();
                    assert!(check_cancellation().is_some());
                    count.set(count.get() + 1);
                    let again = sleep(MS).await;
                    assert!(again.is_err(), "it did not come again");
                    sleep(MS).await.expect("it comes once");
                    return again;
                }
            }
            Ok(())
        },
        async |count, run| {
            let dropped = matches!(run.end, TaskEnd::Aborted);
            let ended = if run.injected.is_empty() { TaskEnd::Ok } else { TaskEnd::Cancelled };
            assert!(dropped || run.end == ended || count.get() == 0, "{:?}", run.end);
        },
    );
    assert!(swept.suspensions == 2 && swept.runs >= 20, "{swept:?}");
}

/// V4, C17: however its task is disturbed, what is inside the second door cleans up unless it is
/// dropped, and what is behind the first one is dropped at once.
#[test]
fn the_two_doors_clean_up_or_drop() {
    struct Inside {
        cleanups: Cell<u32>,
        began: Cell<u32>,
    }
    async fn job(inside: &Inside) -> Result<(), TaskCancelled> {
        inside.began.set(inside.began.get() + 1);
        let ended = sleep(2 * MS).await;
        if ended.is_err() {
            sleep(MS).await?;
        }
        inside.cleanups.set(inside.cleanups.get() + 1);
        ended
    }
    let swept = testing::sweep().seeds(0..4).run(
        async || Inside { cleanups: Cell::new(0), began: Cell::new(0) },
        |inside| async move {
            let jobs: FuturesUnordered<_> = [job(&inside), job(&inside)].into_iter().collect();
            let ended: Vec<_> = cancellable_inside(jobs.collect()).await?;
            ended.into_iter().collect::<Result<Vec<()>, _>>()?;
            cancellable(sleep(MS)).await?
        },
        async |inside, run| {
            if run.end != TaskEnd::Aborted {
                assert_eq!(inside.cleanups.get(), inside.began.get(), "a job was cut");
            }
            let ended = if run.injected.is_empty() { TaskEnd::Ok } else { TaskEnd::Cancelled };
            let late = run.injected.iter().any(|it| it.moment == Moment::Woken);
            assert!(run.end == ended || run.end == TaskEnd::Aborted || late, "{:?}", run.end);
        },
    );
    assert!(swept.suspensions >= 8 && swept.runs >= 60, "{swept:?}");
}
