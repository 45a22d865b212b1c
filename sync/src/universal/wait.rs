//! One wait on an object: in a future, or in a thread that it blocks.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kernel::{SendCancelPoint, TaskCancelled};

use super::sync::{self, Deadline, Looks, Mutex, MutexGuard};
use super::waiters::{Left, Place, Waiters};

/// The time limit of a blocking call is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the time limit of a blocking call is over")]
pub struct TimedOut;

/// What a wait wants of an object. All functions but `back` run under the lock of the object.
pub(super) trait Request {
    /// What the lock guards.
    type State;
    /// What the waiter leaves with the object while it waits.
    type With;
    /// What it is handed.
    type Handed;
    type Output;

    fn waiters(state: &mut Self::State) -> &mut Waiters<Self::With, Self::Handed>;

    /// Completes if nothing waits, so that nothing need be woken. For the common case.
    #[inline]
    fn quick(&mut self, _: &mut Self::State) -> Option<Self::Output> {
        None
    }

    /// Completes without waiting and without overtaking an earlier waiter, or not at all.
    fn attempt(&mut self, state: &mut Self::State, wakes: &mut Wakes) -> Option<Self::Output>;

    /// The request begins to wait. Returns what it leaves with the object.
    fn with(&mut self, state: &mut Self::State) -> Self::With;

    /// Makes the output of what was handed over.
    fn finish(
        &mut self,
        handed: Self::Handed,
        state: &mut Self::State,
        wakes: &mut Wakes,
    ) -> Self::Output;

    /// The waiter is dropped. Hands on what it was handed, or returns it for [`back`](Self::back).
    fn pass_on(
        &mut self,
        handed: Self::Handed,
        state: &mut Self::State,
        wakes: &mut Wakes,
    ) -> Option<Self::With>;

    /// The waiter has left without being served. Runs without the lock.
    fn back(&mut self, with: Self::With);
}

/// The wakers to call when the lock is released. There is rarely more than one.
#[derive(Default)]
pub(super) struct Wakes {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakes {
    #[inline]
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        if self.first.is_none() {
            self.first = waker;
        } else {
            self.others.extend(waker);
        }
    }

    /// Calls the wakers, the oldest first. If one panics, the others are called all the same.
    #[inline]
    fn wake(mut self) {
        let Some(first) = self.first.take() else { return };
        if self.others.is_empty() {
            first.wake();
        } else {
            self.wake_others(first);
        }
    }

    #[cold]
    fn wake_others(self, first: Waker) {
        let mut panicked = None;
        for waker in std::iter::once(first).chain(self.others) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                panicked = panicked.or(Some(payload));
            }
        }
        if let Some(payload) = panicked {
            resume_unwind(payload);
        }
    }
}

/// Runs `change` under the lock, and then calls the wakers.
#[inline]
pub(super) fn change<S, R>(state: &Mutex<S>, change: impl FnOnce(&mut S, &mut Wakes) -> R) -> R {
    let mut wakes = Wakes::default();
    let result = change(&mut state.lock(), &mut wakes);
    wakes.wake();
    result
}

/// A request, and its place among the waiters once it waits. Dropped, it leaves without effect.
struct Waiting<'a, R: Request> {
    state: &'a Mutex<R::State>,
    request: R,
    place: Option<Place>,
}

impl<R: Request> Waiting<'_, R> {
    /// Completes, or waits for a call of `waker`.
    #[inline]
    fn step(&mut self, waker: &Waker) -> Poll<R::Output> {
        if self.place.is_some() {
            return self.look(waker);
        }
        match self.attempt() {
            Some(output) => Poll::Ready(output),
            None => self.begin(waker),
        }
    }

    #[inline(never)]
    fn begin(&mut self, waker: &Waker) -> Poll<R::Output> {
        // Cloned outside the lock. So it is tried again, in one step with the entry.
        let waker = waker.clone();
        let request = &mut self.request;
        let begun = change(self.state, |state, wakes| match request.attempt(state, wakes) {
            Some(output) => Err((output, waker)),
            None => {
                let with = request.with(state);
                Ok(R::waiters(state).enter(waker, with))
            }
        });
        match begun {
            Ok(place) => {
                self.place = Some(place);
                Poll::Pending
            }
            Err((output, _unused)) => Poll::Ready(output),
        }
    }

    #[inline]
    fn attempt(&mut self) -> Option<R::Output> {
        let mut state = self.state.lock();
        match self.request.quick(&mut state) {
            None => self.attempt_slowly(state),
            output => output,
        }
    }

    #[inline(never)]
    fn attempt_slowly(&mut self, mut state: MutexGuard<'_, R::State>) -> Option<R::Output> {
        let mut wakes = Wakes::default();
        let output = self.request.attempt(&mut state, &mut wakes);
        drop(state);
        wakes.wake();
        output
    }

    /// Completes if something was handed over. Otherwise makes sure that `waker` will be called.
    #[inline(never)]
    fn look(&mut self, waker: &Waker) -> Poll<R::Output> {
        let mut renewed = None;
        loop {
            let Some(place) = &self.place else { unreachable!("it waits") };
            let request = &mut self.request;
            let looked = change(self.state, |state, wakes| {
                let waiters = R::waiters(state);
                if let Some(handed) = waiters.take(place) {
                    return Some(Poll::Ready(request.finish(handed, state, wakes)));
                }
                let kept = waiters.waker(place)?;
                if !kept.will_wake(waker) {
                    std::mem::swap(kept, renewed.as_mut()?);
                }
                Some(Poll::Pending)
            });
            match looked {
                Some(Poll::Pending) => return Poll::Pending,
                Some(Poll::Ready(output)) => {
                    self.place = None;
                    return Poll::Ready(output);
                }
                // Cloned outside the lock.
                None => renewed = Some(waker.clone()),
            }
        }
    }

    /// Leaves after a cancellation or a time limit. What was handed over before is the output.
    fn give_up(&mut self) -> Option<R::Output> {
        let place = self.place.take()?;
        let request = &mut self.request;
        let left = change(self.state, |state, wakes| match R::waiters(state).leave(&place) {
            Left::Handed(handed) => Ok(request.finish(handed, state, wakes)),
            Left::Waited(waker, with) => Err((waker, with)),
        });
        match left {
            Ok(output) => Some(output),
            Err((_waker, with)) => {
                self.request.back(with);
                None
            }
        }
    }
}

impl<R: Request> Drop for Waiting<'_, R> {
    #[inline]
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.leave(&place);
        }
    }
}

impl<R: Request> Waiting<'_, R> {
    /// Leaves because the wait is dropped. What was handed over before is passed on.
    #[cold]
    fn leave(&mut self, place: &Place) {
        let request = &mut self.request;
        let left = change(self.state, |state, wakes| match R::waiters(state).leave(place) {
            Left::Handed(handed) => (None, request.pass_on(handed, state, wakes)),
            Left::Waited(waker, with) => (Some(waker), Some(with)),
        });
        if let (_waker, Some(with)) = left {
            self.request.back(with);
        }
    }
}

/// The future of a wait. `then` makes its output, without the lock.
pub(super) fn future<R: Request, T>(
    (kind, site): (&'static str, &'static Location<'static>),
    state: &Mutex<R::State>,
    request: R,
    mut then: impl FnMut(&mut R, R::Output) -> T,
) -> impl Future<Output = Result<T, TaskCancelled>> {
    let mut waiting = Waiting { state, request, place: None };
    let mut point = SendCancelPoint::at(kind, site);
    poll_fn(move |cx: &mut Context<'_>| {
        let polled = match point.poll(cx, |cx| waiting.step(cx.waker())) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(cancelled)) => match waiting.give_up() {
                Some(output) => {
                    // It was handed over before the cancellation was delivered, by another thread
                    // perhaps in this moment: the completion wins (C1).
                    cancelled.put_back();
                    Ok(output)
                }
                None => Err(cancelled),
            },
            Poll::Ready(output) => output,
        };
        Poll::Ready(polled.map(|output| then(&mut waiting.request, output)))
    })
}

/// Waits in a plain thread, at most for the time limit. `then` makes the result, without the lock,
/// from the output or from `None` if the time is over.
#[track_caller]
pub(super) fn block<R: Request, T>(
    call: &str,
    state: &Mutex<R::State>,
    request: R,
    limit: Duration,
    then: impl FnOnce(&mut R, Option<R::Output>) -> T,
) -> T {
    assert!(
        !kernel::is_running(),
        "`{call}` would block the kernel that runs on this thread, with all its tasks; await the \
         form of the call without `_blocking`, or call it in a thread of its own"
    );
    let mut waiting = Waiting { state, request, place: None };
    let output = match waiting.attempt() {
        None if !limit.is_zero() => waiting.sleep(&Deadline::after(limit)),
        output => output,
    };
    then(&mut waiting.request, output)
}

impl<R: Request> Waiting<'_, R> {
    fn sleep(&mut self, deadline: &Deadline) -> Option<R::Output> {
        let mut looks = Looks::before(deadline);
        while looks.again() {
            if let Some(output) = self.attempt() {
                return Some(output);
            }
        }
        let waker = sync::waker();
        loop {
            if let Poll::Ready(output) = self.step(&waker) {
                return Some(output);
            }
            if !sync::park(deadline) {
                return self.give_up();
            }
        }
    }
}
