//! Locks and conditions: what a task leaves behind when it goes away.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use curium::kernel::testing::{self, Explored, Injection, Run, Swept};
use curium::kernel::{
    CancelPoint, Task, TaskCancelled, TaskGroup, sleep, spawn, timeout_after, yield_now,
};
use curium::sync::{Condition, Lock};
use futures::future::{Either, select};

use crate::hunt::{cannot_happen, found};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// Waits for the lock for a turn. If it comes late, does something else that needs the lock.
async fn write_or_report<const PLANTED: bool>(lock: Rc<Lock<u32>>) -> Result<(), TaskCancelled> {
    let mut write = Box::pin(lock.acquire());
    if let Either::Right(_late) = select(&mut write, pin!(yield_now())).await {
        // The bug: a wait that nothing polls any more keeps its place in the queue.
        if !PLANTED {
            drop(write);
        }
        *lock.acquire().await? += 1;
    }
    Ok(())
}

fn explore_a_late_lock<const PLANTED: bool>() -> Explored {
    testing::explore().run(async || {
        let lock = Rc::new(Lock::new(0));
        let (holder, other) = (lock.clone(), lock);
        TaskGroup::<TaskCancelled>::scope(async |g| {
            g.spawn(async move {
                let mut guard = holder.acquire().await?;
                yield_now().await?;
                *guard += 1;
                Ok(())
            });
            g.spawn(write_or_report::<PLANTED>(other));
            Ok(())
        })
        .await
    })
}

/// V4, K5: Oxide RFD 609, the futurelock: a task waits for a lock that was granted to a future of
/// its own, which it does not poll any more.
#[test]
fn a_lock_granted_to_a_future_that_is_not_polled_is_found() {
    found(
        "Oxide RFD 609",
        "LOCK_ACQUIRE",
        explore_a_late_lock::<true>,
        explore_a_late_lock::<false>,
    );
}

/// A lock on a plain list: a waiter that goes away leaves its entry, and a release skips it.
struct FairLock<const PLANTED: bool> {
    held: Cell<bool>,
    waiters: RefCell<VecDeque<Rc<Entry>>>,
}

#[derive(Default)]
struct Entry {
    gone: Cell<bool>,
    granted: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl<const PLANTED: bool> FairLock<PLANTED> {
    async fn acquire(&self) -> Result<Held<'_, PLANTED>, TaskCancelled> {
        if !self.held.get() && self.waiters.borrow().is_empty() {
            self.held.set(true);
            return Ok(Held(self));
        }
        let waiting = Waiting { lock: self, entry: Rc::default(), taken: Cell::new(false) };
        self.waiters.borrow_mut().push_back(waiting.entry.clone());
        let mut point = CancelPoint::new("FAIR_LOCK_ACQUIRE");
        poll_fn(|cx| {
            point.poll(cx, |cx| {
                if waiting.entry.granted.get() {
                    return Poll::Ready(());
                }
                *waiting.entry.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            })
        })
        .await?;
        waiting.taken.set(true);
        Ok(Held(self))
    }

    fn release(&self) {
        let mut waiters = self.waiters.borrow_mut();
        // The bug: the entries of waiters that are gone stay in the list.
        if !PLANTED {
            waiters.retain(|entry| !entry.gone.get());
        }
        let oldest = waiters.iter().position(|entry| !entry.gone.get());
        let oldest = oldest.and_then(|at| waiters.remove(at));
        drop(waiters);
        self.held.set(oldest.is_some());
        if let Some(entry) = oldest {
            entry.granted.set(true);
            entry.waker.take().into_iter().for_each(Waker::wake);
        }
    }
}

struct Waiting<'a, const PLANTED: bool> {
    lock: &'a FairLock<PLANTED>,
    entry: Rc<Entry>,
    taken: Cell<bool>,
}

impl<const PLANTED: bool> Drop for Waiting<'_, PLANTED> {
    fn drop(&mut self) {
        self.entry.gone.set(true);
        if self.entry.granted.get() && !self.taken.get() {
            self.lock.release();
        }
    }
}

struct Held<'a, const PLANTED: bool>(&'a FairLock<PLANTED>);

impl<const PLANTED: bool> Drop for Held<'_, PLANTED> {
    fn drop(&mut self) {
        self.0.release();
    }
}

fn sweep_the_only_waiter<const PLANTED: bool>() -> Swept {
    testing::sweep().run(
        async || {
            let (held, waiters) = (Cell::new(false), RefCell::default());
            let lock = Rc::new(FairLock::<PLANTED> { held, waiters });
            let first = lock.clone();
            spawn(async move {
                let held = first.acquire().await?;
                sleep(MS).await?;
                drop(held);
                Ok::<_, TaskCancelled>(())
            });
            yield_now().await.unwrap();
            lock
        },
        |lock| async move {
            let _held = lock.acquire().await?;
            sleep(MS).await
        },
        async |lock, _run| {
            sleep(MS).await.unwrap();
            let later = timeout_after(SECOND, lock.acquire()).await;
            assert!(later.is_ok(), "the lock is free, and no task gets it");
        },
    )
}

/// V4, Y3: anyio#1145: a lock is released while only cancelled waiters are in its queue. It is free
/// then, but the next task sees a queue that is not empty, joins it, and is never woken.
#[test]
fn a_free_lock_with_a_queue_of_waiters_that_are_gone_is_found() {
    found(
        "anyio#1145",
        "the lock is free, and no task gets it",
        sweep_the_only_waiter::<true>,
        sweep_the_only_waiter::<false>,
    );
}

/// A lock, and a task that wants it after the subject.
struct Shared {
    lock: Rc<Lock<u32>>,
    next: Task<u32, TaskCancelled>,
}

impl Shared {
    async fn new() -> Self {
        let lock = Rc::new(Lock::new(0));
        let later = lock.clone();
        let next = spawn(async move {
            sleep(MS).await?;
            let value = *later.acquire().await?;
            Ok::<_, TaskCancelled>(value)
        });
        Shared { lock, next }
    }

    /// Without the release this never ends.
    async fn the_next_task_gets_the_lock(&self, _run: &Run) {
        let value = self.next.join().await.unwrap().unwrap();
        assert!(value <= 1);
    }
}

/// V4, Y3: trio#3035: a task ends while it holds a lock, and all that wait for the lock wait for
/// ever. Here the guard releases it, however the task ends.
#[test]
fn a_lock_is_released_however_its_holder_ends() {
    let ends = [Injection::Cancel, Injection::Abort, Injection::Timeout, Injection::GroupFailed];
    let hold = |shared: Rc<Shared>| async move {
        let mut guard = shared.lock.acquire().await?;
        sleep(2 * MS).await?;
        *guard += 1;
        sleep(2 * MS).await
    };
    cannot_happen("trio#3035", || {
        testing::sweep().inject(&ends).run(Shared::new, hold, Shared::the_next_task_gets_the_lock)
    });
}

/// Two consumers and one item; up to one of the three tasks is cancelled.
async fn one_item_for_two_consumers() -> Result<(), TaskCancelled> {
    let shared = Rc::new((Lock::new(Vec::new()), Condition::new()));
    let consumers = [(); 2].map(|()| {
        let shared = shared.clone();
        spawn(async move {
            let (lock, changed) = &*shared;
            let guard = lock.acquire().await?;
            let mut items = changed.wait_for(guard, |items| !items.is_empty()).await?;
            items.pop();
            Ok::<_, TaskCancelled>(())
        })
    });
    let producer = shared.clone();
    spawn(async move {
        let (lock, changed) = &*producer;
        let mut items = lock.acquire().await?;
        items.push(());
        changed.notify(1);
        yield_now().await?; // The lock is held meanwhile.
        Ok::<_, TaskCancelled>(())
    });
    testing::settle().await?;
    let left = shared.0.try_acquire().expect("the lock is free").len();
    let waits = consumers.iter().any(|consumer| !consumer.is_done());
    assert!(left == 0 || !waits, "a consumer waits beside an item");
    Ok(())
}

/// V4, Y3, C1: cpython#112202: a waiter of a condition is notified and cancelled in the same
/// moment, and no waiter goes on. Here the notification is passed on, in every schedule.
#[test]
fn a_notification_of_a_cancelled_waiter_is_passed_on() {
    let hunt = || testing::explore().cancels(1).run(one_item_for_two_consumers);
    cannot_happen("cpython#112202", hunt);
}
