//! Scopes that are polled and not opened yet.
//!
//! Most bodies of timeouts end without a need for their scope. So a combinator that begins to poll
//! its body only puts an [`Unopened`] on a stack of the kernel. Whatever needs the current scope
//! asks for the ambient ([`current::ambient`]): a leaf that would park, a scope inside, a question
//! about a cancellation. That opens all scopes of the stack, from the outermost inward, below the
//! innermost scope that is open. A body that ends before that has taken an entry and given it back.
//!
//! The stack has the scopes whose polls are on the call stack. Those that were opened meanwhile are
//! below those that are not: [`ThreadContext::unopened`] counts the latter. Another kernel that is
//! current in between has a stack and a count of its own (`enter.rs`).
//!
//! [`ThreadContext::unopened`]: crate::core::current::ThreadContext::unopened

use std::rc::Rc;

use crate::core::current::{self, CONTEXT};
use crate::core::state::{Core, TaskRef};
use crate::error::CancelReason;
use crate::parts::clock::NEVER;
use crate::parts::list::NONE;
use crate::parts::scopes::ScopeKind;
use crate::parts::timers::{Action, TimerKey};

/// A scope whose body is being polled, and that was not open when that poll began.
pub(crate) struct Unopened {
    kind: ScopeKind,
    deadline: u64,
    /// The key of the scope once it is open, until then `NONE`.
    key: u32,
    timer: Option<TimerKey>,
}

/// A scope that was opened while its body was polled, and the timer of its deadline.
pub(crate) type Opened = (u32, Option<TimerKey>);

impl Core {
    /// Begins to poll the body of a scope that is not open. [`leave_unopened`] ends it.
    ///
    /// [`leave_unopened`]: Core::leave_unopened
    #[inline]
    pub(crate) fn enter_unopened(&self, kind: ScopeKind, deadline: u64) {
        self.unopened.borrow_mut().push(Unopened { kind, deadline, key: NONE, timer: None });
        add_unopened();
    }

    /// Opens all scopes that are being polled, and cancels the innermost, whose time is over.
    #[cold]
    pub(crate) fn expire_all(&self) {
        let inner = current::ambient().scope;
        self.cancel_scope(inner, CancelReason::Timeout);
    }

    /// Ends the poll of a body. Returns the scope if it was opened; then the caller publishes the
    /// ambient around it ([`leave_opened`]).
    ///
    /// [`leave_opened`]: Core::leave_opened
    #[inline]
    pub(crate) fn leave_unopened(&self) -> Option<Opened> {
        let left = self.unopened.borrow_mut().pop().expect("polls end in the reverse order");
        if left.key == NONE {
            remove_unopened();
            return None;
        }
        Some((left.key, left.timer))
    }

    /// Publishes the ambient around a scope that is left.
    pub(crate) fn leave_opened(&self, key: u32) {
        let parent = self.scopes.borrow().scopes[key as usize].parent;
        self.publish(parent);
    }

    /// Opens all scopes that are being polled and are not open.
    #[cold]
    #[inline(never)]
    pub(super) fn open_all(&self) {
        let count = take_unopened();
        let task = self.with_running(TaskRef::clone).expect("only the body of a task is polled");
        let mut unopened = self.unopened.borrow_mut();
        let first = unopened.len() - count;
        let mut ambient = current::open_ambient();
        for scope in &mut unopened[first..] {
            scope.key = self.open_scope(&task, ambient.scope, scope.kind, scope.deadline);
            scope.timer = (scope.deadline != NEVER)
                .then(|| self.arm(scope.deadline, Action::Scope(scope.key)));
            let key = scope.key;
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
    let core = current::try_with(Rc::clone);
    core.expect("only a kernel counts unopened scopes").open_all();
}

/// Notes that the poll of another scope has begun that is not open. Until it is open, no leaf takes
/// the way of those outside any scope.
#[inline]
fn add_unopened() {
    CONTEXT.with(|context| {
        context.unopened.set(context.unopened.get() + 1);
        context.plain.set(current::NO_WAKER);
    });
}

/// Notes that such a poll has ended.
#[inline]
fn remove_unopened() {
    CONTEXT.with(|context| {
        context.unopened.set(context.unopened.get() - 1);
        context.offer(context.waker.get(), context.ambient.get());
    });
}

/// The number of scopes that are being polled and are not open. It is 0 afterwards.
fn take_unopened() -> usize {
    CONTEXT.with(|context| context.unopened.replace(0)) as usize
}
