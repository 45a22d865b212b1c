//! Every item to every receiver.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

use crate::ends::{Ends, WaitClosed};
use crate::queue::Closed;

/// A channel in which every receiver gets every item that is sent while it exists.
///
/// Sending never waits. The channel keeps the last `capacity` items for receivers that have not
/// taken them yet. A receiver that is slower loses older ones, and is told how many:
/// [`RecvError::Lagged`].
///
/// Do not use it where no item may be missed: give each receiver a
/// [`channel`](crate::channel()) of its own, whose sender waits. Where only the latest value
/// counts, use a [`watch`](crate::watch()).
///
/// ```
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::broadcast::{RecvError, broadcast};
///
/// kernel::run(async || {
///     let (sender, mut receiver) = broadcast(2);
///     for item in [1, 2, 3] {
///         sender.send(item).expect("there is a receiver");
///     }
///     assert_eq!(receiver.recv().await?, Err(RecvError::Lagged(1)));
///     assert_eq!(receiver.recv().await?, Ok(2));
///     assert_eq!(receiver.recv().await?, Ok(3));
///     drop(sender);
///     assert_eq!(receiver.recv().await?, Err(RecvError::Closed));
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
///
/// # Panics
///
/// If `capacity` is 0.
#[track_caller]
pub fn broadcast<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel of 0 items never gives one; take 1 or more");
    let shared = Rc::new(Shared {
        capacity,
        items: RefCell::default(),
        sent: Cell::new(0),
        ends: Ends::new(),
    });
    (Sender { shared: shared.clone() }, Receiver { shared, next: 0 })
}

struct Shared<T> {
    capacity: usize,
    /// The last items that were sent and that some receiver has not taken.
    items: RefCell<VecDeque<Kept<T>>>,
    /// How many items were sent.
    sent: Cell<u64>,
    ends: Ends,
}

struct Kept<T> {
    /// `None` once every receiver has taken it.
    item: Option<Rc<T>>,
    /// The number of receivers that have not taken it.
    missing: usize,
}

impl<T> Shared<T> {
    /// The number of the oldest item that is kept.
    fn oldest(&self) -> u64 {
        self.sent.get() - self.items.borrow().len() as u64
    }

    /// One receiver has taken item number `at`, or never will. Returns the item, if it is kept.
    fn take(&self, at: u64) -> Option<Rc<T>> {
        let index = usize::try_from(at.checked_sub(self.oldest())?).ok()?;
        let mut items = self.items.borrow_mut();
        let kept = items.get_mut(index)?;
        kept.missing -= 1;
        let item = if kept.missing == 0 { kept.item.take() } else { kept.item.clone() };
        while items.front().is_some_and(|kept| kept.item.is_none()) {
            items.pop_front();
        }
        item
    }

    fn statistics(&self) -> BroadcastStatistics {
        BroadcastStatistics {
            len: self.items.borrow().len(),
            capacity: self.capacity,
            sent: self.sent.get(),
            senders: self.ends.senders(),
            receivers: self.ends.receivers(),
            waiting: self.ends.waiting.len(),
        }
    }
}

/// The state of a [`broadcast`] channel at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BroadcastStatistics {
    /// The number of items that are kept.
    pub len: usize,
    /// The greatest number of items that are kept.
    pub capacity: usize,
    /// The number of items that were sent.
    pub sent: u64,
    /// The number of senders.
    pub senders: usize,
    /// The number of receivers.
    pub receivers: usize,
    /// The number of receivers that wait for an item.
    pub waiting: usize,
}

/// Why [`Receiver::recv`] has no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// The receiver was too slow, and so many items are gone. The next call gives the oldest one
    /// that is kept.
    #[error("the receiver was too slow and has missed {0} items")]
    Lagged(u64),
    /// Every item was taken, and no sender is left.
    #[error("the channel is closed")]
    Closed,
}

/// Why [`Receiver::try_recv`] has no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// There is no item now.
    #[error("the channel is empty")]
    Empty,
    /// As [`RecvError::Lagged`].
    #[error("the receiver was too slow and has missed {0} items")]
    Lagged(u64),
    /// As [`RecvError::Closed`].
    #[error("the channel is closed")]
    Closed,
}

/// The sending end of a [`broadcast`] channel. Clone it for more.
pub struct Sender<T> {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends an item to every receiver. Neither blocks nor switches to another task. Wakes the
    /// receivers that wait, the oldest first.
    ///
    /// # Errors
    ///
    /// [`Closed`], with the item, if there is no receiver.
    pub fn send(&self, item: T) -> Result<(), Closed<T>> {
        let missing = self.shared.ends.receivers();
        if missing == 0 {
            return Err(Closed(item));
        }
        let mut items = self.shared.items.borrow_mut();
        let full = items.len() == self.shared.capacity;
        let old = if full { items.pop_front() } else { None };
        items.push_back(Kept { item: Some(Rc::new(item)), missing });
        drop(items);
        self.shared.sent.set(self.shared.sent.get() + 1);
        self.shared.ends.waiting.hand_over_all(|| ());
        drop(old);
        Ok(())
    }

    /// One more receiver. It gets the items that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        self.shared.ends.add_receiver();
        Receiver { shared: self.shared.clone(), next: self.shared.sent.get() }
    }

    /// Waits until no receiver is left.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`].
    ///
    /// # Cancellation
    ///
    /// The channel stays unchanged.
    #[track_caller]
    pub fn closed(&self) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        Wait::new("BROADCAST_CLOSED", WaitClosed(&self.shared.ends))
    }

    /// Whether no receiver is left. [`subscribe`](Sender::subscribe) makes one.
    pub fn is_closed(&self) -> bool {
        self.shared.ends.receivers() == 0
    }

    /// The state of the channel now.
    pub fn statistics(&self) -> BroadcastStatistics {
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

/// The receiving end of a [`broadcast`] channel. A clone gets the same items from here on.
pub struct Receiver<T> {
    shared: Rc<Shared<T>>,
    /// The number of the next item.
    next: u64,
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next item. Each receiver gets a clone, and the last one the item itself.
    ///
    /// # Errors
    ///
    /// Outside, [`TaskCancelled`]; nothing was taken then. Inside, [`RecvError`].
    ///
    /// # Cancellation
    ///
    /// No item is lost: the next call gives it. It may be missed meanwhile, as by any slow
    /// receiver.
    #[track_caller]
    pub fn recv(
        &mut self,
    ) -> impl Future<Output = Result<Result<T, RecvError>, TaskCancelled>> + '_ {
        Wait::new("BROADCAST_RECV", Recv { receiver: self })
    }

    /// The next item, if it was sent.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        match self.recv_now() {
            Some(Ok(item)) => Ok(item),
            Some(Err(RecvError::Lagged(missed))) => Err(TryRecvError::Lagged(missed)),
            Some(Err(RecvError::Closed)) => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    fn recv_now(&mut self) -> Option<Result<T, RecvError>> {
        let shared = &self.shared;
        if self.next == shared.sent.get() {
            return (shared.ends.senders() == 0).then_some(Err(RecvError::Closed));
        }
        let missed = shared.oldest().saturating_sub(self.next);
        self.next += missed.max(1);
        if missed > 0 {
            return Some(Err(RecvError::Lagged(missed)));
        }
        // Cloned here, where nothing is borrowed.
        shared.take(self.next - 1).map(|item| Ok(Rc::unwrap_or_clone(item)))
    }
}

impl<T> Receiver<T> {
    /// The number of items that this receiver has not taken, missed ones included.
    pub fn len(&self) -> usize {
        usize::try_from(self.shared.sent.get() - self.next).unwrap_or(usize::MAX)
    }

    /// Whether this receiver has taken every item.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state of the channel now.
    pub fn statistics(&self) -> BroadcastStatistics {
        self.shared.statistics()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.ends.add_receiver();
        let unseen = self.next.max(self.shared.oldest()) - self.shared.oldest();
        let mut items = self.shared.items.borrow_mut();
        items.iter_mut().skip(unseen as usize).for_each(|kept| kept.missing += 1);
        drop(items);
        Receiver { shared: self.shared.clone(), next: self.next }
    }
}

impl<T> Drop for Receiver<T> {
    /// The items that only this receiver has not taken are dropped.
    fn drop(&mut self) {
        self.shared.ends.drop_receiver();
        // Last, because the drop of an item may panic.
        for at in self.next.max(self.shared.oldest())..self.shared.sent.get() {
            drop(self.shared.take(at));
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.statistics()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("len", &self.len())
            .field("channel", &self.statistics())
            .finish()
    }
}

/// A wait for the next item.
struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
}

impl<T: Clone> Handoff for Recv<'_, T> {
    type Item = ();
    type Output = Result<T, RecvError>;

    fn queue(&self) -> &WaitQueue {
        &self.receiver.shared.ends.waiting
    }

    fn try_take(&mut self) -> Option<()> {
        let shared = &self.receiver.shared;
        let sent = self.receiver.next != shared.sent.get();
        (sent || shared.ends.senders() == 0).then_some(())
    }

    fn finish(&mut self, (): ()) -> Self::Output {
        // What has woken this receiver is still there: an item, a newer one, or the end.
        self.receiver.recv_now().unwrap_or(Err(RecvError::Closed))
    }

    /// The item is still kept, so there is nothing to pass on.
    fn pass_on(&mut self, (): ()) {}
}
