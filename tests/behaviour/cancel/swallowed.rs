//! A task that drops the error of its cancellation and goes on is reported (C14).

use std::time::Duration;

use kernel::{
    Builder, CancelReason, Kernel, Report, TaskCancelled, shield, sleep, spawn_named, testing,
    timeout_after,
};
use sync::Event;

use crate::support::reports;
use crate::support::time::secs;

/// The name of each task that was reported, the reason, and whether the site of the delivery is in
/// this file.
type Swallowed = (String, CancelReason, bool);

fn swallowed_with(builder: Builder, main: impl AsyncFnOnce()) -> Vec<Swallowed> {
    let pick = |report: &Report<'_>| match report {
        Report::Swallowed { task, reason, delivered_at } => {
            let here = delivered_at.is_some_and(|site| site.file().ends_with("swallowed.rs"));
            assert!(report.to_string().contains("put_back"));
            Some((task.name.clone(), *reason, here))
        }
        _ => None,
    };
    reports::picked(builder, pick, main).1
}

fn swallowed(main: impl AsyncFnOnce()) -> Vec<Swallowed> {
    swallowed_with(Kernel::builder(), main)
}

/// Drops the error of its first sleep, and waits for an event that comes later.
async fn swallows(event: &Event) -> Result<(), TaskCancelled> {
    drop(sleep(Duration::MAX).await);
    event.wait().await
}

/// Lets seconds pass one after the other, so that a watched task is looked at.
async fn pass(seconds: u64) {
    for _ in 0..seconds {
        sleep(secs(1)).await.unwrap();
    }
}

/// Cancels a task that swallows it, and lets it park for nine seconds.
async fn cancel_one_that_swallows() {
    let event = std::rc::Rc::new(Event::new());
    let theirs = event.clone();
    let task = spawn_named("swallows", async move { swallows(&theirs).await });
    testing::settle().await.unwrap();
    task.request_cancel();
    pass(9).await;
    event.set();
    task.await.unwrap();
}

/// C14: the report names the task, why it was cancelled, and where it got that. It comes once.
#[test]
fn a_swallowed_cancellation_is_reported_once() {
    let reported = swallowed(cancel_one_that_swallows);
    let [(name, reason, here)] = &reported[..] else { panic!("{reported:?}") };
    assert_eq!(name, "swallows");
    assert!(matches!(reason, CancelReason::Requested { .. }));
    assert!(here, "the site of the delivery");
}

/// C14: so is a swallowed timeout, as long as its body goes on.
#[test]
fn a_swallowed_timeout_is_reported() {
    let reported = swallowed(async || {
        let event = std::rc::Rc::new(Event::new());
        let theirs = event.clone();
        let task = spawn_named("body", async move {
            let _ = timeout_after(secs(1), swallows(&theirs)).await;
            Ok::<_, TaskCancelled>(())
        });
        pass(9).await;
        event.set();
        task.await.unwrap();
    });
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert_eq!((reported[0].0.as_str(), reported[0].1), ("body", CancelReason::Timeout));
}

/// C14: not reported are a cleanup that still has the error, one in a shield, a cancellation that
/// was put back, short waits, and a task that ends.
#[test]
fn what_is_no_swallowing_is_not_reported() {
    let reported = swallowed(async || {
        let event = std::rc::Rc::new(Event::new());
        let (kept, shielded) = (event.clone(), event.clone());
        let tasks = [
            spawn_named("keeps it", async move {
                let gone = sleep(Duration::MAX).await;
                kept.wait().await?;
                gone
            }),
            spawn_named("in a shield", async move {
                drop(sleep(Duration::MAX).await);
                shield(shielded.wait()).await
            }),
            spawn_named("puts it back", async {
                sleep(Duration::MAX).await.unwrap_err().put_back();
                sleep(Duration::MAX).await
            }),
            spawn_named("waits shortly", async {
                drop(sleep(Duration::MAX).await);
                for _ in 0..90 {
                    sleep(Duration::from_millis(100)).await?;
                }
                Ok(())
            }),
            spawn_named("ends", async {
                drop(sleep(Duration::MAX).await);
                Ok(())
            }),
        ];
        testing::settle().await.unwrap();
        tasks.iter().for_each(kernel::Task::request_cancel);
        pass(9).await;
        event.set();
        for task in tasks {
            let _ = task.join().await.unwrap();
        }
    });
    assert_eq!(reported, []);
}

/// C14: a loop that drops every error is parked for less than a second each time. It is reported
/// after ten seconds, once, and not before.
#[test]
fn a_loop_that_swallows_is_reported() {
    for period in [100, 300] {
        for (seconds, reports) in [(9, 0), (15, 1), (40, 1)] {
            let reported = swallowed(async || {
                let stop = std::rc::Rc::new(std::cell::Cell::new(false));
                let stopped = stop.clone();
                let task = spawn_named("loops", async move {
                    while !stopped.get() {
                        drop(sleep(Duration::from_millis(period)).await);
                    }
                });
                testing::settle().await.unwrap();
                task.request_cancel();
                pass(seconds).await;
                stop.set(true);
                task.await.unwrap();
            });
            assert_eq!(reported.len(), reports, "{period} ms, {seconds} s: {reported:?}");
        }
    }
}

/// C14: a loop that drops every error and has a shield in it is reported too, however its turns
/// meet the seconds.
#[test]
fn a_loop_that_swallows_with_a_shield_in_it_is_reported() {
    for (shielded, outside) in [(100, 100), (300, 100), (500, 500), (900, 100), (1500, 100)] {
        for (seconds, reports) in [(9, 0), (30, 1), (60, 1)] {
            let reported = swallowed(async || {
                let stop = std::rc::Rc::new(std::cell::Cell::new(false));
                let stopped = stop.clone();
                let task = spawn_named("loops", async move {
                    while !stopped.get() {
                        drop(sleep(Duration::from_millis(outside)).await);
                        drop(shield(sleep(Duration::from_millis(shielded))).await);
                    }
                });
                testing::settle().await.unwrap();
                task.request_cancel();
                pass(seconds).await;
                stop.set(true);
                task.await.unwrap();
            });
            let what = format!("{shielded} ms in a shield, {outside} ms outside, {seconds} s");
            assert_eq!(reported.len(), reports, "{what}: {reported:?}");
        }
    }
}

/// C14: so is such a loop in a timeout that has expired.
#[test]
fn a_loop_that_swallows_a_timeout_with_a_shield_in_it_is_reported() {
    for (seconds, reports) in [(9, 0), (30, 1), (60, 1)] {
        let reported = swallowed(async || {
            let stop = std::rc::Rc::new(std::cell::Cell::new(false));
            let stopped = stop.clone();
            let task = spawn_named("loops", async move {
                let _ = timeout_after(Duration::from_millis(50), async {
                    while !stopped.get() {
                        drop(sleep(Duration::from_millis(100)).await);
                        drop(shield(sleep(Duration::from_millis(300))).await);
                    }
                    Ok::<_, TaskCancelled>(())
                })
                .await;
                Ok::<_, TaskCancelled>(())
            });
            pass(seconds).await;
            stop.set(true);
            task.await.unwrap();
        });
        assert_eq!(reported.len(), reports, "{seconds} s: {reported:?}");
    }
}

/// C14: a task that has swallowed its cancellation and waits in a shield for what nothing sets is
/// in a deadlock, which is found.
#[test]
#[should_panic(expected = "deadlock")]
fn a_deadlock_in_a_shield_of_one_that_swallows_is_found() {
    kernel::run(async || {
        let task = spawn_named("swallows", async {
            drop(sleep(Duration::MAX).await);
            shield(Event::new().wait()).await
        });
        testing::settle().await.unwrap();
        task.request_cancel();
        task.wait().await.unwrap();
    });
}

/// C14: a task that was parked once while the clock jumped by more than that is no loop.
#[test]
fn a_jump_of_the_clock_makes_no_loop() {
    for long in [20, 3600] {
        let reported = swallowed(async || {
            let task = spawn_named("sleeps once more", async move {
                drop(sleep(Duration::MAX).await);
                sleep(secs(long)).await
            });
            testing::settle().await.unwrap();
            task.request_cancel();
            task.await.unwrap();
        });
        assert_eq!(reported, [], "{long} s");
    }
}

/// C14: it can be turned off.
#[test]
fn it_can_be_turned_off() {
    let reported =
        swallowed_with(Kernel::builder().report_swallowed(false), cancel_one_that_swallows);
    assert_eq!(reported, []);
}

/// C14: what was watched in a scope that is gone says nothing about a later scope in its place.
#[test]
fn a_scope_in_the_place_of_another_is_reported_on_its_own() {
    let reported = swallowed(async || {
        let event = std::rc::Rc::new(Event::new());
        let theirs = event.clone();
        let first = spawn_named("first", async {
            let short = timeout_after(Duration::from_millis(100), async {
                drop(sleep(Duration::MAX).await);
                sleep(Duration::from_millis(100)).await
            });
            short.await.expect("it was swallowed")?;
            sleep(Duration::MAX).await
        });
        sleep(Duration::from_millis(500)).await.unwrap();
        let second = spawn_named("second", async move {
            timeout_after(Duration::from_millis(100), swallows(&theirs)).await.unwrap()
        });
        for _ in 0..20 {
            sleep(Duration::from_millis(250)).await.unwrap();
        }
        event.set();
        second.await.unwrap();
        first.cancel().await.unwrap();
    });
    let names: Vec<&str> = reported.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["second"]);
}
