//! Which verdicts follow from the waits in a snapshot.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::id::TaskId;
use crate::insight::graph::{Edge, WaitGraph, WaitsFor};
use crate::insight::info::TaskState;
use crate::insight::parts::{LOCKS, UNPOLLED};
use crate::insight::snapshot::{ScopeId, ScopeInfo, Snapshot, TaskDetails};
use crate::insight::verdict::{Verdict, Waiting};

/// How long a task must be parked to hold up a shutdown.
const SECOND: Duration = Duration::from_secs(1);

impl WaitGraph {
    /// What is certain of these waits, the worst first.
    ///
    /// Of a graph that was not taken at one moment (by the monitor), it is a conjecture until the
    /// kernel has confirmed it.
    pub fn verdicts(&self) -> Vec<Verdict> {
        if self.snapshot.refuted {
            return Vec::new();
        }
        let mut judge = Judge::new(&self.snapshot);
        judge.find_stuck();
        let mut verdicts = judge.cycles();
        verdicts.extend(judge.orphans());
        verdicts.extend(judge.all_stuck());
        verdicts.extend(judge.holders_up());
        verdicts
    }

    /// The tasks whose waits cannot end, each with the number of its polls. As long as none of them
    /// is polled again, the verdicts hold.
    #[doc(hidden)]
    pub fn evidence(&self) -> Vec<(TaskId, u64)> {
        let mut judge = Judge::new(&self.snapshot);
        if judge.all_stuck().is_some() {
            let all = self.snapshot.tasks.iter();
            return all.map(|task| (task.info.id, task.info.cycles)).collect();
        }
        judge.find_stuck();
        let orphans = judge.snapshot.tasks.iter().filter(|task| judge.is_orphan(task));
        let orphans = orphans.map(|task| task.info.id);
        let all = judge.stuck.iter().copied().chain(orphans);
        all.map(|id| (id, judge.tasks[&id].info.cycles)).collect()
    }
}

/// Finds out which tasks cannot go on.
struct Judge<'a> {
    snapshot: &'a Snapshot,
    tasks: HashMap<TaskId, &'a TaskDetails>,
    scopes: HashMap<ScopeId, &'a ScopeInfo>,
    edges: HashMap<TaskId, Vec<&'a Edge>>,
    /// The tasks that wait for each other, and for nothing else.
    stuck: HashSet<TaskId>,
}

impl<'a> Judge<'a> {
    fn new(snapshot: &'a Snapshot) -> Self {
        let mut edges: HashMap<TaskId, Vec<&Edge>> = HashMap::new();
        for edge in &snapshot.edges {
            edges.entry(edge.from).or_default().push(edge);
        }
        let scopes = snapshot.scopes.iter().map(|scope| (scope.id, scope)).collect();
        Judge { snapshot, tasks: snapshot.by_id(), scopes, edges, stuck: HashSet::new() }
    }

    fn edges_of(&self, task: TaskId) -> &[&'a Edge] {
        self.edges.get(&task).map_or(&[], |edges| edges)
    }

    /// Whether all tasks are known that can end the wait.
    fn is_known(&self, edge: &Edge) -> bool {
        let complete = match &edge.on {
            WaitsFor::Group { scope, members } => self.scopes.get(scope).is_some_and(|scope| {
                // A new member may be the one that these wait for.
                let for_one = scope.policy != "All" && edge.kind != "GROUP_END";
                scope.alive == members.len() && !for_one && edge.kind != "NEXT_DONE"
            }),
            WaitsFor::Holders { .. } => LOCKS.contains(&edge.kind),
            _ => true,
        };
        complete && !edge.on.tasks().is_empty()
    }

    /// Whether only what the edges of a task show can wake it, apart from a cancellation.
    fn is_closed(&self, task: &TaskDetails) -> bool {
        // A task that is ready is not woken, only polled.
        self.edges_of(task.info.id).iter().any(|edge| edge.kind == UNPOLLED)
            || !task.waker_is_out
                && !task.unrecorded
                && !task.seated
                && task.wakes_at.is_none()
                && matches!(task.info.state, TaskState::Parked(_) | TaskState::Foreign)
                && !self.is_bounded(task)
    }

    /// Whether a deadline around the task, or around the group that it is in, ends its wait.
    fn is_bounded(&self, task: &TaskDetails) -> bool {
        let ends = |task: &TaskDetails| {
            task.timeouts.iter().any(|timeout| !timeout.cancelled && timeout.deadline.is_some())
                || task.shields.iter().any(|shield| !shield.over && shield.until.is_some())
        };
        let (mut at, mut seen) = (task, HashSet::new());
        loop {
            if ends(at) {
                return true;
            }
            let scope = at.scope.and_then(|scope| self.scopes.get(&scope));
            let Some(scope) = scope.filter(|scope| seen.insert(scope.id)) else { return false };
            if scope.in_grace {
                return true;
            }
            match scope.owner.and_then(|owner| self.tasks.get(&owner)) {
                Some(owner) => at = owner,
                // In a part of a kernel nothing is known of an owner that was left out.
                None => return self.snapshot.filtered,
            }
        }
    }

    /// Finds the greatest set of tasks of which each waits in all its leaves for tasks of the set.
    fn find_stuck(&mut self) {
        let waits = |task: &&TaskDetails| {
            let edges = self.edges_of(task.info.id);
            !edges.is_empty() && edges.iter().all(|edge| self.is_known(edge))
        };
        let closed = |task: &&TaskDetails| self.is_closed(task);
        let all = self.snapshot.tasks.iter();
        let mut stuck: HashSet<TaskId> =
            all.filter(waits).filter(closed).map(|task| task.info.id).collect();
        let mut waiters: HashMap<TaskId, Vec<TaskId>> = HashMap::new();
        let mut free = Vec::new();
        for task in &stuck {
            for on in self.edges_of(*task).iter().flat_map(|edge| edge.on.tasks()) {
                waiters.entry(*on).or_default().push(*task);
                if !stuck.contains(on) {
                    free.push(*task);
                }
            }
        }
        while let Some(task) = free.pop() {
            if stuck.remove(&task) {
                free.extend(waiters.remove(&task).unwrap_or_default());
            }
        }
        self.stuck = stuck;
    }

    /// The first of the tasks that a stuck task waits for, and the wait. The wait that was handed
    /// a lock may have left its record; then it is another.
    fn step(&self, task: TaskId) -> (&'a Edge, TaskId) {
        let edges = self.edges_of(task);
        let has_all = |edge: &&&Edge| match &edge.on {
            WaitsFor::Holders { tasks, untaken, .. } => *tasks == [task] && edge.site == *untaken,
            _ => false,
        };
        let edge = edges.iter().find(|edge| !has_all(edge)).unwrap_or(&edges[0]);
        (edge, edge.on.tasks()[0])
    }

    /// Every stuck task leads into one circle.
    fn cycles(&self) -> Vec<Verdict> {
        let mut circle_of: HashMap<TaskId, usize> = HashMap::new();
        let mut circles: Vec<(Vec<Waiting>, usize)> = Vec::new();
        // In the order of spawning, so that equal programs give equal verdicts.
        for task in &self.snapshot.tasks {
            let mut at = task.info.id;
            if !self.stuck.contains(&at) {
                continue;
            }
            let (mut path, mut place) = (Vec::new(), HashMap::new());
            while !circle_of.contains_key(&at) && !place.contains_key(&at) {
                place.insert(at, path.len());
                path.push(at);
                at = self.step(at).1;
            }
            let circle = match circle_of.get(&at) {
                Some(circle) => *circle,
                None => {
                    let waits = path[place[&at]..].iter().map(|id| self.waiting(*id)).collect();
                    circles.push((waits, 0));
                    circles.len() - 1
                }
            };
            circles[circle].1 += path.len();
            circle_of.extend(path.into_iter().map(|id| (id, circle)));
        }
        // A task that is stuck as well gives no guard away. The code around a guest may.
        let others = self.snapshot.filtered
            || self.snapshot.is_guest
            || self.stuck.len() < self.snapshot.tasks.len();
        let verdict = |(mut waits, all): (Vec<Waiting>, usize)| {
            let behind = all - waits.len();
            let unless_moved = others && self.leads_through_values(waits[0].task);
            let on = &self.step(waits[0].task).0.on;
            match (&waits[..], on) {
                ([_], WaitsFor::Holders { object, untaken: Some(granted), .. }) => {
                    let (wait, object, granted) = (waits.remove(0), *object, *granted);
                    Verdict::Futurelock { wait, object, granted, behind, unless_moved }
                }
                _ => Verdict::Cycle { waits, behind, unless_moved },
            }
        };
        circles.into_iter().map(verdict).collect()
    }

    /// Whether a stuck task waits, itself or through others, for the holders of an object, or for
    /// the poll of a scope. A guard and a scope are values that can be moved to another task.
    fn leads_through_values(&self, task: TaskId) -> bool {
        let (mut seen, mut next) = (HashSet::from([task]), vec![task]);
        while let Some(task) = next.pop() {
            for edge in self.edges_of(task) {
                if matches!(edge.on, WaitsFor::Holders { .. }) || edge.kind == UNPOLLED {
                    return true;
                }
                next.extend(edge.on.tasks().iter().filter(|task| seen.insert(**task)));
            }
        }
        false
    }

    fn waiting(&self, task: TaskId) -> Waiting {
        let edge = match self.stuck.contains(&task) {
            true => Some(self.step(task).0),
            false => self.edges_of(task).first().copied(),
        };
        Waiting {
            task,
            core: self.snapshot.core,
            name: self.tasks.get(&task).map(|task| task.info.name.clone()).unwrap_or_default(),
            kind: edge.map_or("FOREIGN", |edge| edge.kind),
            site: edge.and_then(|edge| edge.site),
            unpolled: edge.and_then(|edge| match &edge.on {
                WaitsFor::Holders { untaken, .. } => *untaken,
                _ => None,
            }),
        }
    }

    fn is_orphan(&self, task: &TaskDetails) -> bool {
        let foreign = |edge: &&Edge| matches!(edge.on, WaitsFor::Waker { clones: 0 });
        let edges = self.edges_of(task.info.id);
        !edges.is_empty()
            && edges.iter().all(foreign)
            && !self.snapshot.posts
            && self.is_closed(task)
            && !self.snapshot.scopes.iter().any(|it| it.hosts && it.owner == Some(task.info.id))
    }

    fn orphans(&self) -> impl Iterator<Item = Verdict> {
        let orphans = self.snapshot.tasks.iter().filter(|task| self.is_orphan(task));
        orphans.map(|task| Verdict::Orphan(self.waiting(task.info.id)))
    }

    fn all_stuck(&self) -> Option<Verdict> {
        let tasks = &self.snapshot.tasks;
        let runs =
            |task: &TaskDetails| matches!(task.info.state, TaskState::Ready | TaskState::Running);
        let stuck = self.snapshot.nothing_comes && !tasks.iter().any(runs);
        let wakers = tasks.iter().filter(|task| task.waker_is_out).count();
        (stuck && !tasks.is_empty()).then_some(Verdict::AllStuck { tasks: tasks.len(), wakers })
    }

    /// The tasks that the shutdown waits for, and that wait for no other.
    fn holders_up(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for task in self.snapshot.tasks.iter().filter(|_| self.snapshot.shutting_down) {
            let id = task.info.id;
            let waits = self.edges_of(id).iter().any(|edge| !edge.on.tasks().is_empty());
            let parked_for = task.info.waiting.unwrap_or_default();
            if waits || parked_for < SECOND {
                continue;
            }
            verdicts.push(Verdict::HoldsUpShutdown {
                wait: self.waiting(id),
                parked_for,
                shielded: task.shields.iter().any(|shield| !shield.over),
                delivered: task.is_cleaning_up(),
            });
        }
        verdicts
    }
}
