//! Timers of the floor: an ordered map of deadlines, on this thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// A deadline, and a number that tells equal ones apart.
type Key = (Instant, u64);

thread_local! {
    static TIMERS: RefCell<BTreeMap<Key, Waker>> = const { RefCell::new(BTreeMap::new()) };
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

/// A sleep.
pub(crate) struct Sleep {
    deadline: Instant,
    armed: Option<Key>,
}

/// Sleeps for so long.
pub(crate) fn sleep(duration: Duration) -> Sleep {
    Sleep { deadline: Instant::now() + duration, armed: None }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match self.armed {
            None => {
                let key = (self.deadline, NEXT.replace(NEXT.get() + 1));
                TIMERS.with_borrow_mut(|timers| timers.insert(key, cx.waker().clone()));
                self.armed = Some(key);
                Poll::Pending
            }
            Some(key) if TIMERS.with_borrow(|timers| timers.contains_key(&key)) => Poll::Pending,
            Some(_) => {
                self.armed = None;
                Poll::Ready(())
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.armed {
            TIMERS.with_borrow_mut(|timers| timers.remove(&key));
        }
    }
}

/// Wakes whoever is due; looks at the clock only if somebody sleeps.
pub(super) fn fire() {
    if TIMERS.with_borrow(BTreeMap::is_empty) {
        return;
    }
    let now = Instant::now();
    let due = TIMERS.with_borrow_mut(|timers| {
        let later = timers.split_off(&(now, u64::MAX));
        std::mem::replace(timers, later)
    });
    due.into_values().for_each(Waker::wake);
}

/// Nobody is ready: sleeps until somebody is due.
pub(super) fn wait() {
    let first = TIMERS.with_borrow(|timers| timers.keys().next().copied());
    let (deadline, _) = first.expect("somebody sleeps, or nothing will ever happen");
    thread::sleep(deadline.saturating_duration_since(Instant::now()));
    fire();
}
