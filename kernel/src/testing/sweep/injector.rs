//! The probe of a sweep: it records where the subject is suspended, and injects.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::{Injected, Injection, Moment};
use crate::core::probe::Probe;
use crate::core::state::{Core, TaskRef};
use crate::error::CancelReason;
use crate::group::state::GroupState;
use crate::id::TaskId;
use crate::task::state::Flags;

/// A leaf: its kind, and the file and line that called it.
pub(super) type Leaf = (&'static str, &'static Location<'static>);

/// After this number of polls a run is given up.
const POLLS: u64 = 1_000_000;

/// The number of attempts in one poll that a survey lets go on.
const TRIES: u32 = 1024;

/// The state of the subject after a poll that left it parked.
#[derive(Clone)]
pub(super) struct Suspension {
    /// The leaves that it and its children are parked in. Yields and futures that are not Curium's
    /// are none.
    pub(super) leaves: Vec<Leaf>,
    /// It was woken in the same poll.
    woken: bool,
    /// The virtual time, and the number of polls of any task before.
    at: (u64, u64),
    /// Sockets or threads of the system take part, so `at` depends on them.
    system: bool,
}

impl Suspension {
    #[inline]
    fn of(core: &Core, task: &TaskRef, polls: u64) -> Self {
        let registered = core.with_reactor(|reactor| reactor.registered()).unwrap_or(0);
        let leaves = core.leaves(task).into_iter().chain(core.leaves_of_hosted(task));
        Suspension {
            leaves: leaves.map(|leaf| (leaf.kind, leaf.site)).collect(),
            woken: task.flags.any(Flags::QUEUED),
            at: (core.clock.now(), polls),
            system: registered > 0 || core.thread_tasks.get() > 0 || core.jobs.out() > 0,
        }
    }

    /// Whether two runs of a deterministic subject may differ in this way.
    #[inline]
    pub(super) fn is_like(&self, other: &Self) -> bool {
        // Inside a timeout the leaves of a task are listed in another order.
        let sorted = |leaves: &[Leaf]| {
            let mut leaves = leaves.to_vec();
            leaves.sort_unstable_by_key(|(kind, site)| (*site, *kind));
            leaves
        };
        sorted(&self.leaves) == sorted(&other.leaves)
            && (self.system || other.system || self.at == other.at)
    }

    #[inline]
    pub(super) fn depends_on_system(&self) -> bool {
        self.system
    }

    /// The kind of the leaf that names the suspension.
    #[inline]
    pub(super) fn kind(&self) -> &'static str {
        let without_leaf = if self.woken { "YIELD" } else { "FOREIGN" };
        self.leaves.first().map_or(without_leaf, |(kind, _)| kind)
    }

    /// The file and line of that leaf.
    #[inline]
    pub(super) fn site(&self) -> Option<&'static Location<'static>> {
        self.leaves.first().map(|(_, site)| *site)
    }
}

impl fmt::Display for Suspension {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut leaves = self.leaves.iter();
        f.write_str(self.kind())?;
        if let Some((_, site)) = leaves.next() {
            write!(f, " at {site}")?;
        }
        leaves.try_for_each(|(kind, site)| write!(f, " and {kind} at {site}"))?;
        let (time, polls) = self.at;
        write!(f, ", {time} ns after the start, poll {polls}")
    }
}

/// Watches one run and injects what its plan says.
pub(super) struct Injector {
    plan: Vec<Injected>,
    fired: Cell<usize>,
    subject: Cell<TaskId>,
    pub(super) group: RefCell<Option<Rc<GroupState>>>,
    pub(super) trace: RefCell<Vec<Suspension>>,
    polls: Cell<u64>,
    survey: bool,
    tries: Cell<u32>,
    /// The leaves that a survey has seen.
    pub(super) tried: RefCell<Vec<Leaf>>,
}

impl Injector {
    #[inline]
    pub(super) fn new(plan: Vec<Injected>, survey: bool) -> Self {
        Injector {
            plan,
            fired: Cell::new(0),
            subject: Cell::new(TaskId::NONE),
            group: RefCell::default(),
            trace: RefCell::default(),
            polls: Cell::new(0),
            survey,
            tries: Cell::new(0),
            tried: RefCell::default(),
        }
    }

    /// What the run injects, in order.
    #[inline]
    pub(super) fn plan(&self) -> &[Injected] {
        &self.plan
    }

    /// Whether the run only lists leaves.
    #[inline]
    pub(super) fn is_survey(&self) -> bool {
        self.survey
    }

    /// What was injected so far.
    #[inline]
    pub(super) fn injected(&self) -> &[Injected] {
        &self.plan[..self.fired.get()]
    }

    /// Whether the run needs this injection.
    #[inline]
    pub(super) fn needs(&self, injection: Injection) -> bool {
        self.plan.iter().any(|planned| planned.injection == injection)
    }

    /// The subject was spawned.
    #[inline]
    pub(super) fn watch(&self, core: &Core, subject: TaskId) {
        self.subject.set(subject);
        let first = self.plan.first().filter(|first| first.moment == Moment::BeforeFirstPoll);
        if let (Some(_), Some(task)) = (first, core.find(subject)) {
            self.fire(core, &task);
        }
    }

    #[inline]
    fn count_poll(&self) {
        self.polls.set(self.polls.get() + 1);
        assert!(self.polls.get() < POLLS, "the run did not end after {POLLS} polls");
        self.tries.set(0);
    }

    /// Injects now if the plan says so.
    #[inline]
    fn fire_at(&self, core: &Core, task: &TaskRef, moment: Moment) {
        let next = self.plan.get(self.fired.get());
        let suspensions = self.trace.borrow().len();
        if next.is_some_and(|next| next.moment == moment && next.suspension == suspensions) {
            self.fire(core, task);
        }
    }

    #[inline]
    fn fire(&self, core: &Core, task: &TaskRef) {
        let injection = self.plan[self.fired.get()].injection;
        self.fired.set(self.fired.get() + 1);
        match injection {
            Injection::Cancel => core.request(task, CancelReason::Requested { by: None }),
            Injection::Abort => core.abort(task),
            // The outermost scope of the subject is the timeout around it. Before the first poll
            // there is none: the timeout has a limit of zero then.
            Injection::Timeout => core.cancel_scope(task.attached().1, CancelReason::Timeout),
            Injection::GroupFailed => {
                let group = self.group.borrow().clone();
                if let Some(group) = group {
                    group.failing.set(true);
                    group.cancel_after_failure(core);
                }
            }
            Injection::ShutDown => core.begin_shutdown(),
        }
    }
}

impl Probe for Injector {
    #[inline]
    fn before_poll(&self, core: &Core) {
        if self.fired.get() < self.plan.len() {
            let task = core.find(self.subject.get());
            if let Some(task) = task.filter(|task| task.flags.any(Flags::QUEUED)) {
                self.fire_at(core, &task, Moment::Woken);
            }
        }
    }

    #[inline]
    fn after_poll(&self, core: &Core, task: &TaskRef, ended: bool) {
        self.count_poll();
        if task.id() == self.subject.get() && !ended {
            let suspension = Suspension::of(core, task, self.polls.get());
            self.trace.borrow_mut().push(suspension);
            self.fire_at(core, task, Moment::Parked);
        }
    }

    #[inline]
    fn after_panic(&self, _core: &Core, _task: &TaskRef) {
        self.count_poll();
    }

    #[inline]
    fn surveys(&self, task: &TaskRef) -> bool {
        self.survey && task.id() == self.subject.get()
    }

    #[inline]
    fn tries(&self, kind: &'static str, site: &'static Location<'static>) -> bool {
        self.tries.set(self.tries.get() + 1);
        let mut tried = self.tried.borrow_mut();
        if !tried.contains(&(kind, site)) {
            tried.push((kind, site));
        }
        self.tries.get() < TRIES
    }
}
