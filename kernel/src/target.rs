//! Whom to wake: a task of this kernel by its name, anybody else by a clone of the waker.
//!
//! A leaf that is polled with its task's own waker needs no clone of it: the name is enough, and it
//! carries a generation. Inside `join!`, `FuturesUnordered` or another executor the waker is
//! foreign and is kept. Waking or dropping a foreign waker runs a program's code, so both happen
//! only where no borrow of the kernel is held.

use std::rc::Rc;
use std::task::{Context, Waker};

use crate::core::Core;
use crate::current;
use crate::id::TaskId;

/// Whom to wake.
pub(crate) enum Target {
    /// A task of ours.
    Task(Rc<Core>, TaskId),
    /// Anybody.
    Foreign(Waker),
}

impl Target {
    /// Whoever polls now.
    pub(crate) fn of(cx: &Context<'_>) -> Self {
        let own = current::try_with(|core| {
            core.own_task(cx.waker()).map(|task| Target::Task(core.clone(), task))
        });
        match own.flatten() {
            Some(target) => target,
            None => Target::Foreign(cx.waker().clone()),
        }
    }

    /// Whether waking this wakes whoever polls now.
    pub(crate) fn is(&self, cx: &Context<'_>) -> bool {
        match self {
            Target::Foreign(waker) => waker.will_wake(cx.waker()),
            Target::Task(core, task) => core.own_task(cx.waker()) == Some(*task),
        }
    }

    /// Wakes. No borrow of the kernel may be held.
    pub(crate) fn wake(self) {
        match self {
            Target::Task(core, task) => core.wake(task),
            Target::Foreign(waker) => waker.wake(),
        }
    }
}
