//! What the parked leaves of a task wait for, as far as their records show it.

use crate::core::state::{Core, TaskRef};
use crate::core::{holders, readers};
use crate::insight::slice::Slice;
use crate::parts::held::WaitedFor;

impl Core {
    fn waited_for_object(&self, object: u64, is_foreign: bool) -> WaitedFor {
        let alive = |id| self.find(id).is_some_and(|task| !task.is_ended());
        let held = holders::find(object, self.number).map(|mut held| {
            held.ended = held.tasks.iter().copied().filter(|id| !alive(*id)).collect();
            held
        });
        let reader = readers::find(object, self.number).map(|task| (task, !alive(task)));
        WaitedFor { object, held, reader, is_foreign }
    }

    /// Copies the leaves of a task, with what they wait for and the earliest deadline around each.
    pub(super) fn survey_leaves(&self, cell: &TaskRef, slice: &mut Slice) {
        self.each_leaf(cell, |leaf, record| {
            let (deadline, object, is_foreign) = match record {
                Some(record) => {
                    let deadline = self.scopes.borrow().deadline_around(record.scope);
                    (deadline, record.object, record.waker.is_some())
                }
                None => {
                    let object = cell.parked().map_or(0, |parked| parked.object);
                    (cell.limit_of_record(), object, false)
                }
            };
            let on = self.waited_for_object(object, is_foreign);
            slice.push_leaf(leaf, self.clock.instant(deadline), &on);
        });
    }
}
