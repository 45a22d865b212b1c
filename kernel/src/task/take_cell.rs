//! A place for one thing that is taken out while it is used.

use std::cell::Cell;
use std::mem::ManuallyDrop;

/// A `Cell<Option<T>>` that does not look, when something is put in, whether something is there.
pub(crate) struct TakeCell<T>(Cell<ManuallyDrop<Option<T>>>);

impl<T> TakeCell<T> {
    pub(crate) const fn empty() -> Self {
        TakeCell(Cell::new(ManuallyDrop::new(None)))
    }

    /// Takes out what is there.
    #[inline]
    pub(crate) fn take(&self) -> Option<T> {
        ManuallyDrop::into_inner(self.0.replace(ManuallyDrop::new(None)))
    }

    /// Puts something in. The place must be empty: what is there would be forgotten.
    #[inline]
    pub(crate) fn put(&self, thing: T) {
        self.put_some(Some(thing));
    }

    /// The same with what may be nothing.
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
