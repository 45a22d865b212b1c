//! What a snapshot shows of a group.

use std::cell::Cell;
use std::panic::Location;

use crate::core::queue::WaitQueue;
use crate::core::state::Core;
use crate::group::policy::WaitPolicy;
use crate::group::state::GroupState;
use crate::id::TaskId;
use crate::insight::snapshot::ScopeInfo;
use crate::parts::list::NONE;

/// A line of the program.
pub(crate) type Line = &'static Location<'static>;

/// Where a group was opened, and by which task.
pub(super) struct Opened {
    by: Cell<TaskId>,
    site: Cell<Option<Line>>,
}

impl Default for Opened {
    fn default() -> Self {
        Opened { by: Cell::new(TaskId::NONE), site: Cell::new(None) }
    }
}

impl Opened {
    pub(super) fn set(&self, by: TaskId, site: Line) {
        self.by.set(by);
        self.site.set(Some(site));
    }
}

impl GroupState {
    /// The task that waits for the members: the one in which the body runs, or, of a group without
    /// a body, the one that has opened it.
    fn owner(&self, core: &Core) -> TaskId {
        match core.scopes.borrow().scopes.get(self.body.get() as usize) {
            Some(body) if self.body.get() != NONE => body.task,
            _ => self.opened.by.get(),
        }
    }

    pub(super) fn scope_info(&self, core: &Core) -> ScopeInfo {
        ScopeInfo {
            id: self.id.get(),
            owner: self.owner(core).as_option(),
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
            waiting: [tasks_in(&self.progress, core), tasks_in(&self.next_done_waiters, core)]
                .concat(),
        }
    }
}

/// The tasks of this kernel that wait in a queue with their own wakers.
fn tasks_in<T>(queue: &WaitQueue<T>, core: &Core) -> Vec<TaskId> {
    let mut tasks = Vec::new();
    queue.fifo().each_waiter(|waiter| tasks.extend(core.waiting_task(waiter)));
    tasks
}
