//! Whom to wake: a task of this kernel by its name, anybody else by a clone of the waker.
//!
//! A leaf that is polled with its task's own waker needs no clone of it: the name is enough, and it
//! carries a generation. Inside `join!`, `FuturesUnordered` or another executor the waker is
//! foreign and is kept. Waking or dropping a foreign waker runs a program's code, so both happen
//! only where no borrow of the kernel is held.

use std::rc::Rc;
use std::task::{Context, Waker};

use crate::core::current;
use crate::core::report::ProgramCode;
use crate::task::chunk::TaskRef;

/// Whom to wake, or nobody.
///
/// A struct and not an enum, so that the usual one, a task, is written and read as it is: copied in
/// pieces that differ from those it was written in, it would wait for the writes to be through.
#[derive(Default)]
pub(crate) struct Target {
    /// A task of ours,
    task: Option<TaskRef>,
    /// or anybody else.
    foreign: Option<Waker>,
}

impl Target {
    /// Whoever polls now.
    pub(crate) fn of(cx: &Context<'_>) -> Self {
        let task = current::own(cx.waker(), TaskRef::clone);
        let foreign = if task.is_none() { Some(cx.waker().clone()) } else { None };
        Target { task, foreign }
    }

    /// That task, in place of nobody.
    #[inline]
    pub(crate) fn set_task(&mut self, task: &TaskRef) {
        self.task = Some(task.clone());
    }

    #[inline]
    pub(crate) fn is_somebody(&self) -> bool {
        self.task.is_some() || self.foreign.is_some()
    }

    /// Whether waking this wakes that task.
    #[inline]
    pub(crate) fn is_task(&self, task: &TaskRef) -> bool {
        self.task.as_ref().is_some_and(|own| own.is(task))
    }

    /// Whether waking this wakes whoever polls now.
    pub(crate) fn is(&self, cx: &Context<'_>) -> bool {
        match &self.foreign {
            Some(waker) => waker.will_wake(cx.waker()),
            None => current::own(cx.waker(), |task| self.is_task(task)) == Some(true),
        }
    }

    /// Leaves nobody.
    #[inline]
    pub(crate) fn take(&mut self) -> Self {
        Target { task: self.task.take(), foreign: self.foreign.take() }
    }

    /// Wakes. No borrow of the kernel may be held.
    #[inline(always)]
    pub(crate) fn wake(self) {
        if let Some(task) = self.task {
            // A later tenant of its place is not meant.
            if task.is_current() {
                task.core().make_ready(&task);
            }
        } else if let Some(waker) = self.foreign {
            wake_foreign(waker);
        }
    }
}

/// Wakes somebody else's waker. If it panics, that is reported, and the kernel goes on.
#[inline(never)]
pub(crate) fn wake_foreign(waker: Waker) {
    match current::try_with(Rc::clone) {
        Some(core) => core.guarded(ProgramCode::Waker, || waker.wake()),
        None => waker.wake(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::{Core, Settings};
    use crate::error::Echo;
    use crate::task::cell::TaskEnd;
    use crate::task::chunk::Chunk;
    use crate::task::state::Flags;

    #[test]
    fn the_last_name_of_a_place_wakes_nobody_after_its_end() {
        let core = Core::new(Settings::default()).unwrap();
        let cell = Chunk::new(core.clone(), 0, u32::MAX).take();
        cell.begin(1);
        let mut target = Target::default();
        target.set_task(&cell);
        core.finish(&cell, TaskEnd::Ok, Echo::Yes);
        assert!(cell.flags.any(Flags::FREE));
        target.wake();
        assert!(core.ready.borrow().is_empty());
    }
}
