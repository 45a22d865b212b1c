//! Waking: everything that makes a task of this kernel ready.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use crate::core::current;
use crate::core::observer::Moment;
use crate::core::report::ProgramCode;
use crate::core::state::{Core, TaskRef, Waiter};
use crate::parts::fifo::Site;
use crate::parts::list::NONE;
use crate::parts::timers::TimerKey;
use crate::parts::waiter::LocalWaiter;
use crate::task::state::Flags;
use crate::task::waker::TaskWaker;

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let local = current::try_with(|core| {
            let mine = Arc::ptr_eq(core.remote(), self.remote());
            if mine {
                core.wake(self.task());
            }
            mine
        });
        if local != Some(true) {
            self.post();
        }
    }
}

impl Core {
    /// Wakes whatever polls the scope: its task, and the foreign wakers of the leaves inside.
    pub(crate) fn wake_scope(&self, key: u32) {
        let (task, wakers) = {
            let mut scopes = self.scopes.borrow_mut();
            let Some(scope) = scopes.scopes.get(key as usize) else { return };
            (scope.task, scopes.take_wakers_in(key))
        };
        self.wake(task);
        wakers.into_iter().for_each(wake_foreign);
    }

    /// Wakes the foreign wakers of the leaves of a task. The caller wakes the task, and so the
    /// leaves with the task's own waker.
    #[inline]
    pub(super) fn wake_foreign_below(&self, task: &TaskRef) {
        if task.flags.any(Flags::SCOPED) {
            self.wake_foreign_attached(task);
        }
    }

    #[inline(never)]
    fn wake_foreign_attached(&self, task: &TaskRef) {
        let (record, child) = task.attached();
        if record != NONE || child != NONE {
            let wakers = self.scopes.borrow_mut().take_wakers(record, child);
            wakers.into_iter().for_each(wake_foreign);
        }
    }

    /// Wakes a waiter of a data structure of this kernel. No borrow of the kernel may be held.
    pub(crate) fn wake_waiter(&self, waiter: LocalWaiter) {
        match waiter {
            LocalWaiter::Task(task) => self.wake(task),
            LocalWaiter::Foreign(waker) => wake_foreign(waker),
        }
    }

    /// Whether an armed timer wakes the waker of `cx`.
    #[inline]
    pub(crate) fn is_target(&self, key: TimerKey, cx: &Context<'_>) -> bool {
        let own = if current::is_own(cx.waker()) { self.running_id() } else { None };
        self.timers.borrow().wakes(key, own, cx.waker())
    }

    /// Makes an armed timer wake the waker of `cx`.
    #[inline]
    pub(crate) fn retarget(&self, key: TimerKey, cx: &Context<'_>) {
        if !self.is_target(key, cx) {
            let waiter = LocalWaiter::of(cx);
            let old = self.timers.borrow_mut().retarget(key, waiter);
            drop(old);
        }
    }

    /// Disarms a timer, and wakes what it would have woken.
    pub(crate) fn disarm_and_wake(&self, key: TimerKey) {
        let waiter = self.timers.borrow_mut().disarm_waiter(key);
        waiter.into_iter().for_each(|waiter| self.wake_waiter(waiter));
    }

    /// Removes a registration from the reactor, and wakes the waiters that are parked on it.
    pub(crate) fn forget(&self, token: mio::Token) {
        let parked = self.with_reactor(|reactor| reactor.forget(token));
        parked.into_iter().flatten().flatten().for_each(|waiter| self.wake_waiter(waiter));
    }
}

/// Wakes a foreign waker. Inside a kernel, a panic of the waker is reported and does not propagate.
#[inline(never)]
pub(crate) fn wake_foreign(waker: Waker) {
    match current::try_with(Rc::clone) {
        Some(core) => core.guarded(ProgramCode::Waker, || waker.wake()),
        None => waker.wake(),
    }
}

impl LocalWaiter {
    /// The waiter for the waker of `cx`.
    pub(crate) fn of(cx: &Context<'_>) -> Self {
        match current::with_own_task(cx.waker(), TaskRef::id) {
            Some(task) => LocalWaiter::Task(task),
            None => LocalWaiter::Foreign(cx.waker().clone()),
        }
    }
}

impl Waiter {
    /// A waiter for the task that is being polled, if `cx` has its own waker, or else for the waker
    /// of `cx`.
    pub(crate) fn of(cx: &Context<'_>) -> Self {
        Waiter::noted(cx, None)
    }

    /// The same for a queue that notes the site of its waiters: a foreign waker has the task beside
    /// it that is being polled.
    pub(crate) fn noted(cx: &Context<'_>, site: Site) -> Self {
        match current::with_own_task(cx.waker(), TaskRef::clone) {
            Some(task) => Waiter::of_task(task),
            None => {
                let task = site.and_then(|_| current::with_polled_task(TaskRef::clone));
                Waiter::of_waker(cx.waker().clone(), task)
            }
        }
    }

    /// Whether this is the waiter that [`of`](Self::of) would make of `cx`.
    pub(crate) fn is(&self, cx: &Context<'_>) -> bool {
        match self.foreign() {
            Some(waker) => waker.will_wake(cx.waker()),
            None => current::with_own_task(cx.waker(), |task| self.is_task(task)) == Some(true),
        }
    }

    /// Wakes the task or the waker. No borrow of the kernel may be held.
    #[inline(always)]
    pub(crate) fn wake(self) {
        let (task, foreign) = self.into_parts();
        if let Some(waker) = foreign {
            wake_foreign(waker);
        } else if let Some(task) = &task {
            // The task may have ended. A later task in the same slot must not be woken.
            if task.is_current() {
                task.core().make_ready(task);
            }
        }
    }
}

/// The waiters for the end of a task.
impl TaskRef {
    #[inline]
    pub(crate) fn has_waiters(&self) -> bool {
        self.flags.any(Flags::AWAITED)
            || self.any_cold().is_some_and(|cold| !cold.joiners.is_empty())
    }

    /// Wakes the waiters for the end of this task. `core` is the kernel of this task, and also that
    /// of the joiner in the chunk: a task of another kernel waits in `ColdData::joiners`.
    #[inline(never)]
    pub(crate) fn wake_waiters(&self, core: &Core) {
        if let Some(joiner) = self.joiner() {
            core.wake(joiner);
        }
        if self.flags.any(Flags::COLD) {
            core.observe_if_marked(self, Moment::Terminated);
            if let Some(cold) = self.any_cold() {
                cold.joiners.hand_over_all(|| ());
            }
        }
    }

    /// Whether a `join` of this task is parked, which will take its outcome.
    pub(crate) fn has_joiners(&self) -> bool {
        self.flags.any(Flags::JOINED) || self.any_cold().is_some_and(|cold| cold.joining.get() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::Chunk;
    use crate::core::state::Settings;
    use crate::task::cell::TaskEnd;
    use crate::task::state::Flags;

    #[test]
    fn the_last_name_of_a_place_wakes_nobody_after_its_end() {
        let core = Core::new(Settings::default()).unwrap();
        let cell = Chunk::new(core.clone(), 0, u32::MAX).take();
        cell.begin(1);
        let mut target = Waiter::default();
        target.set_task(&cell);
        core.finish(&cell, TaskEnd::Ok, false);
        assert!(cell.flags.any(Flags::FREE));
        target.wake();
        assert!(core.ready.borrow().is_empty());
    }
}
