//! The list of the members of a group.

use crate::core::state::{Core, TaskRef};
use crate::group::state::GroupState;
use crate::parts::list::{ListLinks, NONE};
use crate::task::state::Flags;

impl GroupState {
    /// Adds a new member, and counts it.
    #[inline]
    pub(super) fn enter(&self, core: &Core, cell: &TaskRef, daemon: bool) {
        let membership = cell.membership();
        membership.group.set(self.id.get());
        let next = self.youngest.replace(cell.index());
        membership.links.set(ListLinks { previous: NONE, next });
        let tasks = core.tasks.borrow();
        if let Some(older) = tasks.membership(next) {
            older.links.set(ListLinks { previous: cell.index(), ..older.links.get() });
        }
        let count = self.count(daemon);
        count.set(count.get() + 1);
    }

    /// Removes a member, and counts it no more.
    #[inline]
    pub(super) fn leave(&self, core: &Core, cell: &TaskRef) {
        let ListLinks { previous, next } = cell.membership().links.replace(ListLinks::ALONE);
        let tasks = core.tasks.borrow();
        match tasks.membership(previous) {
            Some(younger) => younger.links.set(ListLinks { next, ..younger.links.get() }),
            None => self.youngest.set(next),
        }
        if let Some(older) = tasks.membership(next) {
            older.links.set(ListLinks { previous, ..older.links.get() });
        }
        let count = self.count(cell.flags.any(Flags::DAEMON));
        count.set(count.get() - 1);
    }

    /// The members that have not ended, youngest first.
    pub(super) fn members(&self, core: &Core) -> Vec<TaskRef> {
        let mut members = Vec::new();
        let tasks = core.tasks.borrow();
        let mut at = self.youngest.get();
        while let Some(cell) = tasks.at(at) {
            at = cell.membership().links.get().next;
            members.push(cell);
        }
        members
    }
}
