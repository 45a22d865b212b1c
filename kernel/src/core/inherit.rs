//! The values that a task sees, and that it hands on to the tasks that it spawns (K10).
//!
//! The kernel has the values of the code that runs. Most code has none: then a spawn and a poll
//! find that out by tests that they make anyway, `spawns_plain` and `Flags::SPECIAL`.

use std::rc::Rc;

use crate::core::nested::Nested;
use crate::core::observer::Moment;
use crate::core::state::{Core, Stage, TaskRef};
use crate::parts::values::Values;
use crate::task::state::Flags;

/// Until this is dropped, the code that runs sees other values.
pub(crate) struct Inherited<'a> {
    core: &'a Core,
    outer: Option<Rc<Values>>,
}

impl Drop for Inherited<'_> {
    fn drop(&mut self) {
        // What was seen meanwhile is also held by its task or its scope, so no value is dropped.
        drop(self.core.see(self.outer.take()));
    }
}

impl Core {
    /// The values of the code that runs.
    pub(crate) fn values(&self) -> Option<Rc<Values>> {
        self.values.borrow().clone()
    }

    /// Lets the code that runs see `values`, until the result is dropped.
    pub(crate) fn enter_values(&self, values: Option<Rc<Values>>) -> Inherited<'_> {
        Inherited { core: self, outer: self.see(values) }
    }

    /// The same with the values of a task, which is about to be polled. `None` if it has none: no
    /// code sees any between two polls.
    #[inline]
    pub(crate) fn enter_values_of(&self, task: &TaskRef) -> Option<Inherited<'_>> {
        task.flags.any(Flags::INHERITS).then(|| self.enter_values(task.values()))
    }

    /// Whether a hosted task sees values or is observed. It does not see those of its host.
    #[inline]
    pub(super) fn is_hosted_seen(&self, task: &TaskRef) -> bool {
        !self.spawns_plain.get() || task.flags.any(Flags::INHERITS)
    }

    /// Begins the poll of such a task. Returns what the host sees.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_hosted_seen(
        &self,
        nested: &mut Nested<'_>,
        task: &TaskRef,
    ) -> Option<Rc<Values>> {
        nested.leave();
        self.observe_if_marked(task, Moment::Running);
        self.see(task.values())
    }

    /// Ends it.
    #[cold]
    #[inline(never)]
    pub(super) fn end_hosted_seen(
        &self,
        nested: &mut Nested<'_>,
        task: &TaskRef,
        outer: Option<Rc<Values>>,
    ) {
        nested.leave();
        // What was seen meanwhile is also held by its task, so no value is dropped.
        drop(self.see(outer));
        self.observe_if_marked(task, Moment::Suspended);
    }

    fn see(&self, values: Option<Rc<Values>>) -> Option<Rc<Values>> {
        let before = self.values.replace(values);
        self.choose_spawns();
        before
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        self.stage.set(stage);
        self.choose_spawns();
    }

    fn choose_spawns(&self) {
        let open = self.stage.get() == Stage::Open;
        let plain = open && self.values.borrow().is_none() && !self.settings.marks_tasks();
        self.spawns_plain.set(plain);
    }

    /// Gives a new task the values of the code that spawns it.
    #[inline]
    pub(super) fn inherit(&self, task: &TaskRef) {
        if !self.spawns_plain.get() {
            self.inherit_values(task);
        }
    }

    #[cold]
    #[inline(never)]
    fn inherit_values(&self, task: &TaskRef) {
        if let Some(values) = self.values() {
            task.cold().values.set(Some(values));
            task.flags.set(Flags::INHERITS);
        }
    }

    /// Takes the values of a task that ends. Code of the program runs when the last holder drops
    /// them.
    #[inline]
    pub(crate) fn take_values(&self, task: &TaskRef) -> Option<Rc<Values>> {
        if !task.flags.any(Flags::INHERITS) {
            return None;
        }
        task.flags.clear(Flags::INHERITS);
        task.any_cold()?.values.take()
    }

    /// Drops the future of a task whose values these are. Those of the code that ends the task are
    /// not the task's.
    pub(crate) fn discard_in<T>(&self, values: Option<Rc<Values>>, future: T) {
        let entered = self.enter_values(values.clone());
        self.discard(future);
        drop(entered);
        self.discard(values);
    }

    /// Drops the values of a task whose future has ended.
    #[inline]
    pub(crate) fn drop_values(&self, task: &TaskRef) {
        if let Some(values) = self.take_values(task) {
            self.discard(values);
        }
    }
}

impl TaskRef {
    fn values(&self) -> Option<Rc<Values>> {
        let cold = self.any_cold()?;
        let values = cold.values.take();
        cold.values.set(values.clone());
        values
    }
}
