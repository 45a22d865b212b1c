//! The real clock: never early, finer than a millisecond, not disturbed by signals or idle time.
//!
//! CI runs this file twice: with the timerfd of Linux, and with the portable timer. The tests do
//! not check how late a sleep is, only that it is not early, and that it ends.

use std::time::{Duration, Instant};

use kernel::{Kernel, TaskCancelled, TaskGroup, interval, now, sleep, sleep_until, timeout_after};

/// K8: on the real clock, a sleep of any length ends at its time or later, never before.
#[test]
fn a_sleep_is_never_early() {
    kernel::run(async || {
        for micros in [1, 50, 100, 250, 999, 1_000, 1_001, 1_500, 2_700] {
            let length = Duration::from_micros(micros);
            let began = Instant::now();
            sleep(length).await?;
            assert!(began.elapsed() >= length, "{length:?} took {:?}", began.elapsed());
            let deadline = Instant::now() + length;
            sleep_until(deadline).await?;
            assert!(Instant::now() >= deadline);
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K8, K1: sleepers wake in the order of their deadlines, in whatever order they began.
#[test]
fn sleepers_wake_in_order_of_their_deadlines() {
    kernel::run(async || {
        let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let start = now();
        TaskGroup::<TaskCancelled>::scope(async |g| {
            for step in [3_u32, 1, 4, 2] {
                let order = order.clone();
                g.spawn(async move {
                    sleep_until(start + step * Duration::from_millis(2)).await?;
                    order.borrow_mut().push(step);
                    Ok(())
                });
            }
            Ok(())
        })
        .await?;
        assert_eq!(*order.borrow(), [1, 2, 3, 4]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// T1, K8: a timeout on the real clock interrupts a sleep that would last for ever.
#[test]
fn a_timeout_ends_a_sleep_without_end() {
    kernel::run(async || {
        let began = Instant::now();
        let limit = Duration::from_micros(700);
        timeout_after(limit, sleep(Duration::MAX)).await.unwrap_err();
        assert!(began.elapsed() >= limit);
    });
}

/// K8: the ticks of an interval are on the grid that starts with the first, and none comes early.
#[test]
fn an_interval_keeps_to_its_grid() {
    kernel::run(async || {
        let period = Duration::from_micros(800);
        let mut ticks = interval(period);
        let first = ticks.tick().await?;
        for _ in 0..5 {
            let due = ticks.tick().await?;
            assert!(now() >= due);
            assert_eq!((due - first).as_nanos() % period.as_nanos(), 0);
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K7: messages from another thread end a sleep of the kernel without a limit, again and again.
#[test]
fn a_request_from_another_thread_ends_an_idle_kernel() {
    kernel::run(async || {
        for _ in 0..50 {
            let sleeper = kernel::spawn(sleep(Duration::MAX));
            let (handle, id) = (kernel::handle(), sleeper.id());
            let thread = std::thread::spawn(move || handle.request_cancel(id).unwrap());
            sleeper.wait().await?;
            thread.join().unwrap();
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// K2: a task that is always ready does not prevent timers from firing.
#[test]
fn a_spinner_does_not_starve_a_timer() {
    kernel::run(async || {
        let spinner = kernel::spawn(async {
            loop {
                kernel::yield_now().await?;
            }
            #[allow(unreachable_code)]
            Ok::<(), TaskCancelled>(())
        });
        sleep(Duration::from_millis(3)).await?;
        spinner.cancel().await
    })
    .unwrap();
}

/// K5, C10: the grace of a shutdown on the real clock ends in an abort, and the report names the
/// task.
#[test]
fn a_shutdown_grace_ends_on_the_real_clock() {
    let reports = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let sink = reports.clone();
    Kernel::builder()
        .shutdown_grace(Duration::from_millis(2))
        .on_report(move |report| sink.borrow_mut().push(report.to_string()))
        .run(async || {
            drop(kernel::spawn_named("stubborn", async {
                loop {
                    let _swallowed = sleep(Duration::from_secs(3600)).await;
                }
                #[allow(unreachable_code)]
                Ok::<(), TaskCancelled>(())
            }));
            kernel::yield_now().await.unwrap();
        });
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("stubborn") && reports[0].contains("real_clock.rs"), "{reports:?}");
}
