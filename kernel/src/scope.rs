//! The tree of cancel scopes of each task, and the records of its parked leaves.
//!
//! Every task owns a root scope (in its chunk); every timeout, group body and shield that is being
//! polled is a scope below it. A leaf that parks leaves a record on its innermost scope: what it
//! waits for, where, since when, and whom to wake if that is not simply the task. The same record
//! serves the delivery of a cancellation, the monitor and the deadlock report. Only the first leaf
//! of a plain task does without: its record is at its place (`leaf.rs`).
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
use crate::links::{self, Linked, Links, NONE};

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
    pub(crate) stamp: u64,
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
    links: Links,
}

impl Linked for Scope {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Scope {
    pub(crate) fn new(task: TaskId, kind: ScopeKind, entered: u64, deadline: u64) -> Self {
        Scope {
            task,
            parent: NONE,
            kind,
            stamp: 0,
            pending: false,
            reason: CancelReason::Timeout,
            entered,
            delivered: 0,
            foreign: false,
            deadline,
            first_record: NONE,
            first_child: NONE,
            links: Links::ALONE,
        }
    }
}

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
    links: Links,
}

impl Linked for Record {
    fn links(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Record {
    pub(crate) fn new(
        task: TaskId,
        scope: u32,
        waker: Option<Waker>,
        leaf: crate::cell::Parked,
    ) -> Self {
        Record {
            task,
            scope,
            waker,
            kind: leaf.kind,
            site: leaf.site,
            since: leaf.since,
            links: Links::ALONE,
        }
    }
}

/// The scopes and records of all tasks of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Scopes {
    pub(crate) scopes: Slab<Scope>,
    pub(crate) records: Slab<Record>,
}

/// The heads of the lists of a task's root, which live in its chunk.
pub(crate) struct RootHeads<'a> {
    pub(crate) record: &'a Cell<u32>,
    pub(crate) child: &'a Cell<u32>,
}

impl Scopes {
    /// Hangs a scope below `parent`; `root` is its task's root.
    pub(crate) fn hang(&mut self, scope: u32, parent: u32, root: &RootHeads<'_>) {
        self.scopes[scope as usize].parent = parent;
        let head = if parent == NONE {
            root.child.replace(scope)
        } else {
            std::mem::replace(&mut self.scopes[parent as usize].first_child, scope)
        };
        links::push_front(&mut self.scopes, head, scope);
    }

    /// Takes a scope off its parent. `root` is None when its task is gone.
    pub(crate) fn unhang(&mut self, scope: u32, root: Option<&RootHeads<'_>>) {
        let parent = self.scopes[scope as usize].parent;
        if let Some(head) = links::unlink(&mut self.scopes, scope) {
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
        self.unhang(scope, root);
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
            self.unhang(child, None);
            self.scopes[child as usize].task = task;
            self.hang(child, parent, root);
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
        links::push_front(&mut self.records, head, record);
    }

    /// Takes a record off its scope; it stays in the arena.
    pub(crate) fn unpark(&mut self, record: u32, root: Option<&RootHeads<'_>>) {
        let scope = self.records[record as usize].scope;
        if let Some(head) = links::unlink(&mut self.records, record) {
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
    pub(crate) fn take_wakers(&mut self, first_record: u32, first_child: u32) -> Vec<Waker> {
        let mut wakers = Vec::new();
        self.walk(first_record, first_child, false, |record| wakers.extend(record.waker.take()));
        wakers
    }

    /// Visits every record below these heads, the records of a scope in front of its children's.
    /// Into a shield that holds it goes only if `shields` is true. Iterative, as programs nest
    /// deeply.
    pub(crate) fn walk(
        &mut self,
        first_record: u32,
        first_child: u32,
        shields: bool,
        mut visit: impl FnMut(&mut Record),
    ) {
        let mut lists = vec![(first_record, first_child)];
        while let Some((mut record, mut child)) = lists.pop() {
            while record != NONE {
                let entry = &mut self.records[record as usize];
                visit(entry);
                record = entry.links.next;
            }
            while child != NONE {
                let scope = &self.scopes[child as usize];
                if shields || scope.kind != ScopeKind::Shield {
                    lists.push((scope.first_record, scope.first_child));
                }
                child = scope.links.next;
            }
        }
    }

    /// The earliest deadline of the timeouts in a list of scopes and below.
    pub(crate) fn earliest_deadline(&self, first_child: u32) -> u64 {
        let mut earliest = u64::MAX;
        self.each(first_child, |scope| {
            if scope.kind == ScopeKind::Timeout && scope.stamp == 0 {
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
