//! Which child is polled when (S2): wakes, order, budget, and foreign wakers.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use curium::prelude::*;
use curium::{TaskId, current_task_id, testing};
use futures::future::join;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::support::log::Log;
use crate::support::time::secs;

/// S2: of ten thousand children, one is woken from another thread: it is polled, and no other.
#[test]
fn a_wake_polls_one_child_of_ten_thousand() {
    const CHILDREN: usize = 10_000;
    run(async || {
        let polls = Cell::new(0);
        let wakers = RefCell::new(Vec::new());
        let woken = Cell::new(false);
        scope(async |s| {
            for number in 0..CHILDREN {
                let (polls, wakers, woken) = (&polls, &wakers, &woken);
                s.spawn(async move {
                    let mut first = true;
                    poll_fn(|cx| {
                        polls.set(polls.get() + 1);
                        if !std::mem::replace(&mut first, false) {
                            woken.set(number == CHILDREN / 2);
                            return Poll::Ready(());
                        }
                        wakers.borrow_mut().push(cx.waker().clone());
                        Poll::Pending
                    })
                    .await;
                    Ok(())
                });
            }
            while wakers.borrow().len() < CHILDREN {
                yield_now().await?;
            }
            assert_eq!(polls.get(), CHILDREN);
            let waker = wakers.borrow()[CHILDREN / 2].clone();
            thread::spawn(move || waker.wake()).join().unwrap();
            while polls.get() == CHILDREN {
                yield_now().await?;
            }
            assert_eq!(polls.get(), CHILDREN + 1);
            assert!(woken.get());
            wakers.take().into_iter().for_each(|waker| waker.wake());
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(polls.get(), 2 * CHILDREN);
    });
}

/// S2, K1: children run in the order in which they became ready.
#[test]
fn children_run_first_come_first_served() {
    testing::run(async || {
        let log = Log::default();
        scope(async |s| {
            for name in ["a", "b", "c"] {
                let log = &log;
                s.spawn(async move {
                    for turn in 1..=2 {
                        log.push(format!("{name}{turn}"));
                        yield_now().await?;
                    }
                    Ok(())
                });
            }
            log.push("body");
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(log.take(), ["body", "a1", "b1", "c1", "a2", "b2", "c2"]);
    });
}

/// S2, K2: children that yield, or complete operations at once, for ever hold up no other task.
#[test]
fn busy_children_starve_nobody() {
    testing::run(async || {
        let set = Event::new();
        set.set();
        let ended = timeout_after(
            secs(1),
            scope(async |s| {
                for _ in 0..200 {
                    s.spawn(yields());
                    s.spawn(waits(&set));
                }
                let quiet = spawn(async {
                    for _ in 0..3 {
                        yield_now().await?;
                    }
                    Ok::<_, TaskCancelled>(())
                });
                quiet.await?;
                Err::<(), _>(Failure("the body"))
            }),
        );
        assert_eq!(ended.await.unwrap().unwrap_err().0, "the body");
    });
}

/// Yields for ever.
async fn yields() -> Result<(), Failure> {
    loop {
        yield_now().await?;
    }
}

/// Waits for an event that is set, for ever.
async fn waits(set: &Event) -> Result<(), Failure> {
    loop {
        set.wait().await?;
    }
}

/// An error of the tests' own.
#[derive(Debug)]
struct Failure(&'static str);

impl From<TaskCancelled> for Failure {
    fn from(_: TaskCancelled) -> Self {
        Failure("cancelled")
    }
}

/// S2: a scope works inside combinators that have wakers of their own.
#[test]
fn a_scope_runs_under_a_foreign_waker() {
    testing::run(async || {
        let sum = Cell::new(0);
        let part = async |n| {
            scope(async |s| {
                for k in 0..n {
                    let sum = &sum;
                    s.spawn(async move {
                        sleep(secs(k)).await?;
                        yield_now().await?;
                        sum.set(sum.get() + 1);
                        Ok(())
                    });
                }
                Ok::<_, TaskCancelled>(())
            })
            .await
        };
        let (one, two) = join(part(2), part(3)).await;
        assert_eq!((one, two, sum.take()), (Ok(()), Ok(()), 5));
        let mut parts: FuturesUnordered<_> = (1..=4).map(part).collect();
        while let Some(ended) = parts.next().await {
            ended.unwrap();
        }
        drop(parts);
        assert_eq!(sum.take(), 10);
    });
}

/// S2, Y2: children queue for a lock beside tasks, in order of arrival.
#[test]
fn children_queue_with_tasks() {
    testing::run(async || {
        let lock = Rc::new(Lock::new(Log::default()));
        scope(async |s| {
            let guard = lock.acquire().await?;
            let theirs = lock.clone();
            s.spawn(async {
                lock.acquire().await?.push("child");
                Ok(())
            });
            yield_now().await?;
            spawn(async move {
                theirs.acquire().await?.push("task");
                Ok::<_, TaskCancelled>(())
            });
            yield_now().await?;
            s.spawn(async {
                lock.acquire().await?.push("young child");
                Ok(())
            });
            yield_now().await?;
            drop(guard);
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        let log = lock.acquire().await.unwrap().clone();
        assert_eq!(log.take(), ["child", "task", "young child"]);
    });
}

/// K8: a deadlock among children is found, and the report lists them.
#[test]
#[should_panic(expected = "a_deadlock_of_children_is_found")]
fn a_deadlock_of_children_is_found() {
    testing::run(async || {
        let never = Event::new();
        scope(async |s| {
            s.spawn(async { never.wait().await });
            Ok::<_, TaskCancelled>(())
        })
        .await
    })
    .unwrap();
}

/// Notes the task in which it is dropped.
struct Noting<'a>(&'a Cell<Option<TaskId>>);

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        self.0.set(current_task_id());
    }
}

/// S2: a value that no handle can take is dropped by the child that has returned it, and not by the
/// task that polls the child.
#[test]
fn a_value_that_no_handle_takes_is_dropped_in_its_child() {
    testing::run(async || {
        let (child, dropped_in) = (Cell::new(None), Cell::new(None));
        scope(async |s| {
            s.spawn(async {
                child.set(current_task_id());
                yield_now().await?;
                Ok(Noting(&dropped_in))
            });
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        assert!(child.get().is_some() && child.get() != current_task_id());
        assert_eq!(dropped_in.get(), child.get());
    });
}

/// A waker that notes the tasks in which it is called.
#[derive(Default)]
struct NotingWaker(Mutex<Vec<Option<TaskId>>>);

impl Wake for NotingWaker {
    fn wake(self: Arc<Self>) {
        self.0.lock().unwrap().push(current_task_id());
    }
}

/// S2: children that end one after the other in one poll wake what waits for the scope as the task
/// that polls them.
#[test]
fn the_end_of_the_last_child_calls_a_waker_as_the_host() {
    testing::run(async || {
        let noting = Arc::new(NotingWaker::default());
        let waker = Waker::from(noting.clone());
        let mut work = pin!(scope(async |s| {
            (0..3).for_each(|_| drop(s.spawn(yield_now())));
            Ok::<_, TaskCancelled>(())
        }));
        let polled = poll_fn(|own| {
            own.waker().wake_by_ref();
            work.as_mut().poll(&mut Context::from_waker(&waker))
        });
        polled.await.unwrap();
        let woken_in = noting.0.lock().unwrap();
        assert!(!woken_in.is_empty());
        assert!(woken_in.iter().all(|task| *task == current_task_id()), "{woken_in:?}");
    });
}
