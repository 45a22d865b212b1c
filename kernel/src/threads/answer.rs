//! An answer for which a thread sleeps, or a task waits: one value, which a kernel gives or fails
//! to give.
//!
//! Loom checks this file with the models in `models_exchange.rs`.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::Poll;

use crate::core::jobs::CountedJob;
use crate::parts::mailbox::sync::{Condvar, Mutex, MutexGuard};
use crate::threads::handover::Waiter;

/// The side that gives the value. Dropped without it, the other side gets `None`.
pub(crate) struct Promise<T>(Arc<Shared<T>>);

/// The side that gets the value.
pub(crate) struct Answer<T>(Arc<Shared<T>>);

struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    /// With the task that waits, if one does.
    Open(Option<Waiter<CountedJob>>),
    Given(T),
    /// The promise was dropped, or the value was taken.
    Over,
}

/// A promise and its answer.
pub(crate) fn promise<T>() -> (Promise<T>, Answer<T>) {
    let shared = Arc::new(Shared { state: Mutex::new(State::Open(None)), changed: Condvar::new() });
    (Promise(shared.clone()), Answer(shared))
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces `Open`. No value is dropped under the lock.
    fn conclude(&self, end: State<T>) {
        let mut state = self.lock();
        if !matches!(*state, State::Open(_)) {
            return;
        }
        let open = mem::replace(&mut *state, end);
        drop(state);
        match open {
            State::Open(Some(waiter)) => waiter.wake(),
            _ => self.changed.notify_one(),
        }
    }
}

impl<T> Promise<T> {
    /// Gives the value. If the other side is gone, the value is dropped here.
    pub(crate) fn give(self, value: T) {
        self.0.conclude(State::Given(value));
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.conclude(State::Over);
    }
}

impl<T> Answer<T> {
    /// Sleeps until the value is given. `None`: it never will be.
    pub(crate) fn wait(self) -> Option<T> {
        let mut state = self.0.lock();
        while matches!(*state, State::Open(_)) {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        take(&mut state)
    }

    /// The value, if it has been given.
    pub(crate) fn take(&self) -> Option<T> {
        let mut state = self.0.lock();
        if matches!(*state, State::Open(_)) { None } else { take(&mut state) }
    }

    /// The same for a task, which is woken when the value is given or never will be.
    pub(crate) fn poll(&self, waiter: Waiter<CountedJob>) -> Poll<Option<T>> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Open(waiting) => {
                let old = waiting.replace(waiter);
                drop(state);
                drop(old);
                Poll::Pending
            }
            _ => Poll::Ready(take(&mut state)),
        }
    }
}

fn take<T>(state: &mut State<T>) -> Option<T> {
    match mem::replace(state, State::Over) {
        State::Given(value) => Some(value),
        State::Open(_) | State::Over => None,
    }
}
