//! What poll functions of streams leave behind, and the leaf around them that ends it.
//!
//! A poll function that returns `Pending` cannot know when its caller gives up: its arguments are
//! the stream and a waker. What it has begun for the caller would last until the stream is used
//! again or dropped. So the leaves of `io` collect it, and end it with themselves.

use std::fmt;
use std::ptr::addr_eq;
use std::sync::Arc;

use crate::core::current::{self, CONTEXT};

/// What a poll function has begun, for as long as its caller waits.
#[doc(hidden)]
pub trait PolledWait {
    /// The leaf around the poll function has ended. If another poll waits by now, it must still be
    /// woken.
    fn leaf_ended(&self);
}

type Waits = Vec<Arc<dyn PolledWait>>;

/// What the leaf around a poll function knows of it. Most poll functions note nothing, so this is
/// in the context of the thread, and the kernel is only looked up for a wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Notes {
    /// There is no leaf around it.
    Unwanted,
    None,
    /// The waits are in the kernel.
    Some,
}

/// What the poll functions in one leaf have begun. It ends when this is dropped.
#[doc(hidden)]
#[derive(Default)]
pub struct PolledWaits(Option<Waits>);

impl PolledWaits {
    /// Calls a poll function, and collects what it notes.
    #[inline]
    pub fn collect<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let outer = set_notes(Notes::None);
        let mut collecting = Collecting { waits: self, outer, outer_waits: None };
        if outer == Notes::Some || collecting.waits.0.is_some() {
            collecting.lend();
        }
        poll()
    }

    /// The leaf has ended.
    #[inline]
    pub fn end(&mut self) {
        if let Some(waits) = self.0.take() {
            waits.iter().for_each(|wait| wait.leaf_ended());
        }
    }
}

impl Drop for PolledWaits {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for PolledWaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PolledWaits").field(&self.0.as_ref().map_or(0, Vec::len)).finish()
    }
}

/// Ends the collecting, also after a panic.
struct Collecting<'a> {
    waits: &'a mut PolledWaits,
    outer: Notes,
    outer_waits: Option<Waits>,
}

impl Collecting<'_> {
    /// Puts what the leaf knows into the kernel, in place of what the leaf around it has there.
    #[cold]
    fn lend(&mut self) {
        if self.waits.0.is_some() {
            set_notes(Notes::Some);
        }
        self.outer_waits = replace(self.waits.0.take());
    }

    #[cold]
    fn take_back(&mut self) {
        self.waits.0 = replace(self.outer_waits.take());
    }
}

impl Drop for Collecting<'_> {
    #[inline]
    fn drop(&mut self) {
        if set_notes(self.outer) == Notes::Some || self.outer_waits.is_some() {
            self.take_back();
        }
    }
}

#[inline]
pub(super) fn set_notes(notes: Notes) -> Notes {
    CONTEXT.with(|context| context.notes.replace(notes))
}

fn replace(waits: Option<Waits>) -> Option<Waits> {
    current::try_with(|core| core.polled.replace(waits)).flatten()
}

/// Notes a wait for the leaf around the poll function that runs, if there is one.
#[doc(hidden)]
pub fn note_wait(wait: Arc<dyn PolledWait>) {
    if CONTEXT.with(|context| context.notes.get()) == Notes::Unwanted {
        return;
    }
    let noted = current::try_with(|core| {
        let mut polled = core.polled.borrow_mut();
        let waits = polled.get_or_insert_default();
        if !waits.iter().any(|known| addr_eq(Arc::as_ptr(known), Arc::as_ptr(&wait))) {
            waits.push(wait);
        }
    });
    if noted.is_some() {
        set_notes(Notes::Some);
    }
}
