//! Timeouts whose scope is opened late: a scope is opened only when something inside needs it. No
//! rule tells such a timeout from one that is open from its first poll (T1 to T5, T7, C1, C2).

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn, ready};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use kernel::{
    CancelReason, GroupRef, Kernel, TaskCancelled, TaskEnd, TaskGroup, TaskTimeout, cancellable,
    cancellable_inside, check_cancellation, sleep, spawn, tasks, testing, timeout_after, yield_now,
};
use sync::Event;

use crate::support::time::secs;

type Slept = Result<(), TaskCancelled>;

fn well<T>(value: T) -> impl Future<Output = Result<T, TaskCancelled>> {
    ready(Ok(value))
}

/// T2: a body that is ready at once has its own result, in nested timeouts as well, also in a task
/// whose cancellation is pending, and leaves that for the next leaf.
#[test]
fn a_body_that_is_ready_at_once_needs_no_scope() {
    testing::run(async || {
        let nested = timeout_after(secs(3), timeout_after(secs(2), well(7)).map(Result::unwrap));
        assert_eq!(nested.await, Ok(Ok(7)));
        let failed = timeout_after(secs(1), ready(Err::<(), _>(std::io::Error::other("its own"))));
        assert_eq!(failed.await.unwrap().unwrap_err().to_string(), "its own");
        let task = spawn(async {
            sleep(secs(1)).await.unwrap();
            assert_eq!(timeout_after(secs(1), well(7)).await, Ok(Ok(7)));
            assert!(check_cancellation().is_some());
            sleep(secs(1)).await
        });
        sleep(secs(1)).await.unwrap();
        task.request_cancel();
        assert!(task.await.is_err());
    });
}

/// T3, T4: some timeouts of a nest were opened in an earlier poll, some are opened when a leaf
/// parks, and some never. Each expires in its own time.
#[test]
fn a_nest_of_which_only_a_part_is_open_keeps_every_deadline() {
    testing::run(async || {
        let cases = [([9, 8, 7], "inner", 8), ([9, 6, 8], "middle", 7), ([5, 6, 8], "outer", 5)];
        for (limits, who, seconds) in cases {
            let [outer, middle, inner] = limits.map(secs);
            let expired = Cell::new("none");
            let note = |timed: Result<Slept, TaskTimeout>, name| {
                timed.unwrap_or_else(|TaskTimeout { .. }| {
                    expired.set(name);
                    Ok(())
                })
            };
            let nest = async {
                sleep(secs(1)).await?; // opens the outer one alone
                assert_eq!(timeout_after(secs(2), well(1)).await, Ok(Ok(1)));
                let innermost = async {
                    assert_eq!(timeout_after(secs(1), well(1)).await, Ok(Ok(1)));
                    note(timeout_after(inner, sleep(Duration::MAX)).await, "inner")
                };
                note(timeout_after(middle, innermost).await, "middle")
            };
            let started = kernel::now();
            note(timeout_after(outer, nest).await, "outer").unwrap();
            assert_eq!((expired.get(), kernel::now() - started), (who, secs(seconds)));
        }
    });
}

/// T3: of nested timeouts that are opened together the outermost is delivered first, and passes the
/// inner calls as an error of their bodies.
#[test]
fn of_timeouts_that_are_opened_together_the_outermost_is_delivered() {
    testing::run(async || {
        let seen = Cell::new(None);
        let inner = async {
            let inner = timeout_after(secs(1), sleep(Duration::MAX)).await;
            let cancelled = inner.expect("not the inner call's").unwrap_err();
            seen.set(Some(cancelled.reason()));
            Err::<(), _>(cancelled)
        };
        assert!(timeout_after(secs(1), inner).await.is_err());
        assert_eq!(seen.take(), Some(CancelReason::Timeout));
    });
}

/// T7, C1: with a limit of zero, leaves that need not park complete, and the first that would park
/// gets the error, whether the timeouts around are open or not.
#[test]
fn a_limit_of_zero_expires_at_the_first_leaf_that_would_park_in_any_nest() {
    testing::run(async || {
        let event = Event::new();
        event.set();
        for parks_before in [false, true] {
            let body = async {
                if parks_before {
                    sleep(secs(1)).await?;
                }
                assert_eq!(timeout_after(Duration::ZERO, event.wait()).await, Ok(Ok(())));
                let zero = async {
                    event.wait().await?;
                    timeout_after(secs(5), yield_now()).await.expect("not the inner one's")
                };
                assert!(timeout_after(Duration::ZERO, zero).await.is_err());
                sleep(secs(1)).await
            };
            assert_eq!(timeout_after(secs(9), body).await, Ok(Ok(())));
        }
    });
}

/// C7, T3: a pending cancellation of the task goes before the expiry of a timeout whose time is up
/// at its first poll.
#[test]
fn a_pending_cancel_goes_before_a_timeout_that_begins_expired() {
    testing::run(async || {
        let task = spawn(
            async {
                sleep(secs(1)).await.unwrap();
                let zero = timeout_after(Duration::ZERO, sleep(secs(1))).await;
                zero.expect("the cancel is the outermost").unwrap_err().reason()
            }
            .map(Ok::<_, TaskCancelled>),
        );
        sleep(secs(1)).await.unwrap();
        task.request_cancel();
        assert!(matches!(task.await, Ok(CancelReason::Requested { .. })));
    });
}

/// C1, T1: a leaf that completes in the first poll of the body and one that parks in the second are
/// both bounded by the timeout, whose time counts from its first poll.
#[test]
fn a_leaf_that_completes_and_one_that_parks_later_are_in_one_timeout() {
    testing::run(async || {
        let event = Event::new();
        event.set();
        let started = kernel::now();
        let body = async {
            event.wait().await?;
            yield_now().await?;
            event.wait().await?;
            sleep(secs(1)).await?;
            event.clear();
            event.wait().await
        };
        assert!(timeout_after(secs(3), body).await.is_err());
        assert_eq!(kernel::now() - started, secs(3));
    });
}

/// T1, C9: a body that is pending without a leaf is bounded as well. Foreign code in it sees no
/// cancellation, and a leaf that it makes after the expiry does.
#[test]
fn a_body_that_is_pending_without_a_leaf_is_bounded() {
    testing::run(async || {
        let mut polls = 0;
        let body = async {
            poll_fn(|_| {
                polls += 1;
                if polls < 2 { Poll::Pending } else { Poll::Ready(()) }
            })
            .await;
            sleep(secs(100)).await
        };
        let started = kernel::now();
        assert!(timeout_after(secs(2), body).await.is_err());
        assert_eq!(kernel::now() - started, secs(2));
        let foreign = timeout_after(secs(1), cancellable(pending::<()>())).await;
        assert!(foreign.is_err());
    });
}

/// K3, T1: a panic in a body leaves the timeouts around it as they were, open or not.
#[test]
fn a_panic_in_a_body_leaves_the_timeouts_around_it_alone() {
    testing::run(async || {
        for parks_before in [false, true] {
            let body = async {
                if parks_before {
                    sleep(secs(1)).await?;
                }
                for deep in [false, true] {
                    let panics = timeout_after(secs(5), async {
                        if deep {
                            let asked = timeout_after(secs(1), async {
                                kernel::current_task();
                                panic!("in the innermost")
                            });
                            return asked.await.expect("it panics");
                        }
                        panic!("in the inner one")
                    });
                    let caught: Result<Result<Slept, TaskTimeout>, _> =
                        AssertUnwindSafe(panics).catch_unwind().await;
                    assert!(caught.is_err());
                }
                assert_eq!(timeout_after(secs(2), sleep(secs(1))).await, Ok(Ok(())));
                sleep(Duration::MAX).await
            };
            let started = kernel::now();
            assert!(timeout_after(secs(6), body).await.is_err());
            assert_eq!(kernel::now() - started, secs(6));
        }
    });
}

/// C2, T1: timeouts in the arms of a `join!` and of a `select!`: each arm has its own, whether it
/// parks, is ready, or is dropped.
#[test]
fn timeouts_in_the_arms_of_a_combinator_are_apart() {
    testing::run(async || {
        let started = kernel::now();
        let outer = timeout_after(secs(9), async {
            let joined = futures::join!(
                timeout_after(secs(4), well(1)),
                timeout_after(secs(3), sleep(Duration::MAX)),
                timeout_after(secs(2), sleep(secs(1))),
                timeout_after(secs(1), timeout_after(secs(5), sleep(secs(9))).map(Result::unwrap)),
            );
            assert_eq!((joined.0, joined.2), (Ok(Ok(1)), Ok(Ok(()))));
            assert_eq!((joined.1.is_err(), joined.3.is_err()), (true, true));
            assert_eq!(kernel::now() - started, secs(3));
            let mut slow = Box::pin(timeout_after(secs(4), sleep(secs(9))).fuse());
            let mut quick = Box::pin(timeout_after(secs(4), sleep(secs(1))).fuse());
            futures::select! {
                _ = slow => panic!("it is the slower one"),
                quick = quick => assert_eq!(quick, Ok(Ok(()))),
            }
            assert!(slow.await.is_err());
            Ok::<_, TaskCancelled>(kernel::now() - started)
        });
        assert_eq!(outer.await, Ok(Ok(secs(7))));
    });
}

/// C2: a cancellation reaches the leaves of all arms, in timeouts that are open and in those that
/// are not.
#[test]
fn a_cancellation_reaches_the_arms_in_timeouts_and_beside_them() {
    testing::run(async || {
        let task = spawn(async {
            let arms = futures::join!(
                timeout_after(secs(50), sleep(Duration::MAX)),
                sleep(Duration::MAX),
                timeout_after(secs(50), sleep(Duration::MAX)),
            );
            assert!(arms.0.expect("the cancel").is_err());
            assert!(arms.2.expect("the cancel").is_err());
            arms.1
        });
        testing::settle().await.unwrap();
        task.cancel().await.unwrap();
        assert!(task.await.is_err());
    });
}

/// C2, T3: a second leaf opens the timeout around two arms after the first arm has parked in a
/// timeout of its own. The outer expiry reaches both arms.
#[test]
fn an_outer_timeout_that_is_opened_last_reaches_the_inner_one() {
    testing::run(async || {
        let started = kernel::now();
        let body = async {
            let arms = futures::join!(
                timeout_after(secs(5), sleep(Duration::MAX)),
                sleep(Duration::MAX),
                timeout_after(secs(1), sleep(Duration::MAX)),
            );
            assert_eq!(
                arms.0.expect("the outer one's").unwrap_err().reason(),
                CancelReason::Timeout
            );
            assert_eq!(arms.2.unwrap_err().limit(), secs(1));
            arms.1
        };
        assert_eq!(timeout_after(secs(3), body).await.unwrap_err().limit(), secs(3));
        assert_eq!(kernel::now() - started, secs(3));
    });
}

/// T4: a parked timeout that another task drops has no timer and shows no deadline any more, and
/// its task goes on.
#[test]
fn a_parked_timeout_that_is_dropped_elsewhere_leaves_nothing_behind() {
    testing::run(async || {
        let timed = Rc::new(RefCell::new(Some(Box::pin(timeout_after(secs(9), sleep(secs(9)))))));
        let theirs = timed.clone();
        let task = spawn(async move {
            let polled = poll_fn(|cx| match &mut *theirs.borrow_mut() {
                Some(timed) => timed.poll_unpin(cx).map(|_| "ended"),
                None => Poll::Ready("dropped"),
            });
            Ok::<_, TaskCancelled>(polled.await)
        });
        testing::settle().await.unwrap();
        let shown = || tasks().into_iter().find(|shown| shown.id == task.id()).unwrap();
        assert_eq!((shown().deadline, shown().parked.len()), (Some(kernel::now() + secs(9)), 1));
        drop(timed.take());
        assert_eq!((shown().deadline, shown().parked.len()), (None, 0));
        task.request_cancel();
        assert_eq!(task.await, Ok("dropped"));
    });
}

/// T1, T4: another kernel is dropped inside a timeout that is not open, and what it drops asks for
/// a cancellation there. The timeout keeps its deadline.
#[test]
fn a_kernel_that_is_dropped_in_a_timeout_leaves_it_as_it_was() {
    struct Asks(Rc<Cell<bool>>);
    impl Drop for Asks {
        fn drop(&mut self) {
            self.0.set(check_cancellation().is_none());
        }
    }
    let asked = Rc::new(Cell::new(false));
    let asks = Asks(asked.clone());
    let other = Kernel::builder().virtual_clock().build().unwrap();
    let left = other.run(async || {
        let task = spawn(async move {
            let _asks = asks;
            sleep(Duration::MAX).await
        });
        testing::settle().await.unwrap();
        task
    });
    testing::run(async || {
        let started = kernel::now();
        let body = async {
            drop(other);
            assert!(asked.get(), "the kernel has dropped its task");
            sleep(Duration::MAX).await
        };
        assert_eq!(timeout_after(secs(3), body).await.unwrap_err().limit(), secs(3));
        assert_eq!(kernel::now() - started, secs(3));
    });
    assert_eq!(left.end(), Some(TaskEnd::Aborted));
}

/// T4, C9: timeouts round and inside the body of a group in its first poll keep their deadlines,
/// although a future of another crate is round the leaf.
#[test]
fn timeouts_round_and_inside_the_body_of_a_group_keep_their_deadlines() {
    testing::run(async || {
        for (outer, inner) in [(3, 5), (5, 3)] {
            let started = kernel::now();
            let body = async |_: GroupRef<TaskCancelled>| {
                let leaf = cancellable_inside(sleep(secs(9)));
                let timed = timeout_after(secs(inner), async { leaf.await? }).await;
                timed.unwrap_or(Ok(()))
            };
            let timed = timeout_after(secs(outer), TaskGroup::scope(body)).await;
            assert_eq!(kernel::now() - started, secs(3), "{outer} round {inner}");
            assert_eq!(timed.is_err(), outer < inner, "{outer} round {inner}");
        }
    });
}
