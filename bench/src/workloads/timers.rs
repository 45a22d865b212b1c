//! Timers, and the cancel of sleeping tasks.

use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Outcome, block_on, idle, sleep, sleeper, spawn, yield_now};
use crate::load::{Load, Meter, Numbers, Sample, Workload};

/// Runs the workload, if it is one of these.
pub(super) fn run(workload: Workload, load: Load, look: fn()) -> Option<Sample> {
    Some(match workload {
        Workload::TimerInsertCancel => block_on(move || timer_insert_cancel(load)),
        Workload::Cancel => block_on(move || cancel(load)),
        Workload::CancelMany => block_on(move || cancel_many(load)),
        Workload::TimerFire => block_on(move || timer_fire(load)),
        Workload::Sleep1ms => block_on(move || late(load, Duration::from_millis(1))),
        Workload::Sleep100us => block_on(move || late(load, Duration::from_micros(100))),
        Workload::HoldIdle => block_on(move || hold_idle(load, look)),
        Workload::HoldSleeping => block_on(move || hold_sleeping(load, look)),
        _ => return None,
    })
}

/// Lets every one of `size` new tasks run until it parks. On some runtimes it returns earlier.
async fn settle(size: u64) -> Outcome<()> {
    for _ in 0..size / 32 + 2 {
        go!(yield_now());
    }
    done!(())
}

/// While `size` tasks sleep: make a sleep, poll it once, drop it.
async fn timer_insert_cancel(load: Load) -> Outcome<Sample> {
    let mut numbers = Numbers::new();
    let others: Vec<_> = (0..load.size).map(|_| sleeper(numbers.far())).collect();
    go!(settle(load.size));
    let meter = Meter::start();
    for _ in 0..load.ops {
        let mut sleep = pin!(sleep(numbers.far()));
        poll_fn(|cx| Poll::Ready(black_box(sleep.as_mut().poll(cx).is_pending()))).await;
    }
    let sample = meter.stop(load.ops);
    drop(others);
    done!(sample)
}

/// Spawn a task that sleeps, let it fall asleep, cancel it and wait until it has ended.
async fn cancel(load: Load) -> Outcome<Sample> {
    let mut numbers = Numbers::new();
    let meter = Meter::start();
    for _ in 0..load.ops {
        let sleeper = sleeper(numbers.far());
        go!(yield_now());
        cancel!(sleeper);
    }
    done!(meter.stop(load.ops))
}

/// `size` tasks fall asleep, all for the same time, as connections with the same timeout do. Each
/// is cancelled and waited for, the oldest first; again.
async fn cancel_many(load: Load) -> Outcome<Sample> {
    let meter = Meter::start();
    for _ in 0..load.ops / load.size {
        let sleepers: Vec<_> = (0..load.size).map(|_| sleeper(Duration::from_secs(1000))).collect();
        go!(settle(load.size));
        for sleeper in sleepers {
            cancel!(sleeper);
        }
    }
    done!(meter.stop(load.ops))
}

/// `size` tasks, each of which sleeps once, for 1 to 100 ms.
async fn timer_fire(load: Load) -> Outcome<Sample> {
    let mut tasks = Vec::new();
    let meter = Meter::start_with_cpu();
    for i in 0..load.size {
        tasks.push(spawn(async move {
            go!(sleep(Duration::from_millis(1 + i % 100)));
            done!(())
        }));
    }
    for task in tasks {
        join!(task);
    }
    done!(meter.stop(load.size))
}

/// One task sleeps again and again, alone: how late each time?
async fn late(load: Load, duration: Duration) -> Outcome<Sample> {
    let mut each = Vec::new();
    let meter = Meter::start_with_cpu();
    for _ in 0..load.ops {
        let begun = Instant::now();
        go!(sleep(duration));
        each.push(begun.elapsed().saturating_sub(duration));
    }
    let mut sample = meter.stop(load.ops);
    sample.each = each;
    done!(sample)
}

/// `size` tasks wait for an event that never comes. `look` is called without them and with them.
async fn hold_idle(load: Load, look: fn()) -> Outcome<Sample> {
    let mut future_bytes = 0;
    let mut tasks = Vec::new();
    tasks.reserve_exact(usize::try_from(load.size).expect("tasks fit in memory"));
    look();
    for _ in 0..load.size {
        let idle = async move {
            let () = go!(idle());
            done!(())
        };
        future_bytes = size_of_val(&idle);
        tasks.push(spawn(idle));
    }
    go!(settle(load.size));
    look();
    drop(tasks);
    done!(Sample { future_bytes, ..Sample::default() })
}

/// `size` tasks sleep. `look` is called without them and with them.
async fn hold_sleeping(load: Load, look: fn()) -> Outcome<Sample> {
    let mut numbers = Numbers::new();
    let mut future_bytes = 0;
    let mut tasks = Vec::new();
    tasks.reserve_exact(usize::try_from(load.size).expect("tasks fit in memory"));
    look();
    for _ in 0..load.size {
        let far = numbers.far();
        let sleeping = async move {
            go!(sleep(far));
            done!(())
        };
        future_bytes = size_of_val(&sleeping);
        tasks.push(spawn(sleeping));
    }
    go!(settle(load.size));
    look();
    drop(tasks);
    done!(Sample { future_bytes, ..Sample::default() })
}
