//! An answer for which a thread sleeps, or a task waits: one value, which a kernel gives or fails
//! to give.
//!
//! Loom checks this file with the models in `models_exchange.rs`.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::Poll;

use crate::core::jobs::CountedJob;
use crate::parts::mailbox::sync::{Condvar, Mutex, MutexGuard};

/// What both sides share. The kernel gives a value, or says that it never will.
pub(crate) struct Slot<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

enum State<T> {
    /// With the job of the task that waits, if one does.
    Open(Option<CountedJob>),
    Given(T),
    /// The promise was dropped, or the value was taken.
    Over,
}

/// The side that gives the value to a thread. Dropped without it, the other side gets `None`.
pub(crate) struct Promise<T>(Arc<Slot<T>>);

/// The thread that gets the value.
pub(crate) struct Answer<T>(Arc<Slot<T>>);

/// A promise and its answer.
pub(crate) fn promise<T>() -> (Promise<T>, Answer<T>) {
    let slot = Arc::new(Slot::new());
    (Promise(slot.clone()), Answer(slot))
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Slot { state: Mutex::new(State::Open(None)), changed: Condvar::new() }
    }

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
            State::Open(Some(job)) => job.answered(),
            _ => self.changed.notify_one(),
        }
    }

    /// Gives the value. If the other side is gone, the value is dropped with the slot.
    pub(crate) fn give(&self, value: T) {
        self.conclude(State::Given(value));
    }

    /// The value will never be given, unless it has been.
    pub(crate) fn fail(&self) {
        self.conclude(State::Over);
    }

    /// Sleeps until the value is given. `None`: it never will be.
    fn wait(&self) -> Option<T> {
        let mut state = self.lock();
        while matches!(*state, State::Open(_)) {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        take(&mut state)
    }

    /// The value, if it has been given, or `None` if it never will be.
    pub(crate) fn poll(&self) -> Poll<Option<T>> {
        let mut state = self.lock();
        if matches!(*state, State::Open(_)) { Poll::Pending } else { Poll::Ready(take(&mut state)) }
    }

    /// The same for a task that waits with this job from now on.
    pub(crate) fn poll_with(&self, job: CountedJob) -> Poll<Option<T>> {
        let mut state = self.lock();
        match &mut *state {
            State::Open(waiting) => {
                let old = waiting.replace(job);
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

impl<T> Promise<T> {
    /// Gives the value.
    pub(crate) fn give(self, value: T) {
        self.0.give(value);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.fail();
    }
}

impl<T> Answer<T> {
    /// Sleeps until the value is given. `None`: it never will be.
    pub(crate) fn wait(self) -> Option<T> {
        self.0.wait()
    }

    /// The value, if it has been given.
    pub(crate) fn take(&self) -> Option<T> {
        match self.0.poll() {
            Poll::Ready(value) => value,
            Poll::Pending => None,
        }
    }
}
