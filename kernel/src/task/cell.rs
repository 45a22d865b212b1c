//! The cell of a task: all that the kernel knows about it.
//!
//! ```text
//!            spawn                 tick                  poll: Ready, or panic
//!   (free) ────────▶ Ready/queued ──────▶ Running ──────────────────────────▶ Ended
//!      ▲                  ▲                  │ poll: Pending                     │
//!      │                  │ wake             ▼                                   │
//!      │                  └──────────────── Parked ── abort ────────────────────▶│
//!      └──────────── release: nobody holds a handle, and not queued ─────────────┘
//! ```
//!
//! A task that is queued is aborted as a parked one is; one that runs, when its poll ends. The
//! states are bits: see `task/state.rs`.
//!
//! Cells are recycled, box and all; a name (`TaskId`) carries the generation, so a handle, a waker
//! or a timer of the last tenant never reaches the next one.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;

use crate::error::{CancelReason, Panic};
use crate::id::GroupId;
use crate::parts::fifo::Fifo;
use crate::parts::list::{ListLinks, NONE};
use crate::parts::scopes::RootHeads;
use crate::task::body::Body;
use crate::task::chunk::TaskRef;
use crate::task::state::Flags;
use crate::task::take_cell::TakeCell;
use crate::task::waiter::Waiter;
use crate::task::waker::TaskWaker;

/// How a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskEnd {
    /// With a value.
    Ok,
    /// With an error.
    Failed,
    /// A cancellation was delivered, and it ended in an error.
    Cancelled,
    /// It panicked.
    Panicked,
    /// It was dropped by `abort`.
    Aborted,
}

/// A cancellation that was asked of a task: of its root scope, the outermost one of its leaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CancelRequest {
    pub(crate) cancel_seq: u64,
    pub(crate) pending: bool,
    /// Whether it was ever delivered (C6).
    pub(crate) delivered: bool,
    pub(crate) reason: CancelReason,
}

/// All that a plain task has to itself. What neighbours share, and what only some tasks have,
/// stands in their chunk (`task/chunk.rs`).
pub(crate) struct TaskCell {
    /// None: it is being polled, it was aborted, or it is the main task, whose future lives in
    /// `Kernel::run`. A free cell keeps its box if that is small.
    pub(crate) body: TakeCell<Pin<Box<dyn Body>>>,
    /// Ascends in the order of spawning: shutdown asks the youngest first.
    pub(crate) serial: Cell<u64>,
    pub(crate) generation: Cell<u32>,
    pub(crate) flags: Flags,
    /// How many handles, joins and groups keep the outcome.
    pub(crate) holders: Cell<u32>,
    pub(crate) cycles: Cell<u32>,
}

const _: () = assert!(size_of::<TaskCell>() <= 40, "a million of them are many pages of memory");

/// What a task in a group has: valid if `Flags::MEMBER` is set.
pub(crate) struct Membership {
    pub(crate) group: Cell<GroupId>,
    /// Its neighbours among the members.
    pub(crate) links: Cell<ListLinks>,
}

impl Default for Membership {
    fn default() -> Self {
        Membership { group: Cell::new(GroupId::NONE), links: Cell::new(ListLinks::ALONE) }
    }
}

/// What a task that has scopes has, and one with something rare.
pub(crate) struct ScopeRoot<K> {
    /// What hangs on the root scope (`parts/scopes.rs`).
    pub(crate) first_record: Cell<u32>,
    pub(crate) first_child: Cell<u32>,
    /// A free cell keeps the box.
    rare: OnceCell<Box<ColdData<K>>>,
}

impl<K> Default for ScopeRoot<K> {
    fn default() -> Self {
        ScopeRoot {
            first_record: Cell::new(NONE),
            first_child: Cell::new(NONE),
            rare: OnceCell::new(),
        }
    }
}

/// What few tasks have.
pub(crate) struct ColdData<K> {
    /// Its own waker, once somebody cloned it.
    pub(crate) waker: Cell<Option<OwnWaker>>,
    pub(crate) panic: Cell<Option<Panic>>,
    /// Some if `Flags::ASKED` is set, and perhaps otherwise.
    asked: Cell<Option<CancelRequest>>,
    /// Who waits for its end and has no place among the joiners of the chunk.
    pub(crate) joiners: Fifo<Waiter<K>, ()>,
    /// How many of these are in `join`.
    pub(crate) joining: Cell<u32>,
}

impl<K> Default for ColdData<K> {
    fn default() -> Self {
        ColdData {
            waker: Cell::new(None),
            panic: Cell::new(None),
            asked: Cell::new(None),
            joiners: Fifo::new(),
            joining: Cell::new(0),
        }
    }
}

/// A waker that names one task for good.
pub(crate) struct OwnWaker {
    pub(crate) inner: Arc<TaskWaker>,
    pub(crate) waker: Waker,
}

impl OwnWaker {
    pub(crate) fn new(inner: Arc<TaskWaker>) -> Self {
        OwnWaker { waker: Waker::from(inner.clone()), inner }
    }

    /// Whether anybody else holds it; two are ours.
    pub(crate) fn is_out(&self) -> bool {
        Arc::strong_count(&self.inner) > 2
    }
}

impl TaskCell {
    pub(crate) fn new(generation: u32) -> Self {
        TaskCell {
            body: TakeCell::empty(),
            serial: Cell::new(0),
            generation: Cell::new(generation),
            flags: Flags::new(Flags::FREE),
            holders: Cell::new(0),
            cycles: Cell::new(0),
        }
    }

    /// Makes a free cell that of a new task, with one holder. It keeps its boxes, and is to be made
    /// alive when it has its body.
    #[inline]
    pub(crate) fn begin(&self, serial: u64) {
        self.serial.set(serial);
        self.holders.set(1);
        self.cycles.set(0);
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.flags.any(Flags::ENDED)
    }

    pub(crate) fn end(&self) -> Option<TaskEnd> {
        self.is_ended().then(|| self.flags.end())
    }

    /// Moves the output or the error into `out`, an `&mut Option<..>` of the right type.
    #[inline]
    pub(crate) fn take_output(&self, out: &mut dyn Any) {
        if let Some(mut body) = self.body.take() {
            body.as_mut().take_output(out);
            self.body.put(body);
        }
    }

    pub(crate) fn take_error(&self, out: &mut dyn Any) {
        if let Some(mut body) = self.body.take() {
            body.as_mut().take_error(out);
            self.body.put(body);
        }
    }
}

impl<K> TaskRef<K> {
    /// What few tasks have; from here on this one has it.
    pub(crate) fn cold(&self) -> &ColdData<K> {
        self.flags.set(Flags::COLD);
        self.extras().rare.get_or_init(Box::default)
    }

    /// What few tasks have, if this one has.
    #[inline]
    pub(crate) fn any_cold(&self) -> Option<&ColdData<K>> {
        if !self.flags.any(Flags::COLD) {
            return None;
        }
        self.any_extras()?.rare.get().map(|rare| &**rare)
    }

    /// The cancellation that was asked of it.
    #[inline]
    pub(crate) fn cancel_request(&self) -> Option<CancelRequest> {
        if self.flags.any(Flags::CANCEL_REQUESTED) { self.any_cold()?.asked.get() } else { None }
    }

    /// Whether a cancellation was asked of it that nobody was told of.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.cancel_request().is_some_and(|asked| asked.pending)
    }

    /// Asks for its cancellation.
    pub(crate) fn ask(&self, cancel_seq: u64, reason: CancelReason) {
        self.flags.set(Flags::CANCEL_REQUESTED);
        let asked = CancelRequest { cancel_seq, pending: true, delivered: false, reason };
        self.cold().asked.set(Some(asked));
    }

    /// The cancellation that was asked of it is delivered now: why it was asked.
    pub(crate) fn deliver(&self) -> Option<CancelReason> {
        let asked = self.cancel_request()?;
        let told = CancelRequest { pending: false, delivered: true, ..asked };
        self.any_cold()?.asked.set(Some(told));
        Some(asked.reason)
    }

    pub(crate) fn set_panic(&self, panic: Panic) {
        self.cold().panic.set(Some(panic));
    }

    pub(crate) fn take_panic(&self) -> Option<Panic> {
        self.any_cold()?.panic.take()
    }

    /// Whether somebody else holds its waker.
    pub(crate) fn is_waker_out(&self) -> bool {
        let Some(rare) = self.any_cold() else { return false };
        let waker = rare.waker.take();
        let out = waker.as_ref().is_some_and(OwnWaker::is_out);
        rare.waker.set(waker);
        out
    }

    /// The group it is a member of, or `GroupId::NONE`.
    pub(crate) fn group(&self) -> GroupId {
        let member = self.flags.any(Flags::MEMBER);
        let membership = self.chunk().membership(self.index()).filter(|_| member);
        membership.map_or(GroupId::NONE, |membership| membership.group.get())
    }

    /// The heads of what hangs on its root scope; from here on something may.
    pub(crate) fn heads(&self) -> RootHeads<'_> {
        self.flags.set(Flags::SCOPED);
        let extras = self.extras();
        RootHeads { record: &extras.first_record, child: &extras.first_child }
    }

    /// What hangs on its root scope: the first record and the first scope.
    #[inline]
    pub(crate) fn attached(&self) -> (u32, u32) {
        if !self.flags.any(Flags::SCOPED) {
            return (NONE, NONE);
        }
        self.any_extras()
            .map_or((NONE, NONE), |extras| (extras.first_record.get(), extras.first_child.get()))
    }

    /// Nothing hangs on its root scope any more.
    pub(crate) fn detach_all(&self) {
        if let Some(extras) = self.any_extras() {
            extras.first_record.set(NONE);
            extras.first_child.set(NONE);
        }
    }
}
