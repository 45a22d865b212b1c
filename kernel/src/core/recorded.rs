//! What the flight recorder of a kernel records, and when (M6).
//!
//! The polls of plain tasks are recorded by a second form of the run loop (`run/tick.rs`), so a
//! kernel without a recorder does not test for it. What a poll has made ready is found in the ready
//! queue when the poll has ended: it is what the queue has got since.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::core::current;
use crate::core::observer::Moment;
use crate::core::report::Report;
use crate::core::state::{Core, Settings, TaskRef};
use crate::error::CancelReason;
use crate::id::TaskId;
use crate::parts::list::NONE;
use crate::parts::scopes::ScopeKind;
use crate::recorder::ring::{Event, Known, Place, Ring, What};
use crate::recorder::{FlightRecord, RecordFile};
use crate::task::state::Flags;

/// The least time between two files for long polls, in nanoseconds. A program may have many.
const BETWEEN_FILES: u64 = Duration::from_secs(10).as_nanos() as u64;

/// The flight recorder of a kernel.
pub(crate) struct Recorder {
    ring: RefCell<Ring>,
    /// The time of the last event, when the clock was read. The next poll begins then, so that each
    /// poll reads the clock once.
    now: Cell<u64>,
    /// When the run loop began its last poll of a task, or of the sources.
    begun: Cell<u64>,
    /// The length of the ready queue when the last poll began.
    ready: Cell<usize>,
    file: Option<RecordFile>,
    written: Cell<Option<u64>>,
    pub(super) counts: Counts,
}

/// What only a recorder counts.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) polls: Cell<u64>,
    pub(super) wakes: Cell<u64>,
    pub(super) turns: Cell<u64>,
    pub(super) longest_poll: Cell<u64>,
}

fn add_one(count: &Cell<u64>) {
    count.set(count.get() + 1);
}

impl Recorder {
    /// The recorder that a builder has asked for.
    pub(super) fn of(settings: &Settings) -> Option<Box<Self>> {
        Some(Box::new(Recorder {
            ring: RefCell::new(Ring::new(settings.flight_recorder?)),
            now: Cell::new(0),
            begun: Cell::new(0),
            ready: Cell::new(0),
            file: settings.flight_record_to.clone(),
            written: Cell::new(None),
            counts: Counts::default(),
        }))
    }

    #[inline]
    fn push(&self, time: u64, what: What, task: TaskId, arg: u64) {
        self.ring.borrow_mut().push(Event::new(time, what, task, arg));
    }
}

/// The poll of a task, for the recorder.
impl Core {
    /// A poll of the run loop begins.
    #[inline]
    pub(crate) fn record_begin(&self, task: TaskId) {
        let Some(recorder) = &self.recorder else { return };
        recorder.ready.set(self.ready.borrow().tasks().len());
        recorder.begun.set(recorder.now.get());
        recorder.push(recorder.now.get(), What::Begins, task, 0);
        add_one(&recorder.counts.polls);
    }

    /// The poll has returned.
    #[inline]
    pub(crate) fn record_return(&self) {
        let Some(recorder) = &self.recorder else { return };
        let now = self.clock.now();
        recorder.now.set(now);
        let longest = recorder.counts.longest_poll.get();
        recorder.counts.longest_poll.set(longest.max(now - recorder.begun.get()));
    }

    /// `record_begin` in the run loop, whose form for kernels without a recorder does not call it.
    #[inline]
    pub(crate) fn record_begin_if<const NOTED: bool>(&self, task: TaskId) {
        if NOTED {
            self.record_begin(task);
        }
    }

    /// The poll of a plain task has returned, with what has come of it. `task` is one in the same
    /// chunk.
    #[inline]
    pub(crate) fn record_poll_if<const NOTED: bool>(&self, task: &mut TaskRef, name: TaskId) {
        if NOTED {
            task.set_id(name);
            self.record_return();
            self.record_end(task);
        }
    }

    /// `record_wakes` in the run loop.
    #[inline]
    pub(crate) fn record_wakes_if<const NOTED: bool>(&self, by: TaskId) {
        if NOTED {
            self.record_wakes(by);
        }
    }

    /// What has come of the poll. If the task has ended, that is not handled yet.
    #[inline]
    pub(crate) fn record_end(&self, task: &TaskRef) {
        let Some(recorder) = &self.recorder else { return };
        let (what, arg) = if task.flags.any(Flags::RUNNING | Flags::ENDED) {
            (What::Returns, 0)
        } else if task.flags.any(Flags::QUEUED) {
            (What::Yields, 0)
        } else {
            match self.place_of(task) {
                Some(place) => (What::Parks, recorder.ring.borrow_mut().place(place)),
                None => (What::ParksElsewhere, 0),
            }
        };
        recorder.push(recorder.now.get(), what, task.id(), arg);
    }

    /// Where the task is parked. Of several leaves, one.
    #[inline]
    fn place_of(&self, task: &TaskRef) -> Option<Place> {
        if let Some(parked) = task.parked() {
            return Some((parked.kind, parked.site));
        }
        let (record, child) = task.attached();
        if record == NONE && child == NONE {
            return None;
        }
        let mut place = None;
        self.scopes.borrow().each_record(record, child, |record| {
            place = place.or(Some((record.kind, record.site)));
        });
        place
    }

    /// Records what is in the ready queue since the last poll began, as made ready by `by`.
    #[inline]
    pub(crate) fn record_wakes(&self, by: TaskId) {
        let Some(recorder) = &self.recorder else { return };
        let ready = self.ready.borrow();
        let woken = ready.tasks().get(recorder.ready.get()..).unwrap_or_default();
        if woken.is_empty() {
            return;
        }
        recorder.ready.set(ready.tasks().len());
        let tasks = self.tasks.borrow();
        let now = recorder.now.get();
        for task in woken.iter().filter_map(|index| tasks.at(*index)) {
            if task.id() != by {
                recorder.push(now, What::Woken, task.id(), by.to_bits());
                add_one(&recorder.counts.wakes);
            }
        }
    }

    /// The kernel polls its sources from now on.
    pub(crate) fn record_look(&self) {
        let Some(recorder) = &self.recorder else { return };
        recorder.ready.set(self.ready.borrow().tasks().len());
        recorder.now.set(self.clock.now());
        recorder.begun.set(recorder.now.get());
    }

    /// It has polled them. `idle`: no task was ready before. `left`: that many others are ready.
    pub(crate) fn record_looked(&self, idle: bool, left: usize) {
        let Some(recorder) = &self.recorder else { return };
        let now = self.clock.now();
        let took = if idle { now - recorder.begun.get() } else { 0 };
        recorder.now.set(now);
        let ready = (self.ready.borrow().tasks().len() + left).min(0xffff) as u64;
        recorder.push(now, What::Looked, TaskId::NONE, ready << 48 | took.min((1 << 48) - 1));
        add_one(&recorder.counts.turns);
        self.record_wakes(TaskId::NONE);
    }
}

/// What happens to a task beside its polls.
impl Core {
    /// Records an event that is rare.
    #[inline]
    pub(super) fn record(&self, what: What, task: TaskId, arg: u64) {
        if let Some(recorder) = &self.recorder {
            recorder.now.set(self.clock.now());
            recorder.push(recorder.now.get(), what, task, arg);
        }
    }

    /// The poll of a task whose cancellation was pending has returned.
    pub(crate) fn record_if_delivered(&self, task: &TaskRef) {
        if !task.is_pending() {
            self.record(What::CancelDelivered, task.id(), 0);
        }
    }

    #[inline]
    pub(super) fn record_scope(&self, task: TaskId, opened: Option<ScopeKind>) {
        match opened {
            None => self.record(What::ScopeClosed, task, 0),
            Some(ScopeKind::Timeout) => self.record(What::ScopeOpened, task, 0),
            Some(ScopeKind::Body) => self.record(What::ScopeOpened, task, 1),
            Some(_) => self.record(What::ScopeOpened, task, 2),
        }
    }

    /// The cancellation of the task was requested.
    #[inline]
    pub(super) fn record_request(&self, task: &TaskRef) {
        if task.flags.any(Flags::OBSERVED) {
            if let Some(request) = task.cancel_request() {
                self.record_cancel(task.id(), request.reason);
            }
        }
    }

    #[inline]
    pub(super) fn record_cancel(&self, task: TaskId, reason: CancelReason) {
        let reason = match reason {
            CancelReason::Requested { .. } => 0,
            CancelReason::Timeout => 1,
            CancelReason::GroupFailed | CancelReason::GroupEnded => 2,
            CancelReason::Shutdown => 3,
            _ => 4,
        };
        self.record(What::CancelAsked, task, reason);
    }

    /// What observers see is recorded too. The polls that are seen here are those of hosted tasks
    /// and on the path of special tasks.
    pub(super) fn record_moment(&self, task: &TaskRef, moment: Moment) {
        let Some(recorder) = &self.recorder else { return };
        match moment {
            Moment::Created => {
                let parent = task.origin().map_or(TaskId::NONE, |origin| origin.parent);
                self.record(What::Spawned, task.id(), parent.to_bits());
            }
            Moment::Running if task.flags.any(Flags::HOSTED) => {
                // What the host has made ready before.
                recorder.now.set(self.clock.now());
                self.record_wakes(self.running.get());
                recorder.push(recorder.now.get(), What::Begins, task.id(), 0);
                add_one(&recorder.counts.polls);
            }
            Moment::Running => self.record_begin(task.id()),
            Moment::Suspended => {
                if task.flags.any(Flags::HOSTED) {
                    recorder.now.set(self.clock.now());
                    self.record_wakes(task.id());
                }
                self.record_end(task);
            }
            Moment::Terminated => {
                let Some(end) = task.end() else { return };
                let known = self.known(task);
                recorder.now.set(self.clock.now());
                recorder.ring.borrow_mut().push_end(recorder.now.get(), end, known);
            }
        }
    }

    /// What a record says about a task that is still in its cell.
    fn known(&self, task: &TaskRef) -> Known {
        let origin = task.origin();
        let given = task.flags.any(Flags::NAMED);
        let given = given.then(|| self.names.borrow().get(&task.index()).cloned()).flatten();
        let by_type = || origin.map_or("main", |origin| (origin.type_name)());
        Known {
            id: task.id(),
            parent: origin.and_then(|origin| origin.parent.as_option()),
            name: given.unwrap_or_else(|| Cow::Borrowed(by_type())),
        }
    }
}

/// The record.
impl Core {
    /// A copy of what the recorder has, if there is one.
    pub(crate) fn flight_record(&self) -> Option<FlightRecord> {
        let ring = self.recorder.as_ref()?.ring.borrow();
        let (events, lost) = ring.events();
        let alive: Vec<Known> = self.live_cells().iter().map(|task| self.known(task)).collect();
        Some(FlightRecord {
            kernel: self.number,
            core: self.settings.core,
            origin: self.origin(),
            now: self.clock.now(),
            events,
            lost,
            tasks: ring.ended().cloned().chain(alive).collect(),
            places: ring.places().to_vec(),
        })
    }

    /// Writes the record to the file of the builder, if there is one, and reports that.
    #[cold]
    pub(crate) fn write_flight_record(&self, why: &'static str) {
        let file = self.recorder.as_ref().and_then(|recorder| recorder.file.as_ref());
        let Some((file, record)) = file.zip(self.flight_record()) else { return };
        let path = &file.path;
        let error = (file.write)(&record, path).err();
        self.report(&Report::FlightRecord { path, why, error: error.as_ref() });
    }

    /// The same for a long poll, unless it was done a short time ago.
    #[cold]
    pub(crate) fn write_flight_record_of_long_poll(&self) {
        let Some(recorder) = &self.recorder else { return };
        let now = self.clock.now();
        let last = recorder.written.get();
        if last.is_none_or(|last| last.saturating_add(BETWEEN_FILES) <= now) {
            recorder.written.set(Some(now));
            self.write_flight_record("a long poll");
        }
    }
}

/// What the flight recorder of the kernel that runs on this thread has recorded.
///
/// The record is a value: it may be written by another thread.
/// It is `None` if the kernel was made without
/// [`flight_recorder`](crate::Builder::flight_recorder), and outside a kernel.
pub fn flight_record() -> Option<FlightRecord> {
    current::try_with(|core| core.flight_record()).flatten()
}
