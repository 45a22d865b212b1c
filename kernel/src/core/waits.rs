//! What the parked leaves of a task wait for, as far as their records show it.

use crate::core::holders;
use crate::core::state::{Core, TaskRef};
use crate::parts::held::WaitedFor;
use crate::parts::list::NONE;

fn waited_for(object: u64, is_foreign: bool) -> WaitedFor {
    WaitedFor { object, held: holders::find(object), is_foreign }
}

impl Core {
    /// What the leaves of a task wait for, in the order of [`leaves`](Self::leaves).
    pub(crate) fn waited_for(&self, cell: &TaskRef) -> Vec<WaitedFor> {
        let in_slot = cell.parked().map(|leaf| waited_for(leaf.object, false));
        let mut all: Vec<_> = in_slot.into_iter().collect();
        let (record, child) = cell.attached();
        if record != NONE || child != NONE {
            self.scopes.borrow().each_record(record, child, |record| {
                all.push(waited_for(record.object, record.waker.is_some()));
            });
        }
        all
    }
}
