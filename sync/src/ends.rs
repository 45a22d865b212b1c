//! The two sides of a channel whose values are for every receiver: how many ends each side has, and
//! what waits for the other side.

use std::cell::Cell;

use kernel::wait_queue::{Handoff, WaitQueue};

/// The ends of a [`watch`](crate::watch()) or a [`broadcast`](crate::broadcast()).
pub(crate) struct Ends {
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// The receivers that wait for a value.
    pub(crate) waiting: WaitQueue,
    /// The senders that wait until no receiver is left.
    closings: WaitQueue,
}

impl Ends {
    /// One sender and one receiver.
    pub(crate) const fn new() -> Self {
        Ends {
            senders: Cell::new(1),
            receivers: Cell::new(1),
            waiting: WaitQueue::new(),
            closings: WaitQueue::new(),
        }
    }

    pub(crate) fn senders(&self) -> usize {
        self.senders.get()
    }

    pub(crate) fn receivers(&self) -> usize {
        self.receivers.get()
    }

    pub(crate) fn add_sender(&self) {
        self.senders.set(self.senders.get() + 1);
    }

    /// The drop of the last sender ends the waits of the receivers.
    pub(crate) fn drop_sender(&self) {
        self.senders.set(self.senders.get() - 1);
        if self.senders.get() == 0 {
            self.waiting.hand_over_all(|| ());
        }
    }

    pub(crate) fn add_receiver(&self) {
        self.receivers.set(self.receivers.get() + 1);
    }

    /// The drop of the last receiver ends the waits for that.
    pub(crate) fn drop_receiver(&self) {
        self.receivers.set(self.receivers.get() - 1);
        if self.receivers.get() == 0 {
            self.closings.hand_over_all(|| ());
        }
    }
}

/// The wait until no receiver is left.
pub(crate) struct WaitClosed<'a>(pub(crate) &'a Ends);

impl Handoff for WaitClosed<'_> {
    type Item = ();
    type Output = ();

    fn queue(&self) -> &WaitQueue {
        &self.0.closings
    }

    fn try_take(&mut self) -> Option<()> {
        (self.0.receivers() == 0).then_some(())
    }

    fn finish(&mut self, (): ()) {}

    fn pass_on(&mut self, (): ()) {}
}
