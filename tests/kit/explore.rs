//! The exploration itself: what it tries, what it finds, and what it says (V2).

use std::rc::Rc;

use curium::kernel::testing::{self, Explored};
use curium::kernel::{TaskCancelled, TaskGroup, yield_now};
use curium::sync::Lock;

/// Explores a group of `tasks` tasks that yield `steps` times each, so that each has one poll more.
fn schedules_of(tasks: usize, steps: usize) -> Explored {
    testing::explore().run(async || {
        TaskGroup::<TaskCancelled>::scope(async |g| {
            for _ in 0..tasks {
                g.spawn(async move {
                    for _ in 0..steps {
                        yield_now().await?;
                    }
                    Ok(())
                });
            }
            Ok(())
        })
        .await
    })
}

/// V2: n tasks of k polls have (n·k)! / (k!)ⁿ schedules.
#[test]
fn every_schedule_is_tried_once() {
    for (tasks, steps, schedules) in [(2, 1, 6), (3, 1, 90), (3, 2, 1_680), (4, 1, 2_520)] {
        let explored = schedules_of(tasks, steps);
        assert_eq!(explored.schedules, schedules, "{tasks} tasks, {steps} steps");
        assert!(explored.complete);
    }
}

async fn add_one(value: Rc<Lock<u32>>) -> Result<(), TaskCancelled> {
    let read = *value.acquire().await?;
    yield_now().await?; // computes something; the lock is free meanwhile
    *value.acquire().await? = read + 1;
    Ok(())
}

/// The second addition comes late enough, if tasks are polled in the order of the queue.
async fn two_additions() -> Result<(), TaskCancelled> {
    let value = Rc::new(Lock::new(0));
    let (first, second) = (value.clone(), value.clone());
    TaskGroup::<TaskCancelled>::scope(async |g| {
        g.spawn(add_one(first));
        g.spawn(async move {
            yield_now().await?;
            yield_now().await?;
            add_one(second).await
        });
        Ok(())
    })
    .await?;
    assert_eq!(*value.acquire().await?, 2, "an addition is lost");
    Ok(())
}

/// V2: a lock that is released between reading and writing.
#[test]
#[should_panic(expected = ".replay(\"0.0.1.1\")")]
fn a_gap_between_two_locks_is_found() {
    testing::explore().run(two_additions);
}
