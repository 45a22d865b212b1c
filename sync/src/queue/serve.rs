//! The order in which getters get items and putters get slots, and the end of a closed queue.

use kernel::wait_queue::WaitQueue;

use super::order::{Order, Ticketed};
use super::waits::{Assigned, Promise};
use super::{Queue, Stage};

/// An empty buffer with at least this capacity is freed.
pub(super) const KEEP: usize = 1025;

impl<T, O: Order<T>> Queue<T, O> {
    fn has_slot(&self) -> bool {
        self.len() + self.promised.get() < self.limit.get()
    }

    /// Whether an item may be put now: there is a free slot, and no putter is before it. Never in a
    /// queue without places.
    pub(super) fn is_open(&self) -> bool {
        let first = self.promised.get() == 0 && self.putters.is_empty();
        // While a getter waits, there is no item. Then a slot is free unless all are held or the
        // queue is closed.
        first && ((!self.getters.is_empty() && self.limit.get() > 0) || self.has_slot())
    }

    /// The same for a queue without places, where a getter that waits makes one.
    #[inline]
    pub(super) fn is_met(&self) -> bool {
        self.is_direct() && self.is_first_met()
    }

    /// Promises a slot to a putter: `Some(None)` if the queue is closed, `None` if the putter must
    /// wait.
    pub(crate) fn promise(&self) -> Option<Promise> {
        if self.is_open() || self.is_met() {
            self.promised.set(self.promised.get() + 1);
            Some(Some(self.ticket()))
        } else {
            self.is_closed().then_some(None)
        }
    }

    /// Takes a promise of a slot back, because its putter has left.
    pub(crate) fn give_back(&self, promise: Promise) {
        if promise.is_some() {
            self.promised.set(self.promised.get() - 1);
            self.serve_putters();
            self.ends();
        }
    }

    /// Places an item in the slot that was promised to its putter.
    pub(crate) fn fulfil(&self, ticket: u64, item: Option<T>) {
        self.promised.set(self.promised.get() - 1);
        if let Some(item) = item {
            self.accept(ticket, item);
        }
        // If the item went straight to a getter, the slot is free again.
        self.serve_putters();
    }

    /// Counts a free slot as held. A held slot makes the queue smaller and is before no other
    /// putter.
    pub(super) fn hold(&self) {
        self.held.set(self.held.get() + 1);
        if !self.is_closed() && !self.is_direct() {
            self.limit.set(self.limit.get() - 1);
        }
    }

    /// Counts a promised slot as held.
    pub(super) fn hold_promised(&self) {
        self.promised.set(self.promised.get() - 1);
        self.hold();
    }

    /// The slot is no longer held. It is free, or its item is placed.
    pub(super) fn release(&self) {
        self.held.set(self.held.get() - 1);
        if self.is_closed() {
            self.ends();
        } else {
            if !self.is_direct() {
                self.limit.set(self.limit.get() + 1);
            }
            self.serve_putters();
        }
    }

    /// Shows the kernel which task has read last, because a putter waits for it.
    pub(super) fn show_reader(&self) {
        self.reader.show(&self.putters);
    }

    pub(super) fn ticket(&self) -> u64 {
        let ticket = self.next.get();
        self.next.set(ticket + 1);
        ticket
    }

    /// Counts a new item as unfinished and places it.
    pub(super) fn accept(&self, ticket: u64, item: T) {
        self.unfinished.set(self.unfinished.get() + 1);
        self.place(Ticketed { ticket, item });
    }

    /// Gives an item to the oldest getter, or inserts it at its position.
    #[inline]
    pub(super) fn place(&self, item: Ticketed<T>) {
        if self.getters.is_empty() {
            self.insert(item);
        } else {
            self.hand_over(item.ticket, Some(item.item));
        }
    }

    /// Hands an item, or the end of the queue (`None`), to the oldest getter. The ticket and the
    /// item are two parameters, which fit into registers. One function serves both cases, so that
    /// the call in it is inlined.
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
        self.items.borrow_mut().push(item);
    }

    /// Inserts an item that the wait queue did not take.
    #[cold]
    fn insert_late(&self, item: Ticketed<T>) {
        self.insert(item);
    }

    /// Inserts an item that a getter gave back, or whose putter filled its slot late.
    #[cold]
    fn insert_between(&self, item: Ticketed<T>) {
        if self.is_abandoned() {
            return;
        }
        self.items.borrow_mut().insert(item);
    }

    /// Takes the first item: `Some(None)` if the queue has ended, `None` if the getter must wait.
    pub(crate) fn take(&self) -> Option<Assigned<T>> {
        let mut items = self.items.borrow_mut();
        match items.pop() {
            Some(first) => {
                drop(items);
                self.serve_putters();
                Some(Some(first))
            }
            // One comparison for two rare cases: an oversized buffer and a closed queue.
            None if items.capacity() >= self.slow_from.get() => {
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
            // Frees the memory of a burst now that its items are gone.
            *items = O::default();
        }
        drop(items);
        if self.is_direct() && self.getters.is_empty() {
            // A getter that waits comes first.
            if let Some(item) = self.take_deposit() {
                return Some(Some(item));
            }
        }
        (self.is_closed() && self.ends()).then_some(None)
    }

    /// Assigns free slots to the oldest putters.
    #[inline]
    pub(super) fn serve_putters(&self) {
        if !self.putters.is_empty() {
            self.hand_slots_over();
        }
    }

    #[inline(never)]
    fn hand_slots_over(&self) {
        if self.is_direct() {
            return self.meet();
        }
        while !self.putters.is_empty() && self.has_slot() {
            self.promised.set(self.promised.get() + 1);
            if self.putters.hand_over(Some(self.ticket())).is_err() {
                self.promised.set(self.promised.get() - 1);
            }
        }
    }

    /// Ends a closed queue if no item is left or can come, and notifies the waiting getters.
    /// Returns whether the queue has ended.
    #[cold]
    #[inline(never)]
    pub(super) fn ends(&self) -> bool {
        let out = self.promised.get() + self.held.get() + self.getters.handed();
        if self.stage.get() == Stage::Closed && out == 0 && self.is_empty() {
            self.stage.set(Stage::Ended);
            // Counts the getters first: code that a wake runs may add new ones.
            for _ in 0..self.getters.len() {
                self.hand_over(0, None);
            }
        }
        self.stage.get() == Stage::Ended
    }

    /// Closes the queue for ever, because no getter is left, and drops its items. An item that is
    /// put into a slot that was promised or held before is dropped, too.
    pub(crate) fn abandon(&self) {
        self.close();
        self.stage.set(Stage::Abandoned);
        // From now on every item is one that is inserted between others.
        self.beyond.set(u64::MAX);
        let items = std::mem::take(&mut *self.items.borrow_mut());
        drop(items);
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.stage.get() == Stage::Abandoned
    }

    pub(crate) fn waiting_putters(&self) -> &WaitQueue<Promise> {
        &self.putters
    }

    pub(crate) fn waiting_getters(&self) -> &WaitQueue<Assigned<T>> {
        &self.getters
    }
}
