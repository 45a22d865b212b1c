//! A failure that no task took is reported, once. A failure that was taken is not reported (K6).

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kernel::{
    Builder, Kernel, Report, TaskCancelled, TaskError, sleep, spawn, spawn_named, testing,
    yield_now,
};

use crate::support::reports;
use crate::support::time::secs;
use crate::support::traces::Listener;

/// The failures reported while `main` ran: name, whether it was a panic, and the error.
fn failures(main: impl AsyncFnOnce()) -> Vec<(String, bool, String)> {
    let failure = |report: &Report<'_>| match report {
        Report::Failed(failure) => {
            Some((failure.name.to_string(), failure.panicked, failure.error.to_string()))
        }
        _ => None,
    };
    reports::picked(Kernel::builder(), failure, main).1
}

async fn fails(text: &'static str) -> Result<(), String> {
    sleep(secs(1)).await.map_err(|cancelled| cancelled.to_string())?;
    Err(text.to_owned())
}

/// K6: a failed task that was not joined is reported once, when its last handle is gone.
#[test]
fn a_failure_that_nobody_joined_is_reported_once() {
    let reported = failures(async || {
        drop(spawn_named("lonely", fails("unheard")));
        sleep(secs(5)).await.unwrap();
    });
    assert_eq!(reported, [("lonely".to_owned(), false, "\"unheard\"".to_owned())]);
}

/// K6: while a handle lives, a task may still join.
#[test]
fn a_failure_is_reported_when_its_last_handle_is_gone() {
    let sink = Rc::new(RefCell::new(0));
    let count = sink.clone();
    let builder = Kernel::builder().on_report(move |_| *count.borrow_mut() += 1);
    testing::run_with(builder, async || {
        let task = spawn(fails("unheard"));
        task.wait().await.unwrap();
        sleep(secs(5)).await.unwrap();
        assert_eq!(*sink.borrow(), 0);
        drop(task);
        assert_eq!(*sink.borrow(), 1);
    });
    assert_eq!(*sink.borrow(), 1);
}

/// An error that counts how often it is formatted.
struct Formatted(Rc<Cell<u32>>);

impl fmt::Debug for Formatted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.set(self.0.get() + 1);
        f.write_str("formatted")
    }
}

/// K6: the error of a failure is formatted once if the sink shows it, however often, and not at all
/// if the sink only counts the failures.
#[test]
fn a_failure_is_formatted_when_it_is_first_shown() {
    for shows in [0, 1, 3] {
        let formatted = Rc::new(Cell::new(0));
        let error = Formatted(formatted.clone());
        let count = move |report: &Report<'_>| {
            let Report::Failed(failure) = report else { return None };
            Some((0..shows).map(|_| failure.error.to_string()).collect::<Vec<_>>())
        };
        let reported = reports::picked(Kernel::builder(), count, async || {
            drop(spawn(async { Err::<(), _>(error) }));
            testing::settle().await.unwrap();
        });
        assert_eq!(reported.1, [vec!["formatted"; shows]]);
        assert_eq!(formatted.get(), u32::from(shows > 0), "shown {shows} times");
    }
}

/// K6: a joined failure is not reported, whether it was joined before or after the end.
#[test]
fn a_failure_that_was_joined_is_not_reported() {
    let reported = failures(async || {
        let early = spawn(fails("heard"));
        assert!(early.join().await.unwrap().is_err());
        let late = spawn(fails("heard"));
        sleep(secs(5)).await.unwrap();
        assert!(late.join().await.unwrap().is_err());
        assert!(matches!(late.join().await.unwrap(), Err(TaskError::Taken)));
    });
    assert_eq!(reported, []);
}

/// K6: a join that was abandoned before the end has not taken the failure.
#[test]
fn a_failure_after_an_abandoned_join_is_reported() {
    let reported = failures(async || {
        let task = spawn_named("lonely", fails("unheard"));
        let half = kernel::timeout_after(Duration::from_millis(500), task.join()).await;
        assert!(half.is_err());
        task.wait().await.unwrap();
    });
    assert_eq!(reported.len(), 1, "{reported:?}");
}

/// K6, K3: a panic is reported in the same way, with its message.
#[test]
fn a_panic_that_nobody_joined_is_reported_by_its_message() {
    let reported = failures(async || {
        drop(spawn_named("lonely", async {
            sleep(secs(1)).await?;
            assert_eq!(1, 2, "one is not two");
            Ok::<(), TaskCancelled>(())
        }));
        sleep(secs(5)).await.unwrap();
    });
    let [(name, panicked, message)] = &reported[..] else {
        panic!("{reported:?}");
    };
    assert_eq!((name.as_str(), *panicked), ("lonely", true));
    assert!(message.contains("one is not two"), "{message}");
}

/// K6, C6: the failed cleanup of a cancelled task is a failure. Passing the cancel on is not.
#[test]
fn the_failed_cleanup_of_a_cancelled_task_is_reported() {
    let reported = failures(async || {
        let bad = spawn_named("bad cleanup", async {
            sleep(Duration::MAX).await.ok();
            Err::<(), _>(io::Error::other("disk full"))
        });
        let good = spawn(async { Ok::<(), io::Error>(sleep(Duration::MAX).await?) });
        let swallows = spawn(async { Ok::<_, io::Error>(sleep(Duration::MAX).await.is_err()) });
        testing::settle().await.unwrap();
        bad.cancel().await.unwrap();
        good.cancel().await.unwrap();
        swallows.cancel().await.unwrap();
    });
    let [(name, panicked, error)] = &reported[..] else {
        panic!("{reported:?}");
    };
    assert_eq!((name.as_str(), *panicked), ("bad cleanup", false));
    assert!(error.contains("disk full"), "{error}");
}

/// K6, K5: a cleanup that fails in the shutdown is reported as well.
#[test]
fn a_cleanup_that_fails_in_the_shutdown_is_reported() {
    let reported = failures(async || {
        drop(spawn_named("bad cleanup", async {
            sleep(Duration::MAX).await.ok();
            Err::<(), _>(io::Error::other("disk full"))
        }));
        drop(spawn(sleep(Duration::MAX)));
        testing::settle().await.unwrap();
    });
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!(reported[0].0, "bad cleanup");
}

/// K6: neither a task that ended well nor one that was aborted is a failure.
#[test]
fn only_failures_are_reported() {
    let reported = failures(async || {
        drop(spawn(sleep(secs(1))));
        let aborted = spawn(fails("never said"));
        testing::settle().await.unwrap();
        aborted.abort();
        sleep(secs(5)).await.unwrap();
    });
    assert_eq!(reported, []);
}

/// K6: a report shows the task, the kind of failure, and the error.
#[test]
fn a_report_shows_who_how_and_what() {
    let ((), texts) = reports::texts(async || {
        drop(spawn_named("lonely", fails("unheard")));
        sleep(secs(5)).await.unwrap();
    });
    assert_eq!(texts.len(), 1, "{texts:?}");
    for part in ["lonely", "failed", "unheard"] {
        assert!(texts[0].contains(part), "{texts:?}");
    }
}

/// K6: a sink that panics ends no task and not the kernel.
#[test]
fn a_sink_that_panics_takes_nobody_along() {
    let builder = Kernel::builder().on_report(|_| panic!("of the sink"));
    let value = testing::run_with(builder, async || {
        drop(spawn(fails("unheard")));
        sleep(secs(5)).await.map(|()| 7)
    });
    assert_eq!(value, Ok(7));
}

/// K6: without a sink, a subscriber of `tracing` gets the reports.
#[test]
fn without_a_sink_tracing_is_told() {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), || {
        testing::run(async || {
            drop(spawn_named("lonely", fails("unheard")));
            sleep(secs(5)).await.unwrap();
        });
    });
    let heard = listener.heard();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("ERROR") && heard[0].contains("unheard"), "{heard:?}");
}

/// A kernel that reports every poll as a long one, and nothing else, to its sink.
fn told_of_polls(sink: impl Fn() + 'static) -> Builder {
    Kernel::builder().report_long_polls(Duration::ZERO).on_report(move |report| {
        if let Report::LongPoll { .. } = report {
            sink();
        }
    })
}

/// K9: a sink that gets the report of a long poll is not part of the polled task: a leaf that it
/// tries is not cancelled with that task.
#[test]
fn a_sink_that_hears_of_a_long_poll_is_not_cancelled_with_the_task() {
    let said = Rc::new(RefCell::new(Vec::new()));
    let log = said.clone();
    let builder = told_of_polls(move || {
        let leaf = std::panic::catch_unwind(|| {
            Box::pin(yield_now()).as_mut().poll(&mut Context::from_waker(Waker::noop()))
        });
        log.borrow_mut().push(matches!(leaf, Ok(Poll::Pending)));
    });
    testing::run_with(builder, async || {
        // Parked in no leaf of Curium, so the request stays pending.
        let task = spawn(pending::<Result<(), TaskCancelled>>());
        testing::settle().await.unwrap();
        task.request_cancel();
        testing::settle().await.unwrap();
        task.abort();
    });
    assert!(said.borrow().iter().all(|well| *well), "{:?}", said.borrow());
}

/// K1, K9: a turn that a sink requests with the waker of the polled task is not lost.
#[test]
fn a_turn_that_a_sink_asks_for_is_not_lost() {
    let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
    let polls = Rc::new(Cell::new(0));
    let (theirs, count) = (kept.clone(), polls.clone());
    let builder = told_of_polls(move || {
        if count.get() == 2 {
            if let Some(waker) = theirs.borrow_mut().take() {
                let _ = Box::pin(yield_now()).as_mut().poll(&mut Context::from_waker(&waker));
            }
        }
    });
    testing::run_with(builder, async || {
        let (count, keeps) = (polls.clone(), kept.clone());
        let task = spawn(poll_fn(move |cx| {
            count.set(count.get() + 1);
            *keeps.borrow_mut() = Some(cx.waker().clone());
            Poll::<Result<(), TaskCancelled>>::Pending
        }));
        testing::settle().await.unwrap();
        let waker = kept.borrow().clone().unwrap();
        waker.wake();
        testing::settle().await.unwrap();
        assert_eq!(polls.get(), 3);
        task.abort();
    });
}

/// K9, C9: a leaf that the sink of a long poll drops is not shown any more.
#[test]
fn a_leaf_that_dies_in_a_report_of_its_poll_is_not_shown() {
    let leaf: Rc<RefCell<Option<Pin<Box<kernel::future::Sleep>>>>> = Rc::default();
    let theirs = leaf.clone();
    let builder = told_of_polls(move || {
        let dies = theirs.try_borrow_mut().ok().and_then(|mut leaf| leaf.take());
        drop(dies);
    });
    testing::run_with(builder, async || {
        let polled = leaf.clone();
        let task = spawn(async move {
            *polled.borrow_mut() = Some(Box::pin(sleep(secs(9))));
            poll_fn(|cx| match polled.borrow_mut().as_mut() {
                Some(leaf) => leaf.as_mut().poll(cx),
                None => Poll::Pending,
            })
            .await
        });
        testing::settle().await.unwrap();
        assert!(leaf.borrow().is_none());
        assert_eq!(task.state().to_string(), "FOREIGN");
        task.abort();
    });
}
