//! A cancel reaches every parked leaf of a task through combinators that do not know of it, and is
//! not lost there (C2, C3).

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use futures::stream::{self, FuturesUnordered, StreamExt};
use kernel::{
    CancelReason, Kernel, Task, TaskCancelled, check_cancellation, sleep, spawn, testing,
    timeout_after, yield_now,
};
use sync::Event;

use crate::support::time::secs;

/// Lets `task` run until it is parked, and cancels it.
async fn cancel_parked<T: 'static>(task: &Task<T, TaskCancelled>) {
    testing::settle().await.unwrap();
    task.request_cancel();
}

async fn value<T: 'static>(task: Task<T, TaskCancelled>) -> T {
    task.join().await.unwrap().unwrap()
}

/// C2: both arms of a `join!` get the error.
#[test]
fn join_passes_a_cancel_to_all_its_arms() {
    testing::run(async || {
        let task = spawn(async {
            let event = Event::new();
            let arms = futures::join!(sleep(Duration::MAX), event.wait(), sleep(Duration::MAX));
            let after = sleep(secs(1)).await;
            Ok::<_, TaskCancelled>(([arms.0, arms.1, arms.2].map(|arm| arm.is_err()), after))
        });
        cancel_parked(&task).await;
        assert_eq!(value(task).await, ([true; 3], Ok(())));
    });
}

/// C2: also while the cleanup of one arm runs and the others must still be polled.
#[test]
fn every_arm_gets_the_error_once_and_cleans_up() {
    testing::run(async || {
        let arm = async || {
            let first = sleep(Duration::MAX).await;
            let cleanup = sleep(secs(5)).await;
            (first.is_err(), cleanup.is_ok())
        };
        let task = spawn(async move {
            Ok::<_, TaskCancelled>(futures::future::join_all((0..5).map(|_| arm())).await)
        });
        cancel_parked(&task).await;
        assert_eq!(value(task).await, [(true, true); 5]);
    });
}

/// C2: each child of a `FuturesUnordered` is woken by its own waker.
#[test]
fn futures_unordered_passes_a_cancel_to_all_its_children() {
    testing::run(async || {
        let task = spawn(async {
            let mut children: FuturesUnordered<_> =
                (0..100).map(|n| async move { (n, sleep(Duration::MAX).await.is_err()) }).collect();
            let mut ended = Vec::new();
            while let Some(child) = children.next().await {
                ended.push(child);
            }
            ended.sort_unstable();
            Ok::<_, TaskCancelled>(ended)
        });
        cancel_parked(&task).await;
        assert_eq!(value(task).await, (0..100).map(|n| (n, true)).collect::<Vec<_>>());
    });
}

/// C2: also for nested combinators, with a `select!` in between.
#[test]
fn a_cancel_reaches_through_nested_combinators() {
    testing::run(async || {
        let task = spawn(async {
            let inner = || async {
                let mut two: FuturesUnordered<_> = (0..2).map(|_| sleep(Duration::MAX)).collect();
                let mut errors = 0;
                while let Some(ended) = two.next().await {
                    errors += usize::from(ended.is_err());
                }
                errors
            };
            let mut outer: FuturesUnordered<_> = (0..3).map(|_| inner()).collect();
            let mut errors = 0;
            while let Some(more) = outer.next().await {
                errors += more;
            }
            Ok::<_, TaskCancelled>(errors)
        });
        cancel_parked(&task).await;
        assert_eq!(value(task).await, 6);
    });
}

/// C2: the expiry of a timeout is delivered in the same way, and only to the children of its body.
#[test]
fn an_expiry_reaches_the_children_inside_it_alone() {
    testing::run(async || {
        let inside = async {
            let mut children: FuturesUnordered<_> = (0..3).map(|_| sleep(Duration::MAX)).collect();
            let mut errors = 0;
            while let Some(ended) = children.next().await {
                errors += usize::from(ended.is_err());
            }
            Ok::<_, TaskCancelled>(errors)
        };
        let mut both = FuturesUnordered::new();
        let timed: std::pin::Pin<Box<dyn Future<Output = usize>>> =
            Box::pin(async { timeout_after(secs(1), inside).await.unwrap().unwrap() });
        both.push(timed);
        both.push(Box::pin(async { usize::from(sleep(secs(5)).await.is_ok()) }));
        assert_eq!(both.next().await, Some(3));
        assert_eq!(both.next().await, Some(1));
    });
}

/// C2: of a `buffer_unordered` the running items get the error. An item that it starts later does
/// not.
#[test]
fn buffer_unordered_goes_on_with_new_items_unless_the_error_is_passed_on() {
    testing::run(async || {
        let started = Rc::new(RefCell::new(Vec::new()));
        let items = |started: Rc<RefCell<Vec<u32>>>| {
            stream::iter(0..6).map(move |n| {
                started.borrow_mut().push(n);
                async move { sleep(secs(5)).await.map(|()| n) }
            })
        };
        let swallowing = items(started.clone());
        let task = spawn(async move {
            let ends: Vec<_> = swallowing.buffer_unordered(2).map(|end| end.ok()).collect().await;
            Ok::<_, TaskCancelled>(ends)
        });
        cancel_parked(&task).await;
        let ends = value(task).await;
        assert_eq!(ends, [None, None, Some(2), Some(3), Some(4), Some(5)]);
        assert_eq!(started.take(), [0, 1, 2, 3, 4, 5]);

        let passing = items(started.clone());
        let task = spawn(async move {
            let mut passing = pin!(passing.buffer_unordered(2));
            while let Some(end) = passing.next().await {
                end?;
            }
            Ok::<_, TaskCancelled>(())
        });
        cancel_parked(&task).await;
        assert!(task.join().await.unwrap().is_err());
        assert!(started.borrow().len() <= 3, "it went on: {started:?}");
    });
}

/// C3: the winning arm of a `select!` completed and the marked loser was dropped, so the cancel
/// stays pending.
#[test]
fn a_marked_loser_of_a_select_does_not_lose_the_cancel() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let task = spawn(async move {
            let won = {
                let (mut winner, mut loser) = (pin!(theirs.wait()), pin!(sleep(Duration::MAX)));
                poll_fn(|cx| match winner.as_mut().poll(cx) {
                    Poll::Ready(won) => Poll::Ready(won.is_ok()),
                    Poll::Pending => loser.as_mut().poll(cx).map(|_| false),
                })
                .await
            };
            let pending = check_cancellation().is_some();
            let first = sleep(secs(1)).await.is_err();
            let second = sleep(secs(1)).await.is_ok();
            Ok::<_, TaskCancelled>([won, pending, first, second])
        });
        cancel_parked(&task).await;
        event.set();
        assert_eq!(value(task).await, [true; 4]);
    });
}

/// C3: nor is the expiry of a timeout round it lost.
#[test]
fn a_marked_loser_of_a_select_does_not_lose_an_expiry() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        // Armed before the timeout's timer, so the event is set in the tick of the expiry.
        let setter = spawn(async move {
            sleep(secs(1)).await?;
            theirs.set();
            Ok::<_, TaskCancelled>(())
        });
        testing::settle().await.unwrap();
        let body = async {
            let raced = {
                let (winner, loser) = (pin!(event.wait()), pin!(sleep(Duration::MAX)));
                futures::future::select(winner, loser).await.factor_first().0
            };
            assert!(raced.is_ok());
            sleep(secs(100)).await
        };
        assert!(timeout_after(secs(1), body).await.is_err());
        setter.join().await.unwrap().unwrap();
    });
}

/// T3, T5: an outer expiry passes every inner call of a `join!`. An inner call that hides it
/// changes nothing, and it is not delivered twice while the other arm still has it.
#[test]
fn an_expiry_passes_every_inner_call_of_a_join() {
    testing::run(async || {
        let started = kernel::now();
        let body = async {
            let passes = timeout_after(secs(50), sleep(Duration::MAX));
            let hides = timeout_after(secs(50), async {
                sleep(Duration::MAX).await.ok();
                sleep(secs(3)).await
            });
            let (passed, hidden) = futures::join!(passes, hides);
            assert_eq!(hidden, Ok(Ok(())));
            sleep(secs(3)).await?;
            passed.expect("the outer's")
        };
        assert!(timeout_after(secs(1), body).await.is_err());
        assert_eq!(kernel::now() - started, secs(7));
    });
}

/// A task in a `select!` of an event and a sleep, and then in two sleeps. Says which of the three
/// failed.
fn selecting(event: &Rc<Event>) -> Task<[bool; 3], TaskCancelled> {
    let event = event.clone();
    spawn(async move {
        let raced = {
            let mut waited = pin!(futures::FutureExt::fuse(event.wait()));
            let mut slept = pin!(futures::FutureExt::fuse(sleep(secs(100))));
            futures::select! {
                end = waited => end,
                end = slept => end,
            }
        };
        let next = sleep(secs(1)).await;
        let last = sleep(secs(1)).await;
        Ok([raced, next, last].map(|end| end.is_err()))
    })
}

/// C2, C3: a `select!` that was cancelled, and woken or not, delivers it exactly once.
#[test]
fn a_cancelled_select_delivers_it_exactly_once() {
    for seed in 0..20 {
        testing::run_with(Kernel::builder().seed(seed), async || {
            let event = Rc::new(Event::new());
            let alone = selecting(&event);
            cancel_parked(&alone).await;
            assert_eq!(value(alone).await, [true, false, false]);

            // `select!` polls its arms in a random order. Whichever arm wins, the cancel is not
            // lost.
            let raced = selecting(&event);
            cancel_parked(&raced).await;
            event.set();
            let found = value(raced).await;
            assert!([[true, false, false], [false, true, false]].contains(&found), "{found:?}");
        });
    }
}

/// C1, C3: if every marked leaf completed instead, the cancel stays pending.
#[test]
fn when_every_marked_leaf_completes_the_cancel_stays_pending() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let task = spawn(async move {
            let (one, two) = futures::join!(theirs.wait(), theirs.wait());
            let next = sleep(secs(1)).await;
            Ok::<_, TaskCancelled>([one.is_ok(), two.is_ok(), next.is_err()])
        });
        cancel_parked(&task).await;
        event.set();
        assert_eq!(value(task).await, [true; 3]);
    });
}

/// C2: a leaf that an arm begins after its error does not get it, also while another arm has not
/// been polled.
#[test]
fn leaves_made_after_the_delivery_are_new() {
    testing::run(async || {
        let task = spawn(async {
            let eager = async {
                let first = sleep(Duration::MAX).await.is_err();
                let parks = sleep(secs(1)).await.is_ok();
                let yields = yield_now().await.is_ok();
                [first, parks, yields]
            };
            let marked = async {
                let first = sleep(Duration::MAX).await.is_err();
                [first, true, true]
            };
            Ok::<_, TaskCancelled>(futures::join!(eager, marked))
        });
        cancel_parked(&task).await;
        assert_eq!(value(task).await, ([true; 3], [true; 3]));
    });
}

/// C2: a leaf that was polled by hand with its own waker is woken by that waker.
#[test]
fn a_leaf_parked_with_a_foreign_waker_is_woken_by_it() {
    testing::run(async || {
        let task = spawn(async {
            let mut hand = tokio_test::task::spawn(sleep(Duration::MAX));
            assert!(hand.poll().is_pending());
            let parked = sleep(Duration::MAX).await;
            assert!(hand.is_woken());
            let Poll::Ready(hand) = hand.poll() else {
                panic!("it was parked when the cancel came");
            };
            Ok::<_, TaskCancelled>((parked.is_err(), hand.unwrap_err().reason()))
        });
        cancel_parked(&task).await;
        let (parked, reason) = value(task).await;
        assert!(parked);
        assert!(matches!(reason, CancelReason::Requested { by: Some(_) }));
    });
}

/// C2: a leaf that moves from the task into a combinator, and back, is still reached.
#[test]
fn a_leaf_that_moves_between_combinators_is_still_reached() {
    testing::run(async || {
        for back in [false, true] {
            let task = spawn(async move {
                let mut slept = Box::pin(sleep(Duration::MAX));
                assert!(futures::poll!(slept.as_mut()).is_pending());
                let mut children = FuturesUnordered::new();
                children.push(slept);
                assert!(futures::poll!(children.next()).is_pending());
                let error = match back {
                    false => children.next().await.unwrap(),
                    true => children.into_iter().next().unwrap().await,
                };
                Ok::<_, TaskCancelled>(error.is_err())
            });
            cancel_parked(&task).await;
            assert!(value(task).await);
        }
    });
}
