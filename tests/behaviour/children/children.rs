//! The children of a `scope`: what they may borrow, and what each is on its own (S1, S2).

use std::cell::RefCell;
use std::thread;

use curium::prelude::*;
use curium::{CancelReason, Child, Scope, TaskEnd, current_task, handle, now, tasks, testing};

use crate::support::log::Log;
use crate::support::time::secs;

/// S1: children borrow what outlives the call, mutably too, and return borrows of it.
#[test]
fn children_borrow_what_outlives_the_call() {
    testing::run(async || {
        let words = [String::from("one"), String::from("three")];
        let mut first = 0;
        let mut second = 0;
        let longest = scope(async |s| {
            s.spawn(async {
                sleep(secs(1)).await?;
                first = 1;
                Ok(())
            });
            s.spawn(async { second = 2 });
            let one: Child<&str, TaskCancelled> = s.spawn(async { Ok(words[0].as_str()) });
            let three = s.spawn(async {
                sleep(secs(1)).await?;
                Ok(words[1].as_str())
            });
            let (one, three) = (one.await?, three.await?);
            Ok::<_, TaskCancelled>(if one.len() > three.len() { one } else { three })
        })
        .await;
        assert_eq!(longest.unwrap(), "three");
        assert_eq!((first, second), (1, 2));
    });
}

/// Sums a list by halves, each in a child; the children write into a list of the caller.
fn walk<'env>(s: &Scope<'env, TaskCancelled>, numbers: &'env [u32], sums: &'env RefCell<Vec<u32>>) {
    let own = s.clone();
    s.spawn(async move {
        sleep(secs(1)).await?;
        if numbers.len() > 1 {
            let (left, right) = numbers.split_at(numbers.len() / 2);
            walk(&own, left, sums);
            walk(&own, right, sums);
        }
        sums.borrow_mut().push(numbers.iter().sum());
        Ok(())
    });
}

/// S1, G7: children start further children while the scope is being waited for.
#[test]
fn children_start_children_in_the_same_scope() {
    testing::run(async || {
        let numbers = [1, 2, 3, 4];
        let sums = RefCell::default();
        scope(async |s| {
            walk(&s, &numbers, &sums);
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(sums.take(), [10, 3, 7, 1, 2, 3, 4]);
    });
}

/// S1: scopes nest, and inner children borrow from outer ones.
#[test]
fn scopes_nest() {
    testing::run(async || {
        let log = Log::default();
        scope(async |s| {
            for name in ["a", "b"] {
                let log = &log;
                s.spawn(async move {
                    let parts = [format!("{name}1"), format!("{name}2")];
                    scope(async |inner| {
                        for part in &parts {
                            inner.spawn(async {
                                sleep(secs(1)).await?;
                                log.push(part.clone());
                                Ok(())
                            });
                        }
                        Ok(())
                    })
                    .await?;
                    log.push(name);
                    Ok(())
                });
            }
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(log.take(), ["a1", "a2", "a", "b1", "b2", "b"]);
    });
}

/// S1: the handle of a child may outlive the scope, and its outcome stays with it.
#[test]
fn the_outcome_of_a_child_outlives_the_scope() {
    testing::run(async || {
        let text = String::from("kept");
        let child = scope(async |s| Ok::<_, TaskCancelled>(s.spawn(async { Ok(&*text) }))).await;
        let child = child.unwrap();
        assert_eq!(child.end(), Some(TaskEnd::Ok));
        assert_eq!(child.join().await.unwrap().unwrap(), "kept");
        assert!(matches!(child.join().await.unwrap(), Err(TaskError::Taken)));
    });
}

/// S1: a child cannot be started once the scope has ended; the panic shows the line of the call.
#[test]
#[should_panic(expected = "the scope has ended")]
fn no_child_is_started_after_the_end() {
    testing::run(async || {
        let s: Scope<'_, TaskCancelled> = scope(async |s| Ok(s)).await.unwrap();
        s.spawn(async { Ok(()) });
    });
}

/// S2: a child is a task of its own, listed under the task that polls it.
#[test]
fn a_child_is_listed_under_its_task() {
    testing::run(async || {
        let main = current_task().id;
        scope(async |s| {
            let child = s.spawn(async {
                assert_ne!(current_task().id, main);
                sleep(secs(1)).await?;
                Ok(current_task().id)
            });
            yield_now().await?;
            let info = tasks().into_iter().find(|info| info.id == child.id()).unwrap();
            assert_eq!(info.parent, Some(main));
            assert_eq!(info.name, child.name());
            assert!(info.name.contains("a_child_is_listed"), "{}", info.name);
            assert_eq!(info.state.to_string(), "SLEEP");
            assert!(info.site().unwrap().file().ends_with("children.rs"));
            assert_eq!(child.parked_at(), info.site());
            assert_eq!(current_task().id, main);
            let id = child.id();
            assert_eq!(child.await?, id);
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(tasks().len(), 1);
    });
}

/// S2, C6: a child is cancelled alone, by its handle or by its id from another thread, and this is
/// no failure of the scope.
#[test]
fn a_child_is_cancelled_alone() {
    testing::run(async || {
        let main = current_task().id;
        let log = Log::default();
        scope(async |s| {
            let wait = async |name| {
                let ended = sleep(secs(9)).await;
                if let Err(cancelled) = &ended {
                    sleep(secs(1)).await?;
                    log.push(format!("{name}: {}", cancelled.reason()));
                }
                ended
            };
            let (one, two, three) =
                (s.spawn(wait("one")), s.spawn(wait("two")), s.spawn(wait("three")));
            sleep(secs(1)).await?;
            one.cancel().await?;
            assert_eq!(one.end(), Some(TaskEnd::Cancelled));
            let (handle, id) = (handle(), two.id());
            thread::spawn(move || handle.request_cancel(id)).join().unwrap().unwrap();
            two.wait().await?;
            assert!(!three.is_done());
            three.await
        })
        .await
        .unwrap();
        let by = CancelReason::Requested { by: Some(main) };
        assert_eq!(log.take(), [format!("one: {by}"), "two: requested".to_owned()]);
    });
}

/// S2, C5: a child that cancels itself gets the error at once; one that cancels a sibling waits for
/// its end.
#[test]
fn children_cancel_themselves_and_each_other() {
    testing::run(async || {
        let started = now();
        scope(async |s| {
            let sibling = s.spawn(async {
                let ended = sleep(secs(9)).await;
                sleep(secs(1)).await?;
                ended
            });
            let canceller = s.spawn(async move {
                sleep(secs(1)).await?;
                sibling.cancel().await?;
                Ok(sibling.end())
            });
            assert_eq!(canceller.await?, Some(TaskEnd::Cancelled));
            Ok::<_, TaskCancelled>(())
        })
        .await
        .unwrap();
        assert_eq!(now() - started, secs(2));
        let own: RefCell<Option<Child<(), TaskCancelled>>> = RefCell::default();
        let seen = scope(async |s| {
            let child = s.spawn(async {
                sleep(secs(1)).await?;
                let cancel = own.borrow().as_ref().unwrap().cancel();
                cancel.await
            });
            own.replace(Some(child));
            Ok::<_, TaskCancelled>(())
        })
        .await;
        assert_eq!(seen, Ok(()));
        assert_eq!(own.take().unwrap().end(), Some(TaskEnd::Cancelled));
    });
}

/// S2, T1, T6: a child has timeouts of its own; one round the wait for a child abandons the wait.
#[test]
fn a_child_is_timed_alone() {
    testing::run(async || {
        let started = now();
        scope(async |s| {
            let timed =
                s.spawn(async { Ok(timeout_after(secs(1), sleep(secs(9))).await.is_err()) });
            let slow = s.spawn(sleep(secs(3)));
            assert!(timeout_after(secs(2), &slow).await.is_err());
            assert!(timed.await?);
            slow.await
        })
        .await
        .unwrap();
        assert_eq!(now() - started, secs(3));
    });
}
