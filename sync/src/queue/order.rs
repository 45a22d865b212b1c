//! Who gets an item and who gets a place, and when a closed queue has ended.

use std::collections::VecDeque;

use super::waits::Assigned;
use super::{Queue, Stage};

/// Room for fewer items is kept after a burst.
pub(super) const KEEP: usize = 1025;

/// An item and its place in the order: a putter gets its ticket with its place, and an item that a
/// dropped getter gives back goes to where it was.
pub(super) struct Ticketed<T> {
    ticket: u64,
    pub(super) item: T,
}

impl<T> Queue<T> {
    fn has_place(&self) -> bool {
        self.len() + self.promised.get() < self.limit.get()
    }

    /// Whether an item may be put now: a place, and no task whose turn it is.
    pub(super) fn is_open(&self) -> bool {
        let first = self.promised.get() == 0 && self.putters.is_empty();
        // While a getter waits, no item takes a place.
        first && ((!self.getters.is_empty() && !self.is_closed()) || self.has_place())
    }

    pub(super) fn ticket(&self) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        ticket
    }

    /// An item is in.
    pub(super) fn accept(&self, ticket: u64, item: T) {
        self.unfinished.set(self.unfinished.get() + 1);
        self.place(Ticketed { ticket, item });
    }

    /// To the oldest getter, or to its place in the order.
    #[inline]
    pub(super) fn place(&self, item: Ticketed<T>) {
        if self.getters.is_empty() {
            self.insert(item);
        } else {
            self.hand_over(item.ticket, Some(item.item));
        }
    }

    /// To the oldest getter; no item means that none will come. In two parameters, which fit into
    /// registers, and for both cases, so that the one call in it is inlined.
    #[inline(never)]
    fn hand_over(&self, ticket: u64, item: Option<T>) {
        let assigned = item.map(|item| Ticketed { ticket, item });
        if let Err(Some(item)) = self.getters.hand_over(assigned) {
            self.insert_late(item);
        }
    }

    #[inline]
    fn insert(&self, item: Ticketed<T>) {
        if item.ticket < self.beyond.get() {
            return self.insert_between(item);
        }
        self.beyond.set(item.ticket + 1);
        self.items.borrow_mut().push_back(item);
    }

    /// Nobody waited for it after all.
    #[cold]
    fn insert_late(&self, item: Ticketed<T>) {
        self.insert(item);
    }

    /// One that was there before, or whose putter was overtaken.
    #[cold]
    fn insert_between(&self, item: Ticketed<T>) {
        let mut items = self.items.borrow_mut();
        let at = items.partition_point(|other| other.ticket < item.ticket);
        items.insert(at, item);
    }

    /// The first item; or nothing for a getter to wait for, as the queue has ended.
    pub(super) fn take(&self) -> Option<Assigned<T>> {
        let mut items = self.items.borrow_mut();
        match items.pop_front() {
            Some(first) => {
                drop(items);
                self.serve_putters();
                Some(Some(first))
            }
            // One comparison for two rare cases.
            None if items.capacity() >= self.look_from.get() => {
                drop(items);
                self.found_empty()
            }
            None => None,
        }
    }

    #[cold]
    fn found_empty(&self) -> Option<Assigned<T>> {
        let mut items = self.items.borrow_mut();
        if items.capacity() >= KEEP {
            // After a burst its room is given back: it was drained, and more was asked for.
            *items = VecDeque::new();
        }
        drop(items);
        (self.is_closed() && self.ends()).then_some(None)
    }

    /// Gives free places to the oldest putters.
    #[inline]
    pub(super) fn serve_putters(&self) {
        if !self.putters.is_empty() {
            self.hand_places_over();
        }
    }

    #[inline(never)]
    fn hand_places_over(&self) {
        while !self.putters.is_empty() && self.has_place() {
            self.promised.set(self.promised.get() + 1);
            if self.putters.hand_over(Some(self.ticket())).is_err() {
                self.promised.set(self.promised.get() - 1);
            }
        }
    }

    /// Ends a closed queue if no item is left, and tells the getters that wait. Whether it has
    /// ended.
    #[cold]
    #[inline(never)]
    pub(super) fn ends(&self) -> bool {
        let out = self.promised.get() + self.getters.handed();
        if self.stage.get() == Stage::Closed && out == 0 && self.is_empty() {
            self.stage.set(Stage::Ended);
            // Each once: what waking runs may wait again.
            for _ in 0..self.getters.len() {
                self.hand_over(0, None);
            }
        }
        self.stage.get() == Stage::Ended
    }
}
