//! The receiving end of a channel.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_core::Stream;
use kernel::TaskCancelled;
use kernel::wait_queue::Wait;

use super::add_one;
use super::shared::{ChannelStatistics, Shared};
use super::waits::{Recv, RecvMany, RecvNext};

/// The receiving end of a [`channel`](crate::channel()). Clone it for more receivers, each of which
/// gets other items.
///
/// It is a [`Stream`] of `Result<T, TaskCancelled>`: a cancellation is an item, after which the
/// stream goes on. A stream that was polled and waits keeps its turn, and the item that it is
/// handed, until it is polled again, dropped, or one of the other methods is called. So do not
/// leave one in that state where other receivers wait: loop over [`recv`](Receiver::recv) instead.
// The compiler shows the next line when it refuses to send this.
pub struct Receiver<T> /* stays on its thread: use `UniversalQueue` between threads */ {
    shared: Rc<Shared<T>>,
    /// The wait of the stream, if it was polled and found nothing.
    waiting: Cell<Option<Box<Wait<RecvNext<T>>>>>,
    is_waiting: Cell<bool>,
    site: &'static Location<'static>,
}

/// Why [`Receiver::try_recv`] has no item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TryRecvError {
    /// There is no item now.
    #[error("the channel is empty")]
    Empty,
    /// There is no item, and none can come.
    #[error("the channel is closed and empty")]
    Closed,
}

impl<T> Receiver<T> {
    pub(super) fn new(shared: Rc<Shared<T>>, site: &'static Location<'static>) -> Self {
        Receiver { shared, waiting: Cell::new(None), is_waiting: Cell::new(false), site }
    }

    /// Ends the wait of the stream. An item that it was handed goes to the next receiver or back to
    /// its position.
    #[inline]
    fn end_wait(&self) {
        if self.is_waiting.get() {
            drop(self.take_wait());
        }
    }

    #[cold]
    fn take_wait(&self) -> Option<Box<Wait<RecvNext<T>>>> {
        self.is_waiting.set(false);
        self.waiting.take()
    }

    fn keep_wait(&self, wait: Box<Wait<RecvNext<T>>>) {
        self.is_waiting.set(true);
        self.waiting.set(Some(wait));
    }

    /// Takes the first item. Waits for one if the channel is empty. `None` if it is closed and no
    /// item is left.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; nothing was taken then.
    ///
    /// # Cancellation
    ///
    /// No item is lost. An item that was assigned before the cancellation is returned. An item that
    /// was assigned to a dropped `recv` goes to the next receiver, or back to its position. The
    /// channel then holds one item more than its capacity if that room was taken meanwhile.
    #[track_caller]
    #[doc(alias = "get")]
    pub fn recv(&self) -> impl Future<Output = Result<Option<T>, TaskCancelled>> + '_ {
        self.end_wait();
        Wait::new("CHANNEL_RECV", Recv::new(&self.shared.queue))
    }

    /// Takes up to `limit` items, which it adds to `list`, and returns their number. Waits for one
    /// if the channel is empty. 0 if the channel is closed and no item is left, or if `limit` is 0.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; nothing was taken then.
    ///
    /// # Cancellation
    ///
    /// As [`recv`](Receiver::recv): the list gets its items in the poll that returns.
    #[track_caller]
    pub fn recv_many<'a>(
        &'a self,
        list: &'a mut Vec<T>,
        limit: usize,
    ) -> impl Future<Output = Result<usize, TaskCancelled>> + 'a {
        self.end_wait();
        let recv = Recv::new(&self.shared.queue);
        Wait::new("CHANNEL_RECV", RecvMany { recv, list, limit })
    }

    /// The first item, if there is one. With a capacity of 0, the item of the sender that has
    /// waited longest.
    ///
    /// # Errors
    ///
    /// [`TryRecvError`].
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.end_wait();
        match self.shared.queue.take() {
            Some(Some(first)) => Ok(first.item),
            Some(None) => Err(TryRecvError::Closed),
            None => Err(TryRecvError::Empty),
        }
    }

    /// Closes the channel for all senders. The receivers empty it and get `None`.
    pub fn close(&self) {
        self.shared.close();
    }

    /// Whether the channel is closed. Items may be left in it.
    pub fn is_closed(&self) -> bool {
        self.shared.queue.is_closed()
    }

    /// The number of items in the channel.
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether no item is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The state of the channel now.
    pub fn statistics(&self) -> ChannelStatistics {
        self.shared.statistics()
    }
}

impl<T> Clone for Receiver<T> {
    /// One more receiver of the same channel.
    fn clone(&self) -> Self {
        add_one(&self.shared.receivers);
        Receiver::new(self.shared.clone(), self.site)
    }
}

impl<T> Drop for Receiver<T> {
    /// The drop of the last receiver closes the channel and drops the items that are left.
    fn drop(&mut self) {
        self.end_wait();
        if self.shared.receivers.replace(self.shared.receivers.get() - 1) == 1 {
            self.shared.abandon();
        }
    }
}

impl<T> Unpin for Receiver<T> {}

impl<T> Stream for Receiver<T> {
    type Item = Result<T, TaskCancelled>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(mut wait) = self.take_wait() {
            let polled = Pin::new(&mut *wait).poll(cx);
            if polled.is_pending() {
                self.keep_wait(wait);
            }
            return polled.map(Result::transpose);
        }
        let mut wait = Wait::at("CHANNEL_RECV", self.site, RecvNext(self.shared.clone()));
        let polled = Pin::new(&mut wait).poll(cx);
        if polled.is_pending() {
            self.keep_wait(Box::new(wait));
        }
        polled.map(Result::transpose)
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.statistics()).finish()
    }
}
