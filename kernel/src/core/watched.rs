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

/// How many seconds a task may park again and again for less than that, once it has swallowed its
/// cancellation. As often it must have been seen parked: the clock may jump, and then the task has
/// not parked again and again.
const LONG: u8 = 10;

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
    times: u8,
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
        if self.settings.ignore_swallowed {
            return;
        }
        if let Some(times) = task.begin_watch(|| self.first_outside_shields(task).is_some()) {
            self.begin_watch(task.id(), None, times);
        }
    }

    /// The same for the cancellation of an inner scope.
    #[cold]
    pub(crate) fn watch_swallowed_in(&self, key: u32) {
        let mut scopes = self.scopes.borrow_mut();
        let scope = &scopes.scopes[key as usize];
        if self.settings.ignore_swallowed || !scope.is_swallowed() || scope.watched {
            return;
        }
        let (record, child) = (scope.first_record, scope.first_child);
        if scopes.first_outside_shields(record, child).is_some() {
            let scope = &mut scopes.scopes[key as usize];
            scope.watched = true;
            let name = ScopeName { key, entered: scope.entered };
            self.begin_watch(scope.task, Some(name), scope.seen);
        }
    }

    /// `times`: how often it was seen before it parked in a shield.
    fn begin_watch(&self, task: TaskId, scope: Option<ScopeName>, times: u8) {
        let now = self.clock.now();
        let since = now.saturating_sub(u64::from(times) * SECOND);
        let due = if times < LONG { now.saturating_add(SECOND) } else { now };
        self.watch(due, task, Watch::Swallowed { scope, seen: Seen { since, times } });
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
            self.end_watch(task, scope, 0);
            return;
        };
        let is_ready = task.flags.any(Flags::QUEUED);
        // In a shield it counts too: it was parked outside when this second began.
        seen.times = seen.times.saturating_add(1).min(LONG);
        let is_long =
            seen.times == LONG && seen.since.saturating_add(u64::from(LONG) * SECOND) <= now;
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
            None => self.end_watch(task, scope, seen.times),
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

    /// The task may be watched again when it parks outside all shields. In a shield it is not,
    /// because a watch has a deadline, and a deadlock in a shield must be found.
    fn end_watch(&self, task: &TaskRef, name: Option<ScopeName>, times: u8) {
        let Some(ScopeName { key, entered }) = name else { return task.end_watch(times) };
        let mut scopes = self.scopes.borrow_mut();
        if let Some(scope) = scopes.scopes.get_mut(key as usize) {
            if scope.entered == entered {
                (scope.watched, scope.seen) = (false, times);
            }
        }
    }

    /// Since when the task is parked in a leaf outside all shields, also if it was woken meanwhile.
    /// Of several, the first.
    fn parked_outside_shields(&self, task: &TaskRef) -> Option<u64> {
        if task.is_ended() || task.flags.any(Flags::RUNNING) {
            return None;
        }
        self.first_outside_shields(task)
    }

    fn first_outside_shields(&self, task: &TaskRef) -> Option<u64> {
        let own = task.parked().map(|parked| parked.since);
        let (record, child) = task.attached();
        let attached = self.scopes.borrow().first_outside_shields(record, child);
        own.into_iter().chain(attached).min()
    }
}
