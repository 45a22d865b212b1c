//! What the kernel knows of a group: its members, how they ended, and who waits for them.
//!
//! ```text
//!          tear_down(reason)                 close: empty
//!   Open ─────────────────────▶ Draining ──────────────────▶ Closed
//!     │   (cancels everybody)                                  ▲
//!     └──────────────── abandon: aborts everybody ─────────────┘
//! ```
//!
//! Invariant *a closed group is empty*: a group leaves the kernel's table only when its last member
//! has ended, or in `abandon`, which drops every member's future first thing.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use slab::Slab;

use crate::core::state::Core;
use crate::error::CancelReason;
use crate::id::{GroupId, TaskId};
use crate::parts::list::{Links, NONE, shrink_slab};
use crate::task::cell::TaskEnd;
use crate::task::chunk::TaskRef;
use crate::task::state::Flags;
use crate::wait::queue::WaitQueue;

/// How long leaving a group waits; then the rest is cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitPolicy {
    /// For all members. The default.
    #[default]
    All,
    /// For the first to end, well or not.
    Any,
    /// For the first to end well. Failures are kept; if all fail, the first is returned.
    FirstOk,
    /// For nobody.
    None,
}

/// Which member ended, and how. Its value or error comes by its handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberEnd {
    /// Which.
    pub id: TaskId,
    /// How.
    pub end: TaskEnd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupStage {
    Open,
    /// Everybody was cancelled, for this reason.
    Draining(CancelReason),
    Closed,
}

/// A group.
pub(crate) struct GroupState {
    pub(crate) id: GroupId,
    pub(crate) wait: WaitPolicy,
    pub(crate) stage: Cell<GroupStage>,
    /// The youngest member; the others hang on it, each on the next younger.
    youngest: Cell<u32>,
    /// Members that have not ended, daemons aside.
    pub(crate) counted: Cell<usize>,
    daemons: Cell<usize>,
    /// A failure took the group down.
    pub(crate) failing: Cell<bool>,
    any_ended: Cell<bool>,
    pub(crate) succeeded: Cell<bool>,
    /// Whose failures belong to the group, in order of ending; each is held.
    pub(crate) failed: RefCell<Vec<TaskRef>>,
    /// Who ended and was not yet told by `next_done`; none for groups that nobody can ask.
    pub(crate) ended: Option<RefCell<VecDeque<MemberEnd>>>,
    /// Parked in `next_done`; handed `None` when nobody is left.
    pub(crate) asking: WaitQueue<Option<MemberEnd>>,
    /// Parked until enough have ended.
    pub(crate) progress: WaitQueue,
    /// The scope of the body, `NONE` when it is not running.
    pub(crate) body: Cell<u32>,
}

/// All open groups of a kernel.
#[derive(Default)]
pub(crate) struct Groups {
    groups: Slab<Rc<GroupState>>,
    opened: u32,
}

impl Groups {
    /// Gives back the room that a burst took.
    pub(crate) fn shrink(&mut self) {
        shrink_slab(&mut self.groups);
    }

    pub(crate) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn get(&self, id: GroupId) -> Option<&Rc<GroupState>> {
        self.groups.get(id.index as usize).filter(|group| group.id == id)
    }
}

impl GroupState {
    /// Why a member that is spawned now is born cancelled, if it is.
    pub(crate) fn tear_down_reason(&self) -> Option<CancelReason> {
        match self.stage.get() {
            GroupStage::Draining(reason) => Some(reason),
            _ => self.failing.get().then_some(CancelReason::GroupFailed),
        }
    }

    /// Whether enough members have ended for the group to be left.
    pub(crate) fn is_satisfied(&self) -> bool {
        let nobody = self.counted.get() == 0;
        self.failing.get()
            || match self.wait {
                WaitPolicy::All => nobody,
                WaitPolicy::Any => nobody || self.any_ended.get(),
                WaitPolicy::FirstOk => nobody || self.succeeded.get(),
                WaitPolicy::None => true,
            }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counted.get() + self.daemons.get() == 0
    }

    fn count(&self, daemon: bool) -> &Cell<usize> {
        if daemon { &self.daemons } else { &self.counted }
    }
}

impl Core {
    pub(crate) fn open_group(&self, wait: WaitPolicy, records: bool) -> Rc<GroupState> {
        let mut groups = self.groups.borrow_mut();
        groups.opened = groups.opened.wrapping_add(1);
        let generation = groups.opened;
        let entry = groups.groups.vacant_entry();
        let index = u32::try_from(entry.key()).expect("fewer than 2^32 groups");
        let group = Rc::new(GroupState {
            id: GroupId { index, generation },
            wait,
            stage: Cell::new(GroupStage::Open),
            youngest: Cell::new(NONE),
            counted: Cell::new(0),
            daemons: Cell::new(0),
            failing: Cell::new(false),
            any_ended: Cell::new(false),
            succeeded: Cell::new(false),
            failed: RefCell::default(),
            ended: records.then(RefCell::default),
            asking: WaitQueue::new(),
            progress: WaitQueue::new(),
            body: Cell::new(NONE),
        });
        entry.insert(group.clone());
        group
    }

    pub(crate) fn join_group(&self, group: &GroupState, cell: &TaskRef) {
        cell.flags.set(Flags::MEMBER);
        let membership = cell.membership();
        membership.group.set(group.id);
        let next = group.youngest.replace(cell.index());
        membership.links.set(Links { previous: NONE, next });
        let tasks = self.tasks.borrow();
        if let Some(older) = tasks.membership(next) {
            older.links.set(Links { previous: cell.index(), ..older.links.get() });
        }
        let count = group.count(cell.flags.any(Flags::DAEMON));
        count.set(count.get() + 1);
    }

    fn leave_group(&self, group: &GroupState, cell: &TaskRef) {
        let Links { previous, next } = cell.membership().links.replace(Links::ALONE);
        let tasks = self.tasks.borrow();
        match tasks.membership(previous) {
            Some(younger) => younger.links.set(Links { next, ..younger.links.get() }),
            None => group.youngest.set(next),
        }
        if let Some(older) = tasks.membership(next) {
            older.links.set(Links { previous, ..older.links.get() });
        }
        let count = group.count(cell.flags.any(Flags::DAEMON));
        count.set(count.get() - 1);
    }

    /// A member that was cancelled with its group was joined: if it was the body that did, the body
    /// knows of the failure now, and what it returns because of it is an echo (G3). Its
    /// cancellation stays pending: no leaf has returned it (C3).
    pub(crate) fn told_by_member(&self, cell: &TaskRef) {
        if cell.asked().is_none_or(|asked| asked.reason != CancelReason::GroupFailed) {
            return;
        }
        let body = self.groups.borrow().get(cell.group()).map(|group| group.body.get());
        let stamp = self.next_stamp();
        let running = self.running_id();
        let mut scopes = self.scopes.borrow_mut();
        if let Some(scope) = body.and_then(|key| scopes.scopes.get_mut(key as usize)) {
            if Some(scope.task) == running {
                scope.delivered = stamp;
            }
        }
    }

    /// The members that have not ended, youngest first.
    fn members(&self, group: &GroupState) -> Vec<TaskRef> {
        let mut members = Vec::new();
        let tasks = self.tasks.borrow();
        let mut at = group.youngest.get();
        while let Some(cell) = tasks.at(at) {
            at = cell.membership().links.get().next;
            members.push(cell);
        }
        members
    }

    /// A member ended: counts it, keeps its failure, and sees what follows for the others (G2, G5).
    #[inline(never)]
    pub(crate) fn member_ended(&self, cell: &TaskRef, end: TaskEnd) {
        let group = self.groups.borrow().get(cell.group()).cloned();
        let Some(group) = group else { return };
        self.leave_group(&group, cell);
        if !cell.flags.any(Flags::DAEMON) {
            self.count_end(&group, cell, end);
        }
        let nobody = group.counted.get() == 0;
        if nobody {
            group.asking.hand_over_all(|| None);
        }
        let draining = matches!(group.stage.get(), GroupStage::Draining(_));
        if group.is_empty() || nobody || (!draining && group.is_satisfied()) {
            group.progress.hand_over_all(|| ());
        }
    }

    fn count_end(&self, group: &GroupState, cell: &TaskRef, end: TaskEnd) {
        group.any_ended.set(true);
        if end == TaskEnd::Ok {
            group.succeeded.set(true);
        }
        if cell.has_joiners() {
            return;
        }
        let told = MemberEnd { id: cell.id(), end };
        if group.asking.hand_over(Some(told)).is_ok() {
            return;
        }
        if let Some(ended) = &group.ended {
            ended.borrow_mut().push_back(told);
        }
        let down = group.failing.get() || group.stage.get() != GroupStage::Open;
        let failed = matches!(end, TaskEnd::Failed | TaskEnd::Panicked);
        // The failed cleanup of a cancelled member is kept if the group comes down anyway; if
        // somebody cancelled that member by hand, it is not the group's failure (C6).
        if !cell.flags.any(Flags::FAILURE) || !(failed || down) {
            return;
        }
        cell.flags.set(Flags::TAKEN);
        cell.holders.set(cell.holders.get() + 1);
        group.failed.borrow_mut().push(cell.clone());
        let spared = group.wait == WaitPolicy::FirstOk
            && end == TaskEnd::Failed
            && (group.counted.get() > 0 || group.succeeded.get());
        if failed && !spared && !group.failing.replace(true) && !down {
            self.cancel_members(group, CancelReason::GroupFailed, true);
            self.cancel_scope(group.body.get(), CancelReason::GroupFailed);
        }
    }

    /// Asks the members to end, the youngest first.
    pub(crate) fn cancel_members(
        &self,
        group: &GroupState,
        reason: CancelReason,
        daemons_too: bool,
    ) {
        for cell in self.members(group) {
            if daemons_too || !cell.flags.any(Flags::DAEMON) {
                self.request(&cell, reason);
            }
        }
    }

    /// From here on members are cancelled, those to come too.
    pub(crate) fn tear_down(&self, group: &GroupState, reason: CancelReason) {
        if group.stage.get() == GroupStage::Open {
            group.stage.set(GroupStage::Draining(reason));
            self.cancel_members(group, reason, true);
        }
    }

    /// Takes the group out of the table; from here on nobody can be spawned in it.
    pub(crate) fn close_group(&self, group: &GroupState) {
        if group.stage.replace(GroupStage::Closed) != GroupStage::Closed {
            let closed = self.groups.borrow_mut().groups.remove(group.id.index as usize);
            drop(closed);
        }
    }

    /// Drops every member's future at once, without awaiting cleanup, and reports the failures that
    /// the group had kept (G4).
    pub(crate) fn abandon(&self, group: &GroupState) {
        if group.stage.get() == GroupStage::Closed {
            return;
        }
        let members = self.members(group);
        self.close_group(group);
        for cell in members {
            self.abort(&cell);
        }
        for cell in group.failed.take() {
            cell.flags.clear(Flags::TAKEN);
            self.let_go(&cell);
        }
    }
}
