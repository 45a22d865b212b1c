//! Tasks that wait for a lock which they have themselves.

use std::cell::RefCell;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::rc::Rc;

use curium::kernel::insight::Verdict;
use curium::kernel::testing::settle;
use curium::kernel::{
    self, Kernel, Report, Task, TaskCancelled, ignore_after, sleep, spawn_named, yield_now,
};
use curium::select;
use curium::sync::{Lock, RLock, RwLock, Semaphore};
use futures::future::{join, select};
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::reports::picked;
use crate::support::time::secs;

type Outcome<T = ()> = Result<T, TaskCancelled>;

/// Waits for the lock in a future that it keeps, and after a second for the same lock in another.
fn keeper(lock: &Rc<Lock<()>>) -> Task<(), TaskCancelled> {
    let lock = lock.clone();
    spawn_named("keeper", async move {
        let mut kept = pin!(lock.acquire());
        select! {
            guard = kept.as_mut() => guard.map(drop),
            slept = sleep(secs(1)) => {
                slept?;
                lock.acquire().await.map(drop)
            }
        }
    })
}

/// The text of a futurelock of that task, and the line of the wait that was handed the lock.
fn futurelock(task: &Task<(), TaskCancelled>) -> (String, &'static Location<'static>) {
    let told = kernel::wait_graph().verdicts();
    let [Verdict::Futurelock { wait, granted, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!(wait.task, task.id());
    (told[0].to_string(), *granted)
}

/// M5: a lock is handed to a future that its task keeps and does not poll, because it waits for the
/// same lock in another. Both lines are told, before and after the hand-over the holder.
#[test]
fn a_lock_that_is_handed_to_a_future_which_is_not_polled_is_a_futurelock() {
    kernel::testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await?;
        let task = keeper(&lock);
        sleep(secs(5)).await?;
        assert_eq!(kernel::wait_graph().verdicts(), [], "it is held by this task");
        drop(guard);
        assert_eq!(kernel::wait_graph().verdicts(), [], "the task will be polled");
        settle().await?;
        let (text, granted) = futurelock(&task);
        let start = format!("futurelock: {} keeper, LOCK_ACQUIRE at ", task.id());
        let end = format!(
            "was handed to its wait at {granted}; the task does not poll that wait any more; \
             unless that wait was moved to another task"
        );
        assert!(text.starts_with(&start) && text.ends_with(&end), "{text}");
        assert_eq!(text.matches("futurelocks.rs:").count(), 2, "{text}");
        let tree = kernel::snapshot().to_string();
        let target = format!("handed to {} keeper for its wait at {granted}", task.id());
        assert!(tree.contains("\n(!) futurelock: ") && tree.contains(&target), "{tree}");

        // Only a cancellation ends it. The lock is free then.
        task.cancel().await?;
        assert!(!lock.is_held() && lock.try_acquire().is_some());
        Outcome::Ok(())
    })
    .unwrap();
}

/// M5, K8: if no other task runs, the wait cannot have been moved.
#[test]
fn a_futurelock_is_certain_once_no_other_task_runs() {
    let run = || {
        kernel::testing::run(async || {
            let lock = Rc::new(Lock::new(()));
            let guard = lock.acquire().await?;
            let task = keeper(&lock);
            sleep(secs(2)).await?;
            drop(guard);
            task.await
        })
    };
    let payload = std::panic::catch_unwind(run).expect_err("a deadlock");
    let text = payload.downcast_ref::<String>().expect("a message");
    assert!(text.contains("the verdicts:\n  futurelock: ") && !text.contains("unless"), "{text}");
    assert!(text.contains("1 more task waits for these"), "{text}");
}

/// M5: a kernel that watches finds a futurelock, and tells it once.
#[test]
fn a_watch_finds_a_futurelock() {
    let of = |report: &Report<'_>| match report {
        Report::Verdict(verdict) => Some(verdict.to_string()),
        _ => None,
    };
    let ((), told) = picked(Kernel::builder().watch(), of, async || {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await.unwrap();
        let _task = keeper(&lock);
        sleep(secs(2)).await.unwrap();
        drop(guard);
        for _ in 0..5 {
            sleep(secs(100)).await.unwrap();
        }
    });
    assert!(told.len() == 1 && told[0].starts_with("futurelock: "), "{told:?}");
}

/// M4, M5: the futures of a `FuturesUnordered` are not polled while the body of the loop waits. One
/// that was handed the lock there has it.
#[test]
fn a_stream_of_futures_that_is_not_polled_is_a_futurelock() {
    kernel::testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await?;
        let theirs = lock.clone();
        let task = spawn_named("loop", async move {
            let waits = async || theirs.acquire().await.map(drop);
            let soon = async || sleep(secs(1)).await;
            let mut all = FuturesUnordered::new();
            all.push(futures::future::Either::Left(waits()));
            all.push(futures::future::Either::Right(soon()));
            while let Some(ended) = all.next().await {
                ended?;
                theirs.acquire().await.map(drop)?;
            }
            Ok(())
        });
        sleep(secs(2)).await?;
        drop(guard);
        settle().await?;
        assert_eq!(lock.statistics().holder, Some(task.id()));
        let (text, granted) = futurelock(&task);
        assert!(text.contains(&format!("its wait at {granted};")), "{text}");
        task.cancel().await
    })
    .unwrap();
}

/// M5: a task that holds a lock through a guard, and waits for it again.
#[test]
fn a_task_that_waits_for_a_lock_that_it_holds_is_a_circle() {
    kernel::testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let theirs = lock.clone();
        let again = spawn_named("again", async move {
            let _guard = theirs.acquire().await?;
            theirs.acquire().await.map(drop)
        });
        // In another arm: the one that holds it waits for the other.
        let locks = Rc::new([(); 2].map(|()| Lock::new(())));
        let arms = spawn_named("arms", async move {
            let one = async {
                let _guard = locks[0].acquire().await?;
                yield_now().await?;
                locks[1].acquire().await.map(drop)
            };
            let two = async {
                let _guard = locks[1].acquire().await?;
                yield_now().await?;
                locks[0].acquire().await.map(drop)
            };
            let (one, two): (Outcome, Outcome) = join(one, two).await;
            one.and(two)
        });
        settle().await?;
        let told = kernel::wait_graph().verdicts();
        assert_eq!(
            told.iter().flat_map(Verdict::tasks).collect::<Vec<_>>(),
            [again.id(), arms.id()]
        );
        for verdict in told {
            assert!(matches!(verdict, Verdict::Cycle { .. }), "{verdict:?}");
            let text = verdict.to_string();
            assert!(text.contains(", waits for a lock that it holds itself; unless"), "{text}");
        }
        again.cancel().await?;
        arms.cancel().await
    })
    .unwrap();
}

/// M5: a circle of several tasks names the wait that has the lock and is not polled.
#[test]
fn a_circle_through_a_wait_that_is_not_polled_says_so() {
    kernel::testing::run(async || {
        let locks = Rc::new([(); 2].map(|()| Lock::new(())));
        let guard = locks[0].acquire().await?;
        let theirs = locks.clone();
        let one = spawn_named("one", async move {
            let mut kept = pin!(theirs[0].acquire());
            select(kept.as_mut(), pin!(sleep(secs(1)))).await;
            theirs[1].acquire().await.map(drop)
        });
        let theirs = locks.clone();
        let two = spawn_named("two", async move {
            let _guard = theirs[1].acquire().await?;
            theirs[0].acquire().await.map(drop)
        });
        sleep(secs(2)).await?;
        drop(guard);
        settle().await?;
        let told = kernel::wait_graph().verdicts();
        let [Verdict::Cycle { waits, .. }] = &told[..] else { panic!("{told:?}") };
        assert_eq!(told[0].tasks(), [one.id(), two.id()]);
        let (text, kept) = (told[0].to_string(), waits[1].unpolled.expect("the kept wait"));
        let way =
            format!(", waits for the wait at {kept}, which is not polled, of {} one", one.id());
        assert!(text.contains(&way) && waits[0].unpolled.is_none(), "{text}");
        one.cancel().await?;
        two.cancel().await
    })
    .unwrap();
}

/// M5: the same with the other locks. A wait for permits is in no verdict, but shows who has them.
#[test]
fn the_other_locks_have_futurelocks_too() {
    /// A task that keeps the future of one wait and waits in another.
    macro_rules! keeper {
        ($lock:expr, $wait:ident) => {{
            let theirs = $lock.clone();
            spawn_named("keeper", async move {
                let mut kept = pin!(theirs.$wait());
                select(kept.as_mut(), pin!(sleep(secs(1)))).await;
                theirs.$wait().await.map(drop)
            })
        }};
    }
    kernel::testing::run(async || {
        let (re, rw) = (Rc::new(RLock::new(())), Rc::new(RwLock::new(())));
        let guards = (re.acquire().await?, rw.write().await?);
        let tasks = [keeper!(re, acquire), keeper!(rw, write)];
        let permits = Rc::new(Semaphore::new(1));
        let held = permits.acquire().await?;
        let last = keeper!(permits, acquire);
        sleep(secs(2)).await?;
        drop((guards, held));
        settle().await?;
        let told = kernel::wait_graph().verdicts();
        assert!(told.iter().all(|it| matches!(it, Verdict::Futurelock { .. })), "{told:?}");
        let ids: Vec<_> = told.iter().flat_map(Verdict::tasks).collect();
        assert_eq!(ids, tasks.each_ref().map(Task::id));
        let graph = kernel::wait_graph().to_string();
        let line = format!("handed to {} keeper for its wait at ", last.id());
        assert!(graph.contains(&line), "{graph}");
        permits.add_permits(1);
        last.await?;
        for task in tasks {
            task.cancel().await?;
        }
        Ok::<_, TaskCancelled>(())
    })
    .unwrap();
}

/// M5: a futurelock that ends by itself is none: the wait is in a timeout that ends it, the task
/// has another leaf, or it drops the wait.
#[test]
fn a_wait_that_is_polled_again_is_no_futurelock() {
    kernel::testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await?;
        let tasks = [0, 1, 2].map(|how| {
            let lock = Rc::new(Lock::new(()));
            let theirs = lock.clone();
            let holder = spawn_named("holder", async move {
                let _guard = theirs.acquire().await?;
                sleep(secs(2)).await
            });
            let task = spawn_named("task", async move {
                yield_now().await?;
                let mut kept = Box::pin(lock.acquire());
                select(kept.as_mut(), pin!(sleep(secs(1)))).await;
                match how {
                    0 => ignore_after(secs(5), lock.acquire()).await.map(drop)?,
                    1 => drop(select(pin!(lock.acquire()), pin!(sleep(secs(5)))).await),
                    _ => {
                        sleep(secs(5)).await?;
                        drop(kept);
                        return lock.acquire().await.map(drop);
                    }
                }
                kept.await.map(drop)
            });
            (holder, task)
        });
        for _ in 0..8 {
            settle().await?;
            assert_eq!(kernel::wait_graph().verdicts(), []);
            sleep(secs(1)).await?;
        }
        drop(guard);
        for (holder, task) in tasks {
            holder.await?;
            task.await?;
        }
        Outcome::Ok(())
    })
    .unwrap();
}

/// M4, M5: a child of a borrowing scope holds a lock. Its parent waits for the lock, and so does
/// not poll the scope.
#[test]
fn a_scope_that_is_not_polled_holds_what_its_children_hold() {
    kernel::testing::run(async || {
        let lock = Rc::new(Lock::new(()));
        let theirs = lock.clone();
        let parent = spawn_named("parent", async move {
            let held = &theirs;
            let scope = kernel::scope(async |s| {
                s.spawn(async move {
                    let _guard = held.acquire().await?;
                    sleep(secs(2)).await
                });
                Outcome::Ok(())
            });
            let kept = pin!(scope);
            select(kept, pin!(sleep(secs(1)))).await;
            theirs.acquire().await.map(drop)
        });
        sleep(secs(1)).await?;
        settle().await?;
        assert_eq!(kernel::wait_graph().verdicts(), [], "the child sleeps");
        sleep(secs(5)).await?;
        let told = kernel::wait_graph().verdicts();
        let [Verdict::Cycle { waits, unless_moved: true, .. }] = &told[..] else {
            panic!("{told:?} {}", kernel::snapshot())
        };
        let kinds: Vec<_> = waits.iter().map(|wait| wait.kind).collect();
        assert_eq!((waits[0].task, &kinds[..]), (parent.id(), &["LOCK_ACQUIRE", "UNPOLLED"][..]));
        let tree = kernel::snapshot().to_string();
        assert!(tree.contains(&format!("→ a poll by {} parent", parent.id())), "{tree}");
        let graph = kernel::wait_graph();
        assert!(kernel::are_unpolled(&graph.evidence()));
        parent.cancel().await?;
        assert!(!kernel::are_unpolled(&graph.evidence()) && !lock.is_held());
        Outcome::Ok(())
    })
    .unwrap();
}

type Boxed = Pin<Box<dyn Future<Output = Outcome>>>;

/// M5: a scope that its task does not poll may have been moved to another task, which polls it.
#[test]
fn a_circle_through_a_scope_that_is_not_polled_holds_unless_it_was_moved() {
    kernel::testing::run(async || {
        let kept: Rc<RefCell<Option<Boxed>>> = Rc::default();
        let (shared, slot) = (kept.clone(), Rc::new(RefCell::new(None)));
        let parent = spawn_named("parent", async move {
            let child = slot.clone();
            let mut scope = Box::pin(kernel::scope(async move |s| {
                *slot.borrow_mut() = Some(s.spawn(sleep(secs(2))));
                Outcome::Ok(())
            }));
            select(scope.as_mut(), pin!(sleep(secs(1)))).await;
            *shared.borrow_mut() = Some(scope);
            let child = child.take().expect("the scope has begun");
            spawn_named("waits", async move { child.wait().await }).await
        });
        sleep(secs(5)).await?;
        let told = kernel::wait_graph().verdicts();
        let [Verdict::Cycle { waits, unless_moved: true, .. }] = &told[..] else {
            panic!("{told:?} {}", kernel::snapshot())
        };
        assert!(waits.iter().any(|wait| wait.kind == "UNPOLLED"), "{waits:?}");
        let text = told[0].to_string();
        assert!(text.ends_with("; unless a scope was moved to another task"), "{text}");
        // It was, to this task.
        let moved = kept.take().expect("the parent has put it there");
        moved.await?;
        parent.await
    })
    .unwrap();
}
