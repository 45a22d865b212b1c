//! One scope below the root of a task: a timeout, the body of a group, or a shield.

use std::panic::Location;

use super::Ambient;
use crate::error::{CancelReason, TaskCancelled};
use crate::id::TaskId;
use crate::parts::list::{Linked, ListLinks, NONE};

/// The file and line of the leaf that has returned a cancellation, if it has one.
pub(crate) type Site = Option<&'static Location<'static>>;

/// A cancellation that was delivered: why, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) reason: CancelReason,
    pub(crate) site: Site,
}

/// The purpose of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    /// A timeout. It is cancelled at its deadline.
    Timeout,
    /// The body of a group. It is cancelled when a member fails.
    Body,
    /// Holds back the cancellation of every scope outside it.
    Shield,
    /// A shield whose time limit has passed. It holds back nothing.
    SpentShield,
}

/// The cancellations of outer scopes that were delivered inside a scope. When the scope is left, an
/// expiry that was swallowed inside becomes pending again (T5); one key is enough to find it
/// without a walk through all outer scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OuterDelivered {
    None,
    /// Only the task's own, or that of a group's body.
    NoTimeout,
    /// The expiry of one timeout, whose key this is, and perhaps others that are no timeouts.
    Timeout(u32),
    /// The expiries of several timeouts.
    Several,
}

/// A scope below the root of a task.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) task: TaskId,
    /// The scope around it, `NONE` for the task's root.
    pub(crate) parent: u32,
    pub(crate) kind: ScopeKind,
    pub(crate) cancel_seq: u64,
    pub(crate) pending: bool,
    pub(crate) reason: CancelReason,
    /// The counter of cancellations when the scope was made. Later deliveries have a greater value.
    pub(crate) entered: u64,
    /// The counter when the cancellation of this scope was delivered; 0 if it was not.
    pub(crate) delivered: u64,
    pub(crate) delivered_at: Site,
    /// The task is watched, or was reported, because the body has swallowed the cancellation.
    pub(crate) watched: bool,
    /// How often it was seen parked while it was watched, until it parked in a shield.
    pub(crate) seen: u8,
    /// A copy of the cancellation of this scope, once one was made (C16).
    pub(crate) kept: Option<TaskCancelled>,
    /// The cancellations of outer scopes that were delivered to leaves inside this one.
    pub(crate) outer: OuterDelivered,
    /// Whether that was, among others, the cancellation of the task.
    pub(crate) of_task: bool,
    /// In nanoseconds of the clock of the kernel; `u64::MAX` for none.
    pub(crate) deadline: u64,
    pub(crate) first_record: u32,
    pub(crate) first_child: u32,
    /// Whether a record in this scope or below it may have a foreign waker. Records inside an inner
    /// shield do not count. If this is false, a walk for foreign wakers skips the scope.
    pub(super) may_have_wakers: bool,
    /// The cached ambient of this scope, and the `ambient_version` for which it is valid.
    pub(crate) known: (u64, Ambient),
    pub(super) links: ListLinks,
}

/// What is needed of a scope that was removed: less than the whole, which is not copied then.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) task: TaskId,
    pub(crate) parent: u32,
    pub(crate) entered: u64,
    pub(crate) outer: OuterDelivered,
    /// Dropped with this, outside any borrow.
    pub(super) _kept: Option<TaskCancelled>,
}

impl Linked for Scope {
    fn links(&mut self) -> &mut ListLinks {
        &mut self.links
    }
}

impl Scope {
    pub(crate) fn new(task: TaskId, kind: ScopeKind, entered: u64, deadline: u64) -> Self {
        Scope {
            task,
            parent: NONE,
            kind,
            cancel_seq: 0,
            pending: false,
            reason: CancelReason::Timeout,
            entered,
            delivered: 0,
            delivered_at: None,
            watched: false,
            seen: 0,
            kept: None,
            outer: OuterDelivered::None,
            of_task: false,
            deadline,
            first_record: NONE,
            first_child: NONE,
            may_have_wakers: false,
            known: (NEVER_KNOWN, Ambient::CLEAR),
            links: ListLinks::ALONE,
        }
    }
}

impl Scope {
    /// A copy of the cancellation of this scope.
    pub(crate) fn cancellation(&mut self) -> TaskCancelled {
        self.kept.get_or_insert_with(|| TaskCancelled::new(self.reason)).clone()
    }

    /// Whether its cancellation was delivered, and the program has no copy of it.
    pub(crate) fn is_swallowed(&self) -> bool {
        self.delivered != 0
            && !self.pending
            && self.kept.as_ref().is_some_and(|kept| !kept.has_copies())
    }

    /// Notes that the cancellation of an outer scope was delivered inside: of the timeout with that
    /// key, or of another.
    pub(crate) fn note_outer(&mut self, timeout: Option<u32>) {
        self.outer = match (self.outer, timeout) {
            (OuterDelivered::None, None) => OuterDelivered::NoTimeout,
            (OuterDelivered::None | OuterDelivered::NoTimeout, Some(key)) => {
                OuterDelivered::Timeout(key)
            }
            (OuterDelivered::Timeout(before), Some(key)) if before != key => {
                OuterDelivered::Several
            }
            (before, _) => before,
        };
    }

    /// Whether the cancellation of an outer scope was delivered inside.
    pub(crate) fn has_outer(&self) -> bool {
        self.outer != OuterDelivered::None
    }

    /// Makes the expiry of this timeout pending again, if it was delivered after `since`, and the
    /// program has no copy of it: an arm that still has the error is not cancelled twice.
    pub(crate) fn put_back_if_lost(&mut self, since: u64) -> bool {
        let lost = self.kind == ScopeKind::Timeout
            && self.delivered > since
            && !self.kept.as_ref().is_some_and(TaskCancelled::has_copies);
        self.pending |= lost;
        lost
    }

    /// Cancels a new scope because its deadline has passed.
    pub(crate) fn expire(&mut self, cancel_seq: u64) {
        self.cancel_seq = cancel_seq;
        self.pending = true;
        self.reason = CancelReason::Timeout;
    }

    /// Marks the cancellation as delivered, and returns a copy of it.
    pub(crate) fn deliver(&mut self, cancel_seq: u64, site: Site) -> TaskCancelled {
        self.pending = false;
        self.delivered = cancel_seq;
        self.delivered_at = site;
        self.cancellation()
    }

    /// The ambient inside this scope. `key` is its key, `outer` the ambient around it.
    pub(crate) fn within(&self, key: u32, outer: Ambient) -> Ambient {
        match self.kind {
            ScopeKind::Shield => Ambient { scope: key, cancel_seq: 0, pending: false },
            _ => Ambient {
                scope: key,
                cancel_seq: outer.cancel_seq.max(self.cancel_seq),
                pending: outer.pending | self.pending,
            },
        }
    }
}

/// An `ambient_version` that no kernel reaches: the cached ambient is not valid.
const NEVER_KNOWN: u64 = u64::MAX;
