//! Slots of a queue that are reserved before there is an item.

use std::fmt;

use kernel::TaskCancelled;
use kernel::wait_queue::{Handoff, Wait, WaitQueue};

use super::order::{Fifo, Order};
use super::waits::Promise;
use super::{Closed, Queue, TryPutError};

impl<T, O: Order<T>> Queue<T, O> {
    /// Waits for a free slot and holds it. [`Slot::put`] then puts an item without waiting.
    ///
    /// A task that makes its item only when there is room for it, or that takes it from somewhere
    /// else, reserves a slot first. Nothing is lost if it is cancelled while it waits. For the same
    /// reason a `reserve` serves as an arm of a `select!`.
    ///
    /// ```
    /// # use curium::kernel::{self, TaskCancelled};
    /// use curium::sync::Queue;
    ///
    /// # kernel::run(async || {
    /// let (from, to) = (Queue::unbounded(), Queue::bounded(1));
    /// from.put("a job").await?;
    /// let slot = to.reserve().await?; // a cancellation here, or ...
    /// let job = from.get().await?;    // ... here loses no job
    /// slot.put(job);
    /// assert_eq!(to.get().await?, "a job");
    /// # Ok::<(), TaskCancelled>(())
    /// # })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]; no slot is held then.
    ///
    /// # Cancellation
    ///
    /// A cancelled waiter leaves the queue and holds nothing. A waiter that was promised a slot
    /// before the cancellation gets it. If it is dropped instead, the next putter gets the slot.
    ///
    /// # Panics
    ///
    /// If the queue is closed, before or during the wait, and no slot was promised by then.
    #[track_caller]
    pub fn reserve(&self) -> impl Future<Output = Result<Slot<'_, T, O>, TaskCancelled>> + '_ {
        Wait::new("QUEUE_RESERVE", Reserve { queue: self })
    }

    /// [`reserve`](Queue::reserve) for a queue that may be closed.
    ///
    /// ```
    /// # use curium::kernel::{self, TaskCancelled};
    /// use curium::sync::{Closed, Queue};
    ///
    /// # kernel::run(async || {
    /// let queue = Queue::bounded(1);
    /// let job = "a job";
    /// match queue.reserve_unless_closed().await? {
    ///     Ok(slot) => slot.put(job),
    ///     Err(Closed(())) => println!("too late for {job}"),
    /// }
    /// queue.close();
    /// assert!(queue.reserve_unless_closed().await?.is_err());
    /// # Ok::<(), TaskCancelled>(())
    /// # })?;
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Outside, [`TaskCancelled`]; no slot is held then. Inside, [`Closed`].
    ///
    /// # Cancellation
    ///
    /// As [`reserve`](Queue::reserve).
    #[track_caller]
    pub fn reserve_unless_closed(
        &self,
    ) -> impl Future<Output = Result<Result<Slot<'_, T, O>, Closed<()>>, TaskCancelled>> + '_ {
        Wait::new("QUEUE_RESERVE", ReserveUnlessClosed::new(self))
    }

    /// Holds a slot if one is free and no putter waits for it.
    ///
    /// ```
    /// use curium::sync::{Queue, TryPutError};
    ///
    /// let queue = Queue::bounded(1);
    /// let slot = queue.try_reserve().unwrap();
    /// assert_eq!(queue.try_reserve().unwrap_err(), TryPutError::Full(()));
    /// slot.put("a job");
    /// assert_eq!(queue.try_get(), Some("a job"));
    /// ```
    ///
    /// # Errors
    ///
    /// [`TryPutError`].
    pub fn try_reserve(&self) -> Result<Slot<'_, T, O>, TryPutError<()>> {
        match (Reserve { queue: self }).hold_now() {
            Some(Ok(slot)) => Ok(slot),
            Some(Err(Closed(()))) => Err(TryPutError::Closed(())),
            None => Err(TryPutError::Full(())),
        }
    }
}

/// A free slot of a [`Queue`], held for one item. See [`Queue::reserve`].
///
/// The slot counts against the bound of the queue, but not as an item, and holds up no other putter
/// while there is room. Dropped unused, it goes to the oldest waiting putter, or is free.
///
/// A slot is room, not a position: its item is put when [`put`](Slot::put) is called, behind those
/// that were put before. When the queue is closed, the slot is still good, because it was promised
/// before. The getters then wait until it is used or dropped.
#[must_use = "dropped at once, it gives the slot back at once"]
pub struct Slot<'a, T, O: Order<T> = Fifo<T>> {
    queue: &'a Queue<T, O>,
}

impl<'a, T, O: Order<T>> Slot<'a, T, O> {
    /// Holds a slot that is free.
    fn new(queue: &'a Queue<T, O>) -> Self {
        queue.hold();
        Slot { queue }
    }

    /// Puts an item at the end of the queue, or hands it to the oldest waiting getter. It never
    /// waits and cannot fail, also if the queue was closed meanwhile.
    pub fn put(self, item: T) {
        // The drop of `self` gives the slot back after the item is placed, also in a panic of a
        // waker.
        self.queue.accept(self.queue.ticket(), item);
    }
}

impl<T, O: Order<T>> Drop for Slot<'_, T, O> {
    fn drop(&mut self) {
        self.queue.release();
    }
}

impl<T, O: Order<T>> fmt::Debug for Slot<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot(..)")
    }
}

/// A wait for a slot to hold.
struct Reserve<'a, T, O: Order<T>> {
    queue: &'a Queue<T, O>,
}

impl<'a, T, O: Order<T>> Reserve<'a, T, O> {
    fn hold_now(&self) -> Option<Result<Slot<'a, T, O>, Closed<()>>> {
        if self.queue.is_open() || self.queue.is_met() {
            // No putter is served here, because none waits.
            return Some(Ok(Slot::new(self.queue)));
        }
        self.queue.is_closed().then_some(Err(Closed(())))
    }

    fn hold(&self, promise: Promise) -> Result<Slot<'a, T, O>, Closed<()>> {
        // The ticket is of no use: the item comes later and gets one of its own.
        promise.ok_or(Closed(()))?;
        if self.queue.is_abandoned() {
            self.queue.give_back(promise);
            return Err(Closed(()));
        }
        self.queue.hold_promised();
        let slot = Slot { queue: self.queue };
        // A putter that came while this slot was promised waits, even if another slot is free.
        self.queue.serve_putters();
        Ok(slot)
    }
}

#[cold]
#[track_caller]
fn reserve_in_closed() -> ! {
    panic!(
        "`reserve` in a queue that is closed; where that may happen, use `reserve_unless_closed`"
    );
}

impl<'a, T, O: Order<T>> Handoff for Reserve<'a, T, O> {
    type Item = Promise;
    type Output = Slot<'a, T, O>;

    fn queue(&self) -> &WaitQueue<Promise> {
        &self.queue.putters
    }

    fn parked(&mut self) {
        self.queue.show_reader();
    }

    fn try_take(&mut self) -> Option<Promise> {
        self.queue.promise()
    }

    #[track_caller]
    fn try_now(&mut self) -> Option<Slot<'a, T, O>> {
        match self.hold_now()? {
            Ok(slot) => Some(slot),
            Err(Closed(())) => reserve_in_closed(),
        }
    }

    #[track_caller]
    fn finish(&mut self, promise: Promise) -> Slot<'a, T, O> {
        match self.hold(promise) {
            Ok(slot) => slot,
            Err(Closed(())) => reserve_in_closed(),
        }
    }

    fn pass_on(&mut self, promise: Promise) {
        self.queue.give_back(promise);
    }
}

/// [`Reserve`] for a queue that may be closed.
pub(crate) struct ReserveUnlessClosed<'a, T, O: Order<T>>(Reserve<'a, T, O>);

impl<'a, T, O: Order<T>> ReserveUnlessClosed<'a, T, O> {
    pub(crate) fn new(queue: &'a Queue<T, O>) -> Self {
        ReserveUnlessClosed(Reserve { queue })
    }
}

impl<'a, T, O: Order<T>> Handoff for ReserveUnlessClosed<'a, T, O> {
    type Item = Promise;
    type Output = Result<Slot<'a, T, O>, Closed<()>>;

    fn queue(&self) -> &WaitQueue<Promise> {
        self.0.queue()
    }

    fn try_take(&mut self) -> Option<Promise> {
        self.0.try_take()
    }

    /// See `direct`.
    fn weight(&self) -> usize {
        0
    }

    fn parked(&mut self) {
        self.0.queue.show_reader();
        if self.0.queue.is_direct() {
            self.0.queue.meet();
        }
    }

    fn try_now(&mut self) -> Option<Self::Output> {
        self.0.hold_now()
    }

    fn finish(&mut self, promise: Promise) -> Self::Output {
        self.0.hold(promise)
    }

    fn pass_on(&mut self, promise: Promise) {
        self.0.pass_on(promise);
    }
}
