//! `sync::RLock`.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use futures::FutureExt;
use kernel::{TaskCancelled, current_task_id, spawn, testing, yield_now};
use sync::RLock;

/// Y8: the task that holds the lock may take it again; another waits until all guards are gone.
#[test]
fn the_owner_takes_the_lock_again() {
    testing::run(async || {
        let lock = Rc::new(RLock::new(Cell::new(0)));
        let outer = lock.acquire().await?;
        let inner = lock.acquire().await?;
        inner.set(7);
        assert!(lock.try_acquire().is_some());
        let now = lock.statistics();
        assert_eq!((now.owner, now.guards, now.waiting), (current_task_id(), 2, 0));
        let other = spawn({
            let lock = lock.clone();
            async move {
                assert!(lock.try_acquire().is_none());
                let guard = lock.acquire().await?;
                assert_eq!(lock.statistics().owner, current_task_id());
                Ok::<_, TaskCancelled>(guard.get())
            }
        });
        testing::settle().await?;
        assert_eq!(other.state().to_string(), "RLOCK_ACQUIRE");
        drop(outer);
        testing::settle().await?;
        assert_eq!(lock.statistics().waiting, 1, "a guard is left");
        drop(inner);
        assert!(lock.try_acquire().is_none(), "the lock was handed over");
        assert_eq!(other.await?, 7);
        assert!(!lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y8: only a guard releases the lock, and each does once, also one that another task drops.
#[test]
fn a_guard_releases_once_wherever_it_is_dropped() {
    testing::run(async || {
        let lock = Rc::new(RLock::new(()));
        let kept = Rc::new(RefCell::new(None));
        // A guard borrows its lock, so to leave its task it needs one that lives for ever.
        let leaked: &'static RLock<()> = Box::leak(Box::new(RLock::new(())));
        *kept.borrow_mut() = Some(leaked.acquire().await?);
        let again = leaked.acquire().await?;
        let other = spawn(async move {
            drop(kept.take());
            yield_now().await
        });
        other.await?;
        assert_eq!(leaked.statistics().guards, 1);
        drop(again);
        assert!(!leaked.is_held() && !lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y8, Y3: a waiter that is cancelled leaves no trace; one that was handed the lock and is dropped
/// passes it on.
#[test]
fn a_waiter_that_leaves_passes_the_lock_on() {
    testing::run(async || {
        let lock = Rc::new(RLock::new(()));
        let guard = lock.acquire().await?;
        let [cancelled, aborted, last] = [(); 3].map(|()| {
            let lock = lock.clone();
            spawn(async move { lock.acquire().await.map(drop) })
        });
        testing::settle().await?;
        cancelled.cancel().await?;
        drop(guard);
        aborted.abort();
        last.await?;
        assert!(!lock.is_held());
        Ok::<(), TaskCancelled>(())
    })
    .unwrap();
}

/// Y8: outside a kernel there is no owner, which the panic says.
#[test]
fn a_re_entrant_lock_needs_a_task() {
    let mut lock = RLock::new(1);
    let panic = catch_unwind(AssertUnwindSafe(|| drop(lock.acquire().now_or_never())));
    let text = *panic.unwrap_err().downcast::<&str>().expect("a text");
    assert!(text.contains("outside a kernel, use a `Lock`"), "{text}");
    *lock.get_mut() += 1;
    assert!(format!("{lock:?}").contains("guards: 0"));
    assert_eq!(lock.into_inner(), 2);
}
