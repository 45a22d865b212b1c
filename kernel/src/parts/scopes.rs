//! The tree of cancel scopes of each task, and the records of its parked leaves.
//!
//! Every task owns a root scope (in its chunk); every timeout, group body and shield that is being
//! polled is a scope below it. A leaf that parks leaves a record on its innermost scope: what it
//! waits for, where, since when, and whom to wake if that is not simply the task. The same record
//! serves the delivery of a cancellation, the monitor and the deadlock report. Only the first leaf
//! of a plain task does without: its record is at its place (`wait/point.rs`).
//!
//! Records and children hang on their scope, so that an expiry touches what lies below it and
//! nothing else. This file is data only: it wakes nobody, and what it takes out it gives back, to
//! be dropped where no borrow is held (invariant *no user code under a kernel borrow*).

use std::cell::Cell;
use std::panic::Location;
use std::task::Waker;

use slab::Slab;

use crate::error::CancelReason;
use crate::id::TaskId;
use crate::parts::list::{self, Linked, ListLinks, NONE, shrink_slab};

/// What the scopes around the leaf that is being polled say.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ambient {
    /// The innermost scope, `NONE` for the task's root.
    pub(crate) scope: u32,
    /// The greatest stamp, 0 for none.
    pub(crate) cancel_seq: u64,
    pub(crate) pending: bool,
}

impl Ambient {
    pub(crate) const CLEAR: Ambient = Ambient { scope: NONE, cancel_seq: 0, pending: false };

    /// Whether there is no inner scope and nothing was ever cancelled.
    #[inline]
    pub(crate) fn is_clear(&self) -> bool {
        self.scope == NONE && self.cancel_seq == 0
    }
}

/// The first leaf that parks in a poll of the task with its own waker, outside any inner scope: the
/// only one of a plain task. What else is parked stands in the arena (`parts/scopes.rs`).
///
/// Each poll of the task empties the place; a leaf that is still parked leaves its record again
/// when it is polled. So to complete costs it nothing; and one that the task's future does not poll
/// any more, though it keeps it, is not shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parked {
    pub(crate) kind: &'static str,
    pub(crate) site: &'static Location<'static>,
    pub(crate) since: u64,
}

/// What a scope is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    /// A timeout: may be cancelled by its deadline.
    Timeout,
    /// The body of a group: is cancelled when a member fails.
    Body,
    /// Holds back every scope outside it.
    Shield,
    /// A shield whose time has run out: holds back nothing.
    SpentShield,
}

/// A scope below the root of a task.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) task: TaskId,
    /// The scope around it, `NONE` for the task's root.
    pub(crate) parent: u32,
    pub(crate) kind: ScopeKind,
    pub(crate) cancel_seq: u64,
    pub(crate) pending: bool,
    pub(crate) reason: CancelReason,
    /// The counter when the scope was entered, to tell what was delivered inside it.
    pub(crate) entered: u64,
    /// The counter when its cancellation was delivered; 0 if it was not.
    pub(crate) delivered: u64,
    /// Whether the cancellation of a scope outside was delivered to a leaf inside.
    pub(crate) foreign: bool,
    /// In nanoseconds of the kernel's clock; `u64::MAX` for none.
    pub(crate) deadline: u64,
    pub(crate) first_record: u32,
    pub(crate) first_child: u32,
    /// Whether a record here or below may have a foreign waker; not through a shield that holds.
    /// Where it is false it is false for all that is below, so that a walk can turn back.
    may_have_wakers: bool,
    /// What this scope and those around it say, and the kernel's epoch when that was worked out.
    pub(crate) known: (u64, Ambient),
    links: ListLinks,
}

impl Linked for Scope {
    fn links(&mut self) -> &mut ListLinks {
        &mut self.links
    }
}

impl Scope {
    pub(crate) fn new(task: TaskId, kind: ScopeKind, entered: u64, deadline: u64) -> Self {
        Scope {
            task,
            parent: NONE,
            kind,
            cancel_seq: 0,
            pending: false,
            reason: CancelReason::Timeout,
            entered,
            delivered: 0,
            foreign: false,
            deadline,
            first_record: NONE,
            first_child: NONE,
            may_have_wakers: false,
            known: (NEVER_KNOWN, Ambient::CLEAR),
            links: ListLinks::ALONE,
        }
    }
}

impl Scope {
    /// What this scope, of that key, says together with those around it.
    pub(crate) fn within(&self, key: u32, outer: Ambient) -> Ambient {
        match self.kind {
            ScopeKind::Shield => Ambient { scope: key, cancel_seq: 0, pending: false },
            _ => Ambient {
                scope: key,
                cancel_seq: outer.cancel_seq.max(self.cancel_seq),
                pending: outer.pending | self.pending,
            },
        }
    }
}

/// No epoch of a kernel.
const NEVER_KNOWN: u64 = u64::MAX;

/// A parked leaf.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) task: TaskId,
    pub(crate) scope: u32,
    /// None: the task's own waker.
    pub(crate) waker: Option<Waker>,
    pub(crate) kind: &'static str,
    pub(crate) site: &'static Location<'static>,
    pub(crate) since: u64,
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
            links: ListLinks::ALONE,
        }
    }
}

/// The scopes and records of all tasks of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    pub(crate) scopes: Slab<Scope>,
    pub(crate) records: Slab<Record>,
    /// Room to note a way outward in; empty.
    pub(crate) path: Vec<u32>,
}

/// The heads of the lists of a task's root, which live in its chunk.
pub(crate) struct RootHeads<'a> {
    pub(crate) record: &'a Cell<u32>,
    pub(crate) child: &'a Cell<u32>,
}

impl Scopes {
    /// Gives back the room that a burst took.
    pub(crate) fn shrink(&mut self) {
        shrink_slab(&mut self.scopes);
        shrink_slab(&mut self.records);
    }

    /// Hangs a scope below `parent`; `root` is its task's root.
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

    /// There may be a foreign waker in `scope` from here on: those around it are told, up to the
    /// first that knows.
    pub(crate) fn note_wakers(&mut self, mut scope: u32) {
        while let Some(entry) = self.scopes.get_mut(scope as usize) {
            if std::mem::replace(&mut entry.may_have_wakers, true) {
                return;
            }
            // Beyond a shield nobody looks for it.
            scope = if entry.kind == ScopeKind::Shield { NONE } else { entry.parent };
        }
    }

    /// A shield holds no longer: what is below it is reached from outside now.
    pub(crate) fn open_shield(&mut self, shield: u32) {
        let entry = &mut self.scopes[shield as usize];
        entry.kind = ScopeKind::SpentShield;
        if entry.may_have_wakers {
            let parent = entry.parent;
            self.note_wakers(parent);
        }
    }

    /// Takes a scope off its parent. `root` is None when its task is gone.
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

    /// Removes a scope. What still hangs below it (a leaf that was moved out or forgotten) goes to
    /// its parent.
    pub(crate) fn remove(&mut self, scope: u32, root: Option<&RootHeads<'_>>) -> Scope {
        self.detach(scope, root);
        // It may have come from another task, and what hangs below it with it.
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
        self.scopes.remove(scope as usize)
    }

    /// Puts a record, already in the arena, on its scope.
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

    /// Takes a record off its scope; it stays in the arena.
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

    /// Takes the foreign wakers of every record below these heads, but not through a shield that
    /// holds.
    ///
    /// A record whose waker was taken counts as its task's own; its leaf puts the waker back when
    /// it is polled next, and until then it has been woken.
    ///
    /// Scopes below which there are none are passed over: nested scopes that are cancelled one
    /// after the other cost no more than the first of them.
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

    /// The same for a scope itself.
    pub(crate) fn take_wakers_in(&mut self, scope: u32) -> Vec<Waker> {
        let entry = &mut self.scopes[scope as usize];
        if !std::mem::replace(&mut entry.may_have_wakers, false) {
            return Vec::new();
        }
        let (record, child) = (entry.first_record, entry.first_child);
        self.take_wakers(record, child)
    }

    /// Visits every record below these heads, the records of a scope in front of its children's,
    /// into shields too. Iterative, as programs nest deeply.
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

    /// Whether some scope in a list, or below, has a cancellation that nobody was told of.
    pub(crate) fn any_pending(&self, first_child: u32) -> bool {
        let mut pending = false;
        self.each(first_child, |scope| pending |= scope.pending);
        pending
    }

    fn each(&self, first_child: u32, mut visit: impl FnMut(&Scope)) {
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
