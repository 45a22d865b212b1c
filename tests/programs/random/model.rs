//! The model of tasks and groups: which are alive, which are cancelled, and how each ended.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::rc::Rc;

use kernel::{Task, TaskCancelled, TaskEnd, TaskId, WaitPolicy};

use super::budget::{Queued, Woken};
use super::echo::Verdict;
use super::held::{Emptied, Holds};
use super::program::Ms;
use super::scope::Scope;

/// The error of every task and group.
pub(crate) type Fault = Box<dyn Error + Send + Sync>;

/// A failure that the program planned.
#[derive(Debug)]
pub(crate) struct Planned(pub(crate) usize);

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "planned failure {}", self.0)
    }
}

impl Error for Planned {}

/// The payload of the panic that the program planned.
pub(crate) struct PlannedPanic;

/// An error that a member of a group ended in, or the body of one (then `task` is none).
#[derive(Debug)]
pub(crate) struct Tagged {
    pub(crate) task: Option<usize>,
    pub(crate) group: usize,
    source: Fault,
}

impl Tagged {
    pub(crate) fn wrap(task: Option<usize>, group: usize, source: Fault) -> Fault {
        Box::new(Tagged { task, group, source })
    }
}

impl fmt::Display for Tagged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "t{task}: {}", self.source),
            None => write!(f, "the body of group {}: {}", self.group, self.source),
        }
    }
}

impl Error for Tagged {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

/// An error that the kernel cannot look into.
#[derive(Debug)]
pub(crate) struct Opaque(pub(crate) Fault);

impl From<TaskCancelled> for Opaque {
    fn from(cancelled: TaskCancelled) -> Self {
        Opaque(Box::new(cancelled))
    }
}

/// An error that the kernel cannot look into, and that does not keep a cancellation.
#[derive(Debug)]
pub(crate) enum Bare {
    Cancelled,
    Failed(Fault),
}

impl Bare {
    pub(crate) fn of(error: Fault) -> Self {
        if error.is::<Emptied>() { Bare::Cancelled } else { Bare::Failed(error) }
    }

    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Bare::Cancelled => Box::new(Emptied),
            Bare::Failed(error) => error,
        }
    }
}

impl From<TaskCancelled> for Bare {
    fn from(_: TaskCancelled) -> Self {
        Bare::Cancelled
    }
}

/// How certain the model is of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sure {
    No,
    Maybe,
    Yes,
}

/// How the future of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Ok,
    Error,
    Panicked,
    Dropped,
}

pub(crate) struct TaskModel {
    pub(crate) number: usize,
    pub(crate) parent: Option<Rc<TaskModel>>,
    pub(crate) group: Option<Rc<GroupModel>>,
    pub(crate) daemon: bool,
    pub(crate) live: Cell<bool>,
    /// The number of the event at which its request to cancel was seen; 0 if there is none.
    pub(crate) cancelled_at: Cell<u64>,
    /// A step of the program made the first request.
    pub(crate) requested: Cell<bool>,
    pub(crate) ended: Cell<Option<Ended>>,
    pub(crate) ended_at: Cell<u64>,
    /// If it ended in an error, what that was.
    pub(crate) verdict: Cell<Verdict>,
    /// How many tasks are parked in its `join`.
    pub(crate) joining: Cell<usize>,
    /// No task was parked in its `join` when it ended, so its failure goes to its group.
    pub(crate) to_group: Cell<bool>,
    /// A task has taken its outcome.
    pub(crate) taken: Cell<bool>,
    pub(crate) polls: Cell<u64>,
    /// In this poll one of its leaves has requested the next one.
    pub(crate) goes_again: Cell<bool>,
    /// A request for the next poll in this one may find the wake of a combinator used up.
    pub(crate) out_woken: Cell<bool>,
    /// Set while it is certainly in the ready queue, and since when.
    pub(crate) queued: RefCell<Option<Queued>>,
    /// Another thread has woken it, and it has not had its turn.
    pub(crate) woken: Cell<Option<Woken>>,
    pub(crate) root: RefCell<Option<Rc<Scope>>>,
    pub(crate) handle: RefCell<Option<Rc<Task<usize, Fault>>>>,
    pub(crate) id: Cell<Option<TaskId>>,
}

impl TaskModel {
    pub(crate) fn new(
        number: usize,
        parent: Option<Rc<TaskModel>>,
        group: Option<Rc<GroupModel>>,
        daemon: bool,
    ) -> Rc<Self> {
        Rc::new(TaskModel {
            number,
            parent,
            group,
            daemon,
            live: Cell::new(true),
            cancelled_at: Cell::new(0),
            requested: Cell::new(false),
            ended: Cell::new(None),
            ended_at: Cell::new(0),
            verdict: Cell::new(Verdict::Unknown),
            joining: Cell::new(0),
            to_group: Cell::new(false),
            taken: Cell::new(false),
            polls: Cell::new(0),
            goes_again: Cell::new(false),
            out_woken: Cell::new(false),
            queued: RefCell::default(),
            woken: Cell::new(None),
            root: RefCell::default(),
            handle: RefCell::default(),
            id: Cell::new(None),
        })
    }

    pub(crate) fn root(&self) -> Rc<Scope> {
        self.root.borrow().clone().expect("a task has its scope from the start")
    }

    /// The end that the kernel must show, or one of two where the model is uncertain (C6).
    pub(crate) fn allows(&self, end: TaskEnd) -> bool {
        let root = self.root();
        match self.ended.get() {
            None => false,
            Some(Ended::Ok) => end == TaskEnd::Ok,
            Some(Ended::Panicked) => end == TaskEnd::Panicked,
            Some(Ended::Dropped) => end == TaskEnd::Aborted,
            Some(Ended::Error) if root.unsure.get() => {
                matches!(end, TaskEnd::Failed | TaskEnd::Cancelled)
            }
            Some(Ended::Error) if root.is_delivered() => end == TaskEnd::Cancelled,
            Some(Ended::Error) => end == TaskEnd::Failed,
        }
    }

    pub(crate) fn name(&self) -> String {
        format!("t{}", self.number)
    }
}

/// The state of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Body,
    /// The body has ended, with `Ok` or with an error.
    Leaving(bool),
    Left,
    /// Its future was dropped.
    Dropped,
}

/// The error of a group's body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnError {
    pub(crate) verdict: Verdict,
    pub(crate) holds: Holds,
    /// Whether it passes on a cancellation of the owner, if known.
    pub(crate) of_owner: Option<bool>,
}

pub(crate) struct GroupModel {
    pub(crate) number: usize,
    pub(crate) wait: WaitPolicy,
    pub(crate) owner: Rc<TaskModel>,
    /// The scope around the group.
    pub(crate) around: Rc<Scope>,
    /// What the error of its body was.
    pub(crate) body: Cell<Option<OwnError>>,
    /// Made by `new`: it has no scope of its own, and supports `next_done`.
    pub(crate) own: bool,
    pub(crate) members: RefCell<Vec<Rc<TaskModel>>>,
    pub(crate) stage: Cell<Stage>,
    /// When the body ended.
    pub(crate) leaving: Cell<(u64, Ms)>,
    /// A member has failed to the group.
    pub(crate) failing: Cell<Sure>,
    pub(crate) failed_at: Cell<u64>,
    /// A cancellation of the owner was due while it waited for the members: which one the wait may
    /// have taken, and when.
    pub(crate) lost: RefCell<Vec<(Rc<Scope>, u64)>>,
    pub(crate) lost_at: Cell<(u64, Ms)>,
    /// It has parked in the wait for its members.
    pub(crate) waited: Cell<bool>,
}

impl GroupModel {
    pub(crate) fn new(
        number: usize,
        wait: WaitPolicy,
        owner: Rc<TaskModel>,
        around: Rc<Scope>,
        own: bool,
    ) -> Rc<Self> {
        Rc::new(GroupModel {
            number,
            wait,
            owner,
            around,
            body: Cell::new(None),
            own,
            members: RefCell::default(),
            stage: Cell::new(Stage::Body),
            leaving: Cell::new((0, 0)),
            failing: Cell::new(Sure::No),
            failed_at: Cell::new(0),
            lost: RefCell::default(),
            lost_at: Cell::new((0, 0)),
            waited: Cell::new(false),
        })
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.stage.get(), Stage::Body | Stage::Leaving(_))
    }

    pub(crate) fn living(&self) -> Vec<Rc<TaskModel>> {
        self.members.borrow().iter().filter(|member| member.live.get()).cloned().collect()
    }

    /// Whether members may be cancelled because the group has ended (G5).
    pub(crate) fn may_end(&self, now: Ms) -> bool {
        if self.stage.get() != Stage::Leaving(true) {
            return self.stage.get() != Stage::Body;
        }
        let members = self.members.borrow();
        let vague = self.around.all().iter().any(|scope| scope.may_be_cancelled(now))
            || members.iter().any(|member| member.daemon);
        if vague || self.lost_at.get().0 != 0 || self.failing.get() != Sure::No {
            return true;
        }
        match self.wait {
            WaitPolicy::All => false,
            WaitPolicy::Any => members.iter().any(|member| !member.live.get()),
            WaitPolicy::FirstOk => {
                members.iter().any(|member| member.ended.get() == Some(Ended::Ok))
            }
            WaitPolicy::None => true,
        }
    }

    /// A member has ended: does its failure cancel the group (G2)?
    pub(crate) fn member_ended(&self, member: &TaskModel, how: Ended, seq: u64) {
        let root = member.root();
        let failed = match how {
            Ended::Panicked => true,
            Ended::Error => root.unsure.get() || !root.is_delivered(),
            Ended::Ok | Ended::Dropped => false,
        };
        // The failure of a member that is being joined goes to its joiner.
        let to_group = !member.daemon && member.joining.get() == 0;
        if !failed || !to_group || self.failing.get() == Sure::Yes {
            return;
        }
        let open = matches!(self.stage.get(), Stage::Body);
        let sure = open
            && !self.own
            && self.wait != WaitPolicy::FirstOk
            && !(how == Ended::Error && root.unsure.get());
        self.failing.set(if sure { Sure::Yes } else { Sure::Maybe });
        self.failed_at.set(seq);
    }
}
