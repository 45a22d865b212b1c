//! The cancel point of a leaf that may move to another thread.
//!
//! The record of a [`CancelPoint`](super::point::CancelPoint) is in its kernel, so the point stays
//! on the thread of that kernel. A [`SendCancelPoint`] keeps a way to the kernel from other threads
//! as well, and makes a [`Spot`] for each poll.

use std::panic::Location;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::error::TaskCancelled;
use crate::id::TaskId;
use crate::task::waker::{Message, Remote};
use crate::wait::record::{At, IN_ARENA};
use crate::wait::spot::Spot;

/// A [`CancelPoint`](crate::CancelPoint) that is `Send`, for a leaf that works in a task of any
/// kernel and under any executor.
///
/// Under an executor of another crate, the leaf may move between threads. In a task of Curium it
/// parks like any other leaf: `tasks()` shows it, and a cancellation reaches it. If a parked leaf
/// is moved to another thread and dropped there, its kernel removes the record when it next looks
/// at its messages.
pub struct SendCancelPoint {
    kind: &'static str,
    site: &'static Location<'static>,
    /// See [`Spot`].
    since: u64,
    at: Stored,
}

/// Where the record of the parked leaf is.
enum Stored {
    Nowhere,
    /// In the slot of the task, in that cycle.
    TaskSlot(TaskId, u32),
    /// In the arena of the kernel with this mailbox.
    Arena(Arc<Remote>, u32),
}

impl SendCancelPoint {
    /// A point that shows as `kind` (as in `"EVENT_WAIT"`) at the caller's file and line.
    #[track_caller]
    pub fn new(kind: &'static str) -> Self {
        SendCancelPoint::at(kind, Location::caller())
    }

    /// Like [`new`](SendCancelPoint::new), with an explicit call site.
    pub const fn at(kind: &'static str, site: &'static Location<'static>) -> Self {
        SendCancelPoint { kind, site, since: 0, at: Stored::Nowhere }
    }

    /// The file and line that the point shows.
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// See [`CancelPoint::poll`](crate::CancelPoint::poll).
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`], and then `operation` has not completed in this poll. Another thread may
    /// complete it between its attempt and the cancellation. A leaf that finds this when it undoes
    /// what `operation` arranged returns the value, and calls [`TaskCancelled::put_back`].
    #[inline]
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, TaskCancelled>> {
        if !current::spend() {
            if let Some(polled) = self.refused(cx) {
                return polled.map(Err);
            }
        }
        match operation(cx) {
            Poll::Ready(value) => {
                if !matches!(self.at, Stored::Nowhere) {
                    self.unpark();
                }
                Poll::Ready(Ok(value))
            }
            Poll::Pending => self.park(cx).map(Err),
        }
    }

    /// What a [`Spot`] does when the budget is spent.
    #[cold]
    fn refused(&mut self, cx: &Context<'_>) -> Option<Poll<TaskCancelled>> {
        let mut spot = self.take();
        let polled = spot.refused(self.kind, cx);
        self.put(spot, polled.as_ref().is_none_or(Poll::is_pending));
        polled
    }

    #[inline(never)]
    fn park(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        let mut spot = self.take();
        let polled = spot.park(self.kind, cx);
        self.put(spot, polled.is_pending());
        polled
    }

    /// Removes the record of a leaf that has completed.
    #[inline(never)]
    fn unpark(&mut self) {
        self.take().unpark();
    }

    /// Keeps the state of the leaf. One that is not `parked` has no record.
    fn put(&mut self, mut spot: Spot, parked: bool) {
        self.since = spot.since;
        if parked {
            self.store(&mut spot);
        }
    }

    /// The state for the kernel of this thread.
    #[inline]
    fn take(&mut self) -> Spot {
        let (at, cycle) = match std::mem::replace(&mut self.at, Stored::Nowhere) {
            Stored::Nowhere => (TaskId::NONE, 0),
            Stored::TaskSlot(task, cycle) => (task, cycle),
            Stored::Arena(remote, key) => (self.at_in_arena(&remote, key), 0),
        };
        Spot { site: self.site, since: self.since, at, cycle }
    }

    #[cold]
    fn at_in_arena(&mut self, remote: &Arc<Remote>, key: u32) -> TaskId {
        if current::try_with(|core| Arc::ptr_eq(core.remote(), remote)) == Some(true) {
            return TaskId::new(IN_ARENA, key);
        }
        // The leaf counts as never parked here. If the kernel is closed, the record is gone with
        // it.
        self.since = 0;
        drop(remote.post(Message::Unpark(key)));
        TaskId::NONE
    }

    /// Takes the record over from `spot`, which was parked in the kernel of this thread just now.
    #[inline]
    fn store(&mut self, spot: &mut Spot) {
        self.at = match spot.place() {
            At::Nowhere => return,
            At::TaskSlot(task) => Stored::TaskSlot(task, spot.cycle),
            At::Arena(key) => match current::try_with(|core| core.remote().clone()) {
                Some(remote) => Stored::Arena(remote, key),
                None => return,
            },
        };
        spot.at = TaskId::NONE;
    }
}

impl Drop for SendCancelPoint {
    #[inline]
    fn drop(&mut self) {
        if !matches!(self.at, Stored::Nowhere) {
            drop(self.take());
        }
    }
}

impl std::fmt::Debug for SendCancelPoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("SendCancelPoint");
        debug.field("kind", &self.kind).field("site", &self.site).finish()
    }
}
