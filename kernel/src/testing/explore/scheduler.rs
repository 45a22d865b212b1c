//! The probe of an exploration: it chooses the next task, cancels, and keeps a log.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::chooser::Chooser;
use super::table::{Did, Log};
use crate::core::probe::Probe;
use crate::core::state::{Core, TaskRef};
use crate::error::CancelReason;
use crate::task::state::Flags;

/// After this number of polls a run is given up.
const POLLS: usize = 100_000;

pub(super) struct Scheduler {
    chooser: Rc<RefCell<Chooser>>,
    cancels_left: Cell<usize>,
    /// The next task is chosen already, or it was chosen to wait for time or an event.
    chosen: Cell<bool>,
    waits: Cell<bool>,
    pub(super) log: RefCell<Log>,
}

impl Scheduler {
    pub(super) fn new(chooser: Rc<RefCell<Chooser>>, cancels: usize) -> Self {
        Scheduler {
            chooser,
            cancels_left: Cell::new(cancels),
            chosen: Cell::new(false),
            waits: Cell::new(false),
            log: RefCell::default(),
        }
    }

    /// The tasks that may be cancelled now.
    fn cancellable(&self, core: &Core) -> Vec<TaskRef> {
        if self.cancels_left.get() == 0 {
            return Vec::new();
        }
        let mut tasks = core.live_cells();
        tasks.retain(|task| !task.flags.any(Flags::MAIN | Flags::CANCEL_REQUESTED));
        tasks
    }

    fn polled(&self, core: &Core, task: &TaskRef, did: Did) {
        self.chosen.set(false);
        self.waits.set(false);
        let ready = ready_serials(core);
        self.log.borrow_mut().add(task, did, &ready);
        let polls = self.log.borrow().polls();
        assert!(polls < POLLS, "the run did not end after {POLLS} polls");
    }

    /// Chooses the next task, or to wait if none is ready. A choice may be to cancel a task; then
    /// another choice follows.
    fn choose(&self, core: &Core) {
        loop {
            let ready = ready_tasks(core);
            let decided = if ready.is_empty() { &self.waits } else { &self.chosen };
            if decided.get() {
                return;
            }
            let serials: Vec<u64> = match ready.is_empty() {
                // The only option is to wait.
                true => vec![u64::MAX],
                false => ready.iter().map(|(_, serial)| *serial).collect(),
            };
            let cancellable = self.cancellable(core);
            let chosen = self.chooser.borrow_mut().choose(&serials, cancellable.len());
            let Some(at) = chosen.checked_sub(serials.len()) else {
                decided.set(true);
                if let Some((position, _)) = ready.get(chosen) {
                    core.ready.borrow_mut().promote(*position);
                }
                return;
            };
            let task = &cancellable[at];
            self.cancels_left.set(self.cancels_left.get() - 1);
            self.log.borrow_mut().add(task, Did::Cancelled, &[]);
            core.request(task, CancelReason::Requested { by: None });
        }
    }
}

/// The serial numbers of the ready tasks, in the order of the queue.
fn ready_serials(core: &Core) -> Vec<u64> {
    ready_tasks(core).into_iter().map(|(_, serial)| serial).collect()
}

/// The ready tasks: the position of each in the queue, and its serial number.
fn ready_tasks(core: &Core) -> Vec<(usize, u64)> {
    let tasks = core.tasks.borrow();
    let ready = core.ready.borrow();
    let live = ready.tasks().iter().enumerate().filter_map(|(position, &slot)| {
        let task = tasks.at(slot)?;
        (!task.is_ended()).then(|| (position, task.serial.get()))
    });
    live.collect()
}

impl Probe for Scheduler {
    fn before_poll(&self, core: &Core) {
        self.choose(core);
        let (tasks, ready) = (core.tasks.borrow(), ready_serials(core));
        self.log.borrow_mut().set_ready(ready, tasks.occupied());
    }

    fn after_poll(&self, core: &Core, task: &TaskRef, ended: bool) {
        let did = match ended {
            true => Did::Ended,
            false => Did::Parked(core.leaves(task).first().map(|leaf| (leaf.kind, leaf.site))),
        };
        self.polled(core, task, did);
    }

    fn passed_to_host(&self) {
        self.chosen.set(false);
        self.waits.set(false);
    }

    fn after_panic(&self, core: &Core, task: &TaskRef) {
        self.polled(core, task, Did::Panicked);
    }
}
