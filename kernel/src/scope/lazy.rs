//! A scope that is opened when something inside it needs it.

use std::mem::ManuallyDrop;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::state::Core;
use crate::core::unopened::Unopened;
use crate::error::CancelReason;
use crate::id::TaskId;
use crate::parts::clock::NEVER;
use crate::parts::scopes::ScopeKind;
use crate::parts::timers::{Action, TimerKey};
use crate::scope::guard::ScopeGuard;

/// A [`ScopeGuard`] that is not opened while its body can do without.
///
/// A poll only notes the scope in the kernel (`core/unopened.rs`). It is opened, with all scopes
/// around it that are not open, when something inside needs it: a leaf that cannot park in the slot
/// of its task, a scope or a group that begins, code that asks about a cancellation or about the
/// tasks of the kernel. If the body is ready before that, there was no scope. No rule tells the two
/// apart: nothing was delivered inside, because a leaf that delivers opens the scope.
///
/// The scope also waits unopened while its task is parked, if the only leaf that is parked inside
/// has its record in the slot of the task, and so the task's own waker, and if no open scope and no
/// cancellation is around it. A timer wakes the task at the deadline, and the next poll opens the
/// scope and cancels it. Any other body that returns `Pending` opens the scope.
///
/// A struct declares it *after* the body, so that the body is dropped first.
pub(crate) struct LazyScope {
    kind: ScopeKind,
    /// None before the first poll, and if nothing has needed the scope in it. While the scope waits
    /// unopened, the guard has no key, and its timer wakes the task.
    guard: Option<ScopeGuard>,
    /// The task that has polled the body first. Set, like the deadline, unless the scope is new.
    task: TaskId,
    deadline: u64,
}

impl LazyScope {
    /// A scope without a deadline that does not wait unopened: it is open once its body is pending.
    pub(crate) const fn new(kind: ScopeKind) -> Self {
        LazyScope { kind, guard: None, task: TaskId::NONE, deadline: NEVER }
    }

    /// A scope that may wait unopened until its deadline.
    pub(crate) const fn for_timeout() -> Self {
        LazyScope::new(ScopeKind::Timeout)
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

    /// The guard of a scope of [`LazyScope::new`], once that is open. The polls from then on are
    /// [`ScopeGuard::poll`].
    #[inline]
    pub(crate) fn guard(&mut self) -> Option<&mut ScopeGuard> {
        self.guard.as_mut()
    }

    /// Polls the body of a scope of [`LazyScope::new`] for the first time, in the task of `core`
    /// that is being polled. Afterwards the scope is open if something inside has opened it, and if
    /// the body is pending.
    #[inline]
    pub(crate) fn poll_hidden<T>(
        &mut self,
        core: &Rc<Core>,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let scope = Unopened::new(self.kind, NEVER, None, true);
        Inside::enter(&mut self.guard, core, scope).poll(cx, NEVER, poll)
    }

    /// Polls a body for the first time, in `task` of `core`, which is being polled. The scope is
    /// cancelled at `deadline`. If that is not after `now`, it is opened at once, and its
    /// cancellation is pending.
    #[inline]
    pub(crate) fn poll_first<T>(
        &mut self,
        (core, task): (&Rc<Core>, TaskId),
        (now, deadline): (u64, u64),
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let scope = Unopened::new(self.kind, deadline, None, false);
        let inside = Inside::enter(&mut self.guard, core, scope);
        if deadline <= now {
            core.cancel_scope(current::ambient().scope, CancelReason::Timeout);
        }
        let polled = inside.poll(cx, deadline, poll);
        if polled.is_pending() || self.guard.is_some() {
            (self.task, self.deadline) = (task, deadline);
        }
        if polled.is_pending() {
            self.park(core);
        }
        polled
    }

    /// The first poll has left the body pending.
    #[inline]
    fn park(&mut self, core: &Rc<Core>) {
        match &self.guard {
            Some(guard) => guard.watch_foreign(),
            None => {
                let action = Action::Wake(self.task);
                let timer = (self.deadline != NEVER).then(|| core.arm(self.deadline, action));
                self.guard = Some(ScopeGuard::unopened(core, timer));
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
        let core = guard.core().clone();
        if !current::is_current(&core) {
            return poll(cx);
        }
        let scope = Unopened::new(self.kind, self.deadline, guard.take_timer(), false);
        let inside = Inside::enter(&mut self.guard, &core, scope);
        if self.deadline <= core.tick_now() {
            core.expire_innermost();
        } else if core.running.get() != self.task {
            // It has moved to another task.
            current::ambient();
        }
        let polled = inside.poll(cx, self.deadline, poll);
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
            self.guard = Some(ScopeGuard::open(core, self.kind, NEVER)?);
            (self.task, self.deadline) = (task, NEVER);
        }
        self.guard.as_ref()
    }

    /// Whether the scope is open, and a cancellation of it is pending.
    pub(crate) fn is_pending(&self) -> bool {
        let guard = self.guard.as_ref().filter(|guard| guard.is_open());
        guard.is_some_and(|guard| guard.with_scope(|scope| scope.pending))
    }

    /// Polls the body of a scope of [`LazyScope::new`] that is never cancelled itself and is no
    /// shield, also again. Returns whether a leaf is parked in the body when it is pending.
    ///
    /// The scope also waits unopened, as that of a timeout does, or while no leaf is parked inside.
    #[inline]
    pub(crate) fn poll_if_needed<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> (Poll<T>, bool) {
        if let Some(scope) = &self.guard {
            let polled = scope.poll(|| poll(cx));
            let has_leaves = polled.is_pending() && scope.has_leaves();
            return (polled, has_leaves);
        }
        let core = current::try_with(|core| core.running_id().map(|_| core.clone()));
        let Some(core) = core.flatten() else { return (poll(cx), false) };
        // The record in the slot of the task must be of a leaf inside, or of none.
        let hides = current::has_recorded();
        let scope = Unopened::new(self.kind, NEVER, None, hides);
        let inside = Inside::enter(&mut self.guard, &core, scope);
        let polled = inside.poll_by(cx, poll, |_, cx| {
            if !hides && !current::is_plain(cx.waker()) {
                current::ambient();
            }
        });
        let has_leaves = match &self.guard {
            Some(scope) => polled.is_pending() && scope.has_leaves(),
            None => !hides && current::has_recorded(),
        };
        (polled, has_leaves)
    }

    /// Ends a scope that is not new, because its body has ended. Returns its guard. If something
    /// has opened that, the caller closes it.
    #[inline]
    pub(crate) fn end(&mut self) -> ScopeGuard {
        self.guard.take().expect("the caller has checked that it is not new")
    }
}

/// A poll of the body of a scope that is not open. `Drop` ends the poll when a panic unwinds.
struct Inside<'a> {
    core: &'a Rc<Core>,
    guard: &'a mut Option<ScopeGuard>,
    /// The scope cannot wait unopened, or the record in the slot of the task is of a leaf outside.
    opens: bool,
}

impl<'a> Inside<'a> {
    #[inline]
    fn enter(guard: &'a mut Option<ScopeGuard>, core: &'a Rc<Core>, scope: Unopened) -> Self {
        let opens = scope.hides || current::has_recorded();
        core.enter_unopened(scope);
        Inside { core, guard, opens }
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
        self.poll_by(cx, poll, |inside, cx| inside.pending(cx, deadline))
    }

    /// `poll`, where `pending` decides.
    #[inline]
    fn poll_by<T>(
        self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
        pending: impl FnOnce(&Self, &Context<'_>),
    ) -> Poll<T> {
        let polled = poll(cx);
        // The common end of a poll is inlined here; that of a panic is not.
        let mut ended = ManuallyDrop::new(self);
        if polled.is_pending() {
            pending(&ended, cx);
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
        let left = self.core.leave_unopened();
        if let Some(key) = left.opened() {
            self.keep(key, left.timer);
        } else if let Some(guard) = self.guard {
            guard.put_timer(left.timer);
        }
    }

    #[inline(never)]
    fn keep(&mut self, key: u32, timer: Option<TimerKey>) {
        self.core.leave_opened(key);
        match self.guard {
            Some(guard) => guard.open_as(key, timer),
            None => *self.guard = Some(ScopeGuard::opened(self.core, key, timer)),
        }
    }
}

impl Drop for Inside<'_> {
    #[cold]
    fn drop(&mut self) {
        self.leave();
    }
}
