//! A queue without places: an item goes from its putter to a getter.
//!
//! A putter that must wait leaves its item here, so that a getter can take it without a poll of the
//! putter. A waiting putter and its item have the same number, which is the weight of the waiter.
//! The number 0 is that of a waiter without an item: it waits for a slot to hold.
//!
//! Invariant: while a putter waits, no more getters wait than slots are promised or held. So each
//! waiting getter has a putter that is going to give it an item.

use super::Queue;
use super::order::{Order, Ticketed};

impl<T, O: Order<T>> Queue<T, O> {
    /// A queue without places.
    pub(crate) fn direct() -> Self {
        let queue = Queue::over(0, O::default());
        queue.slow_from.set(0);
        queue
    }

    pub(crate) fn is_direct(&self) -> bool {
        self.maxsize == 0
    }

    /// Whether a getter waits for the putter that comes now.
    #[cold]
    #[inline(never)]
    pub(super) fn is_first_met(&self) -> bool {
        self.promised.get() == 0 && self.putters.is_empty() && self.is_awaited()
    }

    /// Whether a getter waits that no promised or held slot is meant for.
    fn is_awaited(&self) -> bool {
        let expected = self.promised.get() + self.held.get();
        !self.is_closed() && self.getters.len() > expected
    }

    /// A number for a putter that is going to wait with its item.
    pub(crate) fn number(&self) -> usize {
        // On a small machine the numbers repeat, but not among the putters that wait together.
        (self.ticket() as usize).wrapping_add(1).max(1)
    }

    /// Leaves the item of a putter that waits.
    pub(crate) fn deposit(&self, number: usize, item: T) {
        self.deposits.borrow_mut().push_back((number, item));
        self.meet();
    }

    /// Takes the item of a putter back, if it was not taken.
    pub(crate) fn withdraw(&self, number: usize) -> Option<T> {
        let mut deposits = self.deposits.borrow_mut();
        let at = deposits.iter().position(|(other, _)| *other == number)?;
        deposits.remove(at).map(|(_, item)| item)
    }

    /// Takes the item that the oldest putter has left, and wakes this putter.
    pub(super) fn take_deposit(&self) -> Option<Ticketed<T>> {
        let item = self.withdraw(self.putters.oldest_weight()?)?;
        let ticket = self.ticket();
        let handed = self.putters.hand_over(Some(ticket));
        debug_assert!(handed.is_ok(), "the oldest putter has just been looked at");
        Some(Ticketed { ticket, item })
    }

    /// Lets waiting getters meet waiting putters, the oldest first.
    pub(crate) fn meet(&self) {
        while self.is_awaited() {
            match self.putters.oldest_weight() {
                None => break,
                Some(0) => {
                    self.promised.set(self.promised.get() + 1);
                    if self.putters.hand_over(Some(self.ticket())).is_err() {
                        self.promised.set(self.promised.get() - 1);
                    }
                }
                Some(_) => match self.take_deposit() {
                    Some(item) => self.place(item),
                    // It is about to leave its item, and calls this then.
                    None => break,
                },
            }
        }
    }
}
