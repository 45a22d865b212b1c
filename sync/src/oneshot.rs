//! A channel for one value.

use std::fmt;

use kernel::TaskCancelled;

use crate::ChannelStatistics;
use crate::channel;
use crate::queue::Closed;

/// A channel for one value, from one task to another.
///
/// The receiver gets the value, or `None` if the sender was dropped without sending one. It is a
/// [`channel`](crate::channel()) of one item whose ends are used once.
///
/// Do not use it for the result of a task: [`Task`](kernel::Task) gives that, with errors and
/// cancellations. For something that many tasks wait for, use an [`Event`](crate::Event) or a
/// [`watch`](crate::watch()).
///
/// ```
/// use curium::kernel::{self, TaskCancelled, spawn};
/// use curium::sync::oneshot;
///
/// kernel::run(async || {
///     let (sender, mut receiver) = oneshot();
///     spawn(async move {
///         sender.send("the answer").expect("the receiver waits");
///     });
///     assert_eq!(receiver.recv().await?, Some("the answer"));
///     Ok::<(), TaskCancelled>(())
/// })?;
/// # Ok::<(), TaskCancelled>(())
/// ```
#[track_caller]
pub fn oneshot<T>() -> (Sender<T>, Receiver<T>) {
    let (sender, receiver) = channel(1);
    (Sender(sender), Receiver(receiver))
}

/// The sending end of a [`oneshot`].
pub struct Sender<T>(channel::Sender<T>);

/// The receiving end of a [`oneshot`].
pub struct Receiver<T>(channel::Receiver<T>);

impl<T> Sender<T> {
    /// Sends the value. Neither blocks nor switches to another task.
    ///
    /// # Errors
    ///
    /// [`Closed`], with the value, if the receiver is gone or was closed.
    pub fn send(self, value: T) -> Result<(), Closed<T>> {
        self.0.try_put(value).map_err(|refused| Closed(refused.into_item()))
    }

    /// Waits until the receiver is gone or closed: then the value is of no use any more.
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
        self.0.closed()
    }

    /// Whether the receiver is gone or closed.
    pub fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// The state of the channel now. Its capacity is 1.
    pub fn statistics(&self) -> ChannelStatistics {
        self.0.statistics()
    }
}

impl<T> Receiver<T> {
    /// Waits for the value. `None` if the sender was dropped without sending one, or if the value
    /// was taken before.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; nothing was taken then.
    ///
    /// # Cancellation
    ///
    /// The value is not lost: a later call takes it.
    #[track_caller]
    pub fn recv(&mut self) -> impl Future<Output = Result<Option<T>, TaskCancelled>> + '_ {
        self.0.recv()
    }

    /// The value, if it was sent and not taken yet.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`](crate::TryRecvError).
    pub fn try_recv(&mut self) -> Result<T, crate::TryRecvError> {
        self.0.try_recv()
    }

    /// Refuses a value that is not sent yet.
    pub fn close(&mut self) {
        self.0.close();
    }

    /// The state of the channel now. Its capacity is 1.
    pub fn statistics(&self) -> ChannelStatistics {
        self.0.statistics()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("sent", &!self.0.is_empty()).finish()
    }
}
