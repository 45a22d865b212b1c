//! A first-come, first-served list of waiters. Each of them is handed a value.
//!
//! The list wakes nothing: the code that hands a value over receives the waiter and wakes it.

use std::cell::{Cell, RefCell};
use std::panic::Location;

use crate::parts::KEEP;
use crate::parts::list::NONE;

/// What a node wakes; it may be empty.
pub(crate) trait Wakeable: Default {
    fn is_set(&self) -> bool;

    /// Takes the content and leaves it empty.
    fn take(&mut self) -> Self;
}

/// The file and line of a wait, if it is known.
pub(crate) type Site = Option<&'static Location<'static>>;

/// Waiters `W` in order of arrival. Each of them is handed a `T`.
pub(crate) struct Fifo<W, T> {
    waiting: Cell<u32>,
    /// See [`Fifo::number`].
    number: Cell<u64>,
    pub(crate) list: RefCell<List<W, T>>,
}

pub(crate) struct List<W, T> {
    nodes: Vec<Node<W, T>>,
    /// The number of nodes that are not free.
    used: u32,
    head: u32,
    tail: u32,
    free: u32,
}

/// A node is free, holds a waiter, or holds a value. `enter` stores a waiter in the node, and
/// `hand_over` replaces the waiter by a value. The node is free again after the waiter has left or
/// the value was taken. Only the nodes with a waiter are linked; `waiting` is their number.
struct Node<W, T> {
    previous: u32,
    next: u32,
    weight: usize,
    /// Where the waiter waits, or an earlier one, in a queue that notes that.
    site: Site,
    waiter: W,
    handed: Option<T>,
}

/// The position of one waiter in a queue. It belongs to one queue.
///
/// The slot has no reference to the queue, so its owner must call `leave` before it drops the slot.
#[derive(Debug)]
pub struct WaitSlot(pub(crate) u32);

impl Default for WaitSlot {
    /// A slot that is in no queue.
    #[inline]
    fn default() -> Self {
        WaitSlot(NONE)
    }
}

impl WaitSlot {
    /// Whether the slot is in no queue.
    #[inline]
    pub(crate) fn is_out(&self) -> bool {
        self.0 == NONE
    }
}

impl<W: Wakeable, T> Fifo<W, T> {
    pub(crate) const fn new() -> Self {
        let list = List { nodes: Vec::new(), used: 0, head: NONE, tail: NONE, free: NONE };
        Fifo { waiting: Cell::new(0), number: Cell::new(0), list: RefCell::new(list) }
    }

    /// A number that no other list of this thread has. 0 until the first waiter enters.
    #[inline]
    pub(crate) fn number(&self) -> u64 {
        self.number.get()
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.waiting.get() as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of waiters that were handed a value and have not taken it yet.
    pub(crate) fn handed(&self) -> usize {
        (self.list.borrow().used - self.waiting.get()) as usize
    }

    /// The number of nodes, including free ones.
    #[cfg(test)]
    pub(crate) fn nodes(&self) -> usize {
        self.list.borrow().nodes.len()
    }

    pub(crate) fn oldest_weight(&self) -> Option<usize> {
        let list = self.list.borrow();
        list.nodes.get(list.head as usize).map(|node| node.weight)
    }

    /// Visits the waiters, the oldest first.
    pub(crate) fn each_waiter(&self, mut visit: impl FnMut(&W)) {
        let list = self.list.borrow();
        let mut at = list.head;
        while let Some(node) = list.nodes.get(at as usize) {
            visit(&node.waiter);
            at = node.next;
        }
    }

    /// Adds a waiter at the end. `set` writes into its node what to wake.
    #[inline(always)]
    pub(crate) fn enter(
        &self,
        slot: &mut WaitSlot,
        weight: usize,
        site: Site,
        set: impl FnOnce(&mut W),
    ) {
        slot.0 = self.list.borrow_mut().push(weight, site, set, &self.number);
        self.waiting.set(self.waiting.get() + 1);
    }

    /// Takes the value that was handed over to `slot`.
    #[inline]
    pub(crate) fn take_handed(&self, slot: &mut WaitSlot) -> Option<T> {
        let handed = self.list.borrow_mut().take_if_handed(slot.0)?;
        slot.0 = NONE;
        Some(handed)
    }

    /// Stores `item` for a slot that is in no queue, as if the item had been handed over to it.
    pub(crate) fn keep(&self, slot: &mut WaitSlot, item: T) {
        debug_assert!(slot.is_out(), "a waiter is handed one thing");
        slot.0 = self.list.borrow_mut().keep(item, &self.number);
    }

    /// Whether a value was handed over to `slot` and is not taken yet.
    pub(crate) fn is_handed(&self, slot: &WaitSlot) -> bool {
        let list = self.list.borrow();
        list.nodes.get(slot.0 as usize).is_some_and(|node| node.handed.is_some())
    }

    /// Hands `value` to the oldest waiter, which the caller wakes. Returns the value if there is
    /// none.
    #[inline]
    pub(crate) fn hand(&self, value: T) -> Result<W, T> {
        if self.is_empty() { Err(value) } else { Ok(self.hand_to_oldest(|_, _| value)) }
    }

    /// The same if there is a waiter. `value` sees it, and where it waits.
    #[inline]
    pub(crate) fn hand_to_oldest(&self, value: impl FnOnce(&W, Site) -> T) -> W {
        self.waiting.set(self.waiting.get() - 1);
        self.list.borrow_mut().hand_over(value)
    }

    /// Removes the waiter. Returns the value that was handed to it, if any; the caller must pass it
    /// on. Also returns what to wake, which the caller drops where no borrow is held.
    pub(crate) fn leave(&self, slot: &mut WaitSlot) -> (Option<T>, W) {
        let at = std::mem::replace(&mut slot.0, NONE);
        if at == NONE {
            return (None, W::default());
        }
        let mut list = self.list.borrow_mut();
        if let Some(handed) = list.take_if_handed(at) {
            return (Some(handed), W::default());
        }
        let waiter = list.nodes[at as usize].waiter.take();
        debug_assert!(waiter.is_set(), "a waiter that was handed nothing waits");
        self.waiting.set(self.waiting.get() - 1);
        list.unlink(at);
        list.free(at);
        (None, waiter)
    }
}

fn next_number() -> u64 {
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    LAST.with(|last| {
        last.set(last.get() + 1);
        last.get()
    })
}

impl<W: Wakeable, T> List<W, T> {
    /// What the node of a waiter wakes. Empty if the waiter was handed a value.
    #[inline]
    pub(crate) fn waiter(&mut self, at: u32) -> &mut W {
        &mut self.nodes[at as usize].waiter
    }

    /// Adds a node at the end. `set` writes into it what to wake.
    #[inline(always)]
    fn push(
        &mut self,
        weight: usize,
        site: Site,
        set: impl FnOnce(&mut W),
        number: &Cell<u64>,
    ) -> u32 {
        let at = if self.free == NONE { self.grow(number) } else { self.free };
        let node = &mut self.nodes[at as usize];
        set(&mut node.waiter);
        self.used += 1;
        self.free = node.next;
        node.previous = self.tail;
        node.next = NONE;
        node.weight = weight;
        if site.is_some() {
            node.site = site;
        }
        match self.nodes.get_mut(self.tail as usize) {
            Some(last) => last.next = at,
            None => self.head = at,
        }
        self.tail = at;
        at
    }

    /// A node that holds `item` and is linked nowhere.
    fn keep(&mut self, item: T, number: &Cell<u64>) -> u32 {
        let at = if self.free == NONE { self.grow(number) } else { self.free };
        let node = &mut self.nodes[at as usize];
        node.handed = Some(item);
        self.used += 1;
        self.free = node.next;
        at
    }

    /// Adds a free node. The list gets its number here, because here the first waiter enters.
    #[cold]
    fn grow(&mut self, number: &Cell<u64>) -> u32 {
        if number.get() == 0 {
            number.set(next_number());
        }
        let at = u32::try_from(self.nodes.len()).expect("fewer than 2^32 waiters");
        let (waiter, site, handed) = (W::default(), None, None);
        self.nodes.push(Node { previous: NONE, next: NONE, weight: 0, site, waiter, handed });
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

    /// Counts one node as free. Releases the memory of a burst of waiters when all nodes are free.
    #[inline]
    fn freed(&mut self) {
        self.used -= 1;
        if self.used == 0 && self.nodes.len() > KEEP {
            (self.nodes, self.free) = (Vec::new(), NONE);
        }
    }

    /// Hands a value to the oldest waiter, which must exist. Returns what to wake.
    #[inline]
    fn hand_over(&mut self, value: impl FnOnce(&W, Site) -> T) -> W {
        let node = &mut self.nodes[self.head as usize];
        node.handed = Some(value(&node.waiter, node.site));
        let (waiter, next) = (node.waiter.take(), node.next);
        self.head = next;
        match self.nodes.get_mut(next as usize) {
            Some(next) => next.previous = NONE,
            None => self.tail = NONE,
        }
        waiter
    }

    /// Takes the value that was handed to a waiter, and frees its node.
    #[inline]
    fn take_if_handed(&mut self, at: u32) -> Option<T> {
        let node = &mut self.nodes[at as usize];
        let handed = node.handed.take()?;
        node.next = std::mem::replace(&mut self.free, at);
        self.freed();
        Some(handed)
    }

    pub(crate) fn take_handed(&mut self, at: u32) -> T {
        self.take_if_handed(at).expect("a waiter that does not wait has been handed something")
    }
}
