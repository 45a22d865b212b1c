//! The waits of a queue: to put, to get, and for all items to be done.

use std::borrow::BorrowMut;
use std::marker::PhantomData;

use super::state::{Assigned, Refused, State};
use crate::queue::TryPutError;
use crate::universal::wait::{Request, Wakes};
use crate::universal::waiters::Waiters;

/// A wait for a slot. The item is in `item`: the caller's variable, or one of its own. While it
/// waits, the item is with the waiter.
pub(super) struct Put<I, T> {
    item: I,
    of: PhantomData<T>,
}

impl<T, I: BorrowMut<Option<T>>> Put<I, T> {
    pub(super) fn new(item: I) -> Self {
        Put { item, of: PhantomData }
    }

    /// The item that was not placed.
    pub(super) fn left(&mut self) -> Option<T> {
        self.item.borrow_mut().take()
    }

    /// The result of a call that does not wait any longer.
    pub(super) fn refused(&mut self, placed: Option<Placed>) -> Result<(), TryPutError<T>> {
        match (placed, self.left()) {
            (_, None) => Ok(()),
            (None, Some(item)) => Err(TryPutError::Full(item)),
            (Some(_), Some(item)) => Err(TryPutError::Closed(item)),
        }
    }
}

/// The result of a put: false if the queue is closed. The item is in its variable then.
type Placed = bool;

impl<T, I: BorrowMut<Option<T>>> Request for Put<I, T> {
    type State = State<T>;
    type With = T;
    type Handed = Refused<T>;
    type Output = Placed;

    fn waiters(state: &mut State<T>) -> &mut Waiters<T, Refused<T>> {
        &mut state.putters
    }

    #[inline]
    fn quick(&mut self, state: &mut State<T>) -> Option<Placed> {
        let item = self.item.borrow_mut();
        state.has_room().then(|| {
            if let Some(item) = item.take() {
                state.add(item);
            }
            true
        })
    }

    fn attempt(&mut self, state: &mut State<T>, wakes: &mut Wakes) -> Option<Placed> {
        let item = self.item.borrow_mut();
        if state.is_open() {
            if let Some(item) = item.take() {
                state.accept(item, wakes);
            }
            return Some(true);
        }
        (state.is_closed() || item.is_none()).then_some(item.is_none())
    }

    fn with(&mut self, state: &mut State<T>) -> T {
        state.note_waiter();
        self.left().expect("without an item, a put completes at once")
    }

    fn finish(&mut self, refused: Refused<T>, _: &mut State<T>, _: &mut Wakes) -> Placed {
        let placed = refused.is_none();
        *self.item.borrow_mut() = refused;
        placed
    }

    fn pass_on(&mut self, refused: Refused<T>, _: &mut State<T>, _: &mut Wakes) -> Option<T> {
        refused
    }

    fn back(&mut self, item: T) {
        *self.item.borrow_mut() = Some(item);
    }
}

/// A wait for an item. The output is `None` if the queue has ended.
pub(super) struct Get<T>(pub(super) PhantomData<T>);

impl<T> Request for Get<T> {
    type State = State<T>;
    type With = ();
    type Handed = Assigned<T>;
    type Output = Option<T>;

    fn waiters(state: &mut State<T>) -> &mut Waiters<(), Assigned<T>> {
        &mut state.getters
    }

    #[inline]
    fn quick(&mut self, state: &mut State<T>) -> Option<Option<T>> {
        state.take_quickly().map(Some)
    }

    fn attempt(&mut self, state: &mut State<T>, wakes: &mut Wakes) -> Option<Option<T>> {
        state.take(wakes)
    }

    fn with(&mut self, state: &mut State<T>) {
        state.note_waiter();
    }

    fn finish(&mut self, item: Assigned<T>, state: &mut State<T>, wakes: &mut Wakes) -> Option<T> {
        // Other getters may wait to learn whether this item comes back.
        state.end_getters(wakes);
        item.map(|item| item.item)
    }

    fn pass_on(
        &mut self,
        item: Assigned<T>,
        state: &mut State<T>,
        wakes: &mut Wakes,
    ) -> Option<()> {
        state.give_back(item, wakes);
        None
    }

    fn back(&mut self, (): ()) {}
}

/// A wait until no item is unfinished.
pub(super) struct Join<T>(pub(super) PhantomData<T>);

impl<T> Request for Join<T> {
    type State = State<T>;
    type With = ();
    type Handed = ();
    type Output = ();

    fn waiters(state: &mut State<T>) -> &mut Waiters<(), ()> {
        &mut state.joiners
    }

    fn attempt(&mut self, state: &mut State<T>, _: &mut Wakes) -> Option<()> {
        (state.unfinished() == 0).then_some(())
    }

    fn with(&mut self, _: &mut State<T>) {}

    fn finish(&mut self, (): (), _: &mut State<T>, _: &mut Wakes) {}

    fn pass_on(&mut self, (): (), _: &mut State<T>, _: &mut Wakes) -> Option<()> {
        None
    }

    fn back(&mut self, (): ()) {}
}
