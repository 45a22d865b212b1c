//! The tree of cancel scopes of each task, and the records of its parked leaves.
//!
//! Every task has a root scope (in its chunk). Every timeout, group body and shield that is being
//! polled is a scope below it. A leaf that parks adds a record to its innermost scope: its kind,
//! its source location, the time, and a foreign waker if it has one. Deliveries, the monitor and
//! the deadlock report use this record. One leaf of a task needs no [`Record`]: see [`Parked`].
//!
//! Records and children are attached to their scope, so the expiry of a timeout visits only what is
//! below its scope. This file wakes nothing, and returns what it removes, so that the caller drops
//! it where no borrow is held (invariant *no user code under a kernel borrow*).

mod scope;

use std::cell::Cell;
use std::panic::Location;
use std::task::Waker;

use slab::Slab;

pub(crate) use self::scope::{Closed, Delivery, OuterDelivered, Scope, ScopeKind, Site};
use crate::id::TaskId;
use crate::parts::list::{self, Linked, ListLinks, NONE, shrink_slab};

/// The combined state of the scopes around the leaf that is being polled.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ambient {
    /// The innermost scope, `NONE` for the task's root.
    pub(crate) scope: u32,
    /// The greatest `cancel_seq` of these scopes, 0 for none.
    pub(crate) cancel_seq: u64,
    pub(crate) pending: bool,
}

impl Ambient {
    pub(crate) const CLEAR: Ambient = Ambient { scope: NONE, cancel_seq: 0, pending: false };

    /// Whether there is no inner scope, and the cancellation of the task was never requested.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.scope == NONE && self.cancel_seq == 0
    }
}

/// The record of the first leaf that parks in a poll of its task with the task's own waker and
/// outside any scope that is open. It is in the slot of the task (`wait/record.rs`). Most tasks
/// have only this one. All other parked leaves have a [`Record`].
///
/// Each poll of the task clears the record, and a leaf that is still parked writes it again when it
/// is polled. So a leaf that completes need not remove it. A leaf that the future of the task keeps
/// but no longer polls is not shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parked {
    pub(crate) kind: &'static str,
    pub(crate) site: &'static Location<'static>,
    pub(crate) since: u64,
    /// The number of the wait queue in which the leaf waits, 0 for none.
    pub(crate) object: u64,
}

/// The record of a parked leaf.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) task: TaskId,
    pub(crate) scope: u32,
    /// None: the task's own waker.
    pub(crate) waker: Option<Waker>,
    pub(crate) kind: &'static str,
    pub(crate) site: &'static Location<'static>,
    pub(crate) since: u64,
    /// See [`Parked::object`].
    pub(crate) object: u64,
    links: ListLinks,
}

impl Linked for Record {
    fn links(&mut self) -> &mut ListLinks {
        &mut self.links
    }
}

impl Record {
    pub(crate) fn new(task: TaskId, scope: u32, waker: Option<Waker>, leaf: Parked) -> Self {
        Record {
            task,
            scope,
            waker,
            kind: leaf.kind,
            site: leaf.site,
            since: leaf.since,
            object: leaf.object,
            links: ListLinks::ALONE,
        }
    }
}

/// The scopes and records of all tasks of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    pub(crate) scopes: Slab<Scope>,
    pub(crate) records: Slab<Record>,
    /// A buffer for the path from a scope outward; empty between uses.
    pub(crate) path: Vec<u32>,
}

/// The list heads of a task's root scope, which are in its chunk.
pub(crate) struct RootHeads<'a> {
    pub(crate) record: &'a Cell<u32>,
    pub(crate) child: &'a Cell<u32>,
}

impl Scopes {
    /// Releases the memory that a burst took.
    pub(crate) fn shrink(&mut self) {
        shrink_slab(&mut self.scopes);
        shrink_slab(&mut self.records);
    }

    /// Attaches a scope to `parent`; `root` is the root scope of its task.
    pub(crate) fn attach(&mut self, scope: u32, parent: u32, root: &RootHeads<'_>) {
        self.scopes[scope as usize].parent = parent;
        let head = if parent == NONE {
            root.child.replace(scope)
        } else {
            std::mem::replace(&mut self.scopes[parent as usize].first_child, scope)
        };
        list::push_front(&mut self.scopes, head, scope);
        let Scope { may_have_wakers, kind, .. } = self.scopes[scope as usize];
        if may_have_wakers && kind != ScopeKind::Shield {
            self.note_wakers(parent);
        }
    }

    /// Sets `may_have_wakers` in `scope` and in the scopes around it, up to the first in which it
    /// is already set.
    pub(crate) fn note_wakers(&mut self, mut scope: u32) {
        while let Some(entry) = self.scopes.get_mut(scope as usize) {
            if std::mem::replace(&mut entry.may_have_wakers, true) {
                return;
            }
            // A walk from outside does not enter a shield.
            scope = if entry.kind == ScopeKind::Shield { NONE } else { entry.parent };
        }
    }

    /// Ends the effect of a shield: a walk from outside now enters it.
    pub(crate) fn end_shield(&mut self, shield: u32) {
        let entry = &mut self.scopes[shield as usize];
        entry.kind = ScopeKind::SpentShield;
        if entry.may_have_wakers {
            let parent = entry.parent;
            self.note_wakers(parent);
        }
    }

    /// Whether a leaf is parked in the scope or in a scope inside.
    pub(crate) fn has_records(&self, scope: u32) -> bool {
        let scope = &self.scopes[scope as usize];
        let mut found = false;
        self.each_record(scope.first_record, scope.first_child, |_| found = true);
        found
    }

    /// Whether the scope is a shield, or is inside one.
    pub(crate) fn is_shielded(&self, scope: u32) -> bool {
        let mut at = scope;
        while let Some(scope) = self.scopes.get(at as usize) {
            if scope.kind == ScopeKind::Shield {
                return true;
            }
            at = scope.parent;
        }
        false
    }

    /// The earliest deadline of the timeouts around a scope, up to the innermost shield. At the
    /// deadline of that, what it holds back is delivered.
    pub(crate) fn deadline_around(&self, scope: u32) -> u64 {
        let (mut at, mut earliest) = (scope, u64::MAX);
        while let Some(scope) = self.scopes.get(at as usize) {
            match scope.kind {
                ScopeKind::Shield => return earliest.min(scope.deadline),
                ScopeKind::Timeout if scope.cancel_seq == 0 => {
                    earliest = earliest.min(scope.deadline);
                }
                _ => {}
            }
            at = scope.parent;
        }
        earliest
    }

    pub(crate) fn is_timeout(&self, scope: u32) -> bool {
        self.scopes[scope as usize].kind == ScopeKind::Timeout
    }

    pub(crate) fn is_spent_shield(&self, scope: u32) -> bool {
        self.scopes[scope as usize].kind == ScopeKind::SpentShield
    }

    /// The outermost cancelled scope outside this one, up to a shield.
    pub(crate) fn outermost_cancelled(&self, scope: u32) -> Option<u32> {
        let mut found = None;
        let mut at = self.scopes[scope as usize].parent;
        while let Some(scope) = self.scopes.get(at as usize) {
            if scope.kind == ScopeKind::Shield {
                break;
            }
            if scope.cancel_seq != 0 && scope.kind != ScopeKind::SpentShield {
                found = Some(at);
            }
            at = scope.parent;
        }
        found
    }

    /// Detaches a scope from its parent. `root` is None when its task is gone.
    pub(crate) fn detach(&mut self, scope: u32, root: Option<&RootHeads<'_>>) {
        let parent = self.scopes[scope as usize].parent;
        if let Some(head) = list::unlink(&mut self.scopes, scope) {
            if parent != NONE {
                self.scopes[parent as usize].first_child = head;
            } else if let Some(root) = root {
                root.child.set(head);
            }
        }
    }

    /// Removes a scope. Records and scopes that are still attached to it (of a leaf that was moved
    /// out or leaked) are attached to its parent.
    pub(crate) fn remove(&mut self, scope: u32, root: Option<&RootHeads<'_>>) -> Closed {
        self.detach(scope, root);
        // The scope may have moved to this task from another, together with what is below it.
        let Scope { parent, task, .. } = self.scopes[scope as usize];
        let lost = (Cell::new(NONE), Cell::new(NONE));
        let lost = RootHeads { record: &lost.0, child: &lost.1 };
        let root = root.unwrap_or(&lost);
        loop {
            let child = self.scopes[scope as usize].first_child;
            if child == NONE {
                break;
            }
            self.detach(child, None);
            self.scopes[child as usize].task = task;
            self.attach(child, parent, root);
        }
        loop {
            let record = self.scopes[scope as usize].first_record;
            if record == NONE {
                break;
            }
            self.unpark(record, None);
            let moved = &mut self.records[record as usize];
            (moved.scope, moved.task) = (parent, task);
            self.park(record, root);
        }
        let Scope { task, parent, entered, outer, kept, .. } = self.scopes.remove(scope as usize);
        Closed { task, parent, entered, outer, _kept: kept }
    }

    /// Attaches a record, already in the arena, to its scope.
    pub(crate) fn park(&mut self, record: u32, root: &RootHeads<'_>) {
        let scope = self.records[record as usize].scope;
        let head = if scope == NONE {
            root.record.replace(record)
        } else {
            std::mem::replace(&mut self.scopes[scope as usize].first_record, record)
        };
        list::push_front(&mut self.records, head, record);
        if self.records[record as usize].waker.is_some() {
            self.note_wakers(scope);
        }
    }

    /// Detaches a record from its scope; it stays in the arena.
    pub(crate) fn unpark(&mut self, record: u32, root: Option<&RootHeads<'_>>) {
        let scope = self.records[record as usize].scope;
        if let Some(head) = list::unlink(&mut self.records, record) {
            if scope != NONE {
                self.scopes[scope as usize].first_record = head;
            } else if let Some(root) = root {
                root.record.set(head);
            }
        }
    }

    /// Takes the foreign wakers of every record below these list heads, but not inside a shield.
    ///
    /// A record whose waker was taken looks like one with the task's own waker. Its leaf is woken,
    /// and stores a waker again at its next poll. Scopes without foreign wakers are skipped, so
    /// cancelling nested scopes one after the other costs no more than cancelling the first.
    pub(crate) fn take_wakers(&mut self, first_record: u32, first_child: u32) -> Vec<Waker> {
        let mut wakers = Vec::new();
        let mut lists = vec![(first_record, first_child)];
        while let Some((mut record, mut child)) = lists.pop() {
            while record != NONE {
                let entry = &mut self.records[record as usize];
                wakers.extend(entry.waker.take());
                record = entry.links.next;
            }
            while child != NONE {
                let scope = &mut self.scopes[child as usize];
                if scope.kind != ScopeKind::Shield && scope.may_have_wakers {
                    scope.may_have_wakers = false;
                    lists.push((scope.first_record, scope.first_child));
                }
                child = scope.links.next;
            }
        }
        wakers
    }

    /// Takes the foreign wakers of the records in one scope and below.
    pub(crate) fn take_wakers_in(&mut self, scope: u32) -> Vec<Waker> {
        let entry = &mut self.scopes[scope as usize];
        if !std::mem::replace(&mut entry.may_have_wakers, false) {
            return Vec::new();
        }
        let (record, child) = (entry.first_record, entry.first_child);
        self.take_wakers(record, child)
    }

    /// Visits every record below these list heads, also inside shields. The records of a scope come
    /// before those of its children. It is iterative, because programs nest deeply.
    pub(crate) fn each_record(
        &self,
        first_record: u32,
        first_child: u32,
        mut visit: impl FnMut(&Record),
    ) {
        let mut lists = vec![(first_record, first_child)];
        while let Some((mut record, mut child)) = lists.pop() {
            while record != NONE {
                let entry = &self.records[record as usize];
                visit(entry);
                record = entry.links.next;
            }
            while child != NONE {
                let scope = &self.scopes[child as usize];
                lists.push((scope.first_record, scope.first_child));
                child = scope.links.next;
            }
        }
    }

    /// Since when the first record below these list heads is parked that is in no shield.
    pub(crate) fn first_outside_shields(&self, first_record: u32, first_child: u32) -> Option<u64> {
        let mut first = None;
        self.each_record(first_record, first_child, |record| {
            if !self.is_shielded(record.scope) {
                first = Some(first.map_or(record.since, |first: u64| first.min(record.since)));
            }
        });
        first
    }

    /// The earliest deadline of the timeouts in a list of scopes and below.
    pub(crate) fn earliest_deadline(&self, first_child: u32) -> u64 {
        let mut earliest = u64::MAX;
        self.each(first_child, |scope| {
            if scope.kind == ScopeKind::Timeout && scope.cancel_seq == 0 {
                earliest = earliest.min(scope.deadline);
            }
        });
        earliest
    }

    /// Whether a scope in a list of scopes, or below, has a cancellation that is not delivered yet.
    pub(crate) fn any_pending(&self, first_child: u32) -> bool {
        let mut pending = false;
        self.each(first_child, |scope| pending |= scope.pending);
        pending
    }

    /// Visits every scope in a list of scopes and below.
    pub(crate) fn each(&self, first_child: u32, mut visit: impl FnMut(&Scope)) {
        let mut lists = vec![first_child];
        while let Some(mut child) = lists.pop() {
            while child != NONE {
                let scope = &self.scopes[child as usize];
                visit(scope);
                lists.push(scope.first_child);
                child = scope.links.next;
            }
        }
    }
}

#[cfg(test)]
mod tests;
