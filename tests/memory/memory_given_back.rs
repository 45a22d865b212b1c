//! The memory of a burst of tasks, waiters or items is freed when they have ended.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{
    TaskCancelled, TaskGroup, sleep, spawn, spawn_named, testing, timeout_after, yield_now,
};
use sync::{Event, Queue};

/// Tasks in a burst.
const BURST: u32 = 50_000;

fn live_bytes() -> isize {
    crate::bytes_in_use() as isize
}

type Result<T = ()> = std::result::Result<T, TaskCancelled>;

/// Runs `burst`, which calls its argument when most memory is in use. When the burst has ended and
/// the kernel has been idle for a moment, less than a tenth of it is left.
async fn is_given_back(name: &str, burst: impl AsyncFnOnce(&dyn Fn()) -> Result) -> Result {
    let pause = async || {
        for _ in 0..20 {
            sleep(Duration::from_millis(1)).await?;
        }
        Ok(())
    };
    pause().await?;
    let (before, peak) = (live_bytes(), Cell::new(0));
    burst(&|| peak.set(live_bytes() - before)).await?;
    pause().await?;
    let (left, peak) = (live_bytes() - before, peak.get());
    assert!(peak > 1_000_000, "{name}: {peak} bytes are no burst");
    assert!(left < peak / 10, "{name}: {left} bytes of {peak} are left");
    Ok(())
}

/// K14: tasks without handles, one burst after the other.
#[test]
fn what_bursts_of_tasks_take_is_given_back() {
    let _alone = crate::alone();
    testing::run(async || {
        is_given_back("tasks that are forgotten", async |peak| {
            (0..BURST).for_each(|_| drop(spawn(async { Result::Ok(()) })));
            peak();
            Ok(())
        })
        .await?;
        is_given_back("tasks that slept", async |peak| {
            (0..BURST).for_each(|_| drop(spawn(sleep(Duration::from_millis(1)))));
            testing::settle().await?;
            peak();
            sleep(Duration::from_millis(2)).await
        })
        .await?;
        is_given_back("tasks with timeouts", async |peak| {
            for _ in 0..BURST {
                let sleep = sleep(Duration::from_millis(1));
                spawn(async { timeout_after(Duration::from_secs(9), sleep).await.expect("early") });
            }
            testing::settle().await?;
            peak();
            sleep(Duration::from_millis(2)).await
        })
        .await?;
        is_given_back("members of a group", async |peak| {
            TaskGroup::<TaskCancelled>::scope(async |g| {
                (0..BURST).for_each(|_| drop(g.spawn(sleep(Duration::from_millis(1)))));
                testing::settle().await?;
                peak();
                Ok(())
            })
            .await
        })
        .await?;
        Result::Ok(())
    })
    .unwrap();
}

/// K14: the same for tasks that have a name, are awaited, or wait for a task that stays.
#[test]
fn what_names_and_waiters_take_is_given_back() {
    let _alone = crate::alone();
    testing::run(async || {
        is_given_back("tasks with names", async |peak| {
            (0..BURST).for_each(|_| drop(spawn_named("a name", sleep(Duration::ZERO))));
            peak();
            Ok(())
        })
        .await?;
        is_given_back("tasks that are joined and cancelled", async |peak| {
            let tasks: Vec<_> = (0..BURST).map(|_| spawn(sleep(Duration::MAX))).collect();
            testing::settle().await?;
            peak();
            for task in &tasks {
                task.cancel().await?;
            }
            Ok(())
        })
        .await?;
        let event = Rc::new(Event::new());
        is_given_back("waiters of an event that stays", async |peak| {
            for _ in 0..BURST {
                let event = event.clone();
                spawn(async move { event.wait().await });
            }
            testing::settle().await?;
            peak();
            event.set();
            Ok(())
        })
        .await?;
        let queue = Queue::unbounded();
        is_given_back("items of a queue that stays", async |peak| {
            (0..4 * BURST).for_each(|item| queue.try_put(item).expect("it has no bound"));
            peak();
            while queue.try_get().is_some() {}
            Ok(())
        })
        .await
    })
    .unwrap();
}

/// K14: a kernel that always has a ready task frees the cells of ended tasks, too, a few at a time.
#[test]
fn a_busy_kernel_gives_the_cells_of_a_burst_back() {
    let _alone = crate::alone();
    testing::run(async || {
        let before = live_bytes();
        (0..BURST / 2).for_each(|_| drop(spawn(async { Result::Ok(()) })));
        let peak = live_bytes() - before;
        let (mut left, mut turns) = (peak, 0);
        // This task is ready all the time, so the kernel never has nothing to do.
        while left > peak / 2 && turns < 2_000_000 {
            yield_now().await?;
            (left, turns) = (live_bytes() - before, turns + 1);
        }
        assert!(left <= peak / 2, "{left} bytes of {peak} are left after {turns} turns");
        Result::Ok(())
    })
    .unwrap();
}
