//! One value that tasks look at and whose changes they wait for.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

use crate::ends::{Ends, WaitClosed};

/// A value that senders replace, and receivers that look at the latest one.
///
/// A receiver waits for a *change*, and sees the latest value, not each of them. Sending never
/// waits and never fails.
///
/// Do not use it where each value counts: that is a [`channel`](crate::channel()) or a
/// [`broadcast`](crate::broadcast()).
///
/// ```
/// use curium::kernel::{self, TaskCancelled, spawn};
/// use curium::sync::watch;
///
/// kernel::run(async || {
///     let (sender, mut receiver) = watch("starting");
///     spawn(async move {
///         sender.send("running");
///         sender.send("stopping"); // the sender is dropped, which ends the loop below
///     });
///     let mut seen = vec![*receiver.borrow()];
///     while receiver.changed().await? {
///         seen.push(*receiver.borrow());
///     }
///     assert_eq!(seen, ["starting", "stopping"]);
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
pub fn watch<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: RefCell::new(Rc::new(value)),
        version: Cell::new(0),
        ends: Ends::new(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared, seen: 0 })
}

struct Shared<T> {
    value: RefCell<Rc<T>>,
    /// The number of values so far, without the first one.
    version: Cell<u64>,
    ends: Ends,
}

impl<T> Shared<T> {
    fn value(&self) -> Rc<T> {
        self.value.borrow().clone()
    }

    fn statistics(&self) -> WatchStatistics {
        WatchStatistics {
            version: self.version.get(),
            senders: self.ends.senders(),
            receivers: self.ends.receivers(),
            waiting: self.ends.waiting.len(),
        }
    }
}

/// The state of a [`watch`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchStatistics {
    /// How often the value was replaced.
    pub version: u64,
    /// The number of senders.
    pub senders: usize,
    /// The number of receivers.
    pub receivers: usize,
    /// The number of receivers that wait for a change.
    pub waiting: usize,
}

/// An end of a [`watch`] that replaces the value. Clone it for more.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Replaces the value, and returns the old one. Wakes every receiver that waits, the oldest
    /// first. Neither blocks nor switches to another task. It does not need a receiver.
    pub fn send(&self, value: T) -> Rc<T> {
        let old = self.shared.value.replace(Rc::new(value));
        self.shared.version.set(self.shared.version.get() + 1);
        self.shared.ends.waiting.hand_over_all(|| ());
        old
    }

    /// Changes the value in place; clones it first if a receiver holds it.
    pub fn send_modify(&self, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        let mut value = self.borrow();
        change(Rc::make_mut(&mut value));
        let old = self.shared.value.replace(value);
        self.shared.version.set(self.shared.version.get() + 1);
        self.shared.ends.waiting.hand_over_all(|| ());
        // Last, because the drop of a value may panic.
        drop(old);
    }

    /// The value now.
    pub fn borrow(&self) -> Rc<T> {
        self.shared.value()
    }

    /// One more receiver. It has seen the value of this moment.
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.ends.add_receiver();
        Receiver { shared: self.shared.clone(), seen: self.shared.version.get() }
    }

    /// Waits until no receiver is left.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// Nothing is changed.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        Wait::new("WATCH_CLOSED", WaitClosed(&self.shared.ends))
    }

    /// Whether no receiver is left. [`subscribe`](Sender::subscribe) makes one.
    pub fn is_closed(&self) -> bool {
        self.shared.ends.receivers() == 0
    }

    /// The state now.
    pub fn statistics(&self) -> WatchStatistics {
        self.shared.statistics()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.shared.ends.add_sender();
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.ends.drop_sender();
    }
}

/// An end of a [`watch`] that looks at the value. Clone it for more; a clone has seen the same.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The version that this receiver has seen.
    seen: u64,
}

impl<T> Receiver<T> {
    /// Waits until the value is another one than this receiver has seen, and returns `true`.
    /// Returns at once if it is. `false` if it is not and no sender is left.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; the change was not seen then.
    ///
    /// # Cancellation
    ///
    /// No change is lost: the next call returns at once.
    #[track_caller]
    pub fn changed(&mut self) -> impl Future<Output = Result<bool, TaskCancelled>> + '_ {
        Wait::new("WATCH_CHANGED", Changed { receiver: self })
    }

    /// Whether the value is another one than this receiver has seen.
    pub fn has_changed(&self) -> bool {
        self.seen != self.shared.version.get()
    }

    /// The value now. It stays the same while it is held; a sender then makes a new one. A change
    /// that [`changed`](Receiver::changed) has not returned yet stays unseen.
    pub fn borrow(&self) -> Rc<T> {
        self.shared.value()
    }

    /// [`borrow`](Receiver::borrow), and the value counts as seen.
    pub fn borrow_and_update(&mut self) -> Rc<T> {
        self.seen = self.shared.version.get();
        self.borrow()
    }

    /// The state now.
    pub fn statistics(&self) -> WatchStatistics {
        self.shared.statistics()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.ends.add_receiver();
        Receiver { shared: self.shared.clone(), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.ends.drop_receiver();
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("value", &self.borrow()).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("value", &self.borrow())
            .field("has_changed", &self.has_changed())
            .finish()
    }
}

/// A wait for a change.
struct Changed<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T> Handoff for Changed<'_, T> {
    type Item = ();
    type Output = bool;

    fn queue(&self) -> &WaitQueue {
        &self.receiver.shared.ends.waiting
    }

    fn try_take(&mut self) -> Option<()> {
        let over = self.receiver.shared.ends.senders() == 0;
        (over || self.receiver.has_changed()).then_some(())
    }

    fn finish(&mut self, (): ()) -> bool {
        let changed = self.receiver.has_changed();
        self.receiver.seen = self.receiver.shared.version.get();
        changed
    }

    /// The version tells the next call of the change, so there is nothing to pass on.
    fn pass_on(&mut self, (): ()) {}
}
