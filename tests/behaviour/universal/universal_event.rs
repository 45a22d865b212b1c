//! `sync::UniversalEvent` and `sync::UniversalResult` in the tasks of one kernel.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use curium::kernel::{TaskCancelled, TaskError, spawn, testing, timeout_after};
use curium::sync::{UniversalEvent, UniversalResult};

const SECOND: Duration = Duration::from_secs(1);

/// U1, U2: the waiters wake in order of arrival; `set` returns before any of them has run.
#[test]
fn set_wakes_all_waiters_in_order_and_does_not_switch() {
    testing::run(async || {
        let event = Arc::new(UniversalEvent::new());
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
        event.set();
        assert!(log.borrow().is_empty(), "`set` switched");
        for waiter in waiters {
            waiter.await?;
        }
        assert_eq!(*log.borrow(), [0, 1, 2, 3, 4]);
        event.wait().await
    })
    .unwrap();
}

/// U2: a task that waited at a set-then-clear pulse returns. A later one waits for the next.
#[test]
fn a_set_then_clear_pulse_still_wakes_the_waiters() {
    testing::run(async || {
        let event = Arc::new(UniversalEvent::new());
        let wait = |event: &Arc<UniversalEvent>| {
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
        assert!(before.is_done() && !after.is_done());
        event.set();
        after.await
    })
    .unwrap();
}

/// U1, C1, C2: a wait can be cancelled and can time out, and leaves the event as it was. One that
/// was set before has come.
#[test]
fn an_interrupted_wait_leaves_the_event_as_it_was() {
    testing::run(async || {
        let event = Arc::new(UniversalEvent::new());
        let wait = || {
            let event = event.clone();
            spawn(async move { event.wait().await })
        };
        let (cancelled, other) = (wait(), wait());
        testing::settle().await?;
        cancelled.cancel().await?;
        assert!(matches!(cancelled.join().await?, Err(TaskError::Cancelled(_))));
        assert!(timeout_after(SECOND, event.wait()).await.is_err());
        assert!(!event.is_set() && !other.is_done());
        event.set();
        other.request_cancel();
        other.await?;
        assert_eq!(format!("{event:?}"), "UniversalEvent { set: true, waiters: 0 }");
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// U1: several tasks read one result; the first that is set stays.
#[test]
fn a_result_is_set_once_and_read_by_many() {
    testing::run(async || {
        let result = Arc::new(UniversalResult::<String, u32>::new());
        assert_eq!((result.is_set(), result.try_get()), (false, None));
        let readers = [(); 3].map(|()| {
            let result = result.clone();
            spawn(async move { Ok::<_, TaskCancelled>(result.get().await?.cloned().ok()) })
        });
        let [cancelled, ..] = &readers;
        testing::settle().await?;
        cancelled.request_cancel();
        assert!(timeout_after(SECOND, result.get()).await.is_err());
        result.set(Ok("done".to_owned())).unwrap();
        assert_eq!(result.set(Err(3)), Err(Err(3)));
        let [cancelled, second, third] = readers;
        assert!(matches!(cancelled.join().await?, Err(TaskError::Cancelled(_))));
        for reader in [second, third] {
            assert_eq!(reader.await?.as_deref(), Some("done"));
        }
        assert_eq!(result.get().await?.map(String::as_str), Ok("done"));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y6: an event and a result show whether they are set and how many wait, in a task or in a thread.
#[test]
fn events_and_results_show_their_state() {
    testing::run(async || {
        let event = Arc::new(UniversalEvent::new());
        let result = Arc::new(UniversalResult::<u32, u32>::new());
        let show = || {
            let now = [event.statistics(), result.statistics()];
            now.map(|now| (now.is_set, now.waiting))
        };
        assert_eq!(show(), [(false, 0); 2]);
        let waiting = (event.clone(), result.clone());
        let waiter = spawn(async move {
            let (event, result) = waiting;
            event.wait().await?;
            let value = result.get().await?.copied().ok();
            Ok::<_, TaskCancelled>(value)
        });
        let in_a_thread = event.clone();
        let thread = std::thread::spawn(move || in_a_thread.wait_blocking(Duration::MAX));
        testing::settle().await?;
        while event.statistics().waiting < 2 {
            std::thread::yield_now();
        }
        assert_eq!(show(), [(false, 2), (false, 0)]);
        event.set();
        assert_eq!(show(), [(true, 0), (false, 0)]);
        testing::settle().await?;
        assert_eq!(show(), [(true, 0), (false, 1)]);
        result.set(Ok(7)).unwrap();
        assert_eq!(show(), [(true, 0); 2]);
        assert_eq!(waiter.await?, Some(7));
        thread.join().unwrap().unwrap();
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
