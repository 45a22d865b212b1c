//! `sync::Event`: which waiters wake, in what order, and the effects of a cancelled or dropped
//! wait.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{TaskCancelled, TaskError, sleep, spawn, testing, timeout_after, yield_now};
use sync::{Condition, Event, Lock, oneshot};
use tokio_test::{assert_pending, assert_ready_ok};

/// Y2, Y4: the waiters wake in order of arrival; `set` returns before any of them has run.
#[test]
fn set_wakes_everybody_in_order_and_does_not_switch() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let log = Rc::new(RefCell::new(Vec::new()));
        let waiters = [0, 1, 2, 3, 4].map(|n| {
            let (event, log) = (event.clone(), log.clone());
            spawn(async move {
                event.wait().await?;
                log.borrow_mut().push(n);
                Ok::<(), TaskCancelled>(())
            })
        });
        testing::settle().await?;
        assert!(log.borrow().is_empty());
        event.set();
        assert!(log.borrow().is_empty(), "`set` switched");
        for waiter in waiters {
            waiter.join().await?.unwrap();
        }
        assert_eq!(*log.borrow(), [0, 1, 2, 3, 4]);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3: a task that waited at a set-then-clear pulse gets it. A task that comes later waits for the
/// next.
#[test]
fn a_set_then_clear_pulse_still_wakes_those_who_waited() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let wait = |event: &Rc<Event>| {
            let event = event.clone();
            spawn(async move { event.wait().await })
        };
        let before = wait(&event);
        testing::settle().await?;
        event.set();
        event.clear();
        assert!(!event.is_set());
        let after = wait(&event);
        testing::settle().await?;
        assert!(before.is_done());
        assert!(!after.is_done());
        event.set();
        after.join().await?.unwrap();
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1: a wait that need not park completes although a cancellation is pending.
#[test]
fn a_wait_for_an_event_that_is_set_ignores_a_pending_cancellation() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        event.set();
        let task = spawn(async move {
            event.wait().await.expect("the event is set");
            yield_now().await
        });
        task.request_cancel();
        assert!(matches!(task.join().await?, Err(TaskError::Cancelled(_))));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y3, C1, C2: cancelled before its first poll or while parked, a waiter gets the error.
#[test]
fn a_cancelled_waiter_gets_the_error_and_the_others_are_untouched() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let wait = |event: &Rc<Event>| {
            let event = event.clone();
            spawn(async move { event.wait().await })
        };
        let unpolled = wait(&event);
        unpolled.cancel().await?;
        assert!(matches!(unpolled.join().await?, Err(TaskError::Cancelled(_))));
        let (parked, other) = (wait(&event), wait(&event));
        testing::settle().await?;
        assert_eq!(parked.state().to_string(), "EVENT_WAIT");
        parked.cancel().await?;
        assert!(matches!(parked.join().await?, Err(TaskError::Cancelled(_))));
        assert!(!other.is_done());
        event.set();
        other.join().await?.unwrap();
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// C1, C3: if it is woken and cancelled in one tick, in either order, the wait completes, and the
/// cancellation is delivered at the next await point that parks.
#[test]
fn wake_and_cancel_in_one_tick_complete_the_wait_and_keep_the_cancel() {
    for wake_first in [true, false] {
        testing::run(async || {
            let event = Rc::new(Event::new());
            let task = spawn({
                let event = event.clone();
                async move {
                    let woken = event.wait().await;
                    let later = sleep(Duration::from_secs(1)).await;
                    Ok::<_, TaskCancelled>((woken.is_ok(), later.is_err()))
                }
            });
            testing::settle().await?;
            if wake_first {
                event.set();
                task.request_cancel();
            } else {
                task.request_cancel();
                event.set();
            }
            assert_eq!(task.join().await?.unwrap(), (true, true), "wake first: {wake_first}");
            Ok::<(), TaskCancelled>(())
        })
        .unwrap();
    }
}

/// T6, Y3: a wait that timed out is gone; the event can be waited for again.
#[test]
fn a_timed_out_wait_leaves_the_event_as_it_was() {
    testing::run(async || {
        let event = Event::new();
        let waited = timeout_after(Duration::from_secs(1), event.wait()).await;
        assert!(waited.is_err());
        assert!(!event.is_set());
        event.set();
        timeout_after(Duration::from_secs(1), event.wait()).await.expect("it is set")
    })
    .unwrap();
}

/// C12, Y3: without a kernel it works under any executor, and a dropped waiter is not woken.
#[test]
fn polled_by_hand_it_wakes_the_waiters_that_are_left() {
    let event = Event::new();
    let never_polled = tokio_test::task::spawn(event.wait());
    let mut first = tokio_test::task::spawn(event.wait());
    let mut second = tokio_test::task::spawn(event.wait());
    let mut third = tokio_test::task::spawn(event.wait());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    drop(never_polled);
    drop(second);
    event.set();
    assert!(first.is_woken() && third.is_woken());
    // Woken and dropped unpolled. An event has nothing to pass on.
    drop(first);
    event.clear();
    assert_ready_ok!(third.poll());
    let mut late = tokio_test::task::spawn(event.wait());
    assert_pending!(late.poll());
    assert!(!late.is_woken());
}

/// K7, Y3: a waiter that is polled by another task than before wakes the new one.
#[test]
fn a_wait_that_moved_to_another_waker_wakes_that_one() {
    let event = Event::new();
    let mut wait = Box::pin(event.wait());
    let mut old = tokio_test::task::spawn(());
    let mut new = tokio_test::task::spawn(());
    assert_pending!(old.enter(|cx, _| wait.as_mut().poll(cx)));
    assert_pending!(new.enter(|cx, _| wait.as_mut().poll(cx)));
    event.set();
    assert!(new.is_woken());
    assert!(!old.is_woken());
    assert_ready_ok!(new.enter(|cx, _| wait.as_mut().poll(cx)));
}

/// Y3, Y4: a woken waiter that is aborted before it ran does not affect the next one, which sets
/// the event again while it runs.
#[test]
fn a_waiter_aborted_after_it_was_woken_harms_nobody() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let victim = spawn({
            let event = event.clone();
            async move { event.wait().await }
        });
        let other = spawn({
            let event = event.clone();
            async move {
                event.wait().await?;
                event.clear();
                event.set();
                event.wait().await
            }
        });
        testing::settle().await?;
        event.set();
        victim.abort();
        other.join().await?.unwrap();
        assert!(matches!(victim.join().await?, Err(TaskError::Aborted)));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y1: the primitives belong to one thread. If one of them were `Send`, `check` would be ambiguous
/// here.
#[test]
fn no_primitive_is_send() {
    trait AmbiguousIfSend<Choice> {
        fn check() {}
    }
    impl<T: ?Sized> AmbiguousIfSend<()> for T {}
    impl<T: ?Sized + Send> AmbiguousIfSend<u8> for T {}
    <Event as AmbiguousIfSend<_>>::check();
    <Lock<()> as AmbiguousIfSend<_>>::check();
    <sync::Semaphore as AmbiguousIfSend<_>>::check();
    <Condition as AmbiguousIfSend<_>>::check();
    <sync::Queue<()> as AmbiguousIfSend<_>>::check();
    <sync::Sender<()> as AmbiguousIfSend<_>>::check();
    <sync::Receiver<()> as AmbiguousIfSend<_>>::check();
    <sync::RwLock<()> as AmbiguousIfSend<_>>::check();
    <sync::RLock<()> as AmbiguousIfSend<_>>::check();
    <sync::Barrier as AmbiguousIfSend<_>>::check();
    <sync::OnceCell<Rc<()>> as AmbiguousIfSend<_>>::check();
    <sync::BoundedSemaphore as AmbiguousIfSend<_>>::check();
    <oneshot::Sender<()> as AmbiguousIfSend<_>>::check();
    <sync::watch::Receiver<()> as AmbiguousIfSend<_>>::check();
    <sync::broadcast::Receiver<()> as AmbiguousIfSend<_>>::check();
}

/// Y6: the statistics count the waiters.
#[test]
fn events_conditions_and_oneshots_show_their_state() {
    testing::run(async || {
        let shared = Rc::new((Event::new(), Lock::new(()), Condition::new()));
        let theirs = shared.clone();
        let at_event = spawn(async move { theirs.0.wait().await });
        let theirs = shared.clone();
        let at_condition = spawn(async move {
            let guard = theirs.1.acquire().await?;
            theirs.2.wait(guard).await.map(drop)
        });
        let (sender, mut receiver) = oneshot::<()>();
        let at_oneshot = spawn(async move { receiver.recv().await });
        testing::settle().await?;
        let event = shared.0.statistics();
        assert_eq!((event.is_set, event.waiting), (false, 1));
        assert_eq!(shared.2.statistics().waiting, 1);
        let now = sender.statistics();
        assert_eq!((now.capacity, now.senders, now.waiting_receivers), (Some(1), 1, 1));

        let guard = shared.1.acquire().await?;
        shared.0.set();
        shared.2.notify(1);
        let event = shared.0.statistics();
        assert_eq!((event.is_set, event.waiting), (true, 0));
        testing::settle().await?;
        assert_eq!((shared.2.statistics().waiting, shared.1.statistics().waiting), (0, 1));
        drop(guard);
        sender.send(()).expect("the receiver waits");
        at_event.await?;
        at_condition.await?;
        at_oneshot.await.map(|sent| assert_eq!(sent, Some(())))
    })
    .unwrap();
}
