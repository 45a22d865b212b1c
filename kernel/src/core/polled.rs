//! What poll functions of streams leave behind, and the leaf around them that ends it.
//!
//! A poll function that returns `Pending` cannot know when its caller gives up: its arguments are
//! the stream and a waker. What it has begun for the caller would last until the stream is used
//! again or dropped. So the leaves of `io` collect it, and end it with themselves.

use std::fmt;
use std::mem::take;
use std::ptr::addr_eq;
use std::sync::Arc;

use crate::core::current;

/// What a poll function has begun, for as long as its caller waits.
pub trait PolledWait {
    /// The leaf around the poll function has ended. If another poll waits by now, it must still be
    /// woken.
    fn leaf_ended(&self);
}

type Waits = Vec<Arc<dyn PolledWait>>;

/// What the poll functions in one leaf have begun. It ends when this is dropped.
#[derive(Default)]
pub struct PolledWaits(Waits);

impl PolledWaits {
    /// Calls a poll function, and collects what it notes.
    #[inline]
    pub fn collect<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let outer = replace(Some(take(&mut self.0)));
        let collecting = Collecting { waits: self, outer };
        let polled = poll();
        drop(collecting);
        polled
    }

    /// The leaf has ended.
    pub fn end(&mut self) {
        take(&mut self.0).iter().for_each(|wait| wait.leaf_ended());
    }
}

impl Drop for PolledWaits {
    #[inline]
    fn drop(&mut self) {
        if !self.0.is_empty() {
            self.end();
        }
    }
}

impl fmt::Debug for PolledWaits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PolledWaits").field(&self.0.len()).finish()
    }
}

/// Ends the collecting, also after a panic.
struct Collecting<'a> {
    waits: &'a mut PolledWaits,
    outer: Option<Waits>,
}

impl Drop for Collecting<'_> {
    #[inline]
    fn drop(&mut self) {
        self.waits.0 = replace(self.outer.take()).unwrap_or_default();
    }
}

#[inline]
fn replace(waits: Option<Waits>) -> Option<Waits> {
    current::try_with(|core| core.polled.replace(waits)).flatten()
}

/// Notes a wait for the leaf around the poll function that runs, if there is one.
pub fn note_wait(wait: Arc<dyn PolledWait>) {
    current::try_with(|core| {
        if let Some(waits) = &mut *core.polled.borrow_mut() {
            if !waits.iter().any(|known| addr_eq(Arc::as_ptr(known), Arc::as_ptr(&wait))) {
                waits.push(wait);
            }
        }
    });
}
