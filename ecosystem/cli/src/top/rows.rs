//! The rows of the screen: the tasks and groups as a tree, or the tasks in an order.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use crate::document::{Document, Scope, Task};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Tree,
    /// The longest wait first.
    Age,
    /// The most polls first.
    Polls,
    Name,
    State,
}

/// What a row shows, by its place in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    Task(usize),
    Scope(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The lines that lead to it.
    pub(crate) indent: String,
    pub(crate) node: Node,
}

/// The most levels that are indented.
const LEVELS: usize = 12;

/// The rows. `reversed` turns an order round, and leaves the tree.
pub(crate) fn rows(document: &Document, sort: Sort, reversed: bool) -> Vec<Row> {
    if sort == Sort::Tree {
        return tree(document);
    }
    let mut order: Vec<usize> = (0..document.tasks.len()).collect();
    order.sort_by(|a, b| {
        let order = compare(&document.tasks[*a], &document.tasks[*b], sort);
        if reversed { order.reverse() } else { order }
    });
    let row = |at| Row { indent: String::new(), node: Node::Task(at) };
    order.into_iter().map(row).collect()
}

fn compare(a: &Task, b: &Task, sort: Sort) -> Ordering {
    match sort {
        Sort::Tree => Ordering::Equal,
        Sort::Age => b.age_ms().cmp(&a.age_ms()),
        Sort::Polls => b.polls.cmp(&a.polls),
        Sort::Name => a.name.cmp(&b.name),
        Sort::State => a.state.cmp(&b.state),
    }
}

/// Below each task its groups and its tasks without a group, below each group its members.
fn tree(document: &Document) -> Vec<Row> {
    let tasks: HashSet<&str> = document.tasks.iter().map(|task| &*task.id).collect();
    let scopes: HashSet<&str> = document.scopes.iter().map(|scope| &*scope.id).collect();
    let known =
        |of: &HashSet<&str>, id: &Option<String>| id.clone().filter(|id| of.contains(&**id));
    let (mut of_task, mut of_scope) = (HashMap::new(), HashMap::new());
    let mut roots = Vec::new();
    for (at, scope) in document.scopes.iter().enumerate() {
        match known(&tasks, &scope.owner) {
            Some(owner) => of_task.entry(owner).or_insert_with(Vec::new).push(Node::Scope(at)),
            None => roots.push(Node::Scope(at)),
        }
    }
    for (at, task) in document.tasks.iter().enumerate() {
        match (known(&scopes, &task.scope), known(&tasks, &task.parent)) {
            (Some(scope), _) => {
                of_scope.entry(scope).or_insert_with(Vec::new).push(Node::Task(at));
            }
            // Of itself it would never be shown.
            (None, Some(parent)) if parent != task.id => {
                of_task.entry(parent).or_insert_with(Vec::new).push(Node::Task(at));
            }
            _ => roots.push(Node::Task(at)),
        }
    }
    let mut rows = Vec::new();
    // Without recursion, because programs nest deeply.
    let mut stack: Vec<(Node, String, &str)> = Vec::new();
    stack.extend(roots.into_iter().rev().map(|node| (node, String::new(), "")));
    while let Some((node, stem, branch)) = stack.pop() {
        let below = match node {
            Node::Task(at) => of_task.remove(&document.tasks[at].id),
            Node::Scope(at) => of_scope.remove(&document.scopes[at].id),
        };
        rows.push(Row { indent: format!("{stem}{branch}"), node });
        let stem = match branch {
            "" => stem,
            _ if stem.chars().count() >= 3 * LEVELS => stem,
            "└─ " => stem + "   ",
            _ => stem + "│  ",
        };
        for (at, node) in below.unwrap_or_default().into_iter().rev().enumerate() {
            stack.push((node, stem.clone(), if at == 0 { "└─ " } else { "├─ " }));
        }
    }
    rows
}

impl Document {
    /// What stays of a row from one document to the next.
    pub(crate) fn key(&self, node: Node) -> String {
        match node {
            Node::Task(at) => format!("#{}", self.tasks[at].id),
            Node::Scope(at) => self.scopes[at].id.clone(),
        }
    }
}

impl Scope {
    pub(crate) fn title(&self) -> String {
        let what = if self.hosts { "scope" } else { "group" };
        format!("{what} {}, {}", self.policy, crate::text::count(self.members, "member"))
    }
}
