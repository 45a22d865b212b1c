//! A snapshot as it is copied from a kernel, and how the copies are put together.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use crate::id::{GroupId, TaskId};
use crate::insight::graph::{Edge, WaitsFor};
use crate::insight::info::TaskState;
use crate::insight::slice::Slice;
use crate::insight::snapshot::{ScopeInfo, Snapshot, TaskDetails, ThreadInfo};
use crate::parts::held::{Held, WaitedFor};
use crate::parts::reactor::Direction;

/// The kinds of leaves that wait for the end of a task.
pub(crate) const JOINS: [&str; 3] = ["JOIN", "WAIT", "CANCEL"];

/// The kinds of leaves that wait for members of a group.
pub(crate) const GROUPS: [&str; 3] = ["GROUP_WAIT", "GROUP_END", "NEXT_DONE"];

/// The kinds of leaves that wait until the holders of an object release it. A semaphore is not one:
/// any task may add permits. Nor is a wait to read: it may be behind one to write that gives up.
pub(crate) const LOCKS: [&str; 3] = ["LOCK_ACQUIRE", "RLOCK_ACQUIRE", "RWLOCK_WRITE"];

/// The kind of the wait of a task that is ready and that another task polls. That was polled since,
/// and has not polled it.
pub(crate) const UNPOLLED: &str = "UNPOLLED";

/// What was copied so far.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) kernel: u32,
    pub(crate) core: Option<usize>,
    pub(crate) taken_at: Instant,
    pub(crate) turn: u64,
    pub(crate) shutting_down: bool,
    pub(crate) jobs: usize,
    pub(crate) threads: Vec<ThreadInfo>,
    pub(crate) slices: Vec<Slice>,
    /// What was in the slices, once these are unpacked.
    pub(crate) tasks: Vec<RawTask>,
    pub(crate) scopes: Vec<ScopeInfo>,
    /// When timers wake tasks, in nanoseconds from `origin`.
    pub(crate) sleepers: Vec<(TaskId, u64)>,
    pub(crate) origin: Instant,
    /// The tasks that are parked on sources.
    pub(crate) seats: Vec<(TaskId, Direction)>,
    pub(crate) timers: usize,
    pub(crate) sources: usize,
    pub(crate) filtered: bool,
    pub(crate) posts: bool,
    /// Code of the program runs between the turns of the kernel.
    pub(crate) is_guest: bool,
    /// No handle exists, and no extension has an event.
    pub(crate) is_alone: bool,
}

/// What was copied of a task.
#[derive(Debug)]
pub(crate) struct RawTask {
    pub(crate) serial: u64,
    pub(crate) details: TaskDetails,
    /// The earliest deadline around each of its leaves, and what that waits for in a wait queue.
    pub(crate) waits: Vec<(Option<Instant>, WaitedFor)>,
    /// The tasks that wait for its end.
    pub(crate) joiners: Vec<TaskId>,
}

/// What the tasks wait for, by task.
struct Waits {
    /// For each scope with members that are ready, the task that has not polled them.
    left_by: HashMap<GroupId, TaskId>,
    joins: HashMap<TaskId, Vec<TaskId>>,
    scopes: HashMap<TaskId, Vec<(GroupId, Vec<TaskId>)>>,
    wakes: HashMap<TaskId, Instant>,
    seats: HashMap<TaskId, Direction>,
}

impl Raw {
    pub(crate) fn finish(mut self) -> Snapshot {
        for slice in std::mem::take(&mut self.slices) {
            slice.unpack(&mut self.tasks, &mut self.scopes);
        }
        self.tasks.sort_by_cached_key(|task| task.serial);
        self.add_members();
        let mut waits = self.waits();
        let mut edges = Vec::new();
        let mut tasks = Vec::with_capacity(self.tasks.len());
        for RawTask { mut details, waits: of_leaves, .. } in self.tasks {
            let id = details.info.id;
            details.wakes_at = waits.wakes.get(&id).copied();
            details.seated = waits.seats.contains_key(&id);
            if let (TaskState::Foreign, Some(seat)) = (details.info.state, waits.seats.get(&id)) {
                details.info.state = TaskState::Polling(*seat);
            }
            waits.add_edges(&details, &of_leaves, &mut edges);
            tasks.push(details);
        }
        Snapshot {
            kernel: self.kernel,
            core: self.core,
            taken_at: self.taken_at,
            turn: self.turn,
            ready: tasks.iter().filter(|task| task.info.state == TaskState::Ready).count(),
            shutting_down: self.shutting_down,
            tasks,
            scopes: self.scopes,
            jobs: self.jobs,
            threads: self.threads,
            edges,
            timers: self.timers,
            sources: self.sources,
            filtered: self.filtered,
            posts: self.posts,
            refuted: false,
            is_guest: self.is_guest,
            nothing_comes: self.is_alone
                && !self.is_guest
                && !self.filtered
                && !self.posts
                && self.timers + self.sources + self.jobs == 0,
        }
    }

    fn add_members(&mut self) {
        let mut members: HashMap<GroupId, Vec<TaskId>> = HashMap::new();
        for task in &self.tasks {
            if let Some(scope) = task.details.scope {
                members.entry(scope).or_default().push(task.details.info.id);
            }
        }
        for scope in &mut self.scopes {
            scope.members = members.remove(&scope.id).unwrap_or_default();
        }
    }

    fn waits(&mut self) -> Waits {
        let mut waits = Waits {
            joins: HashMap::new(),
            scopes: HashMap::new(),
            wakes: HashMap::new(),
            seats: self.seats.drain(..).collect(),
            left_by: HashMap::new(),
        };
        let runs = |state| matches!(state, TaskState::Ready | TaskState::Running);
        let running = self.tasks.iter().filter(|task| runs(task.details.info.state));
        let running: HashSet<TaskId> = running.map(|task| task.details.info.id).collect();
        for task in &mut self.tasks {
            for joiner in task.joiners.drain(..) {
                waits.joins.entry(joiner).or_default().push(task.details.info.id);
            }
        }
        for scope in &self.scopes {
            let left_by = scope.left_by.filter(|host| !running.contains(host));
            waits.left_by.extend(left_by.map(|host| (scope.id, host)));
            for waiting in &scope.waiting {
                let group = (scope.id, scope.members.clone());
                waits.scopes.entry(*waiting).or_default().push(group);
            }
        }
        for (task, at) in self.sleepers.drain(..) {
            let Some(at) = self.origin.checked_add(Duration::from_nanos(at)) else { continue };
            let first = waits.wakes.entry(task).or_insert(at);
            *first = at.min(*first);
        }
        waits
    }
}

impl Waits {
    /// Forgets the joins and groups of a task if they are not those of its leaves. A future that
    /// the task keeps and does not poll is still in the list that it waits in.
    fn drop_stale(&mut self, task: &TaskDetails) {
        let id = task.info.id;
        let leaves = |kinds: &[&str]| {
            task.info.parked.iter().filter(|leaf| kinds.contains(&leaf.kind)).count()
        };
        if self.joins.get(&id).is_some_and(|joins| joins.len() != leaves(&JOINS)) {
            self.joins.remove(&id);
        }
        if self.scopes.get(&id).is_some_and(|scopes| scopes.len() != leaves(&GROUPS)) {
            self.scopes.remove(&id);
        }
    }

    /// Adds an edge for each leaf of a parked task, in the order of the leaves.
    fn add_edges(
        &mut self,
        task: &TaskDetails,
        of_leaves: &[(Option<Instant>, WaitedFor)],
        edges: &mut Vec<Edge>,
    ) {
        self.drop_stale(task);
        let id = task.info.id;
        let edge = |kind, site, on, deadline| Edge { from: id, kind, site, on, deadline };
        for (leaf, (deadline, waited)) in task.info.parked.iter().zip(of_leaves) {
            let on = match waited {
                // What the task holds up itself is not waited for by the waker.
                waited if waited.is_foreign && !task.waker_is_out && !waited.is_had_by(id) => {
                    WaitsFor::Waker { clones: 0 }
                }
                waited => self.of_leaf(task, leaf.kind, waited),
            };
            edges.push(edge(leaf.kind, Some(leaf.site), on, *deadline));
        }
        if let (TaskState::Ready, true, Some(scope)) = (task.info.state, task.hosted, task.scope) {
            let host = self.left_by.get(&scope).map(|host| WaitsFor::Task(*host));
            edges.extend(host.map(|host| edge(UNPOLLED, None, host, None)));
        }
        if task.info.state.has_no_leaf() {
            let (kind, on) = match self.seats.get(&id) {
                Some(Direction::Read) => ("POLL_READ", WaitsFor::Io(Direction::Read)),
                Some(Direction::Write) => ("POLL_WRITE", WaitsFor::Io(Direction::Write)),
                None => ("FOREIGN", WaitsFor::Waker { clones: usize::from(task.waker_is_out) }),
            };
            edges.push(edge(kind, None, on, task.info.deadline));
        }
    }

    /// What a leaf of that kind waits for. Each join and each group is found once.
    fn of_leaf(&mut self, task: &TaskDetails, kind: &str, on: &WaitedFor) -> WaitsFor {
        let id = task.info.id;
        let joined = |joins: Option<&mut Vec<TaskId>>| joins.and_then(Vec::pop);
        match kind {
            kind if JOINS.contains(&kind) => match joined(self.joins.get_mut(&id)) {
                Some(other) => WaitsFor::Task(other),
                None => WaitsFor::Unknown { object: 0 },
            },
            kind if GROUPS.contains(&kind) => match self.scopes.get_mut(&id).and_then(Vec::pop) {
                Some((scope, members)) => WaitsFor::Group { scope, members },
                None => WaitsFor::Unknown { object: 0 },
            },
            "SLEEP" | "INTERVAL" => match self.wakes.get(&id) {
                Some(time) => WaitsFor::Time(*time),
                None => WaitsFor::Unknown { object: 0 },
            },
            "THREAD" | "THREAD_WAIT" => WaitsFor::Thread,
            "FOREIGN_WAIT" => WaitsFor::Waker { clones: usize::from(task.waker_is_out) },
            _ => match (&on.held, on.reader, self.seats.get(&id)) {
                (Some(held), ..) => {
                    let Held { tasks, ended, untaken } = held.clone();
                    WaitsFor::Holders { object: on.object, tasks, ended, untaken }
                }
                (None, Some((reader, has_ended)), _) => {
                    WaitsFor::Room { object: on.object, reader, has_ended }
                }
                (None, None, Some(direction)) if on.object == 0 => WaitsFor::Io(*direction),
                (None, None, _) => WaitsFor::Unknown { object: on.object },
            },
        }
    }
}
