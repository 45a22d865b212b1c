//! What begins or asks inside a timeout that is not open, and such a timeout that moves: no rule
//! tells it from one that is open from its first poll (T1, T3, T4, C5, C7, C13, K9).

use std::cell::{Cell, RefCell};
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use kernel::{
    CancelScope, Kernel, TaskCancelled, TaskGroup, check_cancellation, gather, shield, shield_for,
    sleep, spawn, tasks, testing, timeout_after, unless_cancelled, yield_now,
};

use crate::support::time::secs;

fn well<T>(value: T) -> impl Future<Output = Result<T, TaskCancelled>> {
    ready(Ok(value))
}

/// A task that is spawned in a timeout is not inside it. `tasks()` and `current_task()` show the
/// nearest deadline of the task that calls them, whether or not its timeouts are open.
#[test]
fn what_asks_about_tasks_in_a_timeout_sees_its_deadline() {
    testing::run(async || {
        let started = kernel::now();
        let ends = |seconds| Some(started + secs(seconds));
        let of_me = || {
            let me = kernel::current_task();
            let listed = tasks().into_iter().find(|task| task.id == me.id).unwrap();
            assert_eq!(listed.deadline, me.deadline);
            me.deadline
        };
        let body = async {
            assert_eq!(of_me(), ends(5));
            let inner = timeout_after(secs(2), async { Ok::<_, TaskCancelled>(of_me()) });
            assert_eq!(inner.await, Ok(Ok(ends(2))));
            let beside = timeout_after(secs(9), async {
                let spawned = spawn(async { sleep(secs(3)).await });
                assert_eq!(of_me(), ends(5));
                Ok::<_, TaskCancelled>(spawned)
            });
            let spawned = beside.await.unwrap().unwrap();
            yield_now().await?;
            let shown = tasks().into_iter().find(|task| task.id == spawned.id()).unwrap();
            assert_eq!(shown.deadline, None);
            spawned.await
        };
        assert_eq!(timeout_after(secs(5), body).await, Ok(Ok(())));
        assert_eq!(of_me(), None);
    });
}

/// Parked tasks show the nearest deadline of the timeouts that they are parked in.
#[test]
fn a_task_that_is_parked_in_timeouts_shows_the_nearest_deadline() {
    testing::run(async || {
        for [outer, inner] in [[4, 6], [6, 4], [5, 5]].map(|limits| limits.map(secs)) {
            let started = kernel::now();
            let parked = spawn(
                timeout_after(outer, async move {
                    timeout_after(inner, sleep(secs(3))).await.unwrap()?;
                    sleep(secs(1)).await
                })
                .map(Result::unwrap),
            );
            testing::settle().await.unwrap();
            let shown = || tasks().into_iter().find(|task| task.id == parked.id()).unwrap();
            assert_eq!(shown().deadline, Some(started + outer.min(inner)));
            testing::advance(secs(3)).await.unwrap();
            assert_eq!(shown().deadline, Some(started + outer));
            parked.cancel().await.unwrap();
        }
    });
}

/// C5: a task that cancels itself in a timeout gets the error at once, and the timeout passes it
/// on.
#[test]
fn a_task_that_cancels_itself_in_a_timeout_is_not_timed_out() {
    testing::run(async || {
        let own = Rc::new(RefCell::new(None));
        let theirs = own.clone();
        let task = Rc::new(spawn(async move {
            testing::settle().await?;
            let me: Rc<kernel::Task<(), TaskCancelled>> = theirs.take().unwrap();
            let timed = timeout_after(secs(5), shield(timeout_after(secs(4), me.cancel())));
            timed.await.expect("not a timeout").expect("not a timeout")
        }));
        *own.borrow_mut() = Some(task.clone());
        testing::advance(secs(1)).await.unwrap();
        assert!(task.is_done());
        assert_eq!(task.end(), Some(kernel::TaskEnd::Cancelled));
    });
}

/// C7, T1: shields, cancel scopes and groups that begin in a timeout are inside it.
#[test]
fn what_begins_in_a_timeout_is_inside_it() {
    testing::run(async || {
        let started = kernel::now();
        let elapsed = || (kernel::now() - started).as_secs();
        // A shield holds the expiry back.
        let shielded = timeout_after(secs(1), async {
            shield(sleep(secs(2))).await?;
            assert_eq!(shield_for(secs(9), well(1)).await, Ok(1));
            sleep(secs(9)).await
        });
        assert_eq!((shielded.await.is_err(), elapsed()), (true, 2));
        let scope = CancelScope::new();
        let scoped = timeout_after(secs(1), async {
            scope.run(sleep(secs(9))).await.expect("the scope is not cancelled")
        });
        assert_eq!((scoped.await.is_err(), elapsed()), (true, 3));
        let grouped = timeout_after(
            secs(1),
            TaskGroup::<TaskCancelled>::scope(async |g| {
                let member = g.spawn(sleep(secs(9)));
                assert!(timeout_after(secs(5), member.join()).await.expect("the outer").is_err());
                Ok(())
            }),
        );
        assert_eq!((grouped.await.is_err(), elapsed()), (true, 4));
    });
}

/// C13, C19: in a timeout that is not open, a delivered cancellation of the task can be put back,
/// and is recognised.
#[test]
fn a_cancellation_is_put_back_and_recognised_in_a_new_timeout() {
    testing::run(async || {
        let task = spawn(async {
            let cancelled = sleep(secs(9)).await.unwrap_err();
            let copy = cancelled.clone();
            let recognised = timeout_after(secs(1), async {
                assert!(unless_cancelled(Err::<(), _>(copy.clone())).is_err());
                copy.put_back();
                assert!(check_cancellation().is_some());
                sleep(secs(1)).await
            });
            let again = recognised.await.expect("the cancellation").unwrap_err();
            assert!(again.is_same(&cancelled));
            drop((again, cancelled));
            sleep(secs(1)).await
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert_eq!(task.await, Ok(()));
    });
}

/// Counts its drops.
struct Note(Rc<Cell<u32>>);

impl Drop for Note {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

/// K9: another kernel is dropped, with what is parked in it, by a body that needs no scope. The
/// timeouts of neither kernel are affected.
#[test]
fn another_kernel_is_dropped_in_a_body_that_needs_no_scope() {
    let other = Kernel::builder().virtual_clock().build().unwrap();
    let note = Note(Rc::default());
    let dropped = note.0.clone();
    let parked = other.run(async || {
        let parked = spawn(async move {
            let _note = note;
            timeout_after(secs(9), sleep(secs(9))).await.unwrap()
        });
        testing::settle().await.unwrap();
        parked
    });
    testing::run(async move || {
        let started = kernel::now();
        let body = async move {
            drop((parked, other));
            sleep(Duration::MAX).await
        };
        let nested = timeout_after(secs(2), timeout_after(secs(3), body).map(Result::unwrap));
        assert!(nested.await.is_err());
        assert_eq!(kernel::now() - started, secs(2));
    });
    assert_eq!(dropped.get(), 1);
}

/// T1, C2: a timeout that is polled first by one task and then by another is bounded, shown and
/// cancelled in the second. That holds for a body that parks and for one that only yields.
#[test]
fn a_timeout_that_moves_after_its_first_poll_is_of_the_task_that_polls_it() {
    testing::run(async || {
        for yields in [false, true] {
            let started = kernel::now();
            let body = async move {
                if yields {
                    yield_now().await?;
                }
                sleep(secs(9)).await
            };
            let mut timed = Box::pin(timeout_after(secs(3), body));
            let first = spawn(async move {
                assert!(futures::poll!(&mut timed).is_pending());
                Ok::<_, TaskCancelled>(timed)
            });
            let timed = first.await.unwrap();
            sleep(secs(1)).await.unwrap();
            let second = spawn(async move {
                let timed = timeout_after(secs(8), timed.map(Ok::<_, TaskCancelled>));
                Ok::<_, TaskCancelled>(timed.await.unwrap().unwrap())
            });
            testing::settle().await.unwrap();
            let shown = tasks().into_iter().find(|task| task.id == second.id()).unwrap();
            assert_eq!(shown.deadline, Some(started + secs(3)));
            assert!(second.await.unwrap().is_err(), "it is timed out");
            assert_eq!(kernel::now() - started, secs(3));
        }
    });
}

/// T4: a timeout that is polled once in a kernel and then in another runs its body, also if nothing
/// has needed its scope in the first.
#[test]
fn a_timeout_that_moves_to_another_kernel_runs_its_body() {
    for yields in [false, true] {
        let body = async move {
            if yields {
                yield_now().await?;
            }
            sleep(Duration::from_millis(1)).await
        };
        let mut timed = Box::pin(timeout_after(secs(9), body));
        kernel::run(async || assert!(futures::poll!(timed.as_mut()).is_pending()));
        assert_eq!(testing::run(async || timed.await), Ok(Ok(())));
    }
}

/// T1: a timeout whose first poll panics is not polled again, and its drop leaves nothing behind.
#[test]
fn a_timeout_whose_first_poll_panics_leaves_nothing_behind() {
    testing::run(async || {
        let mut panics = Box::pin(timeout_after(secs(1), async {
            kernel::current_task(); // opens it
            if true {
                panic!("at once");
            }
            sleep(secs(1)).await
        }));
        let polled = std::future::poll_fn(|cx| {
            Poll::Ready(catch_unwind(AssertUnwindSafe(|| panics.as_mut().poll(cx))).is_err())
        });
        assert!(polled.await);
        sleep(secs(2)).await.unwrap();
        drop(panics);
        assert_eq!(sleep(secs(1)).await, Ok(()));
        assert_eq!(kernel::current_task().deadline, None);
    });
}

/// S2, T1: the scopes of a host are not those of its children. A timeout that is not open when a
/// child is polled inside it is of the host, and bounds all children.
#[test]
fn a_timeout_round_children_is_not_opened_for_a_child() {
    testing::run(async || {
        for inner in [9, 1] {
            let started = kernel::now();
            let child = async || timeout_after(secs(inner), sleep(secs(5))).await.unwrap_or(Ok(()));
            let gathered = timeout_after(secs(2), gather((child(), child(), sleep(secs(6)))));
            assert_eq!(gathered.await.unwrap_err().limit(), secs(2));
            assert_eq!(kernel::now() - started, secs(2));
            assert_eq!(kernel::current_task().deadline, None);
        }
    });
}
