//! The state of a group: its members, how they ended, and the tasks that wait for them.
//!
//! ```text
//!          tear_down(reason)                 close: empty
//!   Open ─────────────────────▶ Draining ──────────────────▶ Closed
//!     │   (cancels all members)                                ▲
//!     └─────────────── abandon: aborts all members ────────────┘
//! ```
//!
//! Invariant *a closed group is empty*: a group is removed from the kernel only when its last
//! member has ended, or in `abandon`, at any stage, which then drops the future of every member.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::core::host_queue::HostQueue;
use crate::core::owner::Owner;
use crate::core::queue::WaitQueue;
use crate::core::state::{Core, TaskRef};
use crate::error::{CancelReason, TaskCancelled, is_bare};
use crate::group::grace::Grace;
use crate::group::handle::GroupEnded;
use crate::group::limit::Limit;
use crate::group::policy::{MemberEnd, WaitPolicy};
use crate::group::view::{Line, Opened};
use crate::id::{GroupId, TaskId};
use crate::insight::snapshot::ScopeInfo;
use crate::parts::list::NONE;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupStage {
    Open,
    /// All members were cancelled, for this reason.
    Draining(CancelReason),
    Closed,
}

/// Whether an error of the group's type is one that its conversion makes of any cancellation.
type IsBare = fn(&dyn Any, &TaskCancelled) -> bool;

/// The state of a group.
pub(crate) struct GroupState {
    pub(crate) id: Cell<GroupId>,
    pub(crate) wait: Cell<WaitPolicy>,
    pub(crate) stage: Cell<GroupStage>,
    /// The youngest member, which is the head of the list of members. The list goes from each
    /// member to the next older one.
    pub(super) youngest: Cell<u32>,
    /// Members that have not ended, without daemons.
    pub(crate) counted: Cell<usize>,
    pub(super) daemons: Cell<usize>,
    /// The failure of a member has cancelled the group.
    pub(crate) failing: Cell<bool>,
    pub(super) any_ended: Cell<bool>,
    pub(crate) succeeded: Cell<bool>,
    /// The members whose failures the group will take, in the order in which they ended. The group
    /// is a holder of each.
    pub(crate) failed: RefCell<Vec<TaskRef>>,
    /// The members that have ended and that `next_done` has not returned yet. `None` for a group
    /// that has no `next_done`.
    pub(crate) ended: Option<RefCell<VecDeque<MemberEnd>>>,
    /// The tasks that are parked in `next_done`. They are handed `None` when all members except
    /// daemons have ended.
    pub(crate) next_done_waiters: WaitQueue<Option<MemberEnd>>,
    /// The tasks that are parked in a `Progress`.
    pub(crate) progress: WaitQueue,
    /// See [`Owner::is_bare`]; the type of the errors is known where the group is made.
    is_bare: Cell<IsBare>,
    /// The key of the body's cancel scope; `NONE` if the body has not begun or has ended.
    pub(crate) body: Cell<u32>,
    pub(super) grace: Grace,
    pub(super) limit: Limit,
    pub(super) opened: Opened,
    /// The ready members, if the owner of the group polls them. Kept when the group is used again.
    pub(super) hosted: OnceCell<Box<HostQueue>>,
}

impl GroupState {
    /// If a member that is spawned now must start cancelled, the reason for that.
    pub(crate) fn tear_down_reason(&self) -> Option<CancelReason> {
        match self.stage.get() {
            GroupStage::Draining(reason) => Some(reason),
            _ => self.failing.get().then_some(CancelReason::GroupFailed),
        }
    }

    /// The group as the owner of a new member, unless it is closed.
    pub(crate) fn unless_closed(&self) -> Result<&dyn Owner, GroupEnded> {
        match self.stage.get() {
            GroupStage::Closed => Err(GroupEnded),
            _ => Ok(self),
        }
    }

    /// Whether enough members have ended for the group to be left.
    pub(crate) fn is_satisfied(&self) -> bool {
        let no_member_left = self.counted.get() == 0;
        self.failing.get()
            || match self.wait.get() {
                WaitPolicy::All => no_member_left,
                WaitPolicy::Any => no_member_left || self.any_ended.get(),
                WaitPolicy::FirstOk => no_member_left || self.succeeded.get(),
                WaitPolicy::None => true,
            }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.counted.get() + self.daemons.get() == 0
    }

    /// Whether the group is left as soon as its body has succeeded.
    pub(super) fn ends_well_at_once(&self) -> bool {
        self.stage.get() == GroupStage::Open && self.has_ended_well()
    }

    /// Whether all members have ended, and none has failed.
    pub(crate) fn has_ended_well(&self) -> bool {
        self.is_empty() && !self.failing.get() && self.failed.borrow().is_empty()
    }

    pub(super) fn count(&self, daemon: bool) -> &Cell<usize> {
        if daemon { &self.daemons } else { &self.counted }
    }

    /// Opens a group, in the memory of an earlier one if there is some. `records`: the group has a
    /// `next_done`.
    pub(crate) fn open<E>(core: &Core, wait: WaitPolicy, records: bool, site: Line) -> Rc<Self>
    where
        E: From<TaskCancelled> + 'static,
    {
        let is_bare: IsBare =
            |error, kept| error.downcast_ref::<E>().is_some_and(|error| is_bare(error, kept));
        let mut owners = core.owners.borrow_mut();
        let spare = if records { None } else { owners.take_spare() };
        let state = match spare.map(Rc::downcast::<GroupState>) {
            Some(Ok(spare)) => spare,
            _ => Rc::new(GroupState::new(records.then(RefCell::default))),
        };
        state.wait.set(wait);
        state.opened.at(site);
        state.is_bare.set(is_bare);
        state.id.set(owners.add(state.clone()));
        state
    }

    fn new(ended: Option<RefCell<VecDeque<MemberEnd>>>) -> Self {
        GroupState {
            id: Cell::new(GroupId::NONE),
            wait: Cell::default(),
            stage: Cell::new(GroupStage::Open),
            youngest: Cell::new(NONE),
            counted: Cell::new(0),
            daemons: Cell::new(0),
            failing: Cell::new(false),
            any_ended: Cell::new(false),
            succeeded: Cell::new(false),
            failed: RefCell::default(),
            ended,
            next_done_waiters: WaitQueue::new(),
            progress: WaitQueue::new(),
            is_bare: Cell::new(|_, _| false),
            body: Cell::new(NONE),
            grace: Grace::none(),
            limit: Limit::none(),
            opened: Opened::default(),
            hosted: OnceCell::new(),
        }
    }

    /// Keeps the memory of a closed group for a later one, if nothing else refers to the group and
    /// it has no `next_done`.
    pub(crate) fn recycle(self: &Rc<Self>, core: &Core) {
        let is_last = Rc::strong_count(self) == 1 && self.stage.get() == GroupStage::Closed;
        // An abandoned group still has the links of its members.
        if !is_last || !self.is_empty() || self.ended.is_some() {
            return;
        }
        self.stage.set(GroupStage::Open);
        self.failing.set(false);
        self.any_ended.set(false);
        self.succeeded.set(false);
        self.grace.reset();
        self.limit.reset();
        self.close_host();
        core.owners.borrow_mut().keep_spare(self.clone());
    }

    /// Makes a daemon a member that is counted and waited for.
    pub(crate) fn count_daemon(&self, cell: &TaskRef) {
        if cell.flags.any(Flags::DAEMON) && !cell.is_ended() {
            cell.flags.clear(Flags::DAEMON);
            self.daemons.set(self.daemons.get() - 1);
            self.counted.set(self.counted.get() + 1);
        }
    }

    fn count_end(&self, core: &Core, cell: &TaskRef, end: TaskEnd) {
        self.any_ended.set(true);
        if end == TaskEnd::Ok {
            self.succeeded.set(true);
        }
        if cell.has_joiners() {
            return;
        }
        let end_of_member = MemberEnd { id: cell.id(), end };
        if self.next_done_waiters.hand_over(Some(end_of_member)).is_ok() {
            return;
        }
        if let Some(ended) = &self.ended {
            ended.borrow_mut().push_back(end_of_member);
        }
        let down = self.failing.get() || self.stage.get() != GroupStage::Open;
        let failed = matches!(end, TaskEnd::Failed | TaskEnd::Panicked);
        // A member that was cancelled and whose cleanup failed: the failure is kept if the group is
        // being torn down. If only that member was cancelled, it is no failure of the group (C6).
        if !cell.flags.any(Flags::FAILURE) || !(failed || down) {
            return;
        }
        cell.flags.set(Flags::TAKEN);
        cell.holders.set(cell.holders.get() + 1);
        self.failed.borrow_mut().push(cell.clone());
        let spared = self.wait.get() == WaitPolicy::FirstOk
            && end == TaskEnd::Failed
            && (self.counted.get() > 0 || self.succeeded.get());
        if failed && !spared && !self.failing.replace(true) && !down {
            self.cancel_after_failure(core);
        }
    }

    /// Cancels the members and the body, because a member has failed (G2).
    pub(crate) fn cancel_after_failure(&self, core: &Core) {
        self.cancel_members(core, CancelReason::GroupFailed, true);
        core.cancel_scope(self.body.get(), CancelReason::GroupFailed);
        self.begin_grace(core);
    }

    /// Requests the cancellation of the members, the youngest first.
    pub(crate) fn cancel_members(&self, core: &Core, reason: CancelReason, daemons_too: bool) {
        for cell in self.members(core) {
            if daemons_too || !cell.flags.any(Flags::DAEMON) {
                core.request(&cell, reason);
            }
        }
    }

    /// Cancels all members. A member that is spawned later starts cancelled.
    pub(crate) fn tear_down(&self, core: &Core, reason: CancelReason) {
        if self.stage.get() == GroupStage::Open {
            self.stage.set(GroupStage::Draining(reason));
            self.cancel_members(core, reason, true);
            self.begin_grace(core);
        }
    }

    /// Removes the group from the kernel. After this no member can be spawned in it.
    pub(crate) fn close(&self, core: &Core) {
        if self.stage.replace(GroupStage::Closed) != GroupStage::Closed {
            self.end_grace(core);
            let closed = core.owners.borrow_mut().remove(self.id.get());
            drop(closed);
            self.hand_over_places();
        }
    }

    /// Drops every member's future at once, without awaiting its cleanup, and reports the failures
    /// that the group has kept (G4).
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
    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }

    fn adopt(&self, core: &Core, cell: &TaskRef, daemon: bool) -> Option<CancelReason> {
        cell.flags.set(if daemon { Flags::MEMBER | Flags::DAEMON } else { Flags::MEMBER });
        self.enter(core, cell, daemon);
        let reason = self.tear_down_reason();
        if reason.is_some() {
            self.refuse_grace_to_late_member(core);
        }
        reason
    }

    fn is_bare(&self, error: &dyn Any, kept: &TaskCancelled) -> bool {
        (self.is_bare.get())(error, kept)
    }

    /// Handles the end of a member: counts it, and keeps its failure. Cancels the group and wakes
    /// waiting tasks where G2 and G5 require it.
    fn ended(&self, core: &Core, cell: &TaskRef, end: TaskEnd) {
        self.leave(core, cell);
        if !cell.flags.any(Flags::DAEMON) {
            self.count_end(core, cell, end);
        }
        let no_member_left = self.counted.get() == 0;
        if no_member_left {
            self.next_done_waiters.hand_over_all(|| None);
        }
        let draining = matches!(self.stage.get(), GroupStage::Draining(_));
        if self.is_empty() || no_member_left || (!draining && self.is_satisfied()) {
            self.progress.hand_over_all(|| ());
        }
        self.hand_over_places();
    }

    fn woken(&self, task: &TaskRef) {
        if let Some(host) = self.host_queue() {
            host.push(task.membership().slot.get());
        }
    }

    fn host(&self) -> TaskId {
        self.host_queue().map_or(TaskId::NONE, HostQueue::task)
    }

    fn info(&self, core: &Core) -> ScopeInfo {
        self.scope_info(core)
    }

    fn out_of_grace(&self, core: &Core) {
        self.abort_members(core);
    }

    /// Called when a task has joined a cancelled member. If the member was cancelled because the
    /// group failed, and the task runs the body, then the `join` has returned that cancellation to
    /// the body. It counts as delivered to the body's scope, so an error of the body that carries
    /// it is not an error of its own (G3). The scope stays pending, because no leaf has returned
    /// its cancellation (C3).
    fn joined_cancelled(&self, core: &Core, cell: &TaskRef) {
        if cell.cancel_request().is_none_or(|request| request.reason != CancelReason::GroupFailed) {
            return;
        }
        let cancel_seq = core.next_cancel_seq();
        let running = core.running_id();
        let mut scopes = core.scopes.borrow_mut();
        if let Some(scope) = scopes.scopes.get_mut(self.body.get() as usize) {
            if Some(scope.task) == running {
                scope.delivered = cancel_seq;
                // The scope adopts the copy of the member, unless the program still has one of the
                // scope's own.
                if !scope.kept.as_ref().is_some_and(TaskCancelled::has_copies) {
                    scope.kept = cell.take_kept();
                }
            }
        }
    }
}
