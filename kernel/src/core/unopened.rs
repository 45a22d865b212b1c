//! Scopes that are polled and not open.
//!
//! Most bodies of timeouts end without a need for their scope. So a combinator that polls its body
//! only puts an [`Unopened`] on a stack of the kernel for the time of the poll. Whatever needs the
//! current scope asks for the ambient ([`current::ambient`]): a leaf that cannot park in the slot
//! of its task, a scope inside, a question about a cancellation. That opens all scopes of the
//! stack, from the outermost inward, below the innermost scope that is open.
//!
//! The innermost ones are not even on the stack, but in cells of the thread's context. These are
//! the shields around futures of other crates, which are only counted (`enter_shield`), and the one
//! scope around them, if it is a timeout (`enter_timeout`) or the body of a group in its first poll
//! (`enter_body`). They are put on the stack when another scope is entered inside them, and when
//! the scopes are opened.
//!
//! The stack has the scopes whose polls are on the call stack. Those that were opened meanwhile are
//! below those that are not: [`ThreadContext::unopened`] counts the latter. Another kernel that is
//! current in between has a stack and counts of its own (`enter.rs`).
//!
//! A timeout may stay as it is while its task is parked (`scope/timed.rs`). Its timer wakes the
//! task then, and the scope is opened and cancelled when it is polled again. Nothing can look at
//! the scope in between: it contains one leaf, whose record is in the slot of its task, and which
//! the task's own waker wakes.
//!
//! [`ThreadContext::unopened`]: crate::core::current::ThreadContext::unopened

use std::rc::Rc;

use crate::core::current::{self, CONTEXT, NO_WAKER};
use crate::core::state::{Core, TaskRef};
use crate::error::CancelReason;
use crate::parts::clock::NEVER;
use crate::parts::list::NONE;
use crate::parts::scopes::ScopeKind;
use crate::parts::timers::{Action, TimerKey};

/// A scope whose body is being polled, and that was not open when that poll began.
pub(crate) struct Unopened {
    pub(crate) kind: ScopeKind,
    pub(crate) deadline: u64,
    /// The timer of the deadline, if it is armed. Until the scope is open, it wakes the task.
    pub(crate) timer: Option<TimerKey>,
    /// The scope must be open when a leaf inside parks.
    pub(crate) hides: bool,
    /// The key of the scope once it is open, until then `NONE`.
    key: u32,
}

impl Unopened {
    #[inline]
    pub(crate) fn new(
        kind: ScopeKind,
        deadline: u64,
        timer: Option<TimerKey>,
        hides: bool,
    ) -> Self {
        Unopened { kind, deadline, timer, hides, key: NONE }
    }

    /// The key of the scope, if it was opened.
    #[inline]
    pub(crate) fn opened(&self) -> Option<u32> {
        (self.key != NONE).then_some(self.key)
    }
}

impl Core {
    /// Begins to poll the body of a scope that is not open. [`leave_unopened`] ends it.
    ///
    /// [`leave_unopened`]: Core::leave_unopened
    #[inline]
    pub(crate) fn enter_unopened(&self, scope: Unopened) {
        let hides = scope.hides;
        if CONTEXT.with(|context| context.unstacked.get() != 0) {
            self.stack_all();
        }
        self.unopened.borrow_mut().push(scope);
        CONTEXT.with(|context| context.unopened.set(context.unopened.get() + 1));
        if hides {
            hide();
        }
    }

    /// Ends the poll of a body. If the scope was opened, the caller publishes the ambient around it
    /// ([`leave_opened`]).
    ///
    /// [`leave_opened`]: Core::leave_opened
    #[cfg_attr(not(debug_assertions), inline(always))]
    pub(crate) fn leave_unopened(&self) -> Unopened {
        let left = self.unopened.borrow_mut().pop().expect("polls end in the reverse order");
        if left.key == NONE {
            CONTEXT.with(|context| context.unopened.set(context.unopened.get() - 1));
            if left.hides {
                show();
            }
        }
        left
    }

    /// Publishes the ambient around a scope that is left.
    pub(crate) fn leave_opened(&self, key: u32) {
        let parent = self.scopes.borrow().scopes[key as usize].parent;
        self.publish(parent);
    }

    /// Opens all scopes that are being polled, and cancels the innermost, whose time is over. Its
    /// body is polled next, so nothing is woken.
    #[cold]
    pub(crate) fn expire_innermost(&self) {
        let innermost = current::ambient().scope;
        let cancel_seq = self.next_cancel_seq();
        self.scopes.borrow_mut().scopes[innermost as usize].expire(cancel_seq);
        self.refresh();
    }

    /// Puts the scopes of the context on the stack.
    fn stack_all(&self) {
        let mut unopened = self.unopened.borrow_mut();
        CONTEXT.with(|context| {
            let unstacked = context.unstacked.replace(0);
            let before = unopened.len();
            if unstacked & TIMEOUT != 0 {
                let (deadline, timer) = (context.deadline.get(), context.timer.get());
                unopened.push(Unopened::new(ScopeKind::Timeout, deadline, timer, false));
            } else if unstacked & BODY != 0 {
                unopened.push(Unopened::new(ScopeKind::Body, NEVER, None, true));
            }
            let bare = unstacked & SHIELDS;
            for _ in 0..bare {
                unopened.push(Unopened::new(ScopeKind::Shield, NEVER, None, true));
            }
            let more = (unopened.len() - before) as u32;
            context.unopened.set(context.unopened.get() + more);
            context.hiding.set(context.hiding.get() + bare);
        });
    }

    /// Opens the timeout that is entered, and cancels it: its time is over. [`leave_timeout`] ends
    /// the poll of its body.
    #[cold]
    pub(crate) fn enter_expired(&self, deadline: u64) {
        self.enter_unopened(Unopened::new(ScopeKind::Timeout, deadline, None, false));
        self.cancel_scope(current::ambient().scope, CancelReason::Timeout);
    }

    /// Opens all scopes that are being polled and are not open.
    fn open_all(&self) {
        // Outside the poll of a task only shields are counted, and nothing is opened.
        let Some(task) = self.with_running(TaskRef::clone) else { return };
        self.stack_all();
        let count = CONTEXT.with(|context| {
            context.hiding.set(0);
            context.unopened.replace(0)
        });
        let mut unopened = self.unopened.borrow_mut();
        let first = unopened.len() - count as usize;
        let mut ambient = current::open_ambient();
        for scope in &mut unopened[first..] {
            let key = self.open_scope(&task, ambient.scope, scope.kind, scope.deadline);
            match scope.timer {
                Some(timer) => self.timers.borrow_mut().redirect(timer, Action::Scope(key)),
                None if scope.deadline == NEVER => {}
                None => scope.timer = Some(self.arm(scope.deadline, Action::Scope(key))),
            }
            scope.key = key;
            ambient = self.scopes.borrow().scopes[key as usize].within(key, ambient);
        }
        drop(unopened);
        current::set_ambient(ambient);
    }
}

/// Opens the scopes that are being polled on this thread and are not open, for `current::ambient`.
#[cold]
#[inline(never)]
pub(super) fn open_all() {
    if let Some(core) = current::try_with(Rc::clone) {
        core.open_all();
    }
}

// What `ThreadContext::unstacked` has: the number of bare shields, and which scope is around them.
// Most timeouts end at the first poll or contain one leaf, and most bodies of groups end at the
// first poll, and no other scope is inside. So entering and leaving them needs no access to the
// kernel.
/// A timeout, whose deadline and timer are in the context too.
const TIMEOUT: u32 = 1 << 31;
/// The body of a group. It must be open when a leaf inside parks.
const BODY: u32 = 1 << 30;
/// The number of bare shields.
pub(super) const SHIELDS: u32 = BODY - 1;

/// Begins to poll the body of a timeout in a task. `timer` is its timer, if that is armed.
/// [`leave_timeout`] ends the poll.
#[inline]
pub(crate) fn enter_timeout(deadline: u64, timer: Option<TimerKey>) {
    enter_unstacked(TIMEOUT);
    CONTEXT.with(|context| {
        context.deadline.set(deadline);
        context.timer.set(timer);
    });
}

/// Ends the poll of the body of that timeout. If it was opened, its key and its timer.
#[inline]
pub(crate) fn leave_timeout() -> Option<(u32, Option<TimerKey>)> {
    match CONTEXT.with(|context| context.unstacked.replace(0)) {
        0 => leave_stacked(),
        _ => None,
    }
}

/// Begins the first poll of the body of a group, in a task. [`leave_body`] ends the poll.
#[inline]
pub(crate) fn enter_body() {
    enter_unstacked(BODY);
    hide();
}

/// Ends the poll of that body. If it was opened, its key.
#[inline]
pub(crate) fn leave_body() -> Option<u32> {
    match CONTEXT.with(|context| context.unstacked.replace(0)) {
        0 => leave_stacked().map(|(key, _)| key),
        _ => {
            show();
            None
        }
    }
}

#[inline]
fn enter_unstacked(scope: u32) {
    if CONTEXT.with(|context| context.unstacked.get() != 0) {
        stack_all();
    }
    CONTEXT.with(|context| context.unstacked.set(scope));
}

#[cold]
#[inline(never)]
fn leave_stacked() -> Option<(u32, Option<TimerKey>)> {
    let left = current::try_with(|core| core.leave_unopened())?;
    left.opened().map(|key| (key, left.timer))
}

#[cold]
#[inline(never)]
fn stack_all() {
    current::try_with(|core| core.stack_all());
}

/// Begins to poll the body of a shield without a deadline. Outside the poll of a task it has no
/// effect.
///
/// The body is a future of another crate, which is polled often, and seldom has a leaf that would
/// park. So the shield is *bare*: only counted. It is put on the stack when another scope is
/// entered inside it, and when the scopes are opened.
#[inline]
pub(crate) fn enter_shield() {
    CONTEXT.with(|context| {
        context.unstacked.set(context.unstacked.get() + 1);
        context.plain.set(NO_WAKER);
    });
}

/// Ends the poll of the body of that shield. Its key, if it was opened.
#[inline]
pub(crate) fn leave_shield() -> Option<u32> {
    CONTEXT.with(|context| {
        let unstacked = context.unstacked.get();
        if unstacked & SHIELDS == 0 {
            return leave_stacked().map(|(key, _)| key);
        }
        context.unstacked.set(unstacked - 1);
        if unstacked & SHIELDS == 1 && context.hiding.get() == 0 && context.ambient.get().is_clear()
        {
            context.plain.set(context.waker.get());
        }
        None
    })
}

/// Begins to send every leaf that would park through `current::ambient`.
#[inline]
fn hide() {
    CONTEXT.with(|context| {
        context.hiding.set(context.hiding.get() + 1);
        context.plain.set(NO_WAKER);
    });
}

/// Ends that.
#[inline]
fn show() {
    CONTEXT.with(|context| {
        context.hiding.set(context.hiding.get() - 1);
        context.set_ambient(context.ambient.get());
    });
}
