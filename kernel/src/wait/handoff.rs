//! Waiting for a thing that is handed over: the leaf that the primitives of `sync` are made of.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::queue::{WaitQueue, WaitSlot};
use crate::error::TaskCancelled;
use crate::wait::point::{CancelPoint, Pause, Quick};

/// One kind of waiting on a primitive: how to get the thing at once, and what becomes of it.
///
/// [`Wait`] turns it into a leaf. See `sync::Lock` for the smallest use.
pub trait Handoff {
    /// What the queue hands over.
    type Item;
    /// What the leaf gives.
    type Output;

    /// The queue to wait in.
    fn queue(&self) -> &WaitQueue<Self::Item>;

    /// The thing, if it can be had without waiting and without overtaking anybody.
    fn try_take(&mut self) -> Option<Self::Item>;

    /// The output, if it can be had without waiting: [`try_take`](Handoff::try_take) and
    /// [`finish`](Handoff::finish).
    ///
    /// A shorter way must come to the same, for both are used.
    #[inline]
    fn try_now(&mut self) -> Option<Self::Output> {
        let item = self.try_take()?;
        Some(self.finish(item))
    }

    /// How much it asks for: see [`WaitQueue::oldest_weight`].
    fn weight(&self) -> usize {
        1
    }

    /// Makes the output of what was taken or handed over.
    fn finish(&mut self, item: Self::Item) -> Self::Output;

    /// The waiter was handed `item` and dropped before it took it: give it to the next, or back.
    fn pass_on(&mut self, item: Self::Item);

    /// The waiter left the queue with nothing: those behind it may be served now, where that
    /// depends on what it asked for.
    fn left(&mut self) {}
}

/// The leaf that waits for a [`Handoff`].
///
/// # Cancellation
///
/// Nothing is lost: cancelled or dropped while it waits, it leaves the queue without a trace;
/// cancelled after the hand-over, it returns what it was handed; dropped after it, it passes it on.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Wait<H: Handoff> {
    handoff: H,
    slot: WaitSlot,
    point: CancelPoint,
}

impl<H: Handoff> Wait<H> {
    /// Waits as `kind`, shown at the caller's place.
    #[track_caller]
    pub fn new(kind: &'static str, handoff: H) -> Self {
        Wait::at(kind, Location::caller(), handoff)
    }

    /// The same, shown at another place.
    pub fn at(kind: &'static str, site: &'static Location<'static>, handoff: H) -> Self {
        Wait { handoff, slot: WaitSlot::default(), point: CancelPoint::at(kind, site) }
    }
}

// No field is ever pinned.
impl<H: Handoff> Unpin for Wait<H> {}

impl<H: Handoff> Future for Wait<H> {
    type Output = Result<H::Output, TaskCancelled>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Wait { handoff, slot, point } = &mut *self;
        if !current::spend() {
            return self.poll_spent(cx);
        }
        if slot.is_out() {
            if let Some(output) = handoff.try_now() {
                return Poll::Ready(Ok(output));
            }
        } else if let Some(item) = handoff.queue().fifo().take_handed(slot) {
            point.unpark();
            return Poll::Ready(Ok(handoff.finish(item)));
        }
        self.wait(cx)
    }
}

impl<H: Handoff> Wait<H> {
    /// It was not to be had, and one operation is spent for the attempt.
    #[inline(never)]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<H::Output, TaskCancelled>> {
        let Wait { handoff, slot, point } = self;
        let (queue, weight) = (handoff.queue().fifo(), handoff.weight());
        let polled = point.park_by(
            cx,
            slot,
            |slot, task| match queue.enter_task(slot, weight, task) {
                true => Quick::Parked,
                false => Quick::Unsure,
            },
            |slot, cx| queue.poll_enter(slot, weight, cx),
        );
        self.polled(polled)
    }

    /// The budget is spent: the wait does not complete in this poll. It begins in it all the same,
    /// so that one that begins later does not come first (Y2): what is to be had is kept for the
    /// next poll as if it had been handed over, and otherwise the waiter queues.
    #[cold]
    fn poll_spent(&mut self, cx: &mut Context<'_>) -> Poll<Result<H::Output, TaskCancelled>> {
        match self.point.pause() {
            Pause::Cancelled(cancelled) => self.polled(Poll::Ready(Err(cancelled))),
            Pause::GoOn => Pin::new(self).poll(cx),
            Pause::Yield => self.wait_spent(cx),
        }
    }

    fn wait_spent(&mut self, cx: &mut Context<'_>) -> Poll<Result<H::Output, TaskCancelled>> {
        let Wait { handoff, slot, point } = self;
        if slot.is_out() {
            if let Some(item) = handoff.try_take() {
                handoff.queue().fifo().keep(slot, item);
            }
        }
        if !handoff.queue().fifo().is_handed(slot) {
            match handoff.queue().fifo().poll_enter(slot, handoff.weight(), cx) {
                Poll::Pending => {
                    let parked = point.park_unpaid(cx).map(Err);
                    return self.polled(parked);
                }
                // Cloning the waker has run code that handed it over.
                Poll::Ready(item) => handoff.queue().fifo().keep(slot, item),
            }
        }
        let parked = point.yield_turn(cx).map(Err);
        self.polled(parked)
    }

    fn polled(
        &mut self,
        polled: Poll<Result<H::Item, TaskCancelled>>,
    ) -> Poll<Result<H::Output, TaskCancelled>> {
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(item)) => Poll::Ready(Ok(self.handoff.finish(item))),
            Poll::Ready(Err(cancelled)) => {
                self.leave();
                Poll::Ready(Err(cancelled))
            }
        }
    }

    /// Out of the queue. What had been handed over is there only if this is dropped, or if a budget
    /// was spent before it could be looked at; a leaf that would park has been handed nothing.
    #[inline]
    fn leave(&mut self) {
        if !self.slot.is_out() {
            self.leave_queue();
        }
    }

    #[inline(never)]
    fn leave_queue(&mut self) {
        match self.handoff.queue().leave(&mut self.slot) {
            Some(item) => self.handoff.pass_on(item),
            None => self.handoff.left(),
        }
    }
}

impl<H: Handoff> Drop for Wait<H> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<H: Handoff> std::fmt::Debug for Wait<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("point", &self.point).finish()
    }
}
