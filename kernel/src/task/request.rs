//! The request to cancel a task, and the copy of the cancellation that was delivered.

use std::cell::Cell;

use crate::error::{CancelReason, Kept, TaskCancelled};
use crate::parts::scopes::{Delivery, Site};
use crate::task::chunk::TaskRef;
use crate::task::state::Flags;

/// What is known of a request to cancel a task. It applies to the root scope of the task, the
/// outermost scope of all its leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CancelRequest {
    pub(crate) cancel_seq: u64,
    pub(crate) pending: bool,
    pub(crate) reason: CancelReason,
    /// When it was made, on the clock of the kernel. `u64::MAX` for that of the shutdown.
    pub(crate) since: u64,
}

impl CancelRequest {
    /// A request that is not delivered yet, made at a time that is not known.
    pub(crate) fn new(cancel_seq: u64, reason: CancelReason) -> Self {
        CancelRequest { cancel_seq, pending: true, reason, since: u64::MAX }
    }
}

/// The request of a task. Valid if `Flags::CANCEL_REQUESTED` is set; otherwise it is left over from
/// an earlier task of the slot.
pub(crate) struct Request {
    cancel_seq: Cell<u64>,
    /// [`PENDING`], [`DELIVERED`] and [`KEPT`].
    marks: Cell<u8>,
    /// How often the task was seen parked while it was watched, until it parked in a shield.
    seen: Cell<u8>,
    reason: Cell<CancelReason>,
    since: Cell<u64>,
    /// The `cancel_seq` of the kernel at the last delivery.
    delivered_at: Cell<u64>,
    /// Where it was delivered.
    site: Cell<Site>,
    kept: Kept,
}

const PENDING: u8 = 1;
const DELIVERED: u8 = 2;
/// `kept` is a copy of this cancellation, not of an earlier one.
const KEPT: u8 = 4;
/// The task is watched, or was reported, because it has swallowed the cancellation.
const WATCHED: u8 = 8;

impl Default for Request {
    fn default() -> Self {
        Request {
            cancel_seq: Cell::new(0),
            marks: Cell::new(0),
            seen: Cell::new(0),
            reason: Cell::new(CancelReason::Shutdown),
            since: Cell::new(u64::MAX),
            delivered_at: Cell::new(0),
            site: Cell::new(None),
            kept: Kept::default(),
        }
    }
}

impl Request {
    #[inline]
    pub(crate) fn get(&self) -> CancelRequest {
        CancelRequest {
            cancel_seq: self.cancel_seq.get(),
            pending: self.has(PENDING),
            reason: self.reason.get(),
            since: self.since.get(),
        }
    }

    #[inline]
    pub(super) fn was_delivered(&self) -> bool {
        self.has(DELIVERED)
    }

    #[inline]
    fn has(&self, mark: u8) -> bool {
        self.marks.get() & mark != 0
    }

    #[inline]
    pub(super) fn set(&self, cancel_seq: u64, reason: CancelReason, since: u64) {
        self.cancel_seq.set(cancel_seq);
        self.marks.set(PENDING);
        self.seen.set(0);
        self.reason.set(reason);
        self.since.set(since);
    }

    /// A copy of the cancellation.
    #[inline(always)]
    fn copy(&self, spare: &Kept) -> TaskCancelled {
        if self.has(KEPT) {
            if let Some(copy) = self.kept.copy() {
                return copy;
            }
        }
        self.marks.set(self.marks.get() | KEPT);
        self.kept.renew(self.reason.get(), spare)
    }

    /// Marks the request as delivered, and returns a copy of the cancellation.
    #[inline]
    fn deliver(&self, cancel_seq: u64, site: Site, spare: &Kept) -> TaskCancelled {
        let copy = self.copy(spare);
        self.marks.set((self.marks.get() & WATCHED) | DELIVERED | KEPT);
        self.delivered_at.set(cancel_seq);
        self.site.set(site);
        copy
    }

    /// Where it was delivered last.
    pub(super) fn site(&self) -> Site {
        self.site.get().filter(|_| self.was_delivered())
    }

    /// Makes the cancellation pending again, if it was delivered after `since` and the program has
    /// no copy of it.
    pub(super) fn put_back_if_lost(&self, since: u64) -> bool {
        let lost = self.is_lost() && self.delivered_at.get() > since;
        if lost {
            self.marks.set(self.marks.get() | PENDING);
        }
        lost
    }

    /// Whether it was delivered, and the program has no copy of it.
    fn is_lost(&self) -> bool {
        self.with_delivered(|kept| !kept.has_copies()) == Some(true)
    }

    /// Runs `look` with the kept copy of the delivered cancellation, if there is one.
    #[inline]
    pub(super) fn with_delivered<R>(&self, look: impl FnOnce(&TaskCancelled) -> R) -> Option<R> {
        if self.has(DELIVERED) { self.kept.with(look) } else { None }
    }

    /// Makes `delivered` pending again, if it is the cancellation of this request.
    pub(super) fn put_back(&self, delivered: &TaskCancelled) -> bool {
        let is = self.with_delivered(|kept| kept.is_same(delivered)) == Some(true);
        if is {
            self.marks.set(self.marks.get() | PENDING);
        }
        is
    }

    /// The delivered cancellation, if the program has no copy of it and it is not pending.
    pub(super) fn swallowed(&self) -> Option<Delivery> {
        (self.is_lost() && !self.has(PENDING))
            .then(|| Delivery { reason: self.reason.get(), site: self.site.get() })
    }

    /// Begins to watch a task that has swallowed its cancellation and is parked outside all
    /// shields. Gives how often it was seen before. `None`: it has not, it is not, or it is watched
    /// already.
    pub(super) fn begin_watch(&self, is_outside: impl FnOnce() -> bool) -> Option<u8> {
        if self.has(WATCHED) || self.swallowed().is_none() || !is_outside() {
            return None;
        }
        self.marks.set(self.marks.get() | WATCHED);
        Some(self.seen.get())
    }

    /// Ends the watch, in which the task was seen so often.
    pub(super) fn end_watch(&self, times: u8) {
        self.marks.set(self.marks.get() & !WATCHED);
        self.seen.set(times);
    }
}

/// The request of a task.
impl<K> TaskRef<K> {
    #[inline]
    fn request(&self) -> Option<&Request> {
        if !self.flags.any(Flags::CANCEL_REQUESTED) {
            return None;
        }
        if self.flags.any(Flags::SHUT_DOWN) {
            self.store_request_by_shutdown();
        }
        self.any_request()
    }

    /// The request to cancel it, if there is one.
    #[inline]
    pub(crate) fn cancel_request(&self) -> Option<CancelRequest> {
        if self.flags.any(Flags::SHUT_DOWN) {
            let cancel_seq = self.chunk().shutdown_seq.get();
            return Some(CancelRequest::new(cancel_seq, CancelReason::Shutdown));
        }
        self.request().map(Request::get)
    }

    /// Requests the cancellation of the task at the shutdown. The request is stored when it is
    /// delivered: if those of many tasks were stored at once, they would leave the caches before
    /// they are read.
    pub(crate) fn request_by_shutdown(&self, cancel_seq: u64) {
        self.chunk().shutdown_seq.set(cancel_seq);
        self.flags.set(Flags::CANCEL_REQUESTED | Flags::SHUT_DOWN);
    }

    #[cold]
    fn store_request_by_shutdown(&self) {
        self.flags.clear(Flags::SHUT_DOWN);
        self.set_request(self.chunk().shutdown_seq.get(), CancelReason::Shutdown, u64::MAX);
    }

    /// Whether the cancellation of the task was requested and is not delivered yet.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.cancel_request().is_some_and(|request| request.pending)
    }

    /// Whether its cancellation was ever delivered (C6).
    #[inline]
    pub(crate) fn was_delivered(&self) -> bool {
        self.request().is_some_and(Request::was_delivered)
    }

    /// Where its cancellation was delivered.
    pub(crate) fn delivered_at(&self) -> Site {
        self.request().and_then(Request::site)
    }

    /// Stores a request that was made at the time `since`.
    pub(crate) fn set_request(&self, cancel_seq: u64, reason: CancelReason, since: u64) {
        self.flags.set(Flags::CANCEL_REQUESTED);
        self.make_request().set(cancel_seq, reason, since);
    }

    /// Marks the request as delivered, and returns a copy of the cancellation. Its memory may be
    /// that of the one in `spare`.
    #[inline]
    pub(crate) fn deliver(
        &self,
        cancel_seq: u64,
        site: Site,
        spare: &Kept,
    ) -> Option<TaskCancelled> {
        Some(self.request()?.deliver(cancel_seq, site, spare))
    }

    /// Its cancellation, if that was delivered and the program has swallowed it.
    pub(crate) fn swallowed(&self) -> Option<Delivery> {
        self.request()?.swallowed()
    }

    pub(crate) fn begin_watch(&self, is_outside: impl FnOnce() -> bool) -> Option<u8> {
        self.request()?.begin_watch(is_outside)
    }

    pub(crate) fn end_watch(&self, times: u8) {
        if let Some(request) = self.request() {
            request.end_watch(times);
        }
    }

    /// Makes its cancellation pending again, if it was delivered after `since` and the program has
    /// no copy of it.
    pub(crate) fn put_back_if_lost(&self, since: u64) -> bool {
        self.request().is_some_and(|request| request.put_back_if_lost(since))
    }

    /// A copy of the cancellation that was requested, whether it was delivered or not.
    pub(crate) fn cancellation(&self, spare: &Kept) -> Option<TaskCancelled> {
        self.request().map(|request| request.copy(spare))
    }

    /// Runs `look` with the kept copy of the delivered cancellation, if there is one.
    #[inline]
    pub(crate) fn with_delivered<R>(&self, look: impl FnOnce(&TaskCancelled) -> R) -> Option<R> {
        self.request()?.with_delivered(look)
    }

    /// Makes `delivered` pending again, if it is the cancellation of this task and was delivered.
    pub(crate) fn put_back(&self, delivered: &TaskCancelled) -> bool {
        self.request().is_some_and(|request| request.put_back(delivered))
    }

    /// Gives the memory of its cancellation to `spare`, if the program has no copy. The task has
    /// ended.
    #[inline]
    pub(crate) fn give_cancellation_to(&self, spare: &Kept) {
        if let Some(request) = self.any_request() {
            request.kept.give_to(spare);
        }
    }

    /// The identity of its cancellation, if that was delivered. 0: the task has no copy any more.
    #[inline]
    pub(crate) fn delivered_identity(&self) -> Option<usize> {
        let request = self.request().filter(|request| request.was_delivered())?;
        Some(request.kept.with(TaskCancelled::identity).unwrap_or(0))
    }

    /// Moves the kept copy of its cancellation out.
    pub(crate) fn take_kept(&self) -> Option<TaskCancelled> {
        self.any_request()?.kept.take()
    }
}
