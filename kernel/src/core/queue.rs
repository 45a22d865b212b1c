//! FIFO waiters with hand-over: what every primitive of `sync` stands on.
//!
//! A release gives what it releases to the oldest waiter, at once: nobody who comes later can take
//! it first, and the waiter owns it before it has run. A waiter that then dies passes it on
//! (`Handoff::pass_on`); one that is cancelled keeps it (C1). Source: the parking lot of trio and
//! `join_with_cleanup` of lilos; what this deliberately lacks is waking without handing over.
//!
//! It needs no kernel: waiters may be polled by any executor of the thread.

use std::task::{Context, Poll};

use crate::core::state::{TaskRef, Waiter};
use crate::parts::fifo::{Fifo, Wakeable};
use crate::parts::list::NONE;

pub use crate::parts::fifo::WaitSlot;

/// Waiters in order of arrival, each of which will be handed a `T`.
pub struct WaitQueue<T = ()>(Fifo<Waiter, T>);

impl<T> WaitQueue<T> {
    /// An empty queue; it allocates at its first waiter.
    pub const fn new() -> Self {
        WaitQueue(Fifo::new())
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the oldest waiter asked for, if anybody waits: the `weight` of its [`poll_enter`].
    ///
    /// [`poll_enter`]: WaitQueue::poll_enter
    pub fn oldest_weight(&self) -> Option<usize> {
        self.0.oldest_weight()
    }

    /// Takes what was handed over to `slot`; else puts it at the end of the queue, or leaves it in
    /// its place, to be woken as `cx` says. `weight` is how much it asks for, 1 for most.
    pub fn poll_enter(&self, slot: &mut WaitSlot, weight: usize, cx: &Context<'_>) -> Poll<T> {
        self.0.poll_enter(slot, weight, cx)
    }

    #[inline]
    pub(crate) fn fifo(&self) -> &Fifo<Waiter, T> {
        &self.0
    }

    /// Hands `value` to the oldest waiter and wakes it; gives it back if nobody waits.
    pub fn hand_over(&self, value: T) -> Result<(), T> {
        self.0.hand_over(value)
    }

    /// Hands to everybody who waits now, oldest first, and wakes them.
    pub fn hand_over_all(&self, value: impl FnMut() -> T) {
        self.0.hand_over_all(value);
    }

    /// Takes the waiter out. Gives what it had been handed, which somebody must now pass on.
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
        cx: &Context<'_>,
    ) -> Poll<T> {
        let at = slot.0;
        if at == NONE {
            let waiter = Waiter::of(cx);
            self.enter(slot, weight, |who| *who = waiter);
            return Poll::Pending;
        }
        let stale = {
            let mut list = self.list.borrow_mut();
            let who = list.who(at);
            if !who.is_somebody() {
                slot.0 = NONE;
                return Poll::Ready(list.take_handed(at));
            }
            !who.is(cx)
        };
        if stale { self.retarget(slot, at, cx) } else { Poll::Pending }
    }

    /// The same for a task that polls the wait itself. False: that is not enough to go by.
    #[inline]
    pub(crate) fn enter_task(&self, slot: &mut WaitSlot, weight: usize, task: &TaskRef) -> bool {
        let at = slot.0;
        if at == NONE {
            self.enter(slot, weight, |who| who.set_task(task));
            return true;
        }
        self.list.borrow_mut().who(at).is_task(task)
    }

    /// It waits, to be woken otherwise than it said.
    #[cold]
    fn retarget(&self, slot: &mut WaitSlot, at: u32, cx: &Context<'_>) -> Poll<T> {
        let mut other = Waiter::of(cx);
        let mut list = self.list.borrow_mut();
        let who = list.who(at);
        let handed = if who.is_somebody() {
            std::mem::swap(who, &mut other);
            Poll::Pending
        } else {
            // While a program's code cloned the waker.
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
        self.hand(value).map(Waiter::wake)
    }

    /// See [`WaitQueue::hand_over_all`].
    pub(crate) fn hand_over_all(&self, mut value: impl FnMut() -> T) {
        // One after the other, as waking may run foreign code that enters or leaves the queue.
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
