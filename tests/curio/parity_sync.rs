//! What curio's tests of events, locks and semaphores check and no other file here does.
//!
//! `docs/curio-parity.md` says to which test of curio each of them corresponds.

use std::cell::RefCell;
use std::rc::Rc;

use kernel::{Task, TaskCancelled, sleep, spawn, testing, timeout_after, yield_now};
use sync::{Condition, Event, Lock, Queue, Semaphore, oneshot};

use crate::support::time::secs;

type Log = Rc<RefCell<Vec<String>>>;

/// Y4, C1: a wait parks until another task sets the event. The event stays set until it is cleared,
/// and a wait for it then does not park.
#[test]
fn an_event_stays_set_until_it_is_cleared() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let waiter = spawn(async move {
            theirs.wait().await?;
            let before = kernel::current_task().cycles;
            theirs.wait().await?;
            assert!(theirs.is_set());
            Ok::<_, TaskCancelled>(kernel::current_task().cycles - before)
        });
        testing::settle().await?;
        assert_eq!(waiter.state().to_string(), "EVENT_WAIT");
        event.set();
        assert_eq!(waiter.join().await?.unwrap(), 0, "the second wait parked");
        assert!(event.is_set());
        event.clear();
        assert!(!event.is_set());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// T4, Y3: a wait that ended in time leaves no timer behind: a later wait for the cleared event
/// lasts beyond that time.
#[test]
fn a_wait_in_time_leaves_no_timer_behind() {
    testing::run(async || {
        let event = Rc::new(Event::new());
        let theirs = event.clone();
        let waiter = spawn(async move {
            let in_time = timeout_after(secs(4), theirs.wait()).await.is_ok();
            theirs.clear();
            Ok::<_, TaskCancelled>((in_time, theirs.wait().await.is_ok()))
        });
        testing::advance(secs(1)).await?;
        event.set();
        testing::advance(secs(10)).await?;
        assert!(!waiter.is_done());
        event.set();
        assert_eq!(waiter.join().await?.unwrap(), (true, true));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Acquires one permit, and gives it back after some seconds.
fn visitor(
    semaphore: &Rc<Semaphore>,
    log: &Log,
    name: &'static str,
    stay: u64,
) -> Task<(), TaskCancelled> {
    let (semaphore, log) = (semaphore.clone(), log.clone());
    spawn(async move {
        let permit = semaphore.acquire().await?;
        log.borrow_mut().push(format!("{name} in, {} left", semaphore.available()));
        sleep(secs(stay)).await?;
        log.borrow_mut().push(format!("{name} out"));
        drop(permit);
        Ok(())
    })
}

/// Y2: a semaphore of one is held by one task at a time, in order of the requests. Meanwhile no
/// permit is free.
#[test]
fn a_semaphore_of_one_serves_in_order_of_asking() {
    testing::run(async || {
        let (semaphore, log) = (Rc::new(Semaphore::new(1)), Log::default());
        let visitors = ["a", "b", "c"].map(|name| visitor(&semaphore, &log, name, 1));
        for visitor in visitors {
            visitor.join().await?.unwrap();
        }
        let expected = ["a in, 0 left", "a out", "b in, 0 left", "b out", "c in, 0 left", "c out"];
        assert_eq!(log.take(), expected);
        assert_eq!(semaphore.available(), 1);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y2: a semaphore of two is held by two tasks. The third acquires when the first releases.
#[test]
fn a_semaphore_of_two_lets_the_third_in_when_the_first_leaves() {
    testing::run(async || {
        let (semaphore, log) = (Rc::new(Semaphore::new(2)), Log::default());
        let visitors = [("a", 4), ("b", 5), ("c", 6)]
            .map(|(name, stay)| visitor(&semaphore, &log, name, stay));
        for visitor in visitors {
            visitor.join().await?.unwrap();
        }
        let expected = ["a in, 1 left", "b in, 0 left", "a out", "c in, 0 left", "b out", "c out"];
        assert_eq!(log.take(), expected);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// T4, Y3: a wait for a permit can time out. It takes no permit, and leaves none behind.
#[test]
fn a_wait_for_a_permit_can_time_out() {
    testing::run(async || {
        let semaphore = Semaphore::new(1);
        let held = semaphore.acquire().await?;
        let started = kernel::now();
        assert!(timeout_after(secs(1), semaphore.acquire()).await.is_err());
        assert_eq!(kernel::now() - started, secs(1));
        drop(held);
        assert_eq!(semaphore.available(), 1);
        timeout_after(secs(1), semaphore.acquire()).await.expect("it is free").map(drop)
    })
    .unwrap();
}

/// Y3: a waiter that is interrupted while it takes the lock again leaves the lock to its holder.
#[test]
fn an_interrupted_retake_leaves_the_lock_to_its_holder() {
    testing::run(async || {
        let shared = Rc::new((Lock::new(0), Condition::new()));
        let theirs = shared.clone();
        let waiter = spawn(async move {
            let guard = theirs.0.acquire().await?;
            let mut guard = theirs.1.wait(guard).await?;
            *guard += 1;
            Ok::<_, TaskCancelled>(())
        });
        testing::settle().await?;
        let (lock, changed) = &*shared;
        let mut held = lock.acquire().await?;
        changed.notify(1);
        testing::settle().await?;
        assert_eq!(waiter.state().to_string(), "LOCK_ACQUIRE");
        waiter.cancel().await?;
        assert!(lock.is_held(), "somebody else's lock was released");
        assert!(lock.try_acquire().is_none());
        *held += 10;
        drop(held);
        assert_eq!(*lock.acquire().await?, 10);
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y1, Y2: the debug form of every primitive shows its state and the number of its waiters.
#[test]
fn every_primitive_has_a_debug_form() {
    testing::run(async || {
        let (event, lock) = (Rc::new(Event::new()), Rc::new(Lock::new(1)));
        let (permits, changed) = (Rc::new(Semaphore::new(3)), Rc::new(Condition::new()));
        let held = lock.acquire().await?;
        let (l, e) = (lock.clone(), event.clone());
        spawn(async move { l.acquire().await.map(drop) });
        spawn(async move { e.wait().await });
        yield_now().await?;
        let expect = |shown: String, parts: &[&str]| {
            for part in parts {
                assert!(shown.contains(part), "{shown} has no {part}");
            }
        };
        expect(format!("{event:?}"), &["Event", "false", "waiting: 1"]);
        event.set();
        expect(format!("{event:?}"), &["Event", "true", "waiting: 0"]);
        expect(format!("{lock:?}"), &["Lock", "held: true", "waiting: 1"]);
        expect(format!("{held:?}"), &["1"]);
        drop(held);
        let two = permits.acquire_many(2).await?;
        expect(format!("{permits:?}"), &["Semaphore", "available: 1", "waiting: 0"]);
        expect(format!("{two:?}"), &["Permits"]);
        expect(format!("{changed:?}"), &["Condition"]);
        let queue = Queue::bounded(5);
        queue.put("item").await?;
        expect(
            format!("{queue:?}"),
            &["Queue", "len: 1", "maxsize: Some(5)", "closed: false", "unfinished: 1"],
        );
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Q4: a value that is set once may be an error, which is what its reader gets.
#[test]
fn an_error_that_another_task_set_is_what_the_reader_gets() {
    testing::run(async || {
        let (result, mut reader) = oneshot::<Result<u32, String>>();
        let reader = spawn(async move { reader.recv().await });
        testing::settle().await?;
        result.send(Err("bad luck".to_owned())).expect("the reader waits");
        assert_eq!(reader.await?, Some(Err("bad luck".to_owned())));
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}
