//! The orders in which a queue gives its items: as they came, the last first, the smallest first.
//!
//! An order is a buffer of items with their tickets. A program names one only in the type of a
//! [`Queue`](crate::Queue) that a [`PriorityQueue`](crate::PriorityQueue) or a
//! [`LifoQueue`](crate::LifoQueue) wraps.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

/// An item and its position in the order of arrival. A putter gets the ticket together with its
/// slot. An item that a dropped getter gives back returns to its position.
#[doc(hidden)]
pub struct Ticketed<T> {
    pub(crate) ticket: u64,
    pub(crate) item: T,
}

impl<T> fmt::Debug for Ticketed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketed").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// An order of items. It is implemented here only.
pub trait Order<T>: Default + sealed::Sealed {
    /// Adds an item whose ticket is higher than that of every item before it.
    #[doc(hidden)]
    fn push(&mut self, item: Ticketed<T>);

    /// Adds an item at the position of its ticket.
    #[doc(hidden)]
    fn insert(&mut self, item: Ticketed<T>);

    /// Removes the item that comes first in this order.
    #[doc(hidden)]
    fn pop(&mut self) -> Option<Ticketed<T>>;

    /// The number of items.
    #[doc(hidden)]
    fn count(&self) -> usize;

    /// The number of items for which there is memory.
    #[doc(hidden)]
    fn capacity(&self) -> usize;
}

mod sealed {
    /// Only the orders of this module have it.
    pub trait Sealed {}

    impl<T> Sealed for super::Fifo<T> {}
    impl<T> Sealed for super::Lifo<T> {}
    impl<T> Sealed for super::Smallest<T> {}
}

/// First in, first out: the order of a [`Queue`](crate::Queue).
pub struct Fifo<T>(VecDeque<Ticketed<T>>);

/// Last in, first out: the order of a [`LifoQueue`](crate::LifoQueue).
pub struct Lifo<T>(VecDeque<Ticketed<T>>);

/// The smallest first, and of equal ones the first in: the order of a
/// [`PriorityQueue`](crate::PriorityQueue).
pub struct Smallest<T>(BinaryHeap<Reverse<Ranked<T>>>);

impl<T> Fifo<T> {
    pub(crate) const fn new() -> Self {
        Fifo(VecDeque::new())
    }
}

impl<T> Order<T> for Fifo<T> {
    #[inline]
    fn push(&mut self, item: Ticketed<T>) {
        self.0.push_back(item);
    }

    fn insert(&mut self, item: Ticketed<T>) {
        insert_by_ticket(&mut self.0, item);
    }

    #[inline]
    fn pop(&mut self) -> Option<Ticketed<T>> {
        self.0.pop_front()
    }

    #[inline]
    fn count(&self) -> usize {
        self.0.len()
    }

    #[inline]
    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<T> Order<T> for Lifo<T> {
    fn push(&mut self, item: Ticketed<T>) {
        self.0.push_back(item);
    }

    fn insert(&mut self, item: Ticketed<T>) {
        insert_by_ticket(&mut self.0, item);
    }

    fn pop(&mut self) -> Option<Ticketed<T>> {
        self.0.pop_back()
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

fn insert_by_ticket<T>(items: &mut VecDeque<Ticketed<T>>, item: Ticketed<T>) {
    let at = items.partition_point(|other| other.ticket < item.ticket);
    items.insert(at, item);
}

impl<T: Ord> Order<T> for Smallest<T> {
    fn push(&mut self, item: Ticketed<T>) {
        self.0.push(Reverse(Ranked(item)));
    }

    fn insert(&mut self, item: Ticketed<T>) {
        self.push(item);
    }

    fn pop(&mut self) -> Option<Ticketed<T>> {
        self.0.pop().map(|Reverse(Ranked(item))| item)
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

/// An item that is compared by itself first and by its ticket then.
struct Ranked<T>(Ticketed<T>);

impl<T: Ord> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (&self.0, &other.0);
        one.item.cmp(&other.item).then(one.ticket.cmp(&other.ticket))
    }
}

impl<T: Ord> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Ord> Eq for Ranked<T> {}

impl<T: Ord> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

macro_rules! buffers {
    ($($order:ident: $($bound:ident)?;)*) => {$(
        impl<T $(: $bound)?> Default for $order<T> {
            fn default() -> Self {
                $order(Default::default())
            }
        }

        impl<T> fmt::Debug for $order<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($order)).field("len", &self.0.len()).finish()
            }
        }
    )*};
}

buffers! { Fifo: ; Lifo: ; Smallest: Ord; }
