//! Observers: code of a program that sees what the tasks of a kernel do (K12).
//!
//! A kernel without observers does not test for them: what it tests anyway for other rare cases
//! (`Core::spawns_plain`, the flags of an ended task, `Settings::watches_polls`) covers them.

use std::fmt;

use crate::core::inspect::TaskInfo;
use crate::core::report::ProgramCode;
use crate::core::state::{Core, Stage, TaskRef};
use crate::id::TaskId;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

/// Sees what the tasks of a kernel do, between their polls. Added by
/// [`Builder::observer`](crate::Builder::observer).
///
/// For each task, the calls come in this order: `created`, then for each of its polls `running` and
/// `suspended`, then `terminated`. A poll that ends the task, by its return or by a panic, is also
/// followed by `suspended`. A task that is aborted while it is parked has no further poll. The
/// children of a borrowing [`scope`](crate::scope) are polled inside a poll of their task, so their
/// calls come between its `running` and its `suspended`.
///
/// The calls run on the thread of the kernel, outside every poll, except those for such children.
/// They may use the kernel, as in [`tasks`](crate::tasks) and [`spawn`](crate::spawn). A panic of a
/// call is reported ([`ProgramCode::Observer`]), and the task goes on.
///
/// A kernel with an observer polls each task with some more instructions than one without.
pub trait Observer: 'static {
    /// The task was spawned, and is queued after this call. The main task is seen too.
    ///
    /// A task that `start`, `supervise` or `spawn_thread` of a group has made gets its name right
    /// after this call.
    fn created(&self, _task: &Observed<'_>) {}

    /// The task is about to be polled.
    fn running(&self, _task: &Observed<'_>) {}

    /// The poll of the task has ended.
    fn suspended(&self, _task: &Observed<'_>) {}

    /// The task has ended. [`TaskInfo::state`] is `Ended`, and [`Observed::end`] says how.
    fn terminated(&self, _task: &Observed<'_>) {}
}

/// A task that an [`Observer`] sees.
pub struct Observed<'a> {
    core: &'a Core,
    task: &'a TaskRef,
}

impl Observed<'_> {
    /// The id of the task.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// Its name, as in [`TaskInfo::name`].
    pub fn name(&self) -> String {
        self.core.name_of(self.task)
    }

    /// How it has ended, if it has.
    pub fn end(&self) -> Option<TaskEnd> {
        self.task.end()
    }

    /// What it is doing and where it is parked. This collects more than the other functions.
    pub fn info(&self) -> TaskInfo {
        self.core.info(self.task)
    }
}

impl fmt::Debug for Observed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

/// What an observer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Created,
    Running,
    Suspended,
    Terminated,
}

impl Core {
    /// Shows a task to the recorder and the observers. No borrow of the kernel may be held.
    #[inline(never)]
    pub(crate) fn observe(&self, task: &TaskRef, moment: Moment) {
        self.record_moment(task, moment);
        let seen = &Observed { core: self, task };
        for observer in &self.settings.observers {
            self.guarded(ProgramCode::Observer, || match moment {
                Moment::Created => observer.created(seen),
                Moment::Running => observer.running(seen),
                Moment::Suspended => observer.suspended(seen),
                Moment::Terminated => observer.terminated(seen),
            });
        }
    }

    /// The same for a task that may not be observed.
    pub(crate) fn observe_if_marked(&self, task: &TaskRef, moment: Moment) {
        if task.flags.any(Flags::OBSERVED) {
            self.observe(task, moment);
        }
    }

    /// Marks a new task as observed, if there are observers or a recorder.
    pub(super) fn mark_observed(&self, task: &TaskRef) {
        if self.settings.marks_tasks() {
            // With `COLD`, the end of the task takes the path on which observers see it.
            task.flags.set(Flags::OBSERVED | Flags::COLD);
        }
    }

    /// Shows a new task to the observers and queues it, or ends it if the kernel is closed.
    #[cold]
    #[inline(never)]
    fn announce(&self, task: &TaskRef) {
        self.observe_if_marked(task, Moment::Created);
        if self.stage.get() == Stage::Closed {
            self.refuse(task);
        } else {
            self.make_ready(task);
        }
    }
}

impl TaskRef {
    /// The last step of a spawn, after which no borrow of the kernel may be held. A task that is
    /// not queued yet is observed, or its kernel is closed.
    #[inline]
    pub(crate) fn announce_if_not_queued(&self) {
        if !self.flags.any(Flags::QUEUED) {
            self.core().announce(self);
        }
    }
}
