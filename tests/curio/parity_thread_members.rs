//! What curio's tests of its async threads check. A thread that is a task is what its
//! `spawn_thread` makes, and `here.wait` is its `AWAIT`.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::rc::Rc;

use curium::fs;
use curium::kernel::testing;
use curium::kernel::{
    self, TaskCancelled, TaskEnd, TaskError, TaskGroup, check_cancellation, shield, sleep, spawn,
    spawn_thread,
};
use curium::sync::Lock;

use crate::support::time::{SECOND, secs};

curium::task_local! {
    static LOCK: Rc<Lock<u32>>;
}

/// R2: synchronous code sleeps on the kernel, and its value comes by the join.
#[test]
fn a_thread_runs_async_code_and_is_joined() {
    testing::run(async || {
        let begun = kernel::now();
        let thread = spawn_thread(|here| {
            here.wait(|| sleep(SECOND))??;
            Ok::<_, TaskCancelled>("well")
        });
        assert_eq!(thread.await?, "well");
        assert_eq!(kernel::now() - begun, SECOND);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2: the thread gets the value and the error of a task that it starts and awaits.
#[test]
fn a_thread_gets_the_value_and_the_error_of_a_task() {
    testing::run(async || {
        let thread = spawn_thread(|here| {
            let seven = here.wait(|| async {
                let sum = spawn(async { Ok::<_, TaskCancelled>(3 + 4) });
                sum.await
            })??;
            let failed =
                here.wait(|| async { spawn(async { Err::<(), _>("no") }).join().await })??;
            Ok::<_, TaskCancelled>((seven, failed))
        });
        let (seven, failed) = thread.await?;
        assert_eq!(seven, 7);
        assert!(matches!(failed, Err(TaskError::Failed("no"))), "{failed:?}");
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, C4: the thread is cancelled where it waits, and may go on.
#[test]
fn a_thread_handles_its_cancellation() {
    testing::run(async || {
        let thread = spawn_thread(|here| {
            let cancelled = here.wait(|| sleep(secs(3600)))?.is_err();
            here.wait(|| sleep(SECOND))??;
            Ok::<_, TaskCancelled>(cancelled)
        });
        testing::settle().await?;
        thread.cancel().await?;
        assert_eq!(thread.end(), Some(TaskEnd::Ok));
        assert!(thread.await?);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, Y2: the thread waits for the lock that a task holds.
#[test]
fn a_thread_takes_a_lock_of_tasks() {
    testing::run(async || {
        let lock = Rc::new(Lock::new(0));
        LOCK.scope(lock.clone(), async {
            let mut held = lock.acquire().await?;
            let thread = spawn_thread(|here| {
                here.wait(|| async {
                    let lock = LOCK.get();
                    let mut value = lock.acquire().await?;
                    *value *= 2;
                    Ok::<_, TaskCancelled>(*value)
                })?
            });
            testing::settle().await?;
            *held = 7;
            assert!(!thread.is_done());
            drop(held);
            assert_eq!(thread.await?, 14);
            Ok::<_, TaskCancelled>(())
        })
        .await
    })
    .unwrap();
}

/// R2, C7: in a shield the thread sees that it is cancelled, and the error comes after the shield.
#[test]
fn a_thread_may_shield_its_waits() {
    testing::run(async || {
        let thread = spawn_thread(|here| {
            let pending = here.wait(|| {
                shield(async {
                    sleep(secs(5)).await?;
                    Ok::<_, TaskCancelled>(check_cancellation().is_some())
                })
            })??;
            assert!(pending);
            here.wait(|| sleep(SECOND))?
        });
        testing::settle().await?;
        thread.cancel().await?;
        assert_eq!(thread.end(), Some(TaskEnd::Cancelled));
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, G6: the thread uses a group, and gets the members in the order in which they end.
#[test]
fn a_thread_uses_a_group() {
    testing::run(async || {
        let thread = spawn_thread(|here| {
            here.wait(|| async {
                let group = TaskGroup::<TaskCancelled>::new();
                let after = async |seconds| sleep(secs(seconds)).await.map(|()| seconds);
                let ids = [3, 1, 2].map(|seconds| group.spawn(after(seconds)).id());
                let mut order = Vec::new();
                while let Some(ended) = group.next_done().await? {
                    order.push(ids.iter().position(|id| *id == ended.id).expect("a member"));
                }
                group.join().await?;
                Ok::<_, TaskCancelled>(order)
            })?
        });
        assert_eq!(thread.await?, [1, 2, 0]);
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// R2, O3: the thread reads an asynchronous file, and gets what a plain read gives.
#[test]
fn a_thread_reads_a_file() {
    testing::run(async || {
        const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let thread = spawn_thread(|here| here.wait(|| fs::read_to_string(PATH))?);
        assert_eq!(thread.await?, std::fs::read_to_string(PATH)?);
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
}
