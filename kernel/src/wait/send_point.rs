//! The cancel point of a leaf that may move to another thread.
//!
//! A [`CancelPoint`] refers to the data of its kernel, so it stays on the thread of the kernel. A
//! [`SendCancelPoint`] stores the same state without that reference, and makes a `CancelPoint` of
//! it for each poll.

use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::error::TaskCancelled;
use crate::task::waker::{Message, Remote};
use crate::wait::point::CancelPoint;
use crate::wait::record::{At, InPlace};

/// A [`CancelPoint`] that is `Send`, for a leaf that works in a task of any kernel and under any
/// executor.
///
/// Under an executor of another crate, the leaf may move between threads. In a task of Curium it
/// parks like any other leaf: `tasks()` shows it, and a cancellation reaches it. If a parked leaf
/// is moved to another thread and dropped there, its kernel removes the record when it next looks
/// at its messages.
pub struct SendCancelPoint {
    kind: &'static str,
    site: &'static Location<'static>,
    /// See [`CancelPoint`].
    since: u64,
    at: Stored,
}

/// Where the record of the parked leaf is.
enum Stored {
    Nowhere,
    TaskSlot(InPlace),
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

    /// See [`CancelPoint::poll`].
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

    /// What [`CancelPoint`] does when the budget is spent.
    #[cold]
    fn refused(&mut self, cx: &Context<'_>) -> Option<Poll<TaskCancelled>> {
        let mut point = self.take();
        let polled = point.refused(cx);
        self.put(point, polled.as_ref().is_none_or(Poll::is_pending));
        polled
    }

    #[inline(never)]
    fn park(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        let mut point = self.take();
        let polled = point.park(cx);
        self.put(point, polled.is_pending());
        polled
    }

    /// Removes the record of a leaf that has completed.
    #[inline(never)]
    fn unpark(&mut self) {
        self.take().unpark();
    }

    /// Keeps the state of the point. A leaf that is not `parked` has no record.
    fn put(&mut self, mut point: CancelPoint, parked: bool) {
        self.since = point.since;
        if parked {
            self.store(&mut point.at);
        }
    }

    /// The point for the kernel of this thread.
    #[inline]
    fn take(&mut self) -> CancelPoint {
        let at = match std::mem::replace(&mut self.at, Stored::Nowhere) {
            Stored::Nowhere => At::Nowhere,
            Stored::TaskSlot(record) => At::TaskSlot(record),
            Stored::Arena(remote, key) => self.at_in_arena(&remote, key),
        };
        CancelPoint { kind: self.kind, site: self.site, since: self.since, at }
    }

    #[cold]
    fn at_in_arena(&mut self, remote: &Arc<Remote>, key: u32) -> At {
        let here =
            current::try_with(|core| Arc::ptr_eq(core.remote(), remote).then(|| Rc::clone(core)));
        match here.flatten() {
            Some(core) => At::Arena(core, key),
            None => {
                // The leaf counts as never parked here. If the kernel is closed, the record is gone
                // with it.
                self.since = 0;
                drop(remote.post(Message::Unpark(key)));
                At::Nowhere
            }
        }
    }

    #[inline]
    fn store(&mut self, at: &mut At) {
        self.at = match std::mem::replace(at, At::Nowhere) {
            At::Nowhere => Stored::Nowhere,
            At::TaskSlot(record) => Stored::TaskSlot(record),
            At::Arena(core, key) => Stored::Arena(core.remote().clone(), key),
        };
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
