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

use crate::core::owner::Owner;
use crate::core::queue::WaitQueue;
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::error::CancelReason;
use crate::group::handle::GroupEnded;
use crate::id::{GroupId, TaskId};
use crate::parts::list::{ListLinks, NONE};
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

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

impl GroupState {
    /// Why a member that is spawned now is born cancelled, if it is.
    pub(crate) fn tear_down_reason(&self) -> Option<CancelReason> {
        match self.stage.get() {
            GroupStage::Draining(reason) => Some(reason),
            _ => self.failing.get().then_some(CancelReason::GroupFailed),
        }
    }

    /// The group as the owner of a new member.
    pub(crate) fn unless_closed(&self) -> Result<&dyn Owner, GroupEnded> {
        match self.stage.get() {
            GroupStage::Closed => Err(GroupEnded),
            _ => Ok(self),
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

    pub(crate) fn open(core: &Core, wait: WaitPolicy, records: bool) -> Rc<Self> {
        core.owners.borrow_mut().add(|id| GroupState {
            id,
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
        })
    }

    fn leave(&self, core: &Core, cell: &TaskRef) {
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
    fn members(&self, core: &Core) -> Vec<TaskRef> {
        let mut members = Vec::new();
        let tasks = core.tasks.borrow();
        let mut at = self.youngest.get();
        while let Some(cell) = tasks.at(at) {
            at = cell.membership().links.get().next;
            members.push(cell);
        }
        members
    }

    fn count_end(&self, core: &Core, cell: &TaskRef, end: TaskEnd) {
        self.any_ended.set(true);
        if end == TaskEnd::Ok {
            self.succeeded.set(true);
        }
        if cell.has_joiners() {
            return;
        }
        let told = MemberEnd { id: cell.id(), end };
        if self.asking.hand_over(Some(told)).is_ok() {
            return;
        }
        if let Some(ended) = &self.ended {
            ended.borrow_mut().push_back(told);
        }
        let down = self.failing.get() || self.stage.get() != GroupStage::Open;
        let failed = matches!(end, TaskEnd::Failed | TaskEnd::Panicked);
        // The failed cleanup of a cancelled member is kept if the group comes down anyway; if
        // somebody cancelled that member by hand, it is not the group's failure (C6).
        if !cell.flags.any(Flags::FAILURE) || !(failed || down) {
            return;
        }
        cell.flags.set(Flags::TAKEN);
        cell.holders.set(cell.holders.get() + 1);
        self.failed.borrow_mut().push(cell.clone());
        let spared = self.wait == WaitPolicy::FirstOk
            && end == TaskEnd::Failed
            && (self.counted.get() > 0 || self.succeeded.get());
        if failed && !spared && !self.failing.replace(true) && !down {
            self.cancel_members(core, CancelReason::GroupFailed, true);
            core.cancel_scope(self.body.get(), CancelReason::GroupFailed);
        }
    }

    /// Asks the members to end, the youngest first.
    pub(crate) fn cancel_members(&self, core: &Core, reason: CancelReason, daemons_too: bool) {
        for cell in self.members(core) {
            if daemons_too || !cell.flags.any(Flags::DAEMON) {
                core.request(&cell, reason);
            }
        }
    }

    /// From here on members are cancelled, those to come too.
    pub(crate) fn tear_down(&self, core: &Core, reason: CancelReason) {
        if self.stage.get() == GroupStage::Open {
            self.stage.set(GroupStage::Draining(reason));
            self.cancel_members(core, reason, true);
        }
    }

    /// Takes the group out of the table; from here on nobody can be spawned in it.
    pub(crate) fn close(&self, core: &Core) {
        if self.stage.replace(GroupStage::Closed) != GroupStage::Closed {
            let closed = core.owners.borrow_mut().remove(self.id);
            drop(closed);
        }
    }

    /// Drops every member's future at once, without awaiting cleanup, and reports the failures that
    /// the group had kept (G4).
    pub(crate) fn abandon(&self, core: &Core) {
        if self.stage.get() == GroupStage::Closed {
            return;
        }
        let members = self.members(core);
        self.close(core);
        for cell in members {
            core.abort(&cell);
        }
        for cell in self.failed.take() {
            cell.flags.clear(Flags::TAKEN);
            core.drop_holder(&cell);
        }
    }
}

impl Owner for GroupState {
    fn adopt(&self, core: &Core, cell: &TaskRef, daemon: bool) -> Option<CancelReason> {
        cell.flags.set(if daemon { Flags::MEMBER | Flags::DAEMON } else { Flags::MEMBER });
        let membership = cell.membership();
        membership.group.set(self.id);
        let next = self.youngest.replace(cell.index());
        membership.links.set(ListLinks { previous: NONE, next });
        let tasks = core.tasks.borrow();
        if let Some(older) = tasks.membership(next) {
            older.links.set(ListLinks { previous: cell.index(), ..older.links.get() });
        }
        let count = self.count(daemon);
        count.set(count.get() + 1);
        self.tear_down_reason()
    }

    /// A member ended: counts it, keeps its failure, and sees what follows for the others (G2, G5).
    fn ended(&self, core: &Core, cell: &TaskRef, end: TaskEnd) {
        self.leave(core, cell);
        if !cell.flags.any(Flags::DAEMON) {
            self.count_end(core, cell, end);
        }
        let nobody = self.counted.get() == 0;
        if nobody {
            self.asking.hand_over_all(|| None);
        }
        let draining = matches!(self.stage.get(), GroupStage::Draining(_));
        if self.is_empty() || nobody || (!draining && self.is_satisfied()) {
            self.progress.hand_over_all(|| ());
        }
    }

    /// A member that was cancelled with its group was joined: if it was the body that did, the body
    /// knows of the failure now, and what it returns because of it is an echo (G3). Its
    /// cancellation stays pending: no leaf has returned it (C3).
    fn told(&self, core: &Core, cell: &TaskRef) {
        if cell.cancel_request().is_none_or(|asked| asked.reason != CancelReason::GroupFailed) {
            return;
        }
        let cancel_seq = core.next_cancel_seq();
        let running = core.running_id();
        let mut scopes = core.scopes.borrow_mut();
        if let Some(scope) = scopes.scopes.get_mut(self.body.get() as usize) {
            if Some(scope.task) == running {
                scope.delivered = cancel_seq;
            }
        }
    }
}
