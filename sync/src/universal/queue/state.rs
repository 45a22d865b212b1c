//! What the lock of a queue guards: the items, the waiters, and the order in which they are served.

use std::collections::VecDeque;

use crate::universal::wait::Wakes;
use crate::universal::waiters::Waiters;

/// An empty buffer with more capacity than this is freed.
const KEEP: usize = 1024;

/// An item that was handed to a getter, with the number of the hand-over. An item that a dropped
/// getter gives back returns to its position by that number.
pub(super) struct Ticketed<T> {
    ticket: u64,
    pub(super) item: T,
}

/// What a getter is handed: an item, or `None` because the queue has ended.
pub(super) type Assigned<T> = Option<Ticketed<T>>;

/// What a putter is handed: its item, because the queue was closed, or `None`, because the item was
/// placed.
pub(super) type Refused<T> = Option<T>;

/// Invariants: while a getter waits, no item is in the queue, unless the queue is closed and the
/// getter learns of its end. While a putter waits, the queue is full. `special` is true while
/// anything waits, and from the first item that was given back until it is got.
///
/// Threads on two cores pass the lock and the first four fields to each other at every operation.
/// Together they are one cache line. The others are used only if `special` is true.
#[repr(C)]
pub(super) struct State<T> {
    items: VecDeque<T>,
    /// The number of items that may be in the queue: none once it is closed.
    limit: usize,
    unfinished: usize,
    special: bool,
    closed: bool,
    /// Closed, and no item is left or can come back.
    ended: bool,
    /// Items that dropped getters have given back, in order. They were handed over before the items
    /// in the queue could be, so they come first.
    given_back: VecDeque<Ticketed<T>>,
    next_ticket: u64,
    pub(super) getters: Waiters<(), Assigned<T>>,
    /// The waiting putters. Each has left its item here, so that a getter can place it.
    pub(super) putters: Waiters<T, Refused<T>>,
    pub(super) joiners: Waiters<(), ()>,
}

impl<T> State<T> {
    pub(super) const fn new(limit: usize) -> Self {
        State {
            items: VecDeque::new(),
            limit,
            unfinished: 0,
            special: false,
            closed: false,
            ended: false,
            given_back: VecDeque::new(),
            next_ticket: 0,
            getters: Waiters::new(),
            putters: Waiters::new(),
            joiners: Waiters::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len() + self.given_back.len()
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a put completes at once and wakes nothing.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        !self.special && self.items.len() < self.limit
    }

    /// Adds a new item at the end.
    #[inline]
    pub(super) fn add(&mut self, item: T) {
        self.unfinished += 1;
        self.items.push_back(item);
    }

    /// The first item, if nothing is special.
    #[inline]
    pub(super) fn take_quickly(&mut self) -> Option<T> {
        if self.special || self.items.len() <= 1 {
            return None;
        }
        self.items.pop_front()
    }

    /// Whether a put completes at once.
    pub(super) fn is_open(&self) -> bool {
        self.len() < self.limit
    }

    /// Notes that a waiter waits.
    pub(super) fn note_waiter(&mut self) {
        self.special = true;
    }

    /// Notes whether anything still waits or was given back.
    fn note_special(&mut self) {
        let quiet = self.getters.is_empty() && self.putters.is_empty();
        self.special = !(quiet && self.given_back.is_empty());
    }

    /// Places a new item: hands it to the oldest getter, or adds it at the end.
    pub(super) fn accept(&mut self, item: T, wakes: &mut Wakes) {
        if self.getters.is_empty() {
            return self.add(item);
        }
        self.unfinished += 1;
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        wakes.add(self.getters.hand(|()| Some(Ticketed { ticket, item })));
        self.note_special();
    }

    /// Takes the first item: `None` if the getter must wait, `Some(None)` if the queue has ended.
    pub(super) fn take(&mut self, wakes: &mut Wakes) -> Option<Option<T>> {
        let first = match self.given_back.pop_front() {
            Some(first) => Some(first.item),
            None => self.items.pop_front(),
        };
        if self.special {
            self.serve_putters(wakes);
        }
        if self.items.is_empty() && self.items.capacity() > KEEP {
            self.items = VecDeque::new();
        }
        match first {
            None => self.has_ended().then_some(None),
            first => Some(first),
        }
    }

    /// Places the items of the oldest putters in the free slots.
    fn serve_putters(&mut self, wakes: &mut Wakes) {
        while self.len() < self.limit && !self.putters.is_empty() {
            let mut placed = None;
            let waker = self.putters.hand(|item| {
                placed = Some(item);
                None
            });
            if let Some(item) = placed {
                self.accept(item, wakes);
            }
            wakes.add(waker);
        }
        self.note_special();
    }

    /// A getter gives back an item that it was handed. It goes to the oldest getter, or back to its
    /// position. That it may be one more than the bound is no reason to lose it.
    pub(super) fn give_back(&mut self, item: Assigned<T>, wakes: &mut Wakes) {
        if let Some(item) = item {
            if self.getters.is_empty() {
                let at = self.given_back.partition_point(|other| other.ticket < item.ticket);
                self.given_back.insert(at, item);
            } else {
                wakes.add(self.getters.hand(|()| Some(item)));
            }
            self.note_special();
        }
        self.end_getters(wakes);
    }

    pub(super) fn close(&mut self, wakes: &mut Wakes) {
        self.closed = true;
        self.limit = 0;
        while !self.putters.is_empty() {
            wakes.add(self.putters.hand(Some));
        }
        self.note_special();
        self.end_getters(wakes);
    }

    /// Whether the queue is closed, and no item is left or can come back.
    fn has_ended(&mut self) -> bool {
        self.ended |= self.closed && self.len() == 0 && self.getters.handed() == 0;
        self.ended
    }

    /// Tells the waiting getters the end of the queue, when it is certain.
    pub(super) fn end_getters(&mut self, wakes: &mut Wakes) {
        if self.closed && self.has_ended() {
            while !self.getters.is_empty() {
                wakes.add(self.getters.hand(|()| None));
            }
            self.note_special();
        }
    }

    /// Marks an item as done. False: every item is done already.
    pub(super) fn finish_one(&mut self, wakes: &mut Wakes) -> bool {
        let Some(left) = self.unfinished.checked_sub(1) else { return false };
        self.unfinished = left;
        while left == 0 && !self.joiners.is_empty() {
            wakes.add(self.joiners.hand(|()| ()));
        }
        true
    }
}
