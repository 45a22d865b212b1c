//! FIFO waiters with hand-over: what every primitive of `sync` stands on.
//!
//! A release gives what it releases to the oldest waiter, at once: nobody who comes later can take
//! it first, and the waiter owns it before it has run. A waiter that then dies passes it on
//! (`Handoff::pass_on`); one that is cancelled keeps it (C1). Source: the parking lot of trio and
//! `join_with_cleanup` of lilos; what this deliberately lacks is waking without handing over.
//!
//! It needs no kernel: waiters may be polled by any executor of the thread.

use std::cell::{Cell, RefCell};
use std::task::{Context, Poll};

use crate::parts::KEEP;
use crate::parts::list::NONE;
use crate::task::chunk::TaskRef;
use crate::wait::point::Quick;
use crate::wait::waiter::Target;

/// Waiters in order of arrival, each of which will be handed a `T`.
pub struct WaitQueue<T = ()> {
    waiting: Cell<u32>,
    list: RefCell<List<T>>,
}

struct List<T> {
    nodes: Vec<Node<T>>,
    /// Nodes that are not free.
    used: u32,
    head: u32,
    tail: u32,
    free: u32,
}

/// Entered, it has somebody to wake; `hand_over`: a thing instead; left, or what was handed over
/// taken: neither, it is free. `waiting` counts those with somebody to wake, which are the
/// linked ones.
struct Node<T> {
    previous: u32,
    next: u32,
    weight: usize,
    who: Target,
    handed: Option<T>,
}

/// The place of one waiter in a [`WaitQueue`]; belongs to one queue.
///
/// Not tied to it by a reference, so whoever holds it gives it back with [`WaitQueue::leave`].
#[derive(Debug)]
pub struct WaitSlot(u32);

impl Default for WaitSlot {
    /// In no queue.
    #[inline]
    fn default() -> Self {
        WaitSlot(NONE)
    }
}

impl WaitSlot {
    /// Whether it is in no queue.
    #[inline]
    pub(crate) fn is_out(&self) -> bool {
        self.0 == NONE
    }
}

impl<T> WaitQueue<T> {
    /// An empty queue; it allocates at its first waiter.
    pub const fn new() -> Self {
        let list = List { nodes: Vec::new(), used: 0, head: NONE, tail: NONE, free: NONE };
        WaitQueue { waiting: Cell::new(0), list: RefCell::new(list) }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.get() as usize
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the oldest waiter asked for, if anybody waits: the `weight` of its [`poll_enter`].
    ///
    /// [`poll_enter`]: WaitQueue::poll_enter
    pub fn oldest_weight(&self) -> Option<usize> {
        let list = self.list.borrow();
        list.nodes.get(list.head as usize).map(|node| node.weight)
    }

    /// Takes what was handed over to `slot`; else puts it at the end of the queue, or leaves it in
    /// its place, to be woken as `cx` says. `weight` is how much it asks for, 1 for most.
    pub fn poll_enter(&self, slot: &mut WaitSlot, weight: usize, cx: &Context<'_>) -> Poll<T> {
        let at = slot.0;
        if at == NONE {
            let target = Target::of(cx);
            slot.0 = self.list.borrow_mut().push(weight, |who| *who = target);
            self.waiting.set(self.waiting.get() + 1);
            return Poll::Pending;
        }
        let stale = {
            let mut list = self.list.borrow_mut();
            let who = &list.nodes[at as usize].who;
            if !who.is_somebody() {
                slot.0 = NONE;
                return Poll::Ready(list.take_handed(at));
            }
            !who.is(cx)
        };
        if stale { self.retarget(slot, at, cx) } else { Poll::Pending }
    }

    /// The same for a task that polls the wait itself.
    #[inline]
    pub(crate) fn enter_task(
        &self,
        slot: &mut WaitSlot,
        weight: usize,
        task: &TaskRef,
    ) -> Quick<T> {
        let mut list = self.list.borrow_mut();
        let at = slot.0;
        if at == NONE {
            slot.0 = list.push(weight, |who| who.set_task(task));
            self.waiting.set(self.waiting.get() + 1);
            return Quick::Parked;
        }
        let same = list.nodes[at as usize].who.is_task(task);
        if same { Quick::Parked } else { Quick::Unsure }
    }

    /// Takes what was handed over to `slot`.
    #[inline]
    pub(crate) fn take_handed(&self, slot: &mut WaitSlot) -> Option<T> {
        let handed = self.list.borrow_mut().take_if_handed(slot.0)?;
        slot.0 = NONE;
        Some(handed)
    }

    /// Keeps `item` for the waiter as if it had been handed over; the slot is in no queue.
    pub(crate) fn keep(&self, slot: &mut WaitSlot, item: T) {
        debug_assert!(slot.is_out(), "a waiter is handed one thing");
        slot.0 = self.list.borrow_mut().keep(item);
    }

    /// Whether something was handed over to `slot` and not taken yet.
    pub(crate) fn is_handed(&self, slot: &WaitSlot) -> bool {
        let list = self.list.borrow();
        list.nodes.get(slot.0 as usize).is_some_and(|node| node.handed.is_some())
    }

    /// It waits, to be woken otherwise than it said.
    #[cold]
    fn retarget(&self, slot: &mut WaitSlot, at: u32, cx: &Context<'_>) -> Poll<T> {
        let mut other = Target::of(cx);
        let mut list = self.list.borrow_mut();
        let who = &mut list.nodes[at as usize].who;
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

    /// Hands `value` to the oldest waiter and wakes it; gives it back if nobody waits.
    pub fn hand_over(&self, value: T) -> Result<(), T> {
        if self.is_empty() {
            return Err(value);
        }
        self.waiting.set(self.waiting.get() - 1);
        let who = self.list.borrow_mut().hand_over(value);
        who.wake();
        Ok(())
    }

    /// Hands to everybody who waits now, oldest first, and wakes them.
    pub fn hand_over_all(&self, mut value: impl FnMut() -> T) {
        // One after the other, as waking may run foreign code that enters or leaves the queue.
        for _ in 0..self.len() {
            if self.hand_over(value()).is_err() {
                break;
            }
        }
    }

    /// Takes the waiter out. Gives what it had been handed, which somebody must now pass on.
    pub fn leave(&self, slot: &mut WaitSlot) -> Option<T> {
        let at = std::mem::replace(&mut slot.0, NONE);
        if at == NONE {
            return None;
        }
        let mut list = self.list.borrow_mut();
        let who = list.nodes[at as usize].who.take();
        let handed = if who.is_somebody() {
            self.waiting.set(self.waiting.get() - 1);
            list.unlink(at);
            list.free(at);
            None
        } else {
            Some(list.take_handed(at))
        };
        drop(list);
        drop(who);
        handed
    }
}

impl<T> List<T> {
    /// A node at the end; `seat` puts whom to wake into it.
    #[inline(always)]
    fn push(&mut self, weight: usize, seat: impl FnOnce(&mut Target)) -> u32 {
        let at = if self.free == NONE { self.grow() } else { self.free };
        let node = &mut self.nodes[at as usize];
        seat(&mut node.who);
        self.used += 1;
        self.free = node.next;
        node.previous = self.tail;
        node.next = NONE;
        node.weight = weight;
        match self.nodes.get_mut(self.tail as usize) {
            Some(last) => last.next = at,
            None => self.head = at,
        }
        self.tail = at;
        at
    }

    /// A node that holds `item` and is linked nowhere.
    fn keep(&mut self, item: T) -> u32 {
        let at = if self.free == NONE { self.grow() } else { self.free };
        let node = &mut self.nodes[at as usize];
        node.handed = Some(item);
        self.used += 1;
        self.free = node.next;
        at
    }

    /// One more node, free.
    #[cold]
    fn grow(&mut self) -> u32 {
        let at = u32::try_from(self.nodes.len()).expect("fewer than 2^32 waiters");
        let node =
            Node { previous: NONE, next: NONE, weight: 0, who: Target::default(), handed: None };
        self.nodes.push(node);
        at
    }

    #[inline]
    fn unlink(&mut self, at: u32) {
        let Node { previous, next, .. } = self.nodes[at as usize];
        match previous {
            NONE => self.head = next,
            previous => self.nodes[previous as usize].next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => self.nodes[next as usize].previous = previous,
        }
    }

    #[inline]
    fn free(&mut self, at: u32) {
        self.nodes[at as usize].next = self.free;
        self.free = at;
        self.freed();
    }

    /// One node fewer is in use. After a burst of waiters their room is given back.
    #[inline]
    fn freed(&mut self) {
        self.used -= 1;
        if self.used == 0 && self.nodes.len() > KEEP {
            (self.nodes, self.free) = (Vec::new(), NONE);
        }
    }

    /// To the oldest, which there is: whom to wake.
    #[inline]
    fn hand_over(&mut self, value: T) -> Target {
        let node = &mut self.nodes[self.head as usize];
        node.handed = Some(value);
        let (who, next) = (node.who.take(), node.next);
        self.head = next;
        match self.nodes.get_mut(next as usize) {
            Some(next) => next.previous = NONE,
            None => self.tail = NONE,
        }
        who
    }

    /// What was handed to a waiter, whose node is free then.
    #[inline]
    fn take_if_handed(&mut self, at: u32) -> Option<T> {
        let node = &mut self.nodes[at as usize];
        let handed = node.handed.take()?;
        node.next = std::mem::replace(&mut self.free, at);
        self.freed();
        Some(handed)
    }

    fn take_handed(&mut self, at: u32) -> T {
        self.take_if_handed(at).expect("who waits no longer has been handed something")
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
                1 => assert_eq!((queue.hand_over(n), queue.take_handed(first)), (Ok(()), Some(n))),
                _ => {
                    queue.hand_over(n).unwrap();
                    assert_eq!(queue.poll_enter(first, 1, &cx), Poll::Ready(n));
                }
            }
            assert!(first.is_out() && queue.leave(second).is_none() && queue.is_empty());
            assert_eq!(queue.list.borrow().nodes.len(), 2, "after {n}");
        }
    }
}
