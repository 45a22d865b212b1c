//! A cell whose value is taken out while it is used.

use std::cell::Cell;
use std::mem::ManuallyDrop;

/// A `Cell<Option<T>>` whose `put` does not check for an old value to drop.
pub(crate) struct TakeCell<T>(Cell<ManuallyDrop<Option<T>>>);

impl<T> TakeCell<T> {
    pub(crate) const fn empty() -> Self {
        TakeCell(Cell::new(ManuallyDrop::new(None)))
    }

    /// Takes the value out.
    #[inline]
    pub(crate) fn take(&self) -> Option<T> {
        ManuallyDrop::into_inner(self.0.replace(ManuallyDrop::new(None)))
    }

    /// Puts a value in. The cell must be empty: an old value would be leaked.
    #[inline]
    pub(crate) fn put(&self, thing: T) {
        self.put_some(Some(thing));
    }

    /// Like `put`, with an `Option`.
    #[inline]
    pub(crate) fn put_some(&self, thing: Option<T>) {
        self.0.set(ManuallyDrop::new(thing));
    }
}

impl<T> Drop for TakeCell<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}
