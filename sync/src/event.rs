//! A flag that tasks wait for.

use std::cell::Cell;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

/// A flag that is set or not. Tasks wait until it is set.
///
/// `set` wakes all waiters, the oldest first. They return even if the event is cleared before they
/// run. An event belongs to one thread. It works under any executor, but only a task of Curium is
/// ever cancelled in it.
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
#[doc(alias = "Notify")]
#[derive(Debug, Default)]
// The compiler shows the next line when it refuses to send this.
pub struct Event /* stays on its thread: use `UniversalEvent` between threads */ {
    set: Cell<bool>,
    waiters: WaitQueue,
}

/// The state of an [`Event`], a [`UniversalEvent`](crate::UniversalEvent) or a
/// [`UniversalResult`](crate::UniversalResult) at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventStatistics {
    /// Whether it is set.
    pub is_set: bool,
    /// The number of tasks that wait for it, of a universal object also of threads and futures.
    pub waiting: usize,
}

impl Event {
    /// An event that is not set.
    pub const fn new() -> Self {
        Event { set: Cell::new(false), waiters: WaitQueue::new() }
    }

    /// Sets the event and wakes all waiters. Neither blocks nor switches to another task.
    pub fn set(&self) {
        self.set.set(true);
        self.waiters.hand_over_all(|| ());
    }

    /// Clears the event. The waiters that an earlier `set` has woken still return.
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the event is set.
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// The state of the event now.
    pub fn statistics(&self) -> EventStatistics {
        EventStatistics { is_set: self.set.get(), waiting: self.waiters.len() }
    }

    /// Waits until the event is set. Returns at once if it is set already.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// The event stays unchanged.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        Wait::new("EVENT_WAIT", Waiting { event: self })
    }
}

/// A wait for an event.
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

    /// `set` has already woken every waiter, so there is nothing to pass on.
    fn pass_on(&mut self, (): ()) {}
}
