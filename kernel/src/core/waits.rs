//! What the parked leaves of a task wait for, as far as their records show it.

use crate::core::holders;
use crate::core::state::{Core, TaskRef};
use crate::parts::held::WaitedFor;
use crate::parts::list::NONE;

impl Core {
    fn waited_for_object(&self, object: u64, is_foreign: bool) -> WaitedFor {
        let held = holders::find(object).map(|mut held| {
            let alive = |id| self.find(id).is_some_and(|task| !task.is_ended());
            held.ended = held.tasks.iter().copied().filter(|id| !alive(*id)).collect();
            held
        });
        WaitedFor { object, held, is_foreign }
    }

    /// What the leaves of a task wait for, in the order of [`leaves`](Self::leaves).
    pub(crate) fn waited_for(&self, cell: &TaskRef) -> Vec<WaitedFor> {
        let in_slot = cell.parked().map(|leaf| self.waited_for_object(leaf.object, false));
        let mut all: Vec<_> = in_slot.into_iter().collect();
        let (record, child) = cell.attached();
        if record != NONE || child != NONE {
            self.scopes.borrow().each_record(record, child, |record| {
                all.push(self.waited_for_object(record.object, record.waker.is_some()));
            });
        }
        all
    }
}
