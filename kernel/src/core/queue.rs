//! FIFO wait queues with hand-over: the base of every primitive of `sync`.
//!
//! A release hands the released value to the oldest waiter at once. A later caller cannot take it
//! first: the waiter owns the value before its task runs. If the waiter is then dropped, it passes
//! the value on (`Handoff::pass_on`). If it is then cancelled, it returns the value (C1). Source:
//! the parking lot of trio and `join_with_cleanup` of lilos. There is deliberately no operation
//! that wakes a waiter without a value.
//!
//! A queue needs no kernel: its waiters may be polled by any executor on the thread.

use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::{TaskRef, Waiter};
use crate::parts::fifo::{Fifo, Site, Wakeable};
use crate::parts::list::NONE;
use crate::task::state::Flags;

pub use crate::parts::fifo::WaitSlot;

/// Waiters in order of arrival. Each of them is handed a `T`.
pub struct WaitQueue<T = ()>(Fifo<Waiter, T>);

impl<T> WaitQueue<T> {
    /// An empty queue. It allocates for its first waiter.
    pub const fn new() -> Self {
        WaitQueue(Fifo::new())
    }

    /// The number of waiters.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no waiters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of waiters that were handed a value and have neither taken it nor passed it on.
    pub fn handed(&self) -> usize {
        self.0.handed()
    }

    /// The `weight` that the oldest waiter passed to [`poll_enter`], if there is a waiter.
    ///
    /// [`poll_enter`]: WaitQueue::poll_enter
    pub fn oldest_weight(&self) -> Option<usize> {
        self.0.oldest_weight()
    }

    /// Takes the value that was handed over to `slot`. If there is none, puts the waiter at the end
    /// of the queue, or leaves it where it is if it is queued already. A later hand-over wakes the
    /// waker of `cx`. `weight` is the amount that the waiter requests, 1 for most.
    pub fn poll_enter(&self, slot: &mut WaitSlot, weight: usize, cx: &Context<'_>) -> Poll<T> {
        // The caller may be a future without a leaf, so that no record shows this wait.
        current::with_own_task(cx.waker(), |task| task.flags.set(Flags::UNRECORDED));
        self.0.poll_enter(slot, weight, None, cx)
    }

    #[inline]
    pub(crate) fn fifo(&self) -> &Fifo<Waiter, T> {
        &self.0
    }

    /// Hands `value` to the oldest waiter and wakes it. Returns the value if there is no waiter.
    pub fn hand_over(&self, value: T) -> Result<(), T> {
        self.0.hand_over(value)
    }

    /// Hands a value to every present waiter, oldest first, and wakes them.
    pub fn hand_over_all(&self, value: impl FnMut() -> T) {
        self.0.hand_over_all(value);
    }

    /// Removes the waiter. Returns the value that it had been handed, which the caller must pass
    /// on.
    pub fn leave(&self, slot: &mut WaitSlot) -> Option<T> {
        self.0.leave(slot).0
    }
}

impl<T> Fifo<Waiter, T> {
    /// See [`WaitQueue::poll_enter`].
    pub(crate) fn poll_enter(
        &self,
        slot: &mut WaitSlot,
        weight: usize,
        site: Site,
        cx: &Context<'_>,
    ) -> Poll<T> {
        let at = slot.0;
        if at == NONE {
            let waiter = Waiter::noted(cx, site);
            self.enter(slot, weight, site, |place| *place = waiter);
            return Poll::Pending;
        }
        let stale = {
            let mut list = self.list.borrow_mut();
            let waiter = list.waiter(at);
            if !waiter.is_set() {
                slot.0 = NONE;
                return Poll::Ready(list.take_handed(at));
            }
            !waiter.is(cx)
        };
        if stale { self.retarget(slot, at, site, cx) } else { Poll::Pending }
    }

    /// `poll_enter` for a task that polls the wait with its own waker. Returns false if the caller
    /// must use `poll_enter`.
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn enter_task(
        &self,
        slot: &mut WaitSlot,
        weight: usize,
        site: Site,
        task: &TaskRef,
    ) -> bool {
        let at = slot.0;
        if at == NONE {
            self.enter(slot, weight, site, |waiter| waiter.set_task(task));
            return true;
        }
        self.list.borrow_mut().waiter(at).is_task(task)
    }

    /// Replaces the waker of a waiter. If the waiter was handed a value, takes the value instead.
    #[cold]
    fn retarget(&self, slot: &mut WaitSlot, at: u32, site: Site, cx: &Context<'_>) -> Poll<T> {
        let mut other = Waiter::noted(cx, site);
        let mut list = self.list.borrow_mut();
        let waiter = list.waiter(at);
        let handed = if waiter.is_set() {
            std::mem::swap(waiter, &mut other);
            Poll::Pending
        } else {
            // A value was handed over while code of a program cloned the waker.
            slot.0 = NONE;
            Poll::Ready(list.take_handed(at))
        };
        drop(list);
        drop(other);
        handed
    }

    /// See [`WaitQueue::hand_over`].
    #[inline]
    pub(crate) fn hand_over(&self, value: T) -> Result<(), T> {
        // Most queues of most objects are empty.
        if self.is_empty() {
            return Err(value);
        }
        self.hand(value).map(Waiter::wake)
    }

    /// See [`WaitQueue::hand_over_all`].
    pub(crate) fn hand_over_all(&self, mut value: impl FnMut() -> T) {
        // One after the other, because waking a foreign waker may run code that changes the queue.
        for _ in 0..self.len() {
            if self.hand_over(value()).is_err() {
                break;
            }
        }
    }
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        WaitQueue::new()
    }
}

impl<T> std::fmt::Debug for WaitQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WaitQueue").field("waiting", &self.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn a_node_is_used_again_however_its_waiter_has_left() {
        let queue = WaitQueue::new();
        let cx = Context::from_waker(Waker::noop());
        for n in 0..30 {
            let mut slots = [(); 2].map(|()| WaitSlot::default());
            for slot in &mut slots {
                assert_eq!(queue.poll_enter(slot, 1, &cx), Poll::Pending);
            }
            let [first, second] = &mut slots;
            match n % 3 {
                0 => assert_eq!(queue.leave(first), None),
                1 => assert_eq!(
                    (queue.hand_over(n), queue.fifo().take_handed(first)),
                    (Ok(()), Some(n))
                ),
                _ => {
                    queue.hand_over(n).unwrap();
                    assert_eq!(queue.poll_enter(first, 1, &cx), Poll::Ready(n));
                }
            }
            assert!(first.is_out() && queue.leave(second).is_none() && queue.is_empty());
            assert_eq!(queue.fifo().nodes(), 2, "after {n}");
        }
    }
}
