//! The cell of a task: what the kernel stores for every task.
//!
//! ```text
//!            spawn                 tick                  poll: Ready, or panic
//!   (free) ────────▶ Ready/queued ──────▶ Running ──────────────────────────▶ Ended
//!      ▲                  ▲                  │ poll: Pending                     │
//!      │                  │ wake             ▼                                   │
//!      │                  └──────────────── Parked ── abort ────────────────────▶│
//!      └──────────── release: no holders left, and not queued ───────────────────┘
//! ```
//!
//! A queued task is aborted like a parked one. A running task is aborted when its poll ends. The
//! states are bits: see `task/state.rs`.
//!
//! A cell is reused together with the box of its body. The id of a task contains the generation of
//! the cell, so a handle, a waker or a timer of an earlier task never affects a later one.

use std::any::Any;
use std::cell::{Cell, OnceCell, Ref, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use crate::error::Panic;
use crate::id::GroupId;
use crate::parts::fifo::Fifo;
use crate::parts::list::{ListLinks, NONE};
use crate::parts::scopes::RootHeads;
use crate::parts::values::Values;
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
    /// A cancellation was delivered to it, and it then ended in an error.
    Cancelled,
    /// It panicked.
    Panicked,
    /// It was dropped by `abort`.
    Aborted,
}

/// What the kernel stores for every task. Data that neighbouring cells share, and data that only
/// some tasks need, is in the chunk (`task/chunk.rs`).
pub(crate) struct TaskCell {
    /// None while the task is being polled, after it was aborted, and for the main task, whose
    /// future is owned by `Kernel::run`. A free cell keeps the box of its last body if it is small.
    pub(crate) body: TakeCell<Pin<Box<dyn Body>>>,
    /// Increases with each spawn. Gives the order in which the shutdown cancels: youngest first.
    pub(crate) serial: Cell<u64>,
    pub(crate) generation: Cell<u32>,
    pub(crate) flags: Flags,
    /// The number of handles, joins and groups that keep the outcome.
    pub(crate) holders: Cell<u32>,
    pub(crate) cycles: Cell<u32>,
}

const _: () = assert!(size_of::<TaskCell>() <= 40, "a million of them are many pages of memory");

/// The membership of a task in a group. Valid if `Flags::MEMBER` is set.
pub(crate) struct Membership {
    pub(crate) group: Cell<GroupId>,
    /// The links in the list of members.
    pub(crate) links: Cell<ListLinks>,
    /// The number of a hosted task among those of its host.
    pub(crate) slot: Cell<u32>,
}

impl Default for Membership {
    fn default() -> Self {
        Membership {
            group: Cell::new(GroupId::NONE),
            links: Cell::new(ListLinks::ALONE),
            slot: Cell::new(NONE),
        }
    }
}

/// The root scope of a task, and its rarely needed data.
pub(crate) struct ScopeRoot<K> {
    /// The records and scopes attached to the root scope (`parts/scopes.rs`).
    pub(crate) first_record: Cell<u32>,
    pub(crate) first_child: Cell<u32>,
    /// A free cell keeps this box for its next task.
    cold: OnceCell<Box<ColdData<K>>>,
}

impl<K> Default for ScopeRoot<K> {
    fn default() -> Self {
        ScopeRoot {
            first_record: Cell::new(NONE),
            first_child: Cell::new(NONE),
            cold: OnceCell::new(),
        }
    }
}

/// Data that few tasks need.
pub(crate) struct ColdData<K> {
    /// The waker of the task, once a leaf or a program has cloned it.
    /// Borrowed while the run loop polls the task with it.
    pub(crate) waker: RefCell<Option<OwnWaker>>,
    pub(crate) panic: Cell<Option<Panic>>,
    /// The waiters for the end of the task, except the one that is stored in the chunk
    /// ([`TaskRef::joiner`]).
    pub(crate) joiners: Fifo<Waiter<K>, ()>,
    /// The number of waiters in `joiners` that are in a `join`.
    pub(crate) joining: Cell<u32>,
    /// The values that the task has inherited.
    pub(crate) values: Cell<Option<Rc<Values>>>,
}

impl<K> Default for ColdData<K> {
    fn default() -> Self {
        ColdData {
            waker: RefCell::new(None),
            panic: Cell::new(None),
            joiners: Fifo::new(),
            joining: Cell::new(0),
            values: Cell::new(None),
        }
    }
}

/// A waker that the run loop assigns to a task. Once it has been cloned, it is not assigned to
/// another task.
pub(crate) struct OwnWaker {
    pub(crate) inner: Arc<TaskWaker>,
    pub(crate) waker: Waker,
}

impl OwnWaker {
    pub(crate) fn new(inner: Arc<TaskWaker>) -> Self {
        OwnWaker { waker: Waker::from(inner.clone()), inner }
    }

    /// Whether the waker has been cloned.
    pub(crate) fn is_out(&self) -> bool {
        self.is_out_beside(0)
    }

    /// The same for a waker of which so many more references are the kernel's.
    #[inline]
    pub(crate) fn is_out_beside(&self, shared: usize) -> bool {
        Arc::strong_count(&self.inner) > 2 + shared
    }

    /// The number of clones of the waker, wherever they are, and one for a wake that the kernel has
    /// not handled yet. `inner` and `waker` are two references besides.
    fn clones(&self) -> usize {
        Arc::strong_count(&self.inner).saturating_sub(2)
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

    /// Prepares a free cell for a new task with one holder. The cell keeps the boxes of earlier
    /// tasks. The caller sets the flags once the body is in the cell.
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
            if let Some(output) = body.as_mut().output() {
                output.take_error(out);
            }
            self.body.put(body);
        }
    }
}

impl<K> TaskRef<K> {
    /// The cold data of the task; allocates it if needed.
    pub(crate) fn cold(&self) -> &ColdData<K> {
        self.flags.set(Flags::COLD);
        self.extras().cold.get_or_init(Box::default)
    }

    /// The cold data of the task, if it has any.
    #[inline]
    pub(crate) fn any_cold(&self) -> Option<&ColdData<K>> {
        if !self.flags.any(Flags::COLD) {
            return None;
        }
        self.any_extras()?.cold.get().map(|cold| &**cold)
    }

    pub(crate) fn set_panic(&self, panic: Panic) {
        self.cold().panic.set(Some(panic));
    }

    pub(crate) fn take_panic(&self) -> Option<Panic> {
        self.any_cold()?.panic.take()
    }

    /// Whether a clone of the task's waker exists outside the kernel.
    pub(crate) fn is_waker_out(&self) -> bool {
        self.waker_clones() > 0
    }

    /// The number of clones of the task's waker, with one for a wake that is not handled yet. If
    /// there is none, no code can wake the task by its waker. The clones in the wait queues and the
    /// timers count too, which hold one only for a waiter that was polled with another waker.
    pub(crate) fn waker_clones(&self) -> usize {
        let Some(cold) = self.any_cold() else { return 0 };
        cold.waker.borrow().as_ref().map_or(0, OwnWaker::clones)
    }

    /// The task's own waker, if it has one.
    #[inline]
    pub(crate) fn own_waker(&self) -> Option<Ref<'_, OwnWaker>> {
        let extras = self.any_extras().filter(|_| self.flags.any(Flags::WAKER))?;
        Ref::filter_map(extras.cold.get()?.waker.borrow(), Option::as_ref).ok()
    }

    pub(crate) fn keep_waker(&self, waker: OwnWaker) {
        self.flags.set(Flags::WAKER);
        self.cold().waker.replace(Some(waker));
    }

    /// The group it is a member of, or `GroupId::NONE`.
    pub(crate) fn group(&self) -> GroupId {
        let member = self.flags.any(Flags::MEMBER);
        let membership = self.chunk().membership(self.index()).filter(|_| member);
        membership.map_or(GroupId::NONE, |membership| membership.group.get())
    }

    /// The list heads of its root scope. Sets `Flags::SCOPED`, because the caller may attach
    /// something.
    pub(crate) fn heads(&self) -> RootHeads<'_> {
        self.flags.set(Flags::SCOPED);
        let extras = self.extras();
        RootHeads { record: &extras.first_record, child: &extras.first_child }
    }

    /// What is attached to its root scope: the first record and the first child scope.
    #[inline]
    pub(crate) fn attached(&self) -> (u32, u32) {
        if !self.flags.any(Flags::SCOPED) {
            return (NONE, NONE);
        }
        self.any_extras()
            .map_or((NONE, NONE), |extras| (extras.first_record.get(), extras.first_child.get()))
    }

    /// Empties the lists of its root scope.
    pub(crate) fn detach_all(&self) {
        if let Some(extras) = self.any_extras() {
            extras.first_record.set(NONE);
            extras.first_child.set(NONE);
        }
    }
}
