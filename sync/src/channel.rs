//! Channels: a queue that knows its senders and its receivers.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use kernel::TaskCancelled;
use kernel::wait_queue::Wait;

pub use self::receiver::{Receiver, TryRecvError};
pub use self::shared::ChannelStatistics;
use self::shared::Shared;
use self::waits::{Put, PutFrom, WaitClosed};
use crate::queue::{Closed, ReserveUnlessClosed, Slot, TryPutError};

mod receiver;
mod shared;
mod waits;

/// A channel of at most `capacity` items between tasks of one thread.
///
/// Both ends can be cloned. The channel is closed when the last end of one side is dropped, or by
/// [`Sender::close`] or [`Receiver::close`]. Then `put` gives its item back, and the receivers
/// empty the channel and get `None`.
///
/// Each item goes to one receiver, the oldest item first and to the receiver that has waited
/// longest.
///
/// With a capacity of 0 the two sides meet: a [`put`](Sender::put) returns when a receiver has been
/// handed the item. (If that receiver is dropped before it runs, the item goes to the next one, or
/// waits in the channel.) With `usize::MAX` there is no bound, and no `put` ever waits.
///
/// Do not use a channel between threads (it does not compile), for one value (there is
/// [`oneshot`](crate::oneshot())), or where each receiver is to get every item (there is
/// [`broadcast`](crate::broadcast())).
///
/// ```
/// use curium::kernel::{self, TaskCancelled, spawn};
/// use curium::sync::channel;
///
/// kernel::run(async || {
///     let (sender, receiver) = channel(1);
///     let producer = spawn(async move {
///         for item in [1, 2, 3] {
///             sender.put(item).await?.expect("the receiver is there");
///         }
///         Ok::<_, TaskCancelled>(()) // the sender is dropped, which ends the loop below
///     });
///     let mut sum = 0;
///     while let Some(item) = receiver.recv().await? {
///         sum += item;
///     }
///     assert_eq!(sum, 6);
///     producer.await
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
#[doc(alias = "mpsc")]
#[track_caller]
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared::new(capacity));
    (Sender { shared: shared.clone() }, Receiver::new(shared, Location::caller()))
}

/// The sending end of a [`channel`]. Clone it for more senders.
///
/// `put`, `put_from` and `reserve` wait in one line, first come, first served.
// The compiler shows the next line when it refuses to send this.
pub struct Sender<T> /* stays on its thread: use `UniversalQueue` between threads */ {
    shared: Rc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Puts an item at the end. Waits for room if the channel is full.
    ///
    /// ```
    /// # use curium::kernel::{self, TaskCancelled};
    /// use curium::sync::{Closed, channel};
    ///
    /// # kernel::run(async || {
    /// let (sender, receiver) = channel(1);
    /// drop(receiver);
    /// if let Err(Closed(job)) = sender.put("a job").await? {
    ///     assert_eq!(job, "a job"); // nothing takes it: it came back
    /// }
    /// # Ok::<(), TaskCancelled>(())
    /// # })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Outside, [`TaskCancelled`]; the item is dropped then. Inside, [`Closed`], with the item.
    ///
    /// # Cancellation
    ///
    /// A cancelled or dropped `put` has no effect, and its item is dropped. To keep the item, use
    /// [`put_from`](Sender::put_from).
    #[track_caller]
    #[doc(alias = "send")]
    pub fn put(
        &self,
        item: T,
    ) -> impl Future<Output = Result<Result<(), Closed<T>>, TaskCancelled>> + '_ {
        Wait::new("CHANNEL_PUT", Put::new(&self.shared.queue, item))
    }

    /// [`put`](Sender::put) that never loses its item: it is taken out of the variable only when it
    /// is placed, that is, handed to a receiver or put into the channel.
    ///
    /// With `None` in the variable there is nothing to put, and the call completes at once, also if
    /// the channel is full or closed. So a call that was cancelled can be made again.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use curium::kernel::{self, TaskCancelled, ignore_after};
    /// use curium::sync::channel;
    ///
    /// # kernel::run(async || {
    /// let (sender, receiver) = channel(0);
    /// let mut job = Some("a job");
    /// let put = ignore_after(Duration::from_millis(1), sender.put_from(&mut job)).await?;
    /// assert!(put.is_none(), "no receiver has come");
    /// assert_eq!(job, Some("a job"));
    /// # drop(receiver);
    /// # Ok::<(), TaskCancelled>(())
    /// # })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Outside, [`TaskCancelled`]. Inside, [`Closed`]. The item is still in the variable then.
    ///
    /// # Cancellation
    ///
    /// A cancelled or dropped `put_from` has no effect, and the item stays in the variable. If room
    /// was promised before the cancellation, the item is put. (With a capacity of 0 the channel has
    /// the item while the call waits, and gives it back when the call ends. A future that is leaked
    /// with `mem::forget` never ends.)
    #[track_caller]
    pub fn put_from<'a>(
        &'a self,
        item: &'a mut Option<T>,
    ) -> impl Future<Output = Result<Result<(), Closed<()>>, TaskCancelled>> + 'a {
        Wait::new("CHANNEL_PUT", PutFrom::new(&self.shared.queue, item))
    }

    /// Waits for room for one item and holds it. [`Slot::put`] then puts an item without waiting.
    ///
    /// With a capacity of 0 it waits for a receiver that waits; the item that is put goes to the
    /// receiver that has waited longest by then, or waits for one in the channel.
    ///
    /// # Errors
    ///
    /// Outside, [`TaskCancelled`]; no slot is held then. Inside, [`Closed`].
    ///
    /// # Cancellation
    ///
    /// A cancelled waiter leaves the line and holds nothing. A waiter that was promised a slot
    /// before the cancellation gets it. If it is dropped instead, the next sender gets the slot.
    #[track_caller]
    pub fn reserve(
        &self,
    ) -> impl Future<Output = Result<Result<Slot<'_, T>, Closed<()>>, TaskCancelled>> + '_ {
        Wait::new("CHANNEL_RESERVE", ReserveUnlessClosed::new(&self.shared.queue))
    }

    /// Puts an item if there is room (with a capacity of 0: if a receiver waits) and no sender
    /// waits for it.
    ///
    /// # Errors
    ///
    /// [`TryPutError`], with the item.
    #[doc(alias = "try_send")]
    pub fn try_put(&self, item: T) -> Result<(), TryPutError<T>> {
        self.shared.queue.try_put(item)
    }

    /// Holds room for one item, if there is some and no sender waits for it.
    ///
    /// # Errors
    ///
    /// [`TryPutError`].
    pub fn try_reserve(&self) -> Result<Slot<'_, T>, TryPutError<()>> {
        self.shared.queue.try_reserve()
    }

    /// Waits until the channel is closed: by the drop of the last receiver, or by hand.
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
        Wait::new("CHANNEL_CLOSED", WaitClosed::new(&self.shared))
    }

    /// Closes the channel for all senders. The receivers empty it and get `None`.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the channel is closed. Items may be left in it.
    pub fn is_closed(&self) -> bool {
        self.shared.queue.is_closed()
    }

    /// The state of the channel now.
    pub fn statistics(&self) -> ChannelStatistics {
        self.shared.statistics()
    }
}

impl<T> Clone for Sender<T> {
    /// One more sender of the same channel.
    fn clone(&self) -> Self {
        add_one(&self.shared.senders);
        Sender { shared: self.shared.clone() }
    }
}

impl<T> Drop for Sender<T> {
    /// The drop of the last sender closes the channel.
    fn drop(&mut self) {
        if self.shared.senders.replace(self.shared.senders.get() - 1) == 1 {
            self.shared.close();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.statistics()).finish()
    }
}

fn add_one(counter: &Cell<usize>) {
    counter.set(counter.get() + 1);
}
