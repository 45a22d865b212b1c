//! What the lock of a queue guards: the items, the waiters, and the order in which they are served.

use std::collections::VecDeque;

use crate::universal::wait::Wakes;
use crate::universal::waiters::Waiters;

/// An empty buffer with more capacity than this is freed.
const KEEP: usize = 1024;

/// An item and its position in the order. An item that a dropped getter gives back returns to its
/// position.
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
/// getter learns of its end. While a putter waits, the queue is full.
pub(super) struct State<T> {
    bound: usize,
    closed: bool,
    /// Closed, and no item is left or can come back.
    ended: bool,
    items: VecDeque<Ticketed<T>>,
    next: u64,
    unfinished: usize,
    pub(super) getters: Waiters<(), Assigned<T>>,
    /// The waiting putters. Each has left its item here, so that a getter can place it.
    pub(super) putters: Waiters<T, Refused<T>>,
    pub(super) joiners: Waiters<(), ()>,
}

impl<T> State<T> {
    pub(super) const fn new(bound: usize) -> Self {
        State {
            bound,
            closed: false,
            ended: false,
            items: VecDeque::new(),
            next: 0,
            unfinished: 0,
            getters: Waiters::new(),
            putters: Waiters::new(),
            joiners: Waiters::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether a put completes at once.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        !self.closed && self.items.len() < self.bound
    }

    /// Places a new item: hands it to the oldest getter, or adds it at the end.
    #[inline]
    pub(super) fn accept(&mut self, item: T, wakes: &mut Wakes) {
        self.unfinished += 1;
        let ticket = self.next;
        self.next += 1;
        let item = Ticketed { ticket, item };
        if self.getters.is_empty() {
            self.items.push_back(item);
        } else {
            wakes.add(self.getters.hand(|()| Some(item)));
        }
    }

    /// Takes the first item: `None` if the getter must wait, `Some(None)` if the queue has ended.
    #[inline]
    pub(super) fn take(&mut self, wakes: &mut Wakes) -> Option<Option<T>> {
        match self.items.pop_front() {
            Some(first) => {
                self.serve_putters(wakes);
                if self.items.is_empty() && self.items.capacity() > KEEP {
                    self.items = VecDeque::new();
                }
                Some(Some(first.item))
            }
            None => self.has_ended().then_some(None),
        }
    }

    /// Places the items of the oldest putters in the free slots.
    #[inline]
    pub(super) fn serve_putters(&mut self, wakes: &mut Wakes) {
        while self.items.len() < self.bound && !self.putters.is_empty() {
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
    }

    /// A getter gives back an item that it was handed. It goes to the oldest getter, or back to its
    /// position. That it may be one more than the bound is no reason to lose it.
    pub(super) fn give_back(&mut self, item: Assigned<T>, wakes: &mut Wakes) {
        if let Some(item) = item {
            if self.getters.is_empty() {
                let at = self.items.partition_point(|other| other.ticket < item.ticket);
                self.items.insert(at, item);
            } else {
                wakes.add(self.getters.hand(|()| Some(item)));
            }
        }
        self.end_getters(wakes);
    }

    pub(super) fn close(&mut self, wakes: &mut Wakes) {
        self.closed = true;
        while !self.putters.is_empty() {
            wakes.add(self.putters.hand(Some));
        }
        self.end_getters(wakes);
    }

    /// Whether the queue is closed, and no item is left or can come back.
    fn has_ended(&mut self) -> bool {
        self.ended |= self.closed && self.items.is_empty() && self.getters.handed() == 0;
        self.ended
    }

    /// Tells the waiting getters the end of the queue, when it is certain.
    pub(super) fn end_getters(&mut self, wakes: &mut Wakes) {
        if self.closed && self.has_ended() {
            while !self.getters.is_empty() {
                wakes.add(self.getters.hand(|()| None));
            }
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
