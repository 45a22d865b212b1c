//! The watch list: tasks of which something may have to be reported a second later.
//!
//! A cancelled task that is parked where no leaf can deliver the cancellation (C9), and a task that
//! has swallowed its cancellation and parks again (C14).

use std::time::Duration;

use crate::core::report::Report;
use crate::core::state::{Core, TaskRef};
use crate::id::TaskId;
use crate::parts::scopes::Delivery;
use crate::task::state::Flags;

/// How long a task is watched before it is reported, in nanoseconds.
const SECOND: u64 = Duration::from_secs(1).as_nanos() as u64;

/// How long a task may park again and again for less than that, once it has swallowed its
/// cancellation.
const LONG: u64 = 10 * SECOND;

/// How often it must have been seen parked meanwhile. The clock may jump, and then the task has not
/// parked again and again.
const SEEN: u32 = 10;

/// An entry of the watch list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched {
    pub(crate) due: u64,
    pub(crate) task: TaskId,
    pub(crate) what: Watch,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Watch {
    /// Parked in a foreign future, with a cancellation that is pending.
    Foreign,
    /// Has swallowed its own cancellation, or that of an inner scope.
    Swallowed { scope: Option<ScopeName>, seen: Seen },
}

/// How long a task has been watched, and how often it was seen parked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    since: u64,
    times: u32,
}

/// An inner scope. Its key is used again, and `entered` is not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ScopeName {
    key: u32,
    entered: u64,
}

impl Core {
    fn watch(&self, due: u64, task: TaskId, what: Watch) {
        let mut watched = self.watched.borrow_mut();
        let at = watched.partition_point(|other| other.due <= due);
        watched.insert(at, Watched { due, task, what });
    }

    /// Watches a cancelled task that is parked in no leaf of Curium's, so that nothing can deliver
    /// the cancellation. If this is still so a second later, it is reported (C9).
    pub(crate) fn watch_foreign(&self, cell: &TaskRef) {
        if !cell.flags.replace(Flags::WATCHED, true) {
            self.watch(self.clock.now().saturating_add(SECOND), cell.id(), Watch::Foreign);
        }
    }

    /// Watches a cancelled task whose poll has ended, if something may have to be reported.
    pub(crate) fn watch_parked(&self, task: &TaskRef) {
        self.watch_swallowed(task);
        if task.is_pending() && !task.flags.any(Flags::QUEUED) && self.has_no_leaf(task) {
            self.watch_foreign(task);
        }
    }

    /// Watches a task that has parked after its own cancellation was delivered, if the program has
    /// no copy of that any more (C14).
    fn watch_swallowed(&self, task: &TaskRef) {
        if !self.settings.ignore_swallowed && task.begin_watch() {
            self.begin_watch(task.id(), None);
        }
    }

    /// The same for the cancellation of an inner scope.
    #[cold]
    pub(crate) fn watch_swallowed_in(&self, key: u32) {
        let mut scopes = self.scopes.borrow_mut();
        let scope = &mut scopes.scopes[key as usize];
        if !self.settings.ignore_swallowed && scope.is_swallowed() && !scope.watched {
            scope.watched = true;
            let name = ScopeName { key, entered: scope.entered };
            self.begin_watch(scope.task, Some(name));
        }
    }

    fn begin_watch(&self, task: TaskId, scope: Option<ScopeName>) {
        let since = self.clock.now();
        let seen = Seen { since, times: 0 };
        self.watch(since.saturating_add(SECOND), task, Watch::Swallowed { scope, seen });
    }

    /// Reports a task that has swallowed a cancellation, if it has been parked for a second, or has
    /// parked again and again for long.
    pub(crate) fn check_swallowed(
        &self,
        task: &TaskRef,
        scope: Option<ScopeName>,
        mut seen: Seen,
        now: u64,
    ) {
        let Some(delivery) = self.swallowed(task, scope) else {
            self.end_watch(task, scope);
            return;
        };
        let is_ready = task.flags.any(Flags::QUEUED);
        seen.times += 1;
        let is_long = seen.times >= SEEN && seen.since.saturating_add(LONG) <= now;
        match self.parked_outside_shields(task) {
            Some(since) if is_long || !is_ready && since.saturating_add(SECOND) <= now => {
                let task = &self.info(task);
                let (reason, site) = (delivery.reason, delivery.site);
                self.report(&Report::Swallowed { task, reason, delivered_at: site });
            }
            Some(since) => {
                let from = if is_ready { now } else { since };
                self.watch(
                    from.saturating_add(SECOND),
                    task.id(),
                    Watch::Swallowed { scope, seen },
                );
            }
            None => self.end_watch(task, scope),
        }
    }

    /// The cancellation, if it is still swallowed.
    fn swallowed(&self, task: &TaskRef, name: Option<ScopeName>) -> Option<Delivery> {
        let Some(ScopeName { key, entered }) = name else { return task.swallowed() };
        let scopes = self.scopes.borrow();
        let scope = scopes.scopes.get(key as usize)?;
        let same = scope.entered == entered && scope.task == task.id() && scope.is_swallowed();
        same.then_some(Delivery { reason: scope.reason, site: scope.delivered_at })
    }

    /// The task may be watched again when it parks.
    fn end_watch(&self, task: &TaskRef, name: Option<ScopeName>) {
        let Some(ScopeName { key, entered }) = name else { return task.end_watch() };
        let mut scopes = self.scopes.borrow_mut();
        if let Some(scope) = scopes.scopes.get_mut(key as usize) {
            scope.watched &= scope.entered != entered;
        }
    }

    /// Since when the task is parked in a leaf outside all shields, also if it was woken meanwhile.
    /// Of several, the first.
    fn parked_outside_shields(&self, task: &TaskRef) -> Option<u64> {
        if task.is_ended() || task.flags.any(Flags::RUNNING) {
            return None;
        }
        let mut first = task.parked().map(|parked| parked.since);
        let (record, child) = task.attached();
        let scopes = self.scopes.borrow();
        scopes.each_record(record, child, |record| {
            if !scopes.is_shielded(record.scope) {
                first = Some(first.map_or(record.since, |first| first.min(record.since)));
            }
        });
        first
    }
}
