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

/// Whom to wake.
pub(crate) enum Target {
    /// A task of ours, and the generation it must still have.
    Task(Rc<TaskCell>, u32),
    /// Anybody.
    Foreign(Waker),
}

impl Target {
    /// That task.
    #[inline]
    pub(crate) fn task(cell: &Rc<TaskCell>) -> Self {
        Target::Task(cell.clone(), cell.generation.get())
    }

    /// Whether waking this wakes that task.
    #[inline]
    pub(crate) fn is_task(&self, other: &Rc<TaskCell>) -> bool {
        match self {
            Target::Task(cell, generation) => {
                Rc::ptr_eq(cell, other) && *generation == other.generation.get()
            }
            Target::Foreign(_) => false,
        }
    }

    /// Whoever polls now.
    pub(crate) fn of(cx: &Context<'_>) -> Self {
        match current::own(cx.waker(), Target::task) {
            Some(target) => target,
            None => Target::Foreign(cx.waker().clone()),
        }
    }

    /// Whether waking this wakes whoever polls now.
    pub(crate) fn is(&self, cx: &Context<'_>) -> bool {
        match self {
            Target::Foreign(waker) => waker.will_wake(cx.waker()),
            Target::Task(..) => current::own(cx.waker(), |task| self.is_task(task)) == Some(true),
        }
    }

    /// Wakes. No borrow of the kernel may be held.
    pub(crate) fn wake(self) {
        match self {
            Target::Task(cell, generation) if cell.generation.get() == generation => {
                cell.core.make_ready(&cell);
            }
            Target::Task(..) => {}
            Target::Foreign(waker) => wake_foreign(waker),
        }
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
        let target = Target::Task(cell.clone(), u32::MAX);
        core.finish(&cell, End::Ok, Echo::Yes);
        assert!(cell.is_free());
        target.wake();
        assert!(core.ready.borrow().is_empty());
    }
}
