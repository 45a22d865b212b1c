//! What a kernel looks for between polls if that was asked for: tasks that can never go on
//! (`Builder::watch`), and the end of the time that a test has (`Builder::test_limit`).

use std::cell::RefCell;
use std::time::{Duration, Instant};

use crate::core::report::Report;
use crate::core::state::{Core, Stage};
use crate::core::survey::SnapshotParts;
use crate::id::TaskId;
use crate::insight::{Verdict, WaitGraph};
use crate::run::tick::RunLoop;

/// How often a kernel that watches looks for verdicts.
const EVERY: u64 = Duration::from_millis(500).as_nanos() as u64;

/// The number of tasks that are looked at without a poll in between.
const SLICE: usize = 1000;

/// What is looked for.
pub(super) struct Lookout {
    verdicts: Option<Judge>,
    /// When a test must have ended.
    until: Option<Instant>,
}

impl Lookout {
    pub(super) fn of(core: &Core) -> Option<RefCell<Self>> {
        let settings = &core.settings;
        let verdicts = settings.watch.then(|| Judge::new(core));
        let limit = settings.test_limit.filter(|_| core.clock.is_virtual());
        let until = limit.and_then(|limit| Instant::now().checked_add(limit));
        (verdicts.is_some() || until.is_some()).then(|| RefCell::new(Lookout { verdicts, until }))
    }

    /// A task has run, or is about to. False: the time of the test is over.
    pub(super) fn ran(&mut self, core: &Core) -> bool {
        if let Some(judge) = &mut self.verdicts {
            judge.ran(core);
        }
        self.time_left() != Some(Duration::ZERO)
    }

    /// What is left of the time of a test.
    fn time_left(&self) -> Option<Duration> {
        self.until.map(|until| until.saturating_duration_since(Instant::now()))
    }
}

/// Looks for verdicts and reports each of them once ([`Builder::watch`]).
///
/// [`Builder::watch`]: crate::Builder::watch
struct Judge {
    /// The next look, in nanoseconds of the kernel's clock.
    due: u64,
    /// A task has run since the last look was begun.
    changed: bool,
    /// The look that has begun.
    parts: Option<SnapshotParts>,
    /// The tasks of the verdicts that hold and were reported.
    told: Vec<Vec<TaskId>>,
}

impl Judge {
    fn new(core: &Core) -> Self {
        let due = core.clock.now().saturating_add(EVERY);
        Judge { due, changed: true, parts: None, told: Vec::new() }
    }

    /// A task has run, or is about to.
    fn ran(&mut self, core: &Core) {
        self.changed = true;
        // A virtual clock stands still now.
        if !core.clock.is_virtual() {
            self.look(core, core.clock.now());
        }
    }

    /// No task is ready: looks now if a look is due. A virtual clock may jump far, so then one is
    /// always due.
    fn idle(&mut self, core: &Core) {
        let now = core.clock.now();
        let now = if core.clock.is_virtual() { now.max(self.due) } else { now };
        while self.has_to_look(core) && self.due <= now {
            self.look(core, now);
        }
    }

    /// While the kernel shuts down, time alone makes a verdict.
    fn has_to_look(&self, core: &Core) -> bool {
        self.changed || self.parts.is_some() || core.stage.get() != Stage::Open
    }

    /// Looks at some tasks if a look is due at `now`, and judges when it has seen all.
    fn look(&mut self, core: &Core, now: u64) {
        if now < self.due {
            return;
        }
        let parts = self.parts.get_or_insert_with(|| {
            self.changed = false;
            SnapshotParts::for_verdicts(core)
        });
        if !parts.take_from(core, SLICE) {
            return;
        }
        self.due = core.clock.now().max(now).saturating_add(EVERY);
        if let Some(parts) = self.parts.take() {
            self.tell(core, &parts.finish().into_wait_graph());
        }
    }

    fn tell(&mut self, core: &Core, graph: &WaitGraph) {
        let verdicts = graph.verdicts();
        // The tasks were seen in slices. What holds now holds until one of them is polled.
        if !core.are_unpolled(&graph.evidence()) {
            self.changed = true;
            return;
        }
        let told = std::mem::take(&mut self.told);
        self.told = verdicts.iter().map(Verdict::tasks).collect();
        let mut is_new = false;
        for (verdict, tasks) in verdicts.iter().zip(self.told.clone()) {
            if !told.contains(&tasks) {
                core.report(&Report::Verdict(verdict));
                is_new = true;
            }
        }
        if is_new {
            core.write_flight_record("a verdict");
        }
    }
}

impl RunLoop<'_> {
    /// No task is ready. Returns how long the kernel may sleep before it must look again; None if
    /// it need not.
    #[inline]
    pub(super) fn look_out(&self) -> Option<Duration> {
        self.lookout.as_ref().and_then(|lookout| self.look_idle(&mut lookout.borrow_mut()))
    }

    #[cold]
    fn look_idle(&self, lookout: &mut Lookout) -> Option<Duration> {
        let judge = lookout.verdicts.as_mut()?;
        judge.idle(self.core);
        let left = judge.due.saturating_sub(self.core.clock.now());
        // The sink may have woken a task.
        let ready = !self.core.ready.borrow().is_empty();
        let left = if ready { Duration::ZERO } else { Duration::from_nanos(left) };
        (ready || judge.has_to_look(self.core)).then_some(left)
    }

    /// What is left of the time of a test; None without a limit.
    #[inline]
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.lookout.as_ref().and_then(|lookout| lookout.borrow().time_left())
    }
}
