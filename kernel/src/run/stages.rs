//! The stages of a run: its main task, and the shutdown.

use std::rc::Rc;

use crate::core::observer::Moment;
use crate::core::report::ProgramCode;
use crate::core::state::{Core, Stage, TaskRef};
use crate::parts::timers::{Action, TimerKey};
use crate::run::tick::{MainBody, Step};
use crate::run::watch;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

/// The main task. If it is dropped before its [`end`](Self::end), because `main` panics before it
/// returns its future, or because the kernel panics, the task is aborted.
pub(super) struct MainTask {
    cell: TaskRef,
    ended: bool,
}

impl MainTask {
    /// Admits the task, calls `main` and makes the task ready.
    pub(super) fn begin(core: &Rc<Core>, main: &mut MainBody<'_>) -> Self {
        let cell = core.admit_main();
        core.observe_if_marked(&cell, Moment::Created);
        // Made before `main` is called, because `main` may panic before it returns its future.
        let task = MainTask { cell, ended: false };
        let _ = main(Step::Call);
        core.make_ready(&task.cell);
        task
    }

    pub(super) fn end(mut self, main: &mut MainBody<'_>, end: TaskEnd) {
        self.ended = true;
        let core = self.cell.core();
        // The future is dropped while the kernel is current, because its leaves need the kernel.
        core.guarded(ProgramCode::Destructor, || {
            let _ = main(Step::Drop);
        });
        core.finish(&self.cell, end, false);
        self.cell.flags.clear(Flags::FAILURE);
        core.drop_holder(&self.cell);
    }
}

impl Drop for MainTask {
    fn drop(&mut self) {
        if !self.ended {
            let core = self.cell.core();
            core.finish(&self.cell, TaskEnd::Aborted, false);
            core.drop_holder(&self.cell);
        }
    }
}

/// A shutdown that has begun.
pub(super) struct Shutdown {
    /// The timer of its grace period.
    grace: Option<TimerKey>,
}

impl Shutdown {
    /// Cancels every task.
    pub(super) fn begin(core: &Core) -> Self {
        core.begin_shutdown();
        let grace = core.settings.shutdown_grace;
        let grace = grace.map(|grace| core.arm(core.clock.after(grace), Action::Grace));
        if grace.is_none() {
            watch::arm_report(core);
        }
        Shutdown { grace }
    }

    /// Aborts and reports the tasks that are left after the grace period.
    pub(super) fn abort_rest(core: &Core) {
        core.set_stage(Stage::Closed);
        for cell in core.live_cells().iter().rev() {
            // Aborting a younger task may have ended this task too.
            if cell.is_current() && !cell.is_ended() {
                core.report_out_of_grace(cell);
                core.abort(cell);
            }
        }
    }

    pub(super) fn end(self, core: &Core) {
        if let Some(grace) = self.grace {
            core.disarm(grace);
        }
        watch::disarm_report(core);
        core.forget_threads();
        core.report_abandoned();
    }
}
