//! Waiting for tasks and cancelling them, swept.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use curium::kernel::testing;
use curium::kernel::{Task, TaskCancelled, TaskEnd, TaskError, sleep, spawn};

use super::checks::{Among, MS, aborts, assert_tried, shuts_down, undisturbed};

/// Tasks that end one after the other, and the outcomes that the subject took.
struct Targets {
    tasks: Vec<Task<u32, io::Error>>,
    taken: RefCell<Vec<usize>>,
}

impl Targets {
    fn new() -> Self {
        let target = |at: u32| async move {
            sleep(at * MS).await?;
            match at {
                4 => Err(io::Error::other("the fourth fails")),
                at => Ok(at),
            }
        };
        let tasks = (1..=4).map(|at| spawn(target(at))).collect();
        Targets { tasks, taken: RefCell::default() }
    }

    fn take(&self, at: usize) {
        self.taken.borrow_mut().push(at);
    }
}

async fn take_the_outcomes(targets: Rc<Among<Targets>>) -> io::Result<()> {
    targets.tasks[0].wait().await?;
    assert!(targets.tasks[0].is_done());
    let second = targets.tasks[1].join().await?;
    targets.take(1);
    assert!(second.is_err() || matches!(second, Ok(2)));
    let third = (&targets.tasks[2]).await;
    if let Ok(3) = third {
        targets.take(2);
    }
    third?;
    let fourth = targets.tasks[3].join().await?;
    targets.take(3);
    assert!(matches!(fourth, Err(TaskError::Failed(_) | TaskError::Cancelled(_))));
    Ok(())
}

/// V4, C19, T6: a wait for a task that is cancelled or dropped leaves the task alone. Its outcome
/// is taken once, by the subject or after it, and other waiters are woken.
#[test]
fn the_outcome_of_a_task_outlives_a_cancelled_join() {
    let setup = async || {
        let waits = async |targets: Rc<Targets>| {
            for target in &targets.tasks {
                target.wait().await?;
            }
            Ok(())
        };
        Among::new(Targets::new()).and(waits).and(waits)
    };
    let swept = testing::sweep().seeds(0..8).run(setup, take_the_outcomes, async |targets, run| {
        targets.others_end(run).await;
        let taken = targets.taken.take();
        assert!(!undisturbed(run) || taken == [1, 2, 3]);
        for (at, target) in targets.tasks.iter().enumerate() {
            let outcome = target.join().await.unwrap();
            let is_right = match (at, &outcome) {
                (_, Err(TaskError::Taken)) => taken.contains(&at) || shuts_down(run),
                (_, Err(TaskError::Cancelled(_))) => shuts_down(run),
                (3, Err(TaskError::Failed(_))) => !taken.contains(&3),
                (_, Ok(value)) => !taken.contains(&at) && *value == at as u32 + 1,
                _ => false,
            };
            assert!(is_right, "task {at} has {outcome:?}, and {taken:?} were taken");
        }
    });
    assert_tried(&swept, &["WAIT", "JOIN"], 28, 360);
}

/// A task whose cleanup takes two milliseconds.
struct Cleaner {
    task: Task<(), TaskCancelled>,
    cleaned: Rc<Cell<bool>>,
}

impl Cleaner {
    fn new() -> Self {
        let cleaned = Rc::new(Cell::new(false));
        let done = cleaned.clone();
        let task = spawn(async move {
            let slept = sleep(1000 * MS).await;
            sleep(2 * MS).await?;
            done.set(true);
            slept
        });
        Cleaner { task, cleaned }
    }

    /// The task ends cancelled and cleaned up.
    async fn ends_clean(&self) {
        self.task.cancel().await.unwrap();
        assert_eq!(self.task.end(), Some(TaskEnd::Cancelled));
        assert!(self.cleaned.get());
    }
}

/// V4, C5: when `cancel` ends well, its target has cleaned up. A `cancel` that is itself cancelled
/// or dropped abandons the wait: its target cleans up all the same.
#[test]
fn a_cancelled_cancel_leaves_the_cleanup_of_its_target_alone() {
    let setup = async || {
        Among::new([Cleaner::new(), Cleaner::new()])
            .and(async |targets: Rc<[Cleaner; 2]>| targets[1].task.wait().await)
            .and(async |targets: Rc<[Cleaner; 2]>| {
                sleep(MS).await?;
                targets[0].task.cancel().await
            })
    };
    let subject = |targets: Rc<Among<[Cleaner; 2]>>| async move {
        for target in &**targets {
            target.task.cancel().await?;
            assert!(target.cleaned.get() && target.task.is_done());
        }
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().seeds(0..8).run(setup, subject, async |targets, run| {
        undisturbed(run);
        targets[0].ends_clean().await;
        let requested = run.injected.iter().all(|done| done.suspension > 1);
        if !requested && !shuts_down(run) {
            // Without this the target would sleep on.
            targets[1].task.request_cancel();
        }
        targets.others_end(run).await;
        targets[1].ends_clean().await;
    });
    assert_tried(&swept, &["CANCEL"], 14, 200);
}

/// V4, C10: a grace ends in an abort. If the subject is cancelled or dropped within the grace, the
/// request stays in force and the target cleans up.
#[test]
fn a_cancel_with_a_grace_ends_its_target_on_every_path() {
    let setup = async || Among::new([Cleaner::new(), Cleaner::new()]);
    let subject = |targets: Rc<Among<[Cleaner; 2]>>| async move {
        targets[0].task.cancel_within(MS).await?;
        assert_eq!(targets[0].task.end(), Some(TaskEnd::Aborted));
        targets[1].task.cancel_within(3 * MS).await?;
        assert!(targets[1].cleaned.get());
        Ok::<_, TaskCancelled>(())
    };
    let swept = testing::sweep().pairs().seeds(0..8).run(setup, subject, async |targets, run| {
        undisturbed(run);
        let begun = !(aborts(run) && run.injected[0].suspension == 0);
        if begun {
            targets[0].task.wait().await.unwrap();
        }
        for target in &**targets {
            target.task.cancel().await.unwrap();
            let aborted = target.task.end() == Some(TaskEnd::Aborted);
            assert_ne!(aborted, target.cleaned.get());
        }
        assert!(targets[1].cleaned.get());
    });
    assert_tried(&swept, &["CANCEL"], 14, 200);
}
