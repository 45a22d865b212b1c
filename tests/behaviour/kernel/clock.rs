//! The virtual clock, timers in order, and the ends of time (K8, T7, K2).

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use kernel::{
    CancelReason, MissedTicks, TaskCancelled, interval, run_in_thread, sleep, sleep_until, spawn,
    spawn_named, testing, timeout_after, timeout_at, yield_now,
};
use sync::Event;

use crate::support::time::secs;

/// The message of the panic that `run` ends in.
fn panic_of(run: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(run)).expect_err("no panic");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().map_or("?", |text| text).to_owned(),
    }
}

/// K8: when nothing can run, the clock jumps to the next deadline, exactly.
#[test]
fn the_clock_jumps_to_the_next_deadline() {
    let real = Instant::now();
    testing::run(async || {
        let started = kernel::now();
        sleep(secs(86_400 * 365)).await.unwrap();
        assert_eq!(kernel::now() - started, secs(86_400 * 365));
        sleep(Duration::from_nanos(1)).await.unwrap();
        assert_eq!(kernel::now() - started, secs(86_400 * 365) + Duration::from_nanos(1));
    });
    // Not an assertion on speed: a year has not passed.
    assert!(real.elapsed() < secs(86_400));
}

/// K8: it stands still while a task can run.
#[test]
fn the_clock_stands_still_while_anything_can_run() {
    testing::run(async || {
        let started = kernel::now();
        let sleeper = spawn(sleep(Duration::from_nanos(1)));
        for _ in 0..1000 {
            yield_now().await.unwrap();
        }
        assert!(!sleeper.is_done());
        assert_eq!(kernel::now(), started);
    });
}

/// K8: `settle` waits until no task can run, and no time passes. `advance` lets it pass.
#[test]
fn settle_takes_no_time_and_advance_does() {
    testing::run(async || {
        let started = kernel::now();
        let sleepers = [1, 2, 3].map(|n| spawn(sleep(secs(n))));
        let done = || sleepers.each_ref().map(|task| task.is_done());
        testing::settle().await.unwrap();
        assert_eq!((kernel::now(), done()), (started, [false; 3]));
        testing::advance(secs(2)).await.unwrap();
        assert_eq!((kernel::now() - started, done()), (secs(2), [true, true, false]));
        testing::advance(Duration::from_nanos(999_999_999)).await.unwrap();
        assert_eq!(done(), [true, true, false]);
        testing::advance(Duration::from_nanos(1)).await.unwrap();
        assert_eq!(done(), [true; 3]);
    });
}

/// K8: timers fire by deadline, then in order of arming.
#[test]
fn timers_fire_by_deadline_then_by_arming() {
    testing::run(async || {
        let log = Rc::new(RefCell::new(Vec::new()));
        for (name, at) in [("c1", 3), ("a1", 1), ("b1", 2), ("a2", 1), ("c2", 3), ("b2", 2)] {
            let log = log.clone();
            spawn(async move {
                sleep(secs(at)).await?;
                log.borrow_mut().push(name);
                Ok::<_, TaskCancelled>(())
            });
        }
        testing::advance(secs(3)).await.unwrap();
        assert_eq!(log.take(), ["a1", "a2", "b1", "b2", "c1", "c2"]);
    });
}

/// K8, K2: a million timers due at once all fire, in order of arming, and in slices.
#[test]
fn a_million_timers_due_at_once_all_fire_in_order() {
    const MANY: u32 = 1_000_000;
    testing::run(async || {
        let (next, in_order) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(true)));
        let due = kernel::now() + secs(1);
        for n in 0..MANY {
            let (next, in_order) = (next.clone(), in_order.clone());
            spawn(async move {
                sleep_until(due).await?;
                in_order.set(in_order.get() && next.replace(n + 1) == n);
                Ok::<_, TaskCancelled>(())
            });
        }
        testing::settle().await.unwrap();
        sleep_until(due).await.unwrap();
        // Armed last and fired last. A slice of timers is served before the next.
        assert_eq!(next.get(), MANY);
        assert!(in_order.get());
    });
}

/// K2: while a million timers are due, ready tasks run in between.
#[test]
fn a_million_due_timers_are_served_in_slices() {
    const MANY: u32 = 1_000_000;
    testing::run(async || {
        let (fired, early) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(u32::MAX)));
        let due = kernel::now() + secs(1);
        let (count, seen) = (fired.clone(), early.clone());
        spawn(async move {
            sleep_until(due).await?;
            yield_now().await?;
            seen.set(count.get());
            Ok::<_, TaskCancelled>(())
        });
        for _ in 1..MANY {
            let fired = fired.clone();
            spawn(async move {
                sleep_until(due).await?;
                fired.set(fired.get() + 1);
                Ok::<_, TaskCancelled>(())
            });
        }
        testing::settle().await.unwrap();
        testing::advance(secs(1)).await.unwrap();
        assert_eq!(fired.get(), MANY - 1);
        assert!(early.get() < 10_000, "{} timers were served before it ran again", early.get());
    });
}

/// K8, T7: `Duration::MAX` never ends and never panics, in whichever call.
#[test]
fn an_endless_time_never_ends() {
    testing::run(async || {
        let sleeper = spawn(sleep(Duration::MAX));
        let nearly = spawn(sleep(Duration::MAX - Duration::from_nanos(1)));
        let bounded =
            spawn(async { timeout_after(Duration::MAX, sleep(secs(1_000_000))).await.unwrap() });
        let shielded = spawn(kernel::shield_for(Duration::MAX, sleep(secs(1))));
        testing::advance(secs(1_000_000)).await.unwrap();
        assert!(!sleeper.is_done() && !nearly.is_done());
        bounded.join().await.unwrap().unwrap();
        shielded.join().await.unwrap().unwrap();
        let mut endless = interval(Duration::MAX);
        endless.tick().await.unwrap();
        assert!(timeout_after(secs(1), endless.tick()).await.is_err());
    });
}

/// K8, T7: a sleep of zero, or until a past deadline, is still a switch and a checkpoint.
#[test]
fn a_sleep_of_nothing_is_a_switch_and_a_checkpoint() {
    testing::run(async || {
        let past = kernel::now();
        sleep(secs(5)).await.unwrap();
        let started = kernel::now();
        let log = Rc::new(RefCell::new(Vec::new()));
        for past in [None, Some(past), Some(started)] {
            let theirs = log.clone();
            spawn(async move {
                theirs.borrow_mut().push("other");
                Ok::<_, TaskCancelled>(())
            });
            match past {
                None => sleep(Duration::ZERO).await.unwrap(),
                Some(past) => sleep_until(past).await.unwrap(),
            }
            log.borrow_mut().push("main");
        }
        assert_eq!(log.take(), ["other", "main"].repeat(3));
        assert_eq!(kernel::now(), started);

        let sleeper = spawn(async move {
            sleep(Duration::ZERO).await?;
            sleep_until(past).await
        });
        sleeper.cancel().await.unwrap();
        let error = sleeper.join().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the task was cancelled");
    });
}

/// T7: a timeout of zero, or in the past, expires at the first leaf that would park.
#[test]
fn a_timeout_in_the_past_has_expired() {
    testing::run(async || {
        let past = kernel::now();
        sleep(secs(5)).await.unwrap();
        let body = async || {
            let delivered = sleep(Duration::MAX).await;
            assert_eq!(
                delivered.as_ref().map_err(TaskCancelled::reason),
                Err(CancelReason::Timeout)
            );
            delivered
        };
        assert!(timeout_after(Duration::ZERO, body()).await.is_err());
        assert!(timeout_at(past, body()).await.is_err());
        let no_park = async { Ok::<_, TaskCancelled>(7) };
        assert_eq!(timeout_at(past, no_park).await, Ok(Ok(7)));
    });
}

/// The seconds at which the ticks of ten seconds were due and came. After each, main is busy for
/// that many seconds.
fn ticks_of(missed: MissedTicks, busy: &[u64]) -> Vec<(u64, u64)> {
    testing::run(async || {
        let started = kernel::now();
        let mut every = interval(secs(10)).missed_ticks(missed);
        let mut ticks = Vec::new();
        for busy in busy {
            let due = every.tick().await.unwrap() - started;
            ticks.push((due.as_secs(), (kernel::now() - started).as_secs()));
            sleep(secs(*busy)).await.unwrap();
        }
        ticks
    })
}

/// K13: an interval keeps to its grid, and skips missed ticks. A tick that is due at that moment is
/// not missed.
#[test]
fn an_interval_keeps_to_its_grid() {
    let ticks = ticks_of(MissedTicks::Skip, &[0, 3, 25, 0, 20, 0]);
    assert_eq!(ticks, [(0, 0), (10, 10), (20, 20), (30, 45), (50, 50), (60, 70)]);
    let ticks = ticks_of(MissedTicks::Skip, &[30, 0, 0]);
    assert_eq!(ticks, [(0, 0), (10, 30), (30, 30)]);
}

/// K13: with `Burst` no tick is left out: the missed ones come at once, one after the other.
#[test]
fn missed_ticks_come_in_a_burst() {
    let ticks = ticks_of(MissedTicks::Burst, &[0, 35, 0, 0, 0, 0]);
    assert_eq!(ticks, [(0, 0), (10, 10), (20, 45), (30, 45), (40, 45), (50, 50)]);
}

/// K13: with `Delay` the grid starts anew at a late tick.
#[test]
fn after_a_late_tick_the_next_is_a_period_away() {
    let ticks = ticks_of(MissedTicks::Delay, &[0, 35, 0, 0]);
    assert_eq!(ticks, [(0, 0), (10, 10), (20, 45), (55, 55)]);
}

/// K13: an interval that has missed more ticks than a number has room for goes on.
#[test]
fn billions_of_missed_ticks_are_skipped() {
    testing::run(async || {
        let mut every = interval(Duration::from_nanos(1));
        every.tick().await.unwrap();
        sleep(secs(20)).await.unwrap();
        every.tick().await.unwrap();
        assert_eq!(every.tick().await.unwrap(), kernel::now());
    });
}

/// K13: a cancelled tick is not lost.
#[test]
fn a_cancelled_tick_comes_again() {
    testing::run(async || {
        let started = kernel::now();
        let mut every = interval(secs(10));
        every.tick().await.unwrap();
        assert!(timeout_after(secs(4), every.tick()).await.is_err());
        assert_eq!(every.tick().await.unwrap() - started, secs(10));
    });
}

/// K8: nothing is left that could wake a task: the panic names every task and its place.
#[test]
fn a_deadlock_names_every_task_and_its_place() {
    let lines = Cell::new((0, 0));
    let text = panic_of(|| {
        testing::run(async || {
            let event = Rc::new(Event::new());
            let waits = async |event: Rc<Event>| event.wait().await;
            lines.set((line!() - 1, line!() + 7));
            for name in ["waiter one", "waiter two"] {
                let event = event.clone();
                spawn_named(name, async move { waits(event).await });
            }
            spawn_named("sleeper", sleep(Duration::MAX));
            // Here main waits for ever:
            event.wait().await.unwrap();
        });
    });
    let (theirs, main) = lines.get();
    let at = |line| format!("{}:{line}:", file!());
    assert!(text.starts_with("deadlock"), "{text}");
    for name in ["waiter one", "waiter two", "sleeper", "main", "EVENT_WAIT", "SLEEP"] {
        assert!(text.contains(name), "{name} is missing: {text}");
    }
    assert_eq!(text.matches(&at(theirs)).count(), 2, "{text}");
    assert_eq!(text.matches(&at(main)).count(), 1, "{text}");
}

/// K8: on the real clock, too, when the deadlock is certain.
#[test]
fn a_certain_deadlock_on_the_real_clock_is_a_panic() {
    let text = panic_of(|| {
        kernel::run(async || {
            let event = Event::new();
            event.wait().await.unwrap();
        });
    });
    assert!(text.starts_with("deadlock") && text.contains("EVENT_WAIT"), "{text}");
}

/// K8, K5: a cleanup that waits for ever is a deadlock of the shutdown, and is named, too.
#[test]
fn a_shutdown_that_cannot_end_is_a_deadlock() {
    let text = panic_of(|| {
        testing::run(async || {
            spawn_named("never through", async {
                sleep(Duration::MAX).await.ok();
                sleep(Duration::MAX).await
            });
            testing::settle().await.unwrap();
        });
    });
    assert!(text.starts_with("deadlock") && text.contains("never through"), "{text}");
}

/// K8: while a job runs on another thread the clock does not jump, and `settle` waits for it.
#[test]
fn the_clock_does_not_jump_while_a_job_is_out() {
    testing::run(async || {
        let started = kernel::now();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let hour = spawn(sleep(secs(3600)));
        let job = spawn(run_in_thread(move || gone.recv().is_ok()));
        // Another thread releases the job, in real time.
        let releases = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            go.send(()).unwrap();
        });
        assert!(job.join().await.unwrap().unwrap());
        assert_eq!((kernel::now(), hour.is_done()), (started, false));
        releases.join().unwrap();
        hour.join().await.unwrap().unwrap();
        assert_eq!(kernel::now() - started, secs(3600));
    });
}

/// K8: a disarmed timer neither delays the clock nor moves it.
#[test]
fn a_disarmed_timer_moves_nothing() {
    testing::run(async || {
        let started = kernel::now();
        for _ in 0..1000 {
            timeout_after(secs(1000), sleep(Duration::from_millis(1))).await.unwrap().unwrap();
        }
        assert_eq!(kernel::now() - started, secs(1));
    });
}
