//! Tasks that wait for each other through locks.

use std::cell::RefCell;
use std::rc::Rc;

use curium::kernel::insight::Verdict;
use curium::kernel::testing::settle;
use curium::kernel::{
    self, Kernel, Report, Task, TaskCancelled, ignore_after, sleep, spawn, yield_now,
};
use curium::sync::{Lock, RwLock, Semaphore};

use crate::support::reports::picked;
use crate::support::time::secs;

type Outcome<T = ()> = Result<T, TaskCancelled>;

/// Two tasks that take the same two locks in opposite orders.
fn crossed() -> [Task<(), TaskCancelled>; 2] {
    let locks = Rc::new([(); 2].map(|()| Lock::new(())));
    [0, 1].map(|first| {
        let locks = locks.clone();
        spawn(async move {
            let _one = locks[first].acquire().await?;
            yield_now().await?;
            locks[1 - first].acquire().await.map(drop)
        })
    })
}

/// M5: tasks that hold what each other waits for are told with the lines of both. While another
/// task runs, it may have been given a guard, and the verdict says so.
#[test]
fn tasks_that_hold_the_locks_of_each_other_are_a_circle() {
    kernel::testing::run(async || {
        let tasks = crossed();
        settle().await?;
        let told = kernel::wait_graph().verdicts();
        let [Verdict::Cycle { unless_moved: true, behind: 0, .. }] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(told[0].tasks(), tasks.each_ref().map(Task::id));
        let text = told[0].to_string();
        assert_eq!(text.matches("LOCK_ACQUIRE at ").count(), 2, "{text}");
        assert!(text.ends_with("; unless a guard was moved to another task"), "{text}");
        Outcome::Ok(())
    })
    .unwrap();
}

/// M5, K8: if every task is stuck, none can have been given a guard. Then the circle is certain.
#[test]
fn a_circle_of_locks_is_certain_once_no_other_task_runs() {
    let run = || {
        kernel::testing::run(async || {
            let [one, two] = crossed();
            one.await?;
            two.await
        })
    };
    let payload = std::panic::catch_unwind(run).expect_err("a deadlock");
    let text = payload.downcast_ref::<String>().expect("a message");
    assert!(text.contains("the verdicts:\n  deadlock: "), "{text}");
    assert!(text.contains("LOCK_ACQUIRE at ") && !text.contains("unless"), "{text}");
}

/// M5: a kernel that watches finds a circle of locks.
#[test]
fn a_watch_finds_a_circle_of_locks() {
    let of = |report: &Report<'_>| match report {
        Report::Verdict(verdict) => Some(verdict.to_string()),
        _ => None,
    };
    let ((), told) = picked(Kernel::builder().watch(), of, async || {
        let _tasks = crossed();
        for _ in 0..5 {
            sleep(secs(100)).await.unwrap();
        }
    });
    assert!(told.len() == 1 && told[0].starts_with("deadlock: "), "{told:?}");
}

/// M5: what another task may end although the holders do not go on is in no verdict: a wait for
/// permits, and a wait to read behind one to write that may give up.
#[test]
fn permits_and_reads_are_in_no_circle() {
    kernel::testing::run(async || {
        let permits = Rc::new([(); 2].map(|()| Semaphore::new(1)));
        let tasks = [0, 1].map(|first| {
            let permits = permits.clone();
            spawn(async move {
                let _one = permits[first].acquire().await?;
                yield_now().await?;
                permits[1 - first].acquire().await.map(drop)
            })
        });
        settle().await?;
        let graph = kernel::wait_graph();
        let holders: Vec<_> = graph.edges.iter().flat_map(|edge| edge.on.tasks()).collect();
        assert_eq!(holders, [&tasks[1].id(), &tasks[0].id()]);
        assert_eq!(kernel::wait_graph().verdicts(), []);
        permits[0].add_permits(1);
        for task in tasks {
            task.await?;
        }

        let lock = Rc::new(RwLock::new(()));
        let (theirs, late) = (lock.clone(), Rc::new(RefCell::new(None)));
        let joined = late.clone();
        let reader = spawn(async move {
            let _read = theirs.read().await?;
            yield_now().await?;
            let joined: Task<(), TaskCancelled> = joined.take().expect("it was spawned");
            joined.await
        });
        let theirs = lock.clone();
        let writer = spawn(async move {
            ignore_after(secs(5), async { theirs.write().await.map(drop) }).await.map(drop)
        });
        let theirs = lock.clone();
        *late.borrow_mut() = Some(spawn(async move { theirs.read().await.map(drop) }));
        settle().await?;
        assert_eq!(kernel::wait_graph().verdicts(), []);
        reader.await?;
        writer.await
    })
    .unwrap();
}
