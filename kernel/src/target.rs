//! Whom to wake: a task of this kernel by its name, anybody else by a clone of the waker.
//!
//! A leaf that is polled with its task's own waker needs no clone of it: the name is enough, and it
//! carries a generation. Inside `join!`, `FuturesUnordered` or another executor the waker is
//! foreign and is kept. Waking or dropping a foreign waker runs a program's code, so both happen
//! only where no borrow of the kernel is held.

use std::rc::Rc;
use std::task::{Context, Waker};

use crate::cell::TaskCell;
use crate::current;

/// Whom to wake, or nobody.
///
/// A struct and not an enum, so that the usual one, a task, is written and read as it is: copied in
/// pieces that differ from those it was written in, it would wait for the writes to be through.
#[derive(Default)]
pub(crate) struct Target {
    /// A task of ours,
    task: Option<Rc<TaskCell>>,
    /// and the generation it must still have.
    generation: u32,
    /// Anybody else.
    foreign: Option<Waker>,
}

impl Target {
    /// Whoever polls now.
    pub(crate) fn of(cx: &Context<'_>) -> Self {
        let mut target = Target::default();
        if current::own(cx.waker(), |task| target.set_task(task)).is_none() {
            target.foreign = Some(cx.waker().clone());
        }
        target
    }

    /// That task, in place of nobody.
    #[inline]
    pub(crate) fn set_task(&mut self, task: &Rc<TaskCell>) {
        self.task = Some(task.clone());
        self.generation = task.generation.get();
    }

    #[inline]
    pub(crate) fn is_somebody(&self) -> bool {
        self.task.is_some() || self.foreign.is_some()
    }

    /// Whether waking this wakes that task.
    #[inline]
    pub(crate) fn is_task(&self, task: &Rc<TaskCell>) -> bool {
        self.task.as_ref().is_some_and(|own| Rc::ptr_eq(own, task))
            && self.generation == task.generation.get()
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
        let (task, foreign) = (self.task.take(), self.foreign.take());
        Target { task, generation: self.generation, foreign }
    }

    /// Wakes. No borrow of the kernel may be held.
    #[inline]
    pub(crate) fn wake(self) {
        if let Some(task) = self.task {
            wake_task(&task, self.generation);
        } else if let Some(waker) = self.foreign {
            wake_foreign(waker);
        }
    }
}

/// Wakes a task if it is still the one that was meant.
fn wake_task(task: &Rc<TaskCell>, generation: u32) {
    if task.generation.get() == generation {
        task.core.make_ready(task);
    }
}

/// Wakes somebody else's waker. If it panics, that is reported, and the kernel goes on.
pub(crate) fn wake_foreign(waker: Waker) {
    match current::try_with(Rc::clone) {
        Some(core) => core.guarded(|| waker.wake()),
        None => waker.wake(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::End;
    use crate::core::{Core, Settings};
    use crate::error::Echo;

    #[test]
    fn the_last_name_of_a_place_wakes_nobody_after_its_end() {
        let core = Core::new(Settings::default()).unwrap();
        let cell = core.new_cell();
        cell.generation.set(u32::MAX);
        let mut target = Target::default();
        target.set_task(&cell);
        core.finish(&cell, End::Ok, Echo::Yes);
        assert!(cell.is_free());
        target.wake();
        assert!(core.ready.borrow().is_empty());
    }
}
