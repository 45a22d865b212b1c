//! The record of a parked leaf at the place of its task.

use crate::core::current;
use crate::core::state::TaskRef;
use crate::id::TaskId;
use crate::task::state::Flags;

/// A record at the place of a task.
#[derive(Clone, Copy)]
pub(super) struct InPlace {
    pub(super) task: TaskId,
    pub(super) kernel: u32,
    /// The poll in which it was left there.
    pub(super) cycle: u32,
    /// When the leaf parked.
    pub(super) since: u64,
}

impl InPlace {
    /// Whether that is the task.
    pub(super) fn is_of(&self, cell: &TaskRef) -> bool {
        self.task == cell.id() && self.kernel == cell.core().number
    }

    /// The leaf is gone: takes the record away if it stands.
    #[inline]
    pub(super) fn clear(self) {
        let here =
            current::has_recorded() && current::running(|task| self.stands_in(task)) == Some(true);
        if here {
            current::set_recorded(false);
        } else {
            self.clear_elsewhere();
        }
    }

    /// It was dropped where its task is not polled.
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
