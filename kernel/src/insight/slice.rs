//! What one part of a snapshot has copied.
//!
//! The thread of the kernel copies, and that of the monitor puts together and frees. If each task
//! brought lists of its own, it would give several small pieces back to the allocator of the other
//! thread, and the next large allocation of the kernel would merge all of them at once: 20 ms for
//! 100,000 tasks (`bench`, `monitor`). So a slice has one list of each kind for all its tasks.

use std::time::Instant;

use crate::id::TaskId;
use crate::insight::info::{ParkedAt, short_type};
use crate::insight::parts::RawTask;
use crate::insight::snapshot::{ScopeInfo, ShieldInfo, TaskDetails, TimeoutInfo};
use crate::parts::fifo::Site;
use crate::parts::held::{Held, WaitedFor};

/// Some tasks, or some groups.
#[derive(Debug, Default)]
pub(crate) struct Slice {
    tasks: Vec<Copied>,
    leaves: Vec<Leaf>,
    pub(crate) timeouts: Vec<TimeoutInfo>,
    pub(crate) shields: Vec<ShieldInfo>,
    /// Of each task, the holders of what its leaves wait for, and then its joiners. Then of each
    /// group the tasks that wait for it.
    pub(crate) ids: Vec<TaskId>,
    /// The names that are not those of types.
    names: String,
    /// The lengths of the lists after the last task.
    counted: Lengths,
    scopes: Vec<(ScopeInfo, usize)>,
}

/// The number of elements of each list that belong to a task.
#[derive(Debug, Clone, Copy, Default)]
struct Lengths {
    leaves: usize,
    timeouts: usize,
    shields: usize,
    ids: usize,
    name: usize,
}

/// A task, whose lists and whose name are in those of the slice.
#[derive(Debug)]
struct Copied {
    serial: u64,
    details: TaskDetails,
    type_name: Option<fn() -> &'static str>,
    lengths: Lengths,
}

/// A leaf, and what it waits for.
#[derive(Debug)]
struct Leaf {
    at: ParkedAt,
    deadline: Option<Instant>,
    object: u64,
    reader: Option<(TaskId, bool)>,
    is_foreign: bool,
    /// The number of holders and of those that have ended, if all are known.
    held: Option<(usize, usize)>,
    untaken: Site,
}

/// What a task is called.
#[derive(Clone, Copy)]
pub(crate) enum TaskName<'a> {
    /// By the type of its future.
    Type(fn() -> &'static str),
    Given(&'a str),
}

impl Slice {
    pub(crate) fn with_room(tasks: usize) -> Self {
        Slice {
            tasks: Vec::with_capacity(tasks),
            leaves: Vec::with_capacity(tasks),
            ..Slice::default()
        }
    }

    pub(crate) fn push_leaf(&mut self, at: ParkedAt, deadline: Option<Instant>, on: &WaitedFor) {
        let WaitedFor { object, held, reader, is_foreign } = on;
        if let Some(held) = held {
            self.ids.extend(&held.tasks);
            self.ids.extend(&held.ended);
        }
        self.leaves.push(Leaf {
            at,
            deadline,
            object: *object,
            reader: *reader,
            is_foreign: *is_foreign,
            held: held.as_ref().map(|held| (held.tasks.len(), held.ended.len())),
            untaken: held.as_ref().and_then(|held| held.untaken),
        });
    }

    /// The first of the leaves that were pushed since the last task.
    pub(crate) fn first_leaf(&self) -> Option<&ParkedAt> {
        self.leaves.get(self.counted.leaves).map(|leaf| &leaf.at)
    }

    /// Adds a task. What was pushed since the last one belongs to it.
    pub(crate) fn push_task(&mut self, serial: u64, details: TaskDetails, name: TaskName<'_>) {
        let type_name = match name {
            TaskName::Type(type_name) => Some(type_name),
            TaskName::Given(name) => {
                self.names.push_str(name);
                None
            }
        };
        let now = Lengths {
            leaves: self.leaves.len(),
            timeouts: self.timeouts.len(),
            shields: self.shields.len(),
            ids: self.ids.len(),
            name: self.names.len(),
        };
        let before = std::mem::replace(&mut self.counted, now);
        let lengths = Lengths {
            leaves: now.leaves - before.leaves,
            timeouts: now.timeouts - before.timeouts,
            shields: now.shields - before.shields,
            ids: now.ids - before.ids,
            name: now.name - before.name,
        };
        self.tasks.push(Copied { serial, details, type_name, lengths });
    }

    /// Adds a group. A slice that has one takes no more tasks.
    pub(crate) fn push_scope(&mut self, mut scope: ScopeInfo) {
        let waiting = std::mem::take(&mut scope.waiting);
        self.ids.extend(&waiting);
        self.scopes.push((scope, waiting.len()));
    }

    /// Gives each task and each group its lists.
    pub(crate) fn unpack(self, tasks: &mut Vec<RawTask>, scopes: &mut Vec<ScopeInfo>) {
        let mut leaves = self.leaves.into_iter();
        let mut timeouts = self.timeouts.into_iter();
        let mut shields = self.shields.into_iter();
        let mut ids = self.ids.into_iter();
        let mut names = &*self.names;
        for Copied { serial, mut details, type_name, lengths } in self.tasks {
            let (name, others) = names.split_at(lengths.name);
            names = others;
            details.info.name =
                type_name.map_or_else(|| name.to_owned(), |type_name| short_type(type_name()));
            details.timeouts.extend(timeouts.by_ref().take(lengths.timeouts));
            details.shields.extend(shields.by_ref().take(lengths.shields));
            let mut own = ids.by_ref().take(lengths.ids);
            details.info.parked.reserve_exact(lengths.leaves);
            let mut waits = Vec::with_capacity(lengths.leaves);
            for leaf in leaves.by_ref().take(lengths.leaves) {
                details.info.parked.push(leaf.at);
                waits.push((leaf.deadline, leaf.waited_for(&mut own)));
            }
            tasks.push(RawTask { serial, details, waits, joiners: own.collect() });
        }
        scopes.extend(self.scopes.into_iter().map(|(mut scope, waiting)| {
            scope.waiting.extend(ids.by_ref().take(waiting));
            scope
        }));
    }
}

impl Leaf {
    fn waited_for(&self, ids: &mut impl Iterator<Item = TaskId>) -> WaitedFor {
        let held = self.held.map(|(tasks, ended)| Held {
            tasks: ids.by_ref().take(tasks).collect(),
            ended: ids.by_ref().take(ended).collect(),
            untaken: self.untaken,
        });
        let Leaf { object, reader, is_foreign, .. } = *self;
        WaitedFor { object, held, reader, is_foreign }
    }
}
