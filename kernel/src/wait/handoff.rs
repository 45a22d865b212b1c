//! Waiting for an item that is handed over: the leaf on which the primitives of `sync` are built.

use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::queue::{WaitQueue, WaitSlot};
use crate::error::TaskCancelled;
use crate::parts::held::Taker;
use crate::wait::deliver::Pause;
use crate::wait::point::{CancelPoint, Quick};

/// One way of waiting on a primitive: how an item is taken at once, and how the output of the leaf
/// is made from the item.
///
/// [`Wait`] makes a leaf of it. See `sync::Lock` for the smallest use.
pub trait Handoff {
    /// The item that the queue hands over.
    type Item;
    /// The output of the leaf.
    type Output;

    /// Whether the queue notes the task and the line of each waiter, as [`Holder`] and [`Holders`]
    /// need it.
    ///
    /// [`Holder`]: crate::wait_queue::Holder
    /// [`Holders`]: crate::wait_queue::Holders
    const NOTED: bool = false;

    /// Whether [`entered`](Handoff::entered) is of use.
    #[doc(hidden)]
    const READS: bool = false;

    /// Called with the task that begins to wait.
    #[doc(hidden)]
    #[inline]
    fn entered(&self, _by: Taker) {}

    /// The queue to wait in.
    fn queue(&self) -> &WaitQueue<Self::Item>;

    /// Takes the item, if that is possible without waiting and without overtaking an earlier
    /// waiter.
    fn try_take(&mut self) -> Option<Self::Item>;

    /// The output, if it is available without waiting: [`try_take`](Handoff::try_take) and then
    /// [`finish`](Handoff::finish).
    ///
    /// An implementation that takes a shortcut must have the same effect, because both ways are
    /// used.
    #[inline]
    fn try_now(&mut self) -> Option<Self::Output> {
        let item = self.try_take()?;
        Some(self.finish(item))
    }

    /// The amount that the waiter requests: see [`WaitQueue::oldest_weight`].
    fn weight(&self) -> usize {
        1
    }

    /// Makes the output from an item that was taken or handed over.
    fn finish(&mut self, item: Self::Item) -> Self::Output;

    /// Called if the waiter was handed `item` and is dropped before it has taken the item. Hands
    /// the item to the next waiter, or returns it to the primitive.
    fn pass_on(&mut self, item: Self::Item);

    /// Called after each poll that leaves the waiter in the queue. What must be looked at once the
    /// waiter can be handed an item is looked at here.
    #[inline]
    fn parked(&mut self) {}

    /// Called when the waiter has left the queue without an item. If its request held up later
    /// waiters, hand over to those that can be served now.
    fn left(&mut self) {}
}

/// The leaf that waits for a [`Handoff`].
///
/// # Cancellation
///
/// Nothing is lost. A wait that is cancelled or dropped in the queue leaves it without effect. If
/// it is cancelled after the hand-over, it returns the item; if it is dropped after the hand-over,
/// it passes the item on.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct Wait<H: Handoff> {
    handoff: H,
    slot: WaitSlot,
    point: CancelPoint,
}

impl<H: Handoff> Wait<H> {
    /// A wait that the monitor shows as `kind`, at the caller's file and line.
    #[track_caller]
    pub fn new(kind: &'static str, handoff: H) -> Self {
        Wait::at(kind, Location::caller(), handoff)
    }

    /// Like [`new`](Wait::new), with an explicit call site.
    pub fn at(kind: &'static str, site: &'static Location<'static>, handoff: H) -> Self {
        Wait { handoff, slot: WaitSlot::default(), point: CancelPoint::at(kind, site) }
    }
}

// No field is pinned.
impl<H: Handoff> Unpin for Wait<H> {}

/// The task that is polled begins to wait, with whatever waker.
fn enter<H: Handoff>(handoff: &H) {
    if H::READS {
        handoff.entered(current::taker());
    }
}

impl<H: Handoff> Future for Wait<H> {
    type Output = Result<H::Output, TaskCancelled>;

    #[inline(always)]
    #[track_caller]
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
    /// Parks, because no item was available. One operation of the budget was spent for the attempt.
    #[inline(never)]
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Result<H::Output, TaskCancelled>> {
        let Wait { handoff, slot, point } = self;
        let (queue, weight) = (handoff.queue().fifo(), handoff.weight());
        let site = H::NOTED.then(|| point.site());
        let polled = point.park_in_queue(
            cx,
            slot,
            |slot, task| match queue.enter_task(slot, weight, site, task) {
                true => {
                    handoff.entered(Taker { task: task.id(), kernel: task.core().number });
                    Quick::Parked
                }
                false => Quick::Unsure,
            },
            |slot, cx| {
                enter(handoff);
                queue.poll_enter(slot, weight, site, cx)
            },
            || queue.number(),
        );
        if polled.is_pending() {
            handoff.parked();
        }
        self.polled(polled)
    }

    /// A poll in which the budget is spent, so that the wait must not complete. The wait still
    /// begins in this poll, so that a later waiter does not overtake it (Y2): an item that is
    /// available is kept for the next poll as if it had been handed over; without one, the waiter
    /// is queued.
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
            let site = H::NOTED.then(|| point.site());
            enter(handoff);
            match handoff.queue().fifo().poll_enter(slot, handoff.weight(), site, cx) {
                Poll::Pending => {
                    let object = handoff.queue().fifo().number();
                    let parked = point.park_unpaid_in(cx, object).map(Err);
                    if parked.is_pending() {
                        handoff.parked();
                    }
                    return self.polled(parked);
                }
                // The item was handed over by code that ran when the waker was cloned.
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
            Poll::Ready(Ok(item)) => self.finish_late(item),
            Poll::Ready(Err(cancelled)) => {
                self.leave();
                Poll::Ready(Err(cancelled))
            }
        }
    }

    /// Completes the wait with an item that was handed over by code that ran when the waker was
    /// cloned.
    #[cold]
    #[inline(never)]
    fn finish_late(&mut self, item: H::Item) -> Poll<Result<H::Output, TaskCancelled>> {
        Poll::Ready(Ok(self.handoff.finish(item)))
    }

    /// Leaves the queue, and passes on an item that was handed over. There is such an item only if
    /// the leaf is dropped, or if it is cancelled in a poll in which the budget was spent before
    /// the item could be taken. In any other poll the leaf takes the item before it can be
    /// cancelled.
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
    #[inline(always)]
    fn drop(&mut self) {
        self.leave();
    }
}

impl<H: Handoff> std::fmt::Debug for Wait<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wait").field("point", &self.point).finish()
    }
}
