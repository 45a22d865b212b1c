//! A flag that tasks wait for.

use std::cell::Cell;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

/// A flag that is set or not; tasks wait until it is set.
///
/// `set` wakes everybody who waits, the oldest first; they return even if it is cleared before they
/// run. For tasks of one thread; works under any executor, but is cancelled only by Curium's.
///
/// ```
/// use std::rc::Rc;
/// use curium::kernel::{self, TaskCancelled, spawn};
/// use curium::sync::Event;
///
/// kernel::run(async || {
///     let start = Rc::new(Event::new());
///     let waiter = spawn({
///         let start = start.clone();
///         async move { start.wait().await }
///     });
///     start.set();
///     waiter.await?;
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
#[derive(Debug, Default)]
pub struct Event {
    set: Cell<bool>,
    waiters: WaitQueue,
}

impl Event {
    /// An event that is not set.
    pub const fn new() -> Self {
        Event { set: Cell::new(false), waiters: WaitQueue::new() }
    }

    /// Sets it and wakes all waiters. Neither blocks nor switches.
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.hand_over_all(|| ());
    }

    /// Clears it. Who was woken by an earlier `set` stays woken.
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until it is set; at once if it is.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: the event is as it was.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        Wait::new("EVENT_WAIT", Waiting { event: self })
    }
}

/// Somebody who waits for an event.
struct Waiting<'a> {
    event: &'a Event,
}

impl Handoff for Waiting<'_> {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.event.waiters
    }

    fn try_take(&mut self) -> Option<()> {
        self.event.set.get().then_some(())
    }

    fn finish(&mut self, (): ()) {}

    /// A pulse is for those who wait; there is nothing to pass on.
    fn pass_on(&mut self, (): ()) {}
}
