//! The scope of a timeout, which is opened when something inside it needs it.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::Core;
use crate::core::unopened::{enter_timeout, leave_timeout};
use crate::id::TaskId;
use crate::parts::clock::NEVER;
use crate::parts::scopes::ScopeKind;
use crate::parts::timers::{Action, TimerKey};
use crate::scope::guard::ScopeGuard;

/// A scope as that of `lazy.rs`, with a deadline.
///
/// It also waits unopened while its task is parked, if the only leaf that is parked inside has its
/// record in the slot of the task, and so the task's own waker, and if no open scope and no
/// cancellation is around it. A timer wakes the task at the deadline, and the next poll opens the
/// scope and cancels it. Any other body that returns `Pending` opens the scope.
///
/// A struct declares it *after* the body, so that the body is dropped first.
pub(crate) struct TimedScope {
    /// None before the first poll, and if nothing has needed the scope in it. While the scope waits
    /// unopened, the guard has no key, and its timer wakes the task.
    guard: Option<ScopeGuard>,
    /// The task that has polled the body first. Set, like the deadline, unless the scope is new.
    task: TaskId,
    deadline: u64,
}

impl TimedScope {
    pub(crate) const fn new() -> Self {
        TimedScope { guard: None, task: TaskId::NONE, deadline: NEVER }
    }

    /// Whether its body was not polled yet, or has ended in its first poll without a need for the
    /// scope.
    #[inline]
    pub(crate) fn is_new(&self) -> bool {
        self.guard.is_none()
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The task that polled the body first.
    pub(crate) fn task(&self) -> TaskId {
        self.task
    }

    /// Polls a body for the first time, in `task`, which is being polled. The scope is cancelled at
    /// `deadline`. If that is not after `now`, it is opened at once, and its cancellation is
    /// pending.
    #[inline]
    pub(crate) fn poll_first<T>(
        &mut self,
        task: TaskId,
        (now, deadline): (u64, u64),
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let inside = Inside::enter(self, (now, deadline), None);
        let polled = inside.poll(cx, deadline, poll);
        if polled.is_pending() || self.guard.is_some() {
            (self.task, self.deadline) = (task, deadline);
        }
        if polled.is_pending() {
            self.park();
        }
        polled
    }

    /// The first poll has left the body pending.
    #[inline]
    fn park(&mut self) {
        match &self.guard {
            Some(guard) => guard.watch_foreign(),
            None => {
                let (task, deadline) = (self.task, self.deadline);
                self.guard = current::try_with(|core| {
                    let timer = (deadline != NEVER).then(|| core.arm(deadline, Action::Wake(task)));
                    ScopeGuard::unopened(core, timer)
                });
            }
        }
    }

    /// Polls a body again. If it has moved to another kernel, it is polled without the scope.
    #[inline]
    pub(crate) fn poll_again<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let guard = self.guard.as_mut().expect("the caller has checked that it is not new");
        if guard.is_open() {
            let polled = guard.poll(|| poll(cx));
            if polled.is_pending() {
                guard.watch_foreign();
            }
            return polled;
        }
        let core = &**guard.core();
        if !current::is_current(core) {
            return poll(cx);
        }
        let (now, running) = (core.tick_now(), core.running.get());
        let (task, deadline, timer) = (self.task, self.deadline, guard.timer());
        let inside = Inside::enter(self, (0, deadline), timer);
        if deadline <= now || running != task {
            open_late(deadline <= now);
        }
        let polled = inside.poll(cx, deadline, poll);
        if let (Poll::Pending, Some(guard)) = (&polled, &self.guard) {
            if guard.is_open() {
                guard.watch_foreign();
            }
        }
        polled
    }

    /// Opens a scope without a deadline before the next poll of its body, in the task of `core`
    /// that polls it.
    pub(crate) fn open(&mut self, core: &Rc<Core>, task: TaskId) -> Option<&ScopeGuard> {
        if !self.guard.as_ref().is_some_and(ScopeGuard::is_open) {
            self.guard = Some(ScopeGuard::open(core, ScopeKind::Timeout, NEVER)?);
            (self.task, self.deadline) = (task, NEVER);
        }
        self.guard.as_ref()
    }

    /// Whether the scope is open, and a cancellation of it is pending.
    pub(crate) fn is_pending(&self) -> bool {
        let guard = self.guard.as_ref().filter(|guard| guard.is_open());
        guard.is_some_and(|guard| guard.with_scope(|scope| scope.pending))
    }

    /// Ends a scope that is not new, because its body has ended. Returns its guard. If something
    /// has opened that, the caller closes it.
    #[inline]
    pub(crate) fn end(&mut self) -> ScopeGuard {
        self.guard.take().expect("the caller has checked that it is not new")
    }
}

/// Opens a scope that has waited unopened, before its body is polled: its time is over, or it has
/// moved to another task.
#[cold]
#[inline(never)]
fn open_late(is_over: bool) {
    match is_over {
        true => drop(current::try_with(|core| core.expire_innermost())),
        false => {
            current::ambient();
        }
    }
}

/// A poll of the body of a scope that is not open. `Drop` ends the poll when a panic unwinds.
struct Inside<'a> {
    scope: &'a mut TimedScope,
    /// The record in the slot of the task is of a leaf outside.
    opens: bool,
}

impl<'a> Inside<'a> {
    /// A scope whose deadline is not after `now` is opened at once, and its cancellation is
    /// pending.
    #[inline]
    fn enter(
        scope: &'a mut TimedScope,
        (now, deadline): (u64, u64),
        timer: Option<TimerKey>,
    ) -> Self {
        let opens = current::has_recorded();
        match deadline > now {
            true => enter_timeout(deadline, timer),
            false => drop(current::try_with(|core| core.enter_expired(deadline))),
        }
        Inside { scope, opens }
    }

    /// Polls the body, and ends the poll. If the body is pending, the scope is opened, or it waits
    /// unopened.
    #[inline]
    fn poll<T>(
        self,
        cx: &mut Context<'_>,
        deadline: u64,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let polled = poll(cx);
        // The common end of a poll is inlined here; that of a panic is not.
        let mut ended = ManuallyDrop::new(self);
        if polled.is_pending() {
            ended.pending(cx, deadline);
        }
        ended.leave();
        polled
    }

    /// Decides whether the scope of a pending body can wait unopened.
    #[inline]
    fn pending(&self, cx: &Context<'_>, deadline: u64) {
        if self.opens || !current::has_recorded() || !current::is_plain(cx.waker()) {
            // The scopes around may not be open either, so this comes before the scope is left.
            current::ambient();
        } else if deadline != NEVER {
            current::limit_record(deadline);
        }
    }

    /// Leaves the scope, and keeps it if it was opened.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn leave(&mut self) {
        if let Some((key, timer)) = leave_timeout() {
            self.keep(key, timer);
        }
    }

    #[inline(never)]
    fn keep(&mut self, key: u32, timer: Option<TimerKey>) {
        let core = current::try_with(Rc::clone).expect("the kernel that has opened it is current");
        core.leave_opened(key);
        match &mut self.scope.guard {
            Some(guard) => guard.open_as(key, timer),
            guard => *guard = Some(ScopeGuard::opened(&core, key, timer)),
        }
    }
}

impl Drop for Inside<'_> {
    #[cold]
    fn drop(&mut self) {
        self.leave();
    }
}
