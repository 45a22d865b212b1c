//! Reports of tasks that do not end: during the shutdown, in a deadlock, and in a test.

use std::time::Duration;

use crate::core::inspect::TaskList;
use crate::core::report::Report;
use crate::core::state::Core;
use crate::parts::timers::Action;

pub(super) fn report_stuck(core: &Core) {
    let tasks = core.infos();
    if !tasks.is_empty() {
        core.report(&Report::Stuck(&tasks));
        arm_report(core);
    }
}

/// Arms the timer of the next report of tasks that delay the shutdown. Does nothing on a virtual
/// clock, because the repeated timer would advance the clock for ever.
pub(super) fn arm_report(core: &Core) {
    if !core.clock.is_virtual() {
        disarm_report(core);
        let deadline = core.clock.after(Duration::from_secs(5));
        core.report_timer.set(Some(core.arm(deadline, Action::Report)));
    }
}

pub(super) fn disarm_report(core: &Core) {
    if let Some(timer) = core.report_timer.take() {
        core.disarm(timer);
    }
}

/// Panics with the location of the call that runs the kernel. The message lists the tasks and where
/// each is parked, and which of them wait for each other.
#[cold]
#[track_caller]
pub(super) fn deadlock(core: &Core) -> ! {
    core.write_flight_record("a deadlock");
    panic!(
        "deadlock: every task is parked and nothing is left that could wake one of them{}{}",
        TaskList(&core.infos()),
        core.snapshot().into_wait_graph().between_tasks()
    );
}

/// Panics as [`deadlock`]. The message shows the tree of the tasks.
#[cold]
#[track_caller]
pub(super) fn out_of_time(core: &Core) -> ! {
    let limit = core.settings.test_limit.unwrap_or_default();
    panic!(
        "the test has not ended within {limit:?}, see `Builder::test_limit`:\n{}",
        core.snapshot()
    );
}
