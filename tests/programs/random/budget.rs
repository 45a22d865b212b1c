//! The budget of a poll and the turns of tasks, as the model counts them (K1, K2).

use std::cell::Cell;
use std::rc::Rc;

use super::model::TaskModel;

/// Operations that may complete in one poll of a task.
const BUDGET: u32 = 128;

/// Messages of other threads that the kernel may serve without a poll of a task in between.
const SLICE: u64 = 63;

/// Polls between two looks at the mailbox.
const POLLS: u64 = 64;

/// What a leaf uses of the budget: at least, and at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost(pub(crate) u32, pub(crate) u32);

impl Cost {
    pub(crate) const NOTHING: Cost = Cost(0, 0);
    pub(crate) const ONE: Cost = Cost(1, 1);
    /// The cost of a combinator of several leaves, which the model sees only as a whole.
    pub(crate) const UNSEEN: Cost = Cost(0, 3);
}

/// What the current poll has spent, over all leaves of the task.
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

/// The kernel's steps so far.
#[derive(Default)]
pub(crate) struct Turns {
    /// Without a seed the ready queue is first come, first served.
    pub(crate) in_order: Cell<bool>,
    polls: Cell<u64>,
    served: Cell<u64>,
    /// Messages served since the last poll of any task.
    row: Cell<u64>,
}

/// When a task was queued, and how often each task had been polled by then.
pub(crate) struct Queued {
    polls: u64,
    served: u64,
    of_each: Vec<u64>,
}

/// When another thread woke a task.
#[derive(Clone, Copy)]
pub(crate) struct Woken {
    polls: u64,
    others: u64,
}

impl Turns {
    /// A task of any kind is polled.
    pub(crate) fn poll(&self) {
        self.polls.set(self.polls.get() + 1);
        self.row.set(0);
    }

    /// A message of another thread is served.
    pub(crate) fn serve(&self) -> Result<(), String> {
        self.served.set(self.served.get() + 1);
        self.row.set(self.row.get() + 1);
        match self.row.get() == SLICE + 1 {
            true => Err(format!("K2: more than {SLICE} messages are served in one look")),
            false => Ok(()),
        }
    }

    /// Another thread wakes a task, besides so many that do not belong to the program.
    pub(crate) fn woken(&self, others: u64) -> Woken {
        Woken { polls: self.polls.get(), others }
    }

    /// A task that another thread woke has its turn: the kernel had to look at the mailbox, and
    /// then all tasks that were ready came first.
    pub(crate) fn had_in_time(
        &self,
        running: &TaskModel,
        since: Woken,
        tasks: usize,
    ) -> Result<(), String> {
        let polls = self.polls.get() - since.polls;
        let allowed = POLLS + tasks as u64 + since.others + SLICE + 1;
        if polls <= allowed || !self.in_order.get() {
            return Ok(());
        }
        let name = running.name();
        Err(format!("K2, K7: another thread woke {name}, and {polls} polls came first"))
    }

    /// A task is queued now.
    pub(crate) fn queued(&self, tasks: &[Rc<TaskModel>]) -> Queued {
        let of_each = tasks.iter().map(|task| task.polls.get()).collect();
        Queued { polls: self.polls.get(), served: self.served.get(), of_each }
    }

    /// A queued task has its turn. Checks which tasks came before it.
    pub(crate) fn had(
        &self,
        running: &TaskModel,
        since: &Queued,
        tasks: &[Rc<TaskModel>],
    ) -> Result<(), String> {
        let name = running.name();
        let looks = (self.polls.get() - since.polls) / POLLS + 2;
        let served = self.served.get() - since.served;
        if served > looks * SLICE {
            return Err(format!("K2: {name} waits for {served} messages to be served"));
        }
        if !self.in_order.get() {
            return Ok(());
        }
        for other in tasks.iter().filter(|other| other.number != running.number) {
            // Queued tasks have one turn. Tasks that were spawned later have none.
            let (before, allowed) = match since.of_each.get(other.number) {
                Some(before) => (*before, 1),
                None => (0, 0),
            };
            let turns = other.polls.get() - before;
            if turns > allowed {
                let other = other.name();
                return Err(format!("K1, K2: {other} has {turns} turns while {name} is queued"));
            }
        }
        Ok(())
    }
}
