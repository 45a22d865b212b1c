//! `Timer`, the time of poll functions (I1).

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use curium::kernel::{
    TaskCancelled, Timer, cancellable, cancelled, ignore_after, now, sleep, spawn, testing,
};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::support::time::secs;

/// Polls a timer once.
async fn poll_once(timer: &mut Timer) -> Poll<()> {
    poll_fn(|cx| Poll::Ready(Pin::new(&mut *timer).poll(cx))).await
}

/// I1, K8: a timer ends at its deadline, and stays ended until it is reset.
#[test]
fn a_timer_ends_at_its_deadline_and_stays_ended() {
    testing::run(async || {
        let started = now();
        let mut timer = Timer::after(secs(5));
        assert_eq!(timer.deadline(), None);
        sleep(secs(1)).await.unwrap();
        (&mut timer).await; // the time counts from here
        assert_eq!((now() - started, timer.deadline()), (secs(6), Some(started + secs(6))));
        assert!(poll_once(&mut timer).await.is_ready());
        timer.reset(started + secs(9));
        assert!(poll_once(&mut timer).await.is_pending());
        (&mut timer).await;
        assert_eq!(now() - started, secs(9));
        Timer::at(started).await;
        assert_eq!(now() - started, secs(9), "a deadline that has passed takes no time");
    });
}

/// I1: a deadline that is moved while a task waits for it holds, whether it is later or earlier.
#[test]
fn a_deadline_can_be_moved_while_it_is_waited_for() {
    testing::run(async || {
        for moved in [7, 2] {
            let started = now();
            let timer = Rc::new(std::cell::RefCell::new(Timer::after(secs(5))));
            let (waited, polls) = (timer.clone(), Rc::new(Cell::new(0)));
            let polled = polls.clone();
            let task = spawn(async move {
                poll_fn(|cx| {
                    polled.set(polled.get() + 1);
                    Pin::new(&mut *waited.borrow_mut()).poll(cx)
                })
                .await;
                Ok::<_, TaskCancelled>(now())
            });
            testing::settle().await?;
            sleep(secs(1)).await?;
            timer.borrow_mut().reset(started + secs(moved));
            assert_eq!(task.await? - started, secs(moved));
            assert_eq!(polls.get(), 3, "it is woken once more, and its poll arms the timer again");
        }
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// I1, C9: a timer returns no cancellation, and the leaf around it does.
#[test]
fn a_timer_is_not_cancelled_but_the_leaf_around_it_is() {
    testing::run(async || {
        let started = now();
        let bare = spawn(async {
            Timer::after(secs(5)).await;
            Ok::<_, TaskCancelled>(now())
        });
        let inside = spawn(async { cancellable(Timer::after(secs(5))).await });
        testing::settle().await?;
        assert_eq!(bare.state().to_string(), "FOREIGN");
        bare.request_cancel();
        inside.request_cancel();
        assert!(cancelled(&inside.await.unwrap_err()).is_some());
        assert_eq!(now(), started);
        assert_eq!(bare.await? - started, secs(5));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// I1, T7: `Duration::MAX` is never, and arms nothing.
#[test]
fn a_timer_without_an_end_waits_for_a_reset() {
    testing::run(async || {
        let mut timer = Timer::after(Duration::MAX);
        assert!(ignore_after(secs(1_000_000), cancellable(&mut timer)).await?.is_none());
        assert_eq!(timer.deadline(), None);
        timer.reset(now() + secs(1));
        timer.await;
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// I1, K8: nothing waits for a timer whose deadline the kernel's clock cannot represent.
#[test]
fn a_timer_of_six_hundred_years_is_no_reason_to_wait() {
    let waits = || {
        testing::run(async || Timer::at(now() + secs(600 * 365 * 86_400)).await);
    };
    let panicked = catch_unwind(AssertUnwindSafe(waits)).unwrap_err();
    let text = panicked.downcast::<String>().unwrap();
    assert!(text.starts_with("deadlock: "), "{text}");
}

/// I1: the last poll is the one that is woken.
#[test]
fn the_last_poll_of_a_timer_is_woken() {
    testing::run(async || {
        let mut timer = Timer::after(secs(5));
        let mut elsewhere = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut timer).poll(&mut elsewhere).is_pending());
        // The combinator polls it with a waker of its own.
        let mut all = FuturesUnordered::from_iter([timer]);
        let started = now();
        assert!(all.next().await.is_some());
        assert_eq!(now() - started, secs(5));
    });
}

/// I1, C11: a timer is `Send` and `Sync`. What it has armed is gone when another thread drops it,
/// and a poll in another kernel arms it there.
#[test]
fn a_timer_moves_between_threads_and_kernels() {
    fn assert_shared<T: Send + Sync>(_: &T) {}
    testing::run(async || {
        let mut dropped = Timer::after(secs(5));
        assert_shared(&dropped);
        assert!(poll_once(&mut dropped).await.is_pending());
        std::thread::spawn(move || drop(dropped)).join().unwrap();
        let mut moved = Timer::after(secs(3600));
        assert!(poll_once(&mut moved).await.is_pending());
        let waits = move || {
            curium::run(async || {
                moved.reset(now() + Duration::from_micros(1));
                (&mut moved).await;
                assert!(moved.deadline() <= Some(now()));
            });
            moved
        };
        let mut back = std::thread::spawn(waits).join().unwrap();
        back.reset(now() + secs(1));
        let started = now();
        back.await;
        assert_eq!(now() - started, secs(1));
        // The messages of the other threads come meanwhile; nothing of the timers is left.
        testing::settle().await
    })
    .unwrap();
}

/// I1, C11: a reset elsewhere wakes the task that waits, and its next poll waits for the new time.
#[test]
fn a_reset_on_another_thread_is_seen() {
    testing::run(async || {
        let timer = std::sync::Arc::new(std::sync::Mutex::new(Timer::after(secs(3600))));
        let waited = timer.clone();
        let started = now();
        let task = spawn(async move {
            poll_fn(|cx| Pin::new(&mut *waited.lock().unwrap()).poll(cx)).await;
            Ok::<_, TaskCancelled>(now())
        });
        testing::settle().await?;
        let resets = move || timer.lock().unwrap().reset(started + secs(1));
        std::thread::spawn(resets).join().unwrap();
        assert_eq!(task.await? - started, secs(1));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// I1, K2: polls of a timer that has ended count against the budget.
#[test]
fn polls_of_a_timer_count_against_the_budget() {
    testing::run(async || {
        let (mut timer, mut left, mut polls) = (Timer::at(now()), 300, Vec::new());
        poll_fn(|cx| {
            let before = left;
            while left > 0 && Pin::new(&mut timer).poll(cx).is_ready() {
                left -= 1;
            }
            polls.push(before - left);
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(polls, [128, 128, 44]);
    });
}

/// I1, C12: a poll outside a kernel is a panic that names the line of the timer.
#[test]
fn a_timer_outside_a_kernel_names_its_line() {
    let line = line!() + 1;
    let mut timer = Timer::after(secs(1));
    let poll = || Pin::new(&mut timer).poll(&mut Context::from_waker(Waker::noop()));
    let panic = catch_unwind(AssertUnwindSafe(poll)).unwrap_err();
    let text = panic.downcast_ref::<String>().expect("a text");
    assert!(text.contains("a timer") && text.contains(&format!("poll_timers.rs:{line}")), "{text}");
}
