//! The names that the run loop of a watched kernel stores in its mark (`task/mark.rs`).

use std::sync::Arc;

use crate::core::state::{Core, TaskRef};
use crate::id::TaskId;
use crate::task::mark::{Mark, TaskName};
use crate::task::state::Flags;

/// Stores the names of tasks.
pub(super) struct Marker {
    mark: Arc<Mark>,
    /// For each slot the address of the function that gives the name that is stored for it, or 0.
    /// It saves taking the lock when a slot is used again for a task of the same type.
    stored: Vec<usize>,
}

impl Marker {
    pub(super) fn of(core: &Core) -> Option<Self> {
        core.mark.clone().map(|mark| Marker { mark, stored: Vec::new() })
    }

    /// Whether the name of the task in that slot of the chunk of `near` is stored.
    #[inline]
    pub(super) fn knows(&self, near: &TaskRef, index: u32, flags: u32) -> bool {
        near.is_known(index)
            || flags & (Flags::NAMED | Flags::MAIN) == 0
                && self.stored.get(index as usize) == Some(&near.type_at(index))
    }

    /// Stores the name of a task that is polled for the first time. `near` is in the same chunk.
    #[inline(never)]
    pub(super) fn name(&mut self, core: &Core, near: &TaskRef, task: TaskId) {
        let task = TaskRef::by(near.chunk().clone(), task);
        let given = task.flags.any(Flags::NAMED | Flags::MAIN);
        let origin = task.origin().filter(|_| !given);
        let index = task.index() as usize;
        if self.stored.len() <= index {
            self.stored.resize(index + 1, 0);
        }
        self.stored[index] = origin.map_or(0, |origin| origin.type_name as usize);
        task.set_known(origin.is_some());
        self.mark.set_name(
            task.id(),
            match origin {
                Some(origin) => TaskName::Type(origin.type_name),
                None => TaskName::Given(core.name_of(&task).into()),
            },
        );
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        self.mark.set_spare(None);
    }
}
