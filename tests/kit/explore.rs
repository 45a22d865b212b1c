//! The exploration itself: how many schedules it tries, and which (V2).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use curium::kernel::testing::{self, Explore, Explored};
use curium::kernel::{TaskCancelled, TaskGroup, sleep, spawn, yield_now};

const MS: Duration = Duration::from_millis(1);

/// Explores a group of `tasks` tasks that yield `steps` times each, so that each has one poll more.
/// Main is polled before the first and after the last of these polls.
fn schedules_of(explore: Explore, tasks: usize, steps: usize) -> Explored {
    explore.run(async || {
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
        let explored = schedules_of(testing::explore(), tasks, steps);
        assert_eq!(explored.schedules, schedules, "{tasks} tasks, {steps} steps");
        assert!(explored.complete);
    }
}

/// V2: a program without a choice has one schedule, and then all are tried.
#[test]
fn a_program_of_one_task_has_one_schedule() {
    let explored = testing::explore().run(async || sleep(MS).await);
    assert_eq!((explored.schedules, explored.complete), (1, true));
}

/// The number of schedules of tasks with so many polls left each, in the order of the queue, that
/// take at most `delays` tasks out of turn.
fn count_delayed(queue: &[usize], delays: usize) -> usize {
    if queue.is_empty() {
        return 1;
    }
    let schedules = (0..queue.len().min(delays + 1)).map(|taken| {
        let mut next = queue.to_vec();
        match next.remove(taken) {
            1 => {}
            polls => next.push(polls - 1),
        }
        // Without a choice there is no delay.
        count_delayed(&next, delays - taken)
    });
    schedules.sum()
}

/// V2: a bound on the delays leaves schedules out, and the exploration says so. A bound that leaves
/// none out is no bound.
#[test]
fn delays_bound_the_schedules() {
    for (tasks, steps) in [(2, 1), (3, 1), (3, 2)] {
        let all = schedules_of(testing::explore(), tasks, steps).schedules;
        for delays in 0..5 {
            let explored = schedules_of(testing::explore().delays(delays), tasks, steps);
            let counted = count_delayed(&vec![steps + 1; tasks], delays);
            assert_eq!(explored.schedules, counted, "{tasks}, {steps}, {delays}");
            assert_eq!(explored.complete, counted == all, "{tasks}, {steps}, {delays}");
        }
        let enough = schedules_of(testing::explore().delays(100), tasks, steps);
        assert_eq!((enough.schedules, enough.complete), (all, true));
    }
}

/// The number of schedules of tasks with so many polls left each, if `cancels` more of them may be
/// cancelled between two polls. The next poll of a cancelled task is its last one.
fn count_cancelled(polls: &[(usize, bool)], cancels: usize) -> usize {
    if polls.iter().all(|(left, _)| *left == 0) {
        return 1;
    }
    let mut schedules = 0;
    for at in (0..polls.len()).filter(|at| polls[*at].0 > 0) {
        let mut next = polls.to_vec();
        next[at].0 -= 1;
        schedules += count_cancelled(&next, cancels);
        if cancels > 0 && !polls[at].1 {
            next[at] = (1, true);
            schedules += count_cancelled(&next, cancels - 1);
        }
    }
    schedules
}

/// V2, C2: with cancels, every moment between two polls is tried for every task that is not ended
/// and not cancelled yet.
#[test]
fn cancels_come_at_every_moment() {
    for (tasks, steps) in [(1, 0), (1, 3), (2, 1), (2, 2), (3, 1)] {
        for cancels in 0..3 {
            let explored = schedules_of(testing::explore().cancels(cancels), tasks, steps);
            let counted = count_cancelled(&vec![(steps + 1, false); tasks], cancels);
            assert_eq!(explored.schedules, counted, "{tasks}, {steps}, {cancels}");
            assert!(explored.complete);
        }
    }
}

/// V2: cancels are no delays.
#[test]
fn cancels_are_tried_within_a_bound_on_delays() {
    // Three polls in the order of the queue, with a cancel at none of four moments or at one.
    let explored = schedules_of(testing::explore().delays(0).cancels(1), 1, 2);
    assert_eq!((explored.schedules, explored.complete), (1 + 3, true));
}

/// V2: also while no task is ready, a parked task may be cancelled or time may pass.
#[test]
fn parked_tasks_are_cancelled_too() {
    let ends = RefCell::new(BTreeSet::new());
    let explored = testing::explore().cancels(1).run(async || {
        let task = spawn(sleep(MS));
        let end = task.join().await?;
        ends.borrow_mut().insert(end.is_ok());
        Ok::<_, TaskCancelled>(())
    });
    // Cancelled before its first poll, while it sleeps, after its sleep and before its last poll,
    // or not at all. The third of these is no error (C1).
    assert_eq!((explored.schedules, explored.complete), (4, true));
    assert_eq!(ends.into_inner().len(), 2);
}

/// V2: tasks whose timers are due together run in every order.
#[test]
fn tasks_whose_timers_are_due_together_run_in_every_order() {
    let orders = RefCell::new(BTreeSet::new());
    let explored = testing::explore().run(async || {
        let order = Rc::new(RefCell::new(Vec::new()));
        let tasks = [1, 2, 3].map(|number| {
            let order = order.clone();
            spawn(async move {
                let slept = sleep(MS).await;
                order.borrow_mut().push(number);
                slept
            })
        });
        sleep(2 * MS).await?;
        drop(tasks);
        orders.borrow_mut().insert(order.take());
        Ok::<_, TaskCancelled>(())
    });
    // Three tasks begin in any order, and go on in any order.
    assert_eq!((explored.schedules, explored.complete), (6 * 6, true));
    assert_eq!(orders.into_inner().len(), 6);
}

/// V2, K3: after a panic of a task the rest is tried in every order, too.
#[test]
fn a_panic_of_a_task_leaves_no_schedule_out() {
    let explored = testing::explore().run(async || {
        let panics = spawn::<_, ()>(async { panic!("as expected") });
        let yields = [(); 2].map(|()| spawn(yield_now()));
        sleep(MS).await?;
        assert!(panics.join().await?.is_err());
        assert!(yields.iter().all(|task| task.is_done()));
        Ok::<_, TaskCancelled>(())
    });
    // One poll of the first, and two of each of the others.
    assert_eq!((explored.schedules, explored.complete), (30, true));
}

/// V2: an exploration stops after a number of schedules, and is complete only if these were all.
#[test]
fn a_limit_on_schedules_stops_the_exploration() {
    let limited = |most: usize| schedules_of(testing::explore().at_most(most), 2, 1);
    for (most, schedules) in [(1, 1), (5, 5), (6, 6), (7, 6)] {
        let explored = limited(most);
        assert_eq!((explored.schedules, explored.complete), (schedules, most >= 6));
    }
}

/// V2: random priorities are tried for so many schedules, and are never a proof.
#[test]
fn random_priorities_are_never_complete() {
    for runs in [1, 20] {
        let explored = schedules_of(testing::explore().pct(2, runs).cancels(1), 2, 1);
        assert_eq!((explored.schedules, explored.complete), (runs, false));
    }
}
