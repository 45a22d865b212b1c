//! The record of a parked leaf: in the slot of its task, or in the arena of the scopes. The monitor
//! shows it, and a cancellation finds the leaf by it; the operation of the leaf does not need it.
//!
//! The first leaf that parks in a poll leaves its record in the slot of its task, provided that no
//! inner scope is open and the waker is the task's own. Any other leaf leaves its record in the
//! arena, attached to its scope, where a delivery finds its waker.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Waker};

use crate::core::cancel_seq::kernel_of;
use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::id::TaskId;
use crate::parts::scopes::Parked;
use crate::parts::scopes::Record;
use crate::task::state::Flags;
use crate::wait::spot::Spot;

/// Where the record of the parked leaf is. A [`Spot`] stores it as a [`TaskId`].
pub(super) enum At {
    Nowhere,
    /// In the cell of the task. Valid until the task is polled again.
    TaskSlot(TaskId),
    /// In the arena of the scopes, under this key.
    Arena(u32),
}

/// The slot in a [`TaskId`] that stands for a record in the arena; its key takes the place of the
/// generation. No task has this slot: it would be in a chunk that the table does not have, and of
/// such a chunk only the first cell is used.
pub(super) const IN_ARENA: u32 = u32::MAX - 1;

/// Identifies a record in the slot of a task.
#[derive(Clone, Copy)]
struct InPlace {
    task: TaskId,
    /// Of the kernel of the task: see `core/cancel_seq.rs`.
    seq: u64,
    cycle: u32,
}

impl InPlace {
    /// Removes the record, if it is still the one in the slot.
    #[inline]
    fn clear(self) {
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
        self.task == task.id()
            && task.cycles.get() == self.cycle
            && task.core().has_counted(self.seq)
    }
}

impl Spot {
    /// Leaves the record in the task's cell. The caller has checked that no inner scope is open.
    /// False if the waker is not the task's own or another leaf has already recorded itself.
    #[inline(always)]
    pub(super) fn park_in_place(
        &mut self,
        kind: &'static str,
        cx: &Context<'_>,
        object: u64,
    ) -> bool {
        let recorded = current::with_own_task(cx.waker(), |cell| {
            cell.make_records();
            self.record_in(kind, cell, object)
        });
        recorded == Some(true)
    }

    /// `park_in_place` with the task of the waker. Also false for the first leaf in the chunk of
    /// the task: `park_anywhere` makes room for it. Without that call the common case is short.
    #[inline(always)]
    pub(super) fn record_in(&mut self, kind: &'static str, cell: &TaskRef, object: u64) -> bool {
        if cfg!(curium_no_records) {
            return true;
        }
        let Some(slot) = cell.record_slot() else { return false };
        if self.has_record() {
            return self.record_again(kind, cell, slot, object);
        }
        if current::has_recorded() {
            return false;
        }
        if self.since == 0 {
            self.since = cell.core().cancel_seq();
        } else if !cell.core().has_counted(self.seq()) {
            self.park_since(cell.core());
        }
        let since = cell.core().tick_now();
        self.write(cell, slot, Parked { kind, site: self.site, since, object });
        true
    }

    /// `record_in` for a leaf that was woken for nothing.
    #[cold]
    #[inline(never)]
    fn record_again(
        &mut self,
        kind: &'static str,
        cell: &TaskRef,
        slot: &Cell<Option<Parked>>,
        object: u64,
    ) -> bool {
        let (at, site) = (self.at, self.site);
        if at != cell.id() || !cell.core().has_counted(self.seq()) {
            return false;
        }
        if current::has_recorded() {
            // A leaf has recorded itself in this poll. It is this leaf only if the record is of the
            // same cycle: the leaf is then polled twice in one poll of the task.
            return self.cycle == cell.cycles.get();
        }
        // It has waited since it first parked. Its record is still in the slot, unless another leaf
        // has come first in a later poll.
        let before = slot.get().filter(|before| std::ptr::eq(before.site, site));
        let since = before.map_or_else(|| cell.core().tick_now(), |before| before.since);
        self.write(cell, slot, Parked { kind, site, since, object });
        true
    }

    #[inline(always)]
    fn write(&mut self, cell: &TaskRef, slot: &Cell<Option<Parked>>, record: Parked) {
        slot.set(Some(record));
        current::set_recorded(true);
        (self.at, self.cycle) = (cell.id(), cell.cycles.get());
    }

    #[inline(never)]
    pub(super) fn take_record(&mut self) {
        let (seq, cycle, place) = (self.seq(), self.cycle, self.place());
        self.at = TaskId::NONE;
        match place {
            At::Nowhere => {}
            At::TaskSlot(task) => InPlace { task, seq, cycle }.clear(),
            At::Arena(key) => leave_arena(seq, key),
        }
    }

    /// Leaves a record in the arena, attached to the innermost scope. Clones and drops wakers
    /// outside any borrow.
    #[cold]
    pub(super) fn park_in_arena(
        &mut self,
        kind: &'static str,
        core: &Rc<Core>,
        cx: &Context<'_>,
        object: u64,
    ) {
        let Some(task) = core.running_id() else {
            return;
        };
        let own = current::with_own_task(cx.waker(), |_| ()).is_some();
        let scope = current::ambient().scope;
        let parked_here = core.has_counted(self.seq());
        if let At::Arena(key) = self.place() {
            if parked_here && core.record_fits(key, task, scope, own, cx.waker()) {
                return;
            }
        }
        // Not `unpark`, which assumes that the record is of the task that is being polled.
        self.take_record();
        if !parked_here {
            self.park_since(core);
        }
        let waker: Option<Waker> = if own { None } else { Some(cx.waker().clone()) };
        let since = core.tick_now();
        let leaf = Parked { kind, site: self.site, since, object };
        let key = core.put_record(Record::new(task, scope, waker, leaf));
        self.at = TaskId::new(IN_ARENA, key);
    }
}

#[inline(never)]
fn leave_arena(seq: u64, key: u32) {
    // Dropping the record drops a waker, so no borrow may be held here.
    drop(kernel_of(seq, |core| core.take_record(key)));
}
