//! Guests beside each other on one thread, and what is said of those that are stuck (K11).

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use curium::kernel::insight::{Verdict, WaitsFor};
use curium::kernel::{self, Builder, Kernel, Report, TaskCancelled, sleep, spawn, yield_now};
use curium::sync::{Event, Lock, RLock, Semaphore};

use crate::guests::{HOUR, guest, is_readable, turn_to_the_end, turn_until_idle};
use crate::support::children::DEADLINE;

type Outcome<T = ()> = Result<T, TaskCancelled>;

/// K11, Y2: a lock that one task may take again is not had by two tasks of two guests, although
/// they have the same id.
#[test]
fn one_of_two_guests_holds_a_lock_that_may_be_taken_again() {
    let (lock, event) = (Rc::new(RLock::new(())), Rc::new(Event::new()));
    let (theirs, set) = (lock.clone(), event.clone());
    let mut one = guest(async move || {
        let _guard = theirs.acquire().await?;
        set.wait().await
    });
    turn_until_idle(&mut one);
    let owner = lock.statistics().owner;
    let theirs = lock;
    let mut other = guest(async move || {
        assert_eq!(kernel::current_task_id(), owner, "the ids of two kernels are the same");
        assert!(theirs.try_acquire().is_none());
        let _guard = theirs.acquire().await?;
        Outcome::Ok(theirs.statistics().guards)
    });
    turn_until_idle(&mut other);
    event.set();
    assert_eq!(turn_to_the_end(&mut one, 100), Ok(()));
    // A task of one guest has woken one of the other.
    assert_eq!(turn_to_the_end(&mut other, 100), Ok(1));
}

/// K11, M4, M5: a task of one guest is not taken for the holder of what a task of another has taken
/// that has the same id.
#[test]
fn a_guest_does_not_hold_what_another_has_taken() {
    let objects = Rc::new((Lock::new(()), Semaphore::new(1)));
    let theirs = objects.clone();
    let mut one = guest(async move || {
        let _held = (theirs.0.acquire().await?, theirs.1.acquire().await?);
        sleep(HOUR).await
    });
    turn_until_idle(&mut one);
    let edges = Rc::new(RefCell::new(Vec::new()));
    let seen = edges.clone();
    let mut other = guest(async move || {
        let theirs = objects.clone();
        let permit = spawn(async move { theirs.1.acquire().await.map(drop) });
        spawn(async move {
            yield_now().await?;
            let graph = kernel::wait_graph();
            assert_eq!(graph.verdicts(), []);
            seen.borrow_mut().extend(graph.edges.into_iter().map(|edge| (edge.kind, edge.on)));
            Outcome::Ok(())
        });
        let guard = objects.0.acquire().await?;
        assert_eq!(objects.0.statistics().holder, kernel::current_task_id());
        drop(guard);
        permit.await
    });
    turn_until_idle(&mut other);
    let kinds: Vec<_> = edges.borrow().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["LOCK_ACQUIRE", "SEMAPHORE_ACQUIRE"]);
    let unknown = |on: &WaitsFor| matches!(on, WaitsFor::Unknown { object } if *object > 0);
    assert!(edges.borrow().iter().all(|(_, on)| unknown(on)), "{edges:?}");
    drop(one);
    assert_eq!(turn_to_the_end(&mut other, 100), Ok(()));
}

/// The verdicts that a guest reports, and all that hold at that moment.
type Told = Rc<RefCell<Vec<(String, Vec<Verdict>)>>>;

fn watching(told: &Told) -> Builder {
    let sink = told.clone();
    Kernel::builder().watch().on_report(move |report| match report {
        Report::Verdict(verdict) => {
            let all = kernel::wait_graph().verdicts();
            sink.borrow_mut().push((verdict.to_string(), all));
        }
        other => panic!("not expected: {other}"),
    })
}

/// K11, M5: a guest that watches looks for verdicts over many turns, and its descriptor is readable
/// for each look. The code around it may have a guard that a task took, and may wake a task.
#[test]
fn a_guest_that_watches_reports_what_is_stuck_in_it() {
    let told = Told::default();
    let mut guest = watching(&told)
        .build()
        .unwrap()
        .guest(async || {
            let locks = Rc::new([(); 2].map(|()| Lock::new(())));
            let tasks = [0, 1].map(|first| {
                let locks = locks.clone();
                spawn(async move {
                    let _one = locks[first].acquire().await?;
                    yield_now().await?;
                    locks[1 - first].acquire().await.map(drop)
                })
            });
            for task in tasks {
                task.await?;
            }
            Outcome::Ok(())
        })
        .unwrap();
    turn_until_idle(&mut guest);
    assert!(guest.next_deadline().is_some_and(|next| next < Instant::now() + DEADLINE));
    while told.borrow().is_empty() {
        assert!(is_readable(&guest, DEADLINE), "it has to look");
        assert_eq!(guest.turn(1), Poll::Pending);
    }
    turn_until_idle(&mut guest);
    assert!(!is_readable(&guest, Duration::ZERO));
    assert_eq!(guest.next_deadline(), None, "nothing has changed since");
    let [(text, all)] = &told.borrow()[..] else { panic!("{told:?}") };
    assert!(text.ends_with("; unless a guard was moved to another task"), "{text}");
    let certain = |verdict: &Verdict| !verdict.to_string().contains("unless");
    assert!(all.len() == 1 && !all.iter().any(certain), "{all:?}");
}
