//! Where a task comes from: the task that spawned it, and the type of its future.
//!
//! The tasks of a chunk often have the same origin, which the chunk then stores once.

use std::cell::Cell;

use crate::id::TaskId;
use crate::task::chunk::{CELLS, Chunk, TaskRef, make};
use crate::task::state::Flags;

/// The task that spawned this one, and the type of its future. The type is the name of the task
/// unless `spawn_named` gives another.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) parent: TaskId,
    pub(crate) type_name: fn() -> &'static str,
}

impl Origin {
    #[inline]
    fn is(self, other: Origin) -> bool {
        self.parent == other.parent && std::ptr::fn_addr_eq(self.type_name, other.type_name)
    }
}

impl<K> Chunk<K> {
    /// Stores an origin that differs from the common one. If its task is the only one in the chunk,
    /// beside the main task, which has none, its origin becomes the common one. `at` is the
    /// position of its cell.
    #[inline(never)]
    fn store_own_origin(&self, at: usize, origin: Origin) {
        self.known.set(0);
        let others = !(self.free.get() | 1 << at);
        let is_main = |at: u32| self.cells[at as usize].flags.any(Flags::MAIN);
        if others == 0 || others.is_power_of_two() && is_main(others.trailing_zeros()) {
            self.origin.set(origin);
        } else {
            let same = self.origin.get();
            self.origins.get_or_init(|| make(|| Cell::new(same)))[at].set(origin);
        }
    }
}

impl<K> TaskRef<K> {
    /// Whether a watcher knows the name of the task in that slot of the same chunk.
    #[inline]
    pub(crate) fn is_known(&self, index: u32) -> bool {
        self.chunk().known.get() & (1 << (index % CELLS as u32)) != 0
    }

    /// Whether a watcher knows the name of the tasks of this origin in this slot.
    pub(crate) fn set_known(&self, known: bool) {
        let others = self.chunk().known.get() & !(1 << self.at());
        let known = known && self.chunk().origins.get().is_none();
        self.chunk().known.set(others | u64::from(known) << self.at());
    }

    /// The address of the function that gives the type of the task in that slot of the same chunk.
    #[inline]
    pub(crate) fn type_at(&self, index: u32) -> usize {
        let common = || self.chunk().origin.get();
        let own = |all: &[Cell<Origin>; CELLS]| all[index as usize % CELLS].get();
        let origin = self.chunk().origins.get().map_or_else(common, |all| own(all));
        origin.type_name as usize
    }

    /// Sets the origin of a new task.
    #[inline]
    pub(crate) fn set_origin(&self, origin: Origin) {
        match self.chunk().origins.get() {
            Some(origins) => origins[self.at()].set(origin),
            None if self.chunk().origin.get().is(origin) => {}
            None => self.chunk().store_own_origin(self.at(), origin),
        }
    }

    /// The origin of the task. None for the main task.
    pub(crate) fn origin(&self) -> Option<Origin> {
        let common = || self.chunk().origin.get();
        let origin = self.chunk().origins.get().map_or_else(common, |all| all[self.at()].get());
        (!self.flags.any(Flags::MAIN)).then_some(origin)
    }
}
