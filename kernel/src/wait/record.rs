//! The record of a parked leaf: in the slot of its task, or in the arena of the scopes.
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::core::current;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::error::TaskCancelled;
use crate::id::TaskId;
use crate::parts::list::NONE;
use crate::parts::scopes::Parked;
use crate::parts::scopes::Record;
use crate::task::state::Flags;
use crate::wait::point::{At, CancelPoint, SHIELDED};

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
                task.flags.clear(Flags::PARKED);
            }
        });
    }

    fn stands_in(self, task: &TaskRef) -> bool {
        self.is_of(task) && task.cycles.get() == self.cycle
    }
}

impl CancelPoint {
    #[inline(never)]
    pub(super) fn park_anywhere(&mut self, cx: &Context<'_>) -> Poll<TaskCancelled> {
        let Some(core) = current::try_with(Rc::clone) else {
            // Outside a kernel nothing is ever cancelled.
            return Poll::Pending;
        };
        if self.since != SHIELDED {
            if self.since != 0 && self.was_parked_elsewhere(&core) {
                // The leaf has moved to this task from another. It counts as never parked.
                self.since = 0;
            }
            if core.due(self.since) {
                let cancelled = core.deliver(self.since);
                self.unpark();
                return Poll::Ready(cancelled);
            }
        }
        if self.since == 0 {
            self.since = core.cancel_seq();
        }
        let root = current::ambient().scope == NONE;
        if !(root && self.park_in_place(cx)) {
            self.park_in_arena(&core, cx);
        }
        Poll::Pending
    }

    #[inline]
    pub(super) fn take_record(&mut self) {
        match std::mem::replace(&mut self.at, At::Nowhere) {
            At::Nowhere => {}
            At::TakeCell(record) => record.clear(),
            At::Arena(core, key) => leave_arena(&core, key),
        }
    }

    pub(super) fn was_parked_elsewhere(&self, core: &Rc<Core>) -> bool {
        match &self.at {
            At::Nowhere => false,
            At::TakeCell(record) => core.with_running(|cell| record.is_of(cell)) != Some(true),
            At::Arena(owner, key) => {
                let task = owner.scopes.borrow().records[*key as usize].task;
                !Rc::ptr_eq(owner, core) || core.running_id() != Some(task)
            }
        }
    }

    pub(super) fn parked(&self, core: &Core) -> Parked {
        Parked { kind: self.kind, site: self.site, since: core.tick_now() }
    }

    /// Leaves a record in the arena, attached to the innermost scope. Clones and drops wakers
    /// outside any borrow.
    #[cold]
    pub(super) fn park_in_arena(&mut self, core: &Rc<Core>, cx: &Context<'_>) {
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
        let key = core.put_record(Record::new(task, scope, waker, self.parked(core)));
        self.at = At::Arena(core.clone(), key);
    }
}

#[inline(never)]
fn leave_arena(core: &Core, key: u32) {
    // Dropping the record drops a waker, so no borrow may be held here.
    drop(core.take_record(key));
}
