//! The record of a parked leaf: in the slot of its task, or in the arena of the scopes. The monitor
//! shows it, and a cancellation finds the leaf by it; the operation of the leaf does not need it.
//!
//! The first leaf that parks in a poll leaves its record in the slot of its task, provided that no
//! inner scope is open and the waker is the task's own. Any other leaf leaves its record in the
//! arena, attached to its scope, where a delivery finds its waker.

use std::rc::Rc;
use std::task::{Context, Waker};

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::id::TaskId;
use crate::parts::scopes::Parked;
use crate::parts::scopes::Record;
use crate::task::state::Flags;
use crate::wait::point::CancelPoint;

/// Where the record of the parked leaf is.
pub(super) enum At {
    Nowhere,
    /// In the task's cell. Valid until the task is polled again.
    TaskSlot(InPlace),
    /// In the arena of the scopes, under this key.
    Arena(Rc<Core>, u32),
}

/// Identifies a record in the slot of a task.
#[derive(Clone, Copy)]
pub(super) struct InPlace {
    pub(super) task: TaskId,
    pub(super) kernel: u32,
    /// The value of `TaskCell::cycles` in the poll in which the record was left.
    pub(super) cycle: u32,
    /// The time when the leaf parked.
    pub(super) since: u64,
}

impl InPlace {
    /// Whether the record belongs to this task.
    pub(super) fn is_of(&self, cell: &TaskRef) -> bool {
        self.task == cell.id() && self.kernel == cell.core().number
    }

    /// Removes the record, if it is still the one in the slot.
    #[inline]
    pub(super) fn clear(self) {
        let here = current::has_recorded()
            && current::with_polled_task(|task| self.stands_in(task)) == Some(true);
        if here {
            current::set_recorded(false);
        } else {
            self.clear_elsewhere();
        }
    }

    /// Removes the record of a leaf that is dropped while its task is not being polled.
    #[cold]
    fn clear_elsewhere(self) {
        current::try_with(|core| {
            let task = core.find(self.task);
            if let Some(task) = task.filter(|task| self.stands_in(task)) {
                task.flags.clear(Flags::PARKED | Flags::LIMITED);
            }
        });
    }

    fn stands_in(self, task: &TaskRef) -> bool {
        self.is_of(task) && task.cycles.get() == self.cycle
    }
}

impl CancelPoint {
    /// Leaves the record in the task's cell. The caller has checked that no inner scope is open.
    /// False if the waker is not the task's own or another leaf has already recorded itself.
    #[inline(always)]
    pub(super) fn park_in_place(&mut self, cx: &Context<'_>, object: u64) -> bool {
        let recorded = current::with_own_task(cx.waker(), |cell| {
            cell.make_records();
            self.record_in(cell, object)
        });
        recorded == Some(true)
    }

    /// `park_in_place` with the task of the waker. Also false for the first leaf in the chunk of
    /// the task: `park_anywhere` makes room for it. Without that call the common case is short.
    #[inline(always)]
    pub(super) fn record_in(&mut self, cell: &TaskRef, object: u64) -> bool {
        if cfg!(curium_no_records) {
            return true;
        }
        let Some(slot) = cell.record_slot() else { return false };
        let mut since = None;
        match &self.at {
            At::Nowhere => {}
            At::TaskSlot(record) if record.is_of(cell) => since = Some(record.since),
            _ => return false,
        }
        if current::has_recorded() {
            // A leaf has recorded itself in this poll. It is this leaf only if the record is of the
            // same cycle: the leaf is then polled twice in one poll of the task.
            let cycle = cell.cycles.get();
            return matches!(&self.at, At::TaskSlot(record) if record.cycle == cycle);
        }
        if self.since == 0 {
            self.since = cell.core().cancel_seq();
        }
        let since = since.unwrap_or_else(|| cell.core().tick_now());
        slot.set(Some(Parked { kind: self.kind, site: self.site, since, object }));
        current::set_recorded(true);
        self.at = At::TaskSlot(InPlace {
            task: cell.id(),
            kernel: cell.core().number,
            cycle: cell.cycles.get(),
            since,
        });
        true
    }

    #[inline]
    pub(super) fn take_record(&mut self) {
        match std::mem::replace(&mut self.at, At::Nowhere) {
            At::Nowhere => {}
            At::TaskSlot(record) => record.clear(),
            At::Arena(core, key) => leave_arena(&core, key),
        }
    }

    /// Leaves a record in the arena, attached to the innermost scope. Clones and drops wakers
    /// outside any borrow.
    #[cold]
    pub(super) fn park_in_arena(&mut self, core: &Rc<Core>, cx: &Context<'_>, object: u64) {
        let Some(task) = core.running_id() else {
            return;
        };
        let own = current::with_own_task(cx.waker(), |_| ()).is_some();
        let scope = current::ambient().scope;
        if let At::Arena(owner, key) = &self.at {
            if Rc::ptr_eq(owner, core) && core.record_fits(*key, task, scope, own, cx.waker()) {
                return;
            }
        }
        // Not `unpark`, which assumes that the record is of the task that is being polled.
        self.take_record();
        let waker: Option<Waker> = if own { None } else { Some(cx.waker().clone()) };
        let since = core.tick_now();
        let leaf = Parked { kind: self.kind, site: self.site, since, object };
        let key = core.put_record(Record::new(task, scope, waker, leaf));
        self.at = At::Arena(core.clone(), key);
    }
}

impl Drop for CancelPoint {
    #[inline]
    fn drop(&mut self) {
        // Not `unpark`, which assumes that the leaf's task is being polled.
        if !matches!(self.at, At::Nowhere) {
            self.take_record();
        }
    }
}

#[inline(never)]
fn leave_arena(core: &Core, key: u32) {
    // Dropping the record drops a waker, so no borrow may be held here.
    drop(core.take_record(key));
}
