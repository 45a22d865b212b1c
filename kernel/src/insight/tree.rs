//! A snapshot as a tree of tasks: below each task its groups, and below each group its members.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Instant;

use crate::id::TaskId;
use crate::insight::graph::{Edge, WaitsFor};
use crate::insight::snapshot::{ScopeId, ScopeInfo, Snapshot, TaskDetails};
use crate::insight::text::{Age, Named, count, escaped, until};
use crate::insight::verdict::Verdict;

/// The number of siblings that are shown, unless all are asked for with `{:#}`.
const SIBLINGS: usize = 20;

/// The number of rows that are shown.
const ROWS: usize = 200;

/// The number of leaves of one task that are shown.
const LEAVES: usize = 4;

/// The number of levels that are indented.
const LEVELS: usize = 24;

/// The width up to which names are aligned.
const WIDTH: usize = 44;

#[derive(Clone, Copy)]
enum Node<'a> {
    Task(&'a TaskDetails),
    Scope(&'a ScopeInfo),
    /// Siblings that are not shown.
    More(usize),
}

/// A node that has no row yet.
struct Place<'a> {
    node: Node<'a>,
    stem: String,
    branch: &'static str,
}

/// One line of the tree.
#[derive(Default)]
struct Row {
    name: String,
    kind: String,
    site: String,
    age: String,
    notes: Vec<String>,
}

/// What the rows are made from.
struct Tree<'a> {
    snapshot: &'a Snapshot,
    tasks: HashMap<TaskId, &'a TaskDetails>,
    below: HashMap<TaskId, Vec<Node<'a>>>,
    members: HashMap<ScopeId, Vec<Node<'a>>>,
    edges: HashMap<TaskId, Vec<&'a Edge>>,
    roots: Vec<Node<'a>>,
    siblings: usize,
    rows: Vec<Row>,
}

impl<'a> Tree<'a> {
    fn new(snapshot: &'a Snapshot, all: bool) -> Self {
        let tasks = snapshot.by_id();
        let scopes: HashSet<ScopeId> = snapshot.scopes.iter().map(|scope| scope.id).collect();
        let mut tree = Tree {
            snapshot,
            tasks,
            below: HashMap::new(),
            members: HashMap::new(),
            edges: HashMap::new(),
            roots: Vec::new(),
            siblings: if all { usize::MAX } else { SIBLINGS },
            rows: Vec::new(),
        };
        for scope in &snapshot.scopes {
            match scope.owner.filter(|owner| tree.tasks.contains_key(owner)) {
                Some(owner) => tree.below.entry(owner).or_default().push(Node::Scope(scope)),
                None => tree.roots.push(Node::Scope(scope)),
            }
        }
        for task in &snapshot.tasks {
            let node = Node::Task(task);
            let parent = task.info.parent.filter(|parent| tree.tasks.contains_key(parent));
            match (task.scope.filter(|scope| scopes.contains(scope)), parent) {
                (Some(scope), _) => tree.members.entry(scope).or_default().push(node),
                (None, Some(parent)) => tree.below.entry(parent).or_default().push(node),
                (None, None) => tree.roots.push(node),
            }
        }
        for edge in &snapshot.edges {
            tree.edges.entry(edge.from).or_default().push(edge);
        }
        tree
    }

    /// Makes the rows. Without recursion, because programs nest deeply.
    fn fill(&mut self) {
        let roots = std::mem::take(&mut self.roots);
        let mut stack = Vec::new();
        self.push(&mut stack, roots, None);
        while let Some(Place { node, stem, branch }) = stack.pop() {
            let indent = format!("{stem}{branch}");
            let below = match node {
                Node::Task(task) => {
                    self.task_rows(task, &indent);
                    self.below.remove(&task.info.id)
                }
                Node::Scope(scope) => {
                    self.rows.push(self.scope_row(scope, &indent));
                    self.members.remove(&scope.id)
                }
                Node::More(more) => {
                    let name = format!("{indent}and {more} more");
                    self.rows.push(Row { name, ..Row::default() });
                    None
                }
            };
            let stem = match branch {
                "" => stem,
                _ if stem.chars().count() >= 3 * LEVELS => stem,
                "└─ " => stem + "   ",
                _ => stem + "│  ",
            };
            self.push(&mut stack, below.unwrap_or_default(), Some(&stem));
        }
    }

    /// Adds siblings to the stack, the first on top.
    fn push(&self, stack: &mut Vec<Place<'a>>, mut siblings: Vec<Node<'a>>, stem: Option<&str>) {
        let all = siblings.len();
        if all > self.siblings.saturating_add(1) {
            siblings.truncate(self.siblings);
            siblings.push(Node::More(all - self.siblings));
        }
        for (at, node) in siblings.into_iter().rev().enumerate() {
            let branch = match (stem, at) {
                (None, _) => "",
                (Some(_), 0) => "└─ ",
                (Some(_), _) => "├─ ",
            };
            stack.push(Place { node, stem: stem.unwrap_or_default().to_owned(), branch });
        }
    }

    fn scope_row(&self, scope: &ScopeInfo, indent: &str) -> Row {
        let members = self.members.get(&scope.id).map_or(0, Vec::len);
        let members = count(members, "member", "members");
        let what = if scope.hosts { "scope" } else { "group" };
        let mut notes = Vec::new();
        if let Some(reason) = scope.cancelled {
            notes.push(format!("cancelled: {reason}"));
        }
        Row {
            name: format!("{indent}{what} {}, {members}", scope.policy),
            site: scope.site.map(|site| site.to_string()).unwrap_or_default(),
            notes,
            ..Row::default()
        }
    }

    /// One row for the task, and one for each further leaf.
    fn task_rows(&mut self, task: &TaskDetails, indent: &str) {
        let now = self.snapshot.taken_at;
        let edges = self.edges.remove(&task.info.id).unwrap_or_default();
        let mut row = Row {
            name: format!("{indent}{}", Named(self.snapshot.core, task)),
            kind: task.info.state.to_string(),
            ..Row::default()
        };
        if let Some(edge) = edges.first() {
            self.fill_leaf(&mut row, task, edge, 0);
        }
        row.notes.extend(notes_of(task, now));
        self.rows.push(row);
        for (at, edge) in edges.iter().enumerate().take(LEAVES).skip(1) {
            let mut row = Row { name: format!("{indent}  ·"), ..Row::default() };
            self.fill_leaf(&mut row, task, edge, at);
            self.rows.push(row);
        }
        if edges.len() > LEAVES {
            let name = format!("{indent}  · and {} more leaves", edges.len() - LEAVES);
            self.rows.push(Row { name, ..Row::default() });
        }
    }

    fn fill_leaf(&self, row: &mut Row, task: &TaskDetails, edge: &Edge, at: usize) {
        let now = self.snapshot.taken_at;
        row.kind = escaped(edge.kind);
        row.site = match edge.site {
            Some(site) => site.to_string(),
            // In a future of another crate no line is known. A door to it has one (C17).
            None if edge.kind == "FOREIGN" => "(`cancellable` shows where)".to_owned(),
            None => String::new(),
        };
        if let Some(leaf) = task.info.parked.get(at) {
            row.age = Age(now.saturating_duration_since(leaf.since)).to_string();
        }
        row.notes.push(match &edge.on {
            // They are below.
            WaitsFor::Group { members, .. } => {
                format!("→ its {}", count(members.len(), "member", "members"))
            }
            _ => format!("→ {}", edge.target(self.snapshot, &self.tasks)),
        });
    }
}

/// What is said of a task besides its leaves.
fn notes_of(task: &TaskDetails, now: Instant) -> Vec<String> {
    let mut notes = Vec::new();
    let shield = task.shields.iter().find(|shield| !shield.over);
    let limit = shield.and_then(|shield| shield.until).map(|then| until(then, now));
    let limit = limit.map_or_else(|| "without a limit".to_owned(), |left| format!("for {left}"));
    match &task.cancel {
        Some(cancel) => {
            let ago = cancel.since.map(|since| Age(now.saturating_duration_since(since)));
            let ago = ago.map_or_else(String::new, |ago| format!(" {ago} ago"));
            let site = cancel.delivered_at.map(|site| format!(" since {site}")).unwrap_or_default();
            let state = match (cancel.delivered, shield.is_some()) {
                (true, false) => format!(", cleaning up{site}"),
                (true, true) => format!(", cleaning up{site} in a shield {limit}"),
                (false, true) => format!(", held back by a shield {limit}"),
                (false, false) => String::new(),
            };
            notes.push(format!("cancelled{ago} ({}){state}", cancel.reason));
        }
        None if shield.is_some() => notes.push(format!("shielded {limit}")),
        None => {}
    }
    if task.daemon {
        notes.push("daemon".to_owned());
    }
    notes
}

/// The tree. With `{:#}`, long lists are not cut.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_tree(&self.wait_graph().verdicts(), f)
    }
}

/// The tree of a snapshot of which the verdicts are known.
struct Judged<'a>(&'a Snapshot, &'a [Verdict]);

impl fmt::Display for Judged<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_tree(self.1, f)
    }
}

impl Snapshot {
    /// The tree after these verdicts.
    #[doc(hidden)]
    pub fn tree<'a>(&'a self, verdicts: &'a [Verdict]) -> impl fmt::Display + 'a {
        Judged(self, verdicts)
    }

    fn write_tree(&self, verdicts: &[Verdict], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = f.alternate();
        let mut tree = Tree::new(self, all);
        tree.fill();
        let Snapshot { kernel, turn, ready, tasks, .. } = self;
        if let Some(core) = self.core {
            write!(f, "core {core} · ")?;
        }
        let tasks = count(tasks.len(), "task", "tasks");
        write!(f, "kernel {kernel} · {tasks} · turn {turn} · ready {ready}")?;
        f.write_str(if self.shutting_down { " · shutting down\n" } else { "\n" })?;
        for verdict in verdicts.iter().take(SIBLINGS) {
            writeln!(f, "(!) {verdict}")?;
        }
        if verdicts.len() > SIBLINGS {
            writeln!(f, "(!) and {} more verdicts", verdicts.len() - SIBLINGS)?;
        }
        let shown = if all { tree.rows.len() } else { tree.rows.len().min(ROWS) };
        let rows = &tree.rows[..shown];
        let width = |of: fn(&Row) -> &String| {
            rows.iter().map(|row| of(row).chars().count().min(WIDTH)).max().unwrap_or(0)
        };
        let (name, kind) = (width(|row| &row.name), width(|row| &row.kind));
        let (site, age) = (width(|row| &row.site), width(|row| &row.age));
        for row in rows {
            let columns = format!(
                "{:name$}  {:kind$}  {:site$}  {:>age$}  {}",
                row.name,
                row.kind,
                row.site,
                row.age,
                row.notes.join(" · ")
            );
            writeln!(f, "{}", columns.trim_end())?;
        }
        if shown < tree.rows.len() {
            writeln!(f, "and {} more rows", tree.rows.len() - shown)?;
        }
        for thread in self.threads.iter().take(SIBLINGS) {
            let (name, age) = (escaped(&thread.name), self.taken_at);
            let age = Age(age.saturating_duration_since(thread.since));
            writeln!(f, "abandoned thread {name}, started at {}, {age} ago", thread.site)?;
        }
        match self.threads.len().checked_sub(SIBLINGS) {
            Some(more) if more > 0 => writeln!(f, "and {more} more abandoned threads"),
            _ => Ok(()),
        }
    }
}
