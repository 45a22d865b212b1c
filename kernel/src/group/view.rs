//! What a snapshot shows of a group.

use std::cell::Cell;
use std::panic::Location;

use crate::core::host_queue::HostQueue;
use crate::core::queue::WaitQueue;
use crate::core::state::Core;
use crate::group::policy::WaitPolicy;
use crate::group::state::GroupState;
use crate::id::TaskId;
use crate::insight::snapshot::ScopeInfo;
use crate::parts::list::NONE;

/// A line of the program.
pub(crate) type Line = &'static Location<'static>;

/// Where a group was opened.
pub(super) struct Opened {
    site: Cell<Option<Line>>,
    /// The task that has opened it, if the group has no body, by which the task is known.
    by: Cell<TaskId>,
}

impl Default for Opened {
    fn default() -> Self {
        Opened { site: Cell::new(None), by: Cell::new(TaskId::NONE) }
    }
}

impl Opened {
    #[inline]
    pub(super) fn at(&self, site: Line) {
        self.site.set(Some(site));
    }

    pub(super) fn by(&self, task: TaskId) {
        self.by.set(task);
    }
}

impl GroupState {
    /// The task in which the body runs or, of a group without a body, the one that has opened it.
    /// Once the body has ended, the owner is a task that waits for the members.
    fn owner(&self, core: &Core) -> TaskId {
        match core.scopes.borrow().scopes.get(self.body.get() as usize) {
            Some(body) if self.body.get() != NONE => body.task,
            _ => self.host_queue().map_or(self.opened.by.get(), HostQueue::task),
        }
    }

    pub(super) fn scope_info(&self, core: &Core) -> ScopeInfo {
        let waiting =
            [tasks_in(&self.progress, core), tasks_in(&self.next_done_waiters, core)].concat();
        ScopeInfo {
            id: self.id.get(),
            owner: self.owner(core).as_option().or(waiting.first().copied()),
            site: self.opened.site.get(),
            policy: match self.wait.get() {
                WaitPolicy::All => "All",
                WaitPolicy::Any => "Any",
                WaitPolicy::FirstOk => "FirstOk",
                WaitPolicy::None => "None",
            },
            cancelled: self.tear_down_reason(),
            hosts: self.host_queue().is_some(),
            members: Vec::new(),
            alive: self.counted.get() + self.daemons.get(),
            in_grace: self.is_in_grace(),
            left_by: self.host_queue().filter(|queue| queue.is_left()).map(HostQueue::task),
            waiting,
        }
    }
}

/// The tasks of this kernel that wait in a queue with their own wakers.
fn tasks_in<T>(queue: &WaitQueue<T>, core: &Core) -> Vec<TaskId> {
    let mut tasks = Vec::new();
    queue.fifo().each_waiter(|waiter| tasks.extend(core.waiting_task(waiter)));
    tasks
}
