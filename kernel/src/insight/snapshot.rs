//! The data of a snapshot.

use std::collections::HashMap;
use std::panic::Location;
use std::time::Instant;

use crate::error::CancelReason;
pub use crate::id::GroupId as ScopeId;
use crate::id::TaskId;
use crate::insight::graph::{Edge, WaitGraph};
use crate::insight::info::TaskInfo;

/// A kernel at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Snapshot {
    /// The number of the kernel in this process.
    pub kernel: u32,
    /// The number of its core, if it is one of `kernels`. Then texts name a task
    /// with its core in front: `#1:42` is the task `#42` of core 1.
    pub core: Option<usize>,
    /// The time when the snapshot was begun, on the kernel's clock.
    pub taken_at: Instant,
    /// The number of times that the run loop has checked its sources of wake-ups.
    pub turn: u64,
    /// The number of tasks that are queued to be polled.
    pub ready: usize,
    /// Whether the kernel is shutting down.
    pub shutting_down: bool,
    /// The tasks that have not ended, in order of spawning. The children of borrowing scopes are
    /// among them.
    pub tasks: Vec<TaskDetails>,
    /// The groups and borrowing scopes that are open.
    pub scopes: Vec<ScopeInfo>,
    /// The number of jobs on other threads for which a task waits.
    pub jobs: usize,
    /// Threads that run on although no task waits for them.
    pub threads: Vec<ThreadInfo>,
    /// What each parked leaf waits for.
    pub edges: Vec<Edge>,
    /// The number of armed timers.
    pub timers: usize,
    /// The number of leaves and poll functions that wait for sources.
    pub sources: usize,
    /// It has only tasks that can be in a verdict.
    pub(crate) filtered: bool,
    /// Messages of other threads had not been handled.
    pub(crate) posts: bool,
    /// Code of the program runs between the turns of the kernel.
    pub(crate) is_guest: bool,
    /// No timer, source, job, handle or message can make a task ready.
    pub(crate) nothing_comes: bool,
    /// The kernel has not confirmed its verdicts.
    pub(crate) refuted: bool,
}

impl Snapshot {
    /// The task with that id.
    pub fn task(&self, id: TaskId) -> Option<&TaskDetails> {
        self.tasks.iter().find(|task| task.info.id == id)
    }

    /// The group or borrowing scope with that id.
    pub fn scope(&self, id: ScopeId) -> Option<&ScopeInfo> {
        self.scopes.iter().find(|scope| scope.id == id)
    }

    /// The graph of the waits.
    pub fn wait_graph(&self) -> WaitGraph {
        WaitGraph::from(self.clone())
    }

    /// The graph of the waits, which keeps the snapshot.
    #[doc(hidden)]
    pub fn into_wait_graph(self) -> WaitGraph {
        WaitGraph::from(self)
    }

    pub(crate) fn by_id(&self) -> HashMap<TaskId, &TaskDetails> {
        self.tasks.iter().map(|task| (task.info.id, task)).collect()
    }
}

/// A task in a snapshot.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TaskDetails {
    /// Its id, parent, name and state, and the leaves that it is parked in.
    pub info: TaskInfo,
    /// The file and line of the call that spawned it, if it is known.
    pub spawned_at: Option<&'static Location<'static>>,
    /// The group or borrowing scope of which it is a member.
    pub scope: Option<ScopeId>,
    /// Whether it is a daemon of its group.
    pub daemon: bool,
    /// Whether it is a child of a borrowing scope, so that another task polls it.
    pub hosted: bool,
    /// Whether a clone of its waker exists outside the kernel.
    pub waker_is_out: bool,
    /// When the first timer that wakes it is due: of a `sleep`, or of a timeout.
    pub wakes_at: Option<Instant>,
    /// The timeouts and cancel scopes around its leaves.
    pub timeouts: Vec<TimeoutInfo>,
    /// The shields around its leaves.
    pub shields: Vec<ShieldInfo>,
    /// The request to cancel it, if there is one.
    pub cancel: Option<CancelInfo>,
    /// A poll function waits for a source in it.
    pub(crate) seated: bool,
    /// It may be in a wait queue without a leaf.
    pub(crate) unrecorded: bool,
}

impl TaskDetails {
    /// Whether a cancellation of the task was delivered. Unless the program has dropped it, the
    /// task cleans up.
    pub fn is_cleaning_up(&self) -> bool {
        self.cancel.as_ref().is_some_and(|cancel| cancel.delivered)
    }
}

/// A timeout or a cancel scope.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct TimeoutInfo {
    /// When it ends. None for a scope without a deadline.
    pub deadline: Option<Instant>,
    /// The file and line of the call that made it, if it is known.
    pub site: Option<&'static Location<'static>>,
    /// Whether it has expired or was cancelled.
    pub cancelled: bool,
}

/// A shield.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct ShieldInfo {
    /// When it ends, if it has a limit.
    pub until: Option<Instant>,
    /// Whether its time is over, so that it holds back nothing.
    pub over: bool,
}

/// The request to cancel a task.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct CancelInfo {
    /// Why.
    pub reason: CancelReason,
    /// When it was requested, if that is known.
    pub since: Option<Instant>,
    /// Whether it was delivered, so that the task cleans up.
    pub delivered: bool,
    /// The file and line of the leaf to which it was delivered.
    pub delivered_at: Option<&'static Location<'static>>,
}

/// A group, or a scope whose children may borrow.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ScopeInfo {
    /// Its id.
    pub id: ScopeId,
    /// The task in which its body runs, or which has opened it. That task may have ended since.
    pub owner: Option<TaskId>,
    /// The file and line of the call that opened it.
    pub site: Option<&'static Location<'static>>,
    /// The name of its `WaitPolicy`.
    pub policy: &'static str,
    /// Why its members were cancelled, if they were.
    pub cancelled: Option<CancelReason>,
    /// Whether the owner polls its members: a borrowing scope, or a combinator such as `gather`.
    pub hosts: bool,
    /// Its members that have not ended, in order of spawning.
    pub members: Vec<TaskId>,
    /// The tasks that wait for its members.
    pub waiting: Vec<TaskId>,
    /// A grace is running, after which its members are aborted.
    pub in_grace: bool,
    /// The number of its members that have not ended.
    pub(crate) alive: usize,
    /// The task that polls its members, if that was woken for one that is ready.
    pub(crate) left_by: Option<TaskId>,
}

/// A thread that runs on although no task waits for it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ThreadInfo {
    /// The name of the task, or of the pool.
    pub name: String,
    /// The file and line of the call that started the work on the thread.
    pub site: &'static Location<'static>,
    /// When it was abandoned.
    pub since: Instant,
}
