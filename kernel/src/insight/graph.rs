//! Which task waits for what.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;
use std::time::Instant;

use crate::id::TaskId;
use crate::insight::info::TaskList;
use crate::insight::snapshot::{ScopeId, Snapshot, TaskDetails};
use crate::insight::text::{Id, Named, escaped};
use crate::parts::reactor::Direction;

/// How a graph begins in the language of Graphviz.
const DOT: &str = "digraph waits {\n  rankdir=LR;\n  node [shape=box];\n";

/// The wait of one parked leaf, or of a task that is parked in no leaf of Curium's.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Edge {
    /// The task that waits.
    pub from: TaskId,
    /// The kind of leaf, as in `JOIN`.
    pub kind: &'static str,
    /// The file and line of the leaf; None if the task is in no leaf of Curium's.
    pub site: Option<&'static Location<'static>>,
    /// What it waits for.
    pub on: WaitsFor,
    /// The earliest deadline around the leaf, at which the wait ends.
    pub deadline: Option<Instant>,
}

/// What a leaf waits for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WaitsFor {
    /// For the end of a task.
    Task(TaskId),
    /// For members of a group, or of a borrowing scope.
    Group {
        /// The group.
        scope: ScopeId,
        /// Its members that have not ended.
        members: Vec<TaskId>,
    },
    /// For one of the tasks that hold a lock or permits.
    Holders {
        /// The number of the lock or semaphore.
        object: u64,
        /// The tasks that hold it.
        tasks: Vec<TaskId>,
        /// Those of them that have ended. What they held was moved, or is never released.
        ended: Vec<TaskId>,
        /// Where its one holder waited for it, if it was handed over to that wait and the wait was
        /// not polled since. Until then, no guard exists.
        untaken: Option<&'static Location<'static>>,
    },
    /// For room in a queue.
    Room {
        /// The number of the queue of those that wait for room.
        object: u64,
        /// The task that waited for an item last. Others may read as well.
        reader: TaskId,
        /// Whether that task has ended.
        has_ended: bool,
    },
    /// For a waker that is not Curium's to be woken.
    Waker {
        /// The number of clones of the waker that exist.
        clones: usize,
    },
    /// For a time.
    Time(Instant),
    /// For a source to become ready.
    Io(Direction),
    /// For a thread.
    Thread,
    /// For something of which the kernel knows no task that would provide it.
    Unknown {
        /// The number of the object, 0 if it has none.
        object: u64,
    },
}

/// Which task waits for what, at one moment.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WaitGraph {
    /// One edge for each parked leaf.
    pub edges: Vec<Edge>,
    pub(crate) snapshot: Snapshot,
}

impl WaitGraph {
    pub(crate) fn from(snapshot: Snapshot) -> Self {
        WaitGraph { edges: snapshot.edges.clone(), snapshot }
    }

    /// The snapshot from which it was made.
    #[doc(hidden)]
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Leaves out the verdicts, because a task has run between the parts of the snapshot.
    #[doc(hidden)]
    pub fn refute(&mut self) {
        self.snapshot.refuted = true;
    }

    /// The edges from task to task and the verdicts, each list cut with a count, for a message.
    pub(crate) fn between_tasks(&self) -> String {
        let tasks = self.snapshot.by_id();
        let edges = self.edges.iter().filter(|edge| !edge.on.tasks().is_empty());
        let edges: Vec<String> = edges
            .filter_map(|edge| Some(self.line(tasks.get(&edge.from)?, edge, &tasks)))
            .collect();
        let circles = self.verdicts().into_iter().filter(|it| !it.tasks().is_empty());
        let circles: Vec<String> = circles.map(|verdict| verdict.to_string()).collect();
        let mut text = String::new();
        for (head, lines) in [("the waits for other tasks", edges), ("the verdicts", circles)] {
            if !lines.is_empty() {
                text += &format!("\n{head}:{}", TaskList(&lines));
            }
        }
        text
    }

    fn line(
        &self,
        from: &TaskDetails,
        edge: &Edge,
        tasks: &HashMap<TaskId, &TaskDetails>,
    ) -> String {
        let site = edge.site.map(|site| format!(" at {site}")).unwrap_or_default();
        let target = edge.target(&self.snapshot, tasks);
        format!("{} {}{site} -> {target}", self.named(from), escaped(edge.kind))
    }

    fn named<'a>(&self, task: &'a TaskDetails) -> Named<'a> {
        Named(self.snapshot.core, task)
    }

    /// The graph in the language of Graphviz.
    pub fn dot(&self) -> String {
        format!("{DOT}{}}}\n", self.dot_lines())
    }

    /// The graphs of several cores as one.
    #[doc(hidden)]
    pub fn dot_of<'a>(graphs: impl IntoIterator<Item = &'a WaitGraph>) -> String {
        let lines: String = graphs.into_iter().map(WaitGraph::dot_lines).collect();
        format!("{DOT}{lines}}}\n")
    }

    fn dot_lines(&self) -> String {
        let (mut dot, core) = (String::new(), self.snapshot.core);
        for task in &self.snapshot.tasks {
            let label = escaped(&task.info.name).replace('\\', "\\\\").replace('"', "\\\"");
            let id = Id { core, task: task.info.id };
            dot += &format!("  \"{id}\" [label=\"{id} {label}\"];\n");
        }
        for edge in &self.edges {
            let from = Id { core, task: edge.from };
            let kind = escaped(edge.kind).replace('\\', "\\\\");
            let label = match edge.site {
                Some(site) => format!("{kind}\\n{}", escaped(&site.to_string())),
                None => kind,
            };
            for task in edge.on.tasks() {
                let to = Id { core, task: *task };
                dot += &format!("  \"{from}\" -> \"{to}\" [label=\"{label}\"];\n");
            }
        }
        dot
    }
}

impl WaitsFor {
    /// The tasks that it waits for, if the kernel knows them.
    pub fn tasks(&self) -> &[TaskId] {
        match self {
            WaitsFor::Task(task) => std::slice::from_ref(task),
            WaitsFor::Group { members: tasks, .. } | WaitsFor::Holders { tasks, .. } => tasks,
            _ => &[],
        }
    }
}

/// One line for each edge.
impl fmt::Display for WaitGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.snapshot.by_id();
        for edge in &self.edges {
            let Some(from) = tasks.get(&edge.from) else { continue };
            writeln!(f, "{}", self.line(from, edge, &tasks))?;
        }
        Ok(())
    }
}
