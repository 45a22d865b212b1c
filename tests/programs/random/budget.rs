//! The budget of a poll and the turns of tasks, as the model counts them (K1, K2).

use std::cell::Cell;
use std::rc::Rc;

use super::model::TaskModel;

/// Operations that may complete in one poll of a task.
const BUDGET: u32 = 128;

/// What a leaf takes out of the budget: at least, and at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost(pub(crate) u32, pub(crate) u32);

impl Cost {
    pub(crate) const NOTHING: Cost = Cost(0, 0);
    pub(crate) const ONE: Cost = Cost(1, 1);
    /// Of several leaves, of which the model sees the whole alone.
    pub(crate) const UNSEEN: Cost = Cost(0, 3);
}

/// What the poll that goes on has spent, of all leaves of the task together.
#[derive(Default)]
pub(crate) struct Budget {
    least: Cell<u32>,
    most: Cell<u32>,
}

impl Budget {
    pub(crate) fn renew(&self) {
        self.least.set(0);
        self.most.set(0);
    }

    pub(crate) fn spend(&self, cost: Cost) {
        self.least.set(self.least.get() + cost.0);
        self.most.set(self.most.get() + cost.1);
    }

    /// No further operation may complete in this poll.
    pub(crate) fn is_spent(&self) -> bool {
        self.least.get() >= BUDGET
    }

    /// An operation may be refused.
    pub(crate) fn may_be_spent(&self) -> bool {
        self.most.get() >= BUDGET
    }
}

/// The order of the ready queue.
#[derive(Default)]
pub(crate) struct Turns {
    /// Without a seed the ready queue is first come, first served.
    pub(crate) in_order: Cell<bool>,
}

/// How often each task had been polled when one was queued.
pub(crate) struct Queued {
    of_each: Vec<u64>,
}

impl Turns {
    /// A task is queued now.
    pub(crate) fn queued(&self, tasks: &[Rc<TaskModel>]) -> Queued {
        let of_each = tasks.iter().map(|task| task.polls.get()).collect();
        Queued { of_each }
    }

    /// A task that was queued has its turn: what came before it.
    pub(crate) fn had(
        &self,
        oneself: &TaskModel,
        since: &Queued,
        tasks: &[Rc<TaskModel>],
    ) -> Result<(), String> {
        if !self.in_order.get() {
            return Ok(());
        }
        for other in tasks.iter().filter(|other| other.number != oneself.number) {
            // Those that are queued have one turn; those that were born later have none.
            let (before, allowed) = match since.of_each.get(other.number) {
                Some(before) => (*before, 1),
                None => (0, 0),
            };
            let turns = other.polls.get() - before;
            if turns > allowed {
                let (name, other) = (oneself.name(), other.name());
                return Err(format!("K1, K2: {other} has {turns} turns while {name} is queued"));
            }
        }
        Ok(())
    }
}
