//! A record as tracks with slices, which both forms write: pairs of events are put together here,
//! and what the ring has lost is filled in.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::panic::Location;

use crate::id::TaskId;
use crate::insight::text::Id;
use crate::recorder::FlightRecord;
use crate::recorder::ring::{ENDS, Event, Known, REASONS, SCOPES, What};

/// A track: of a task, or of the kernel.
pub(super) struct Track {
    /// The number of the track. That of the kernel is [`KERNEL`].
    pub(super) number: u64,
    pub(super) parent: u64,
    pub(super) name: String,
}

/// The track of the kernel itself.
pub(super) const KERNEL: u64 = 1;
/// The counter of the tasks that are ready.
pub(super) const READY: u64 = 2;
/// The name of a slice that is a poll.
const POLL: &str = "POLL";
/// The first task.
const FIRST_TASK: u64 = 16;

/// An entry on a track.
pub(super) struct Entry {
    pub(super) time: u64,
    pub(super) track: u64,
    pub(super) mark: Mark,
}

pub(super) enum Mark {
    Begin {
        name: Cow<'static, str>,
        site: Option<&'static Location<'static>>,
        woken: Option<u64>,
    },
    End,
    /// A moment. `wakes` is the number of the arrow that begins here.
    Instant {
        name: Cow<'static, str>,
        wakes: Option<u64>,
    },
    Counter(u64),
}

/// The tracks and entries of a record.
pub(super) struct Timeline {
    /// The name of the kernel.
    pub(super) kernel: String,
    /// What was added to the numbers of its tracks.
    pub(super) shift: u64,
    pub(super) tracks: Vec<Track>,
    pub(super) entries: Vec<Entry>,
}

/// What is on the track of a task at a moment.
#[derive(Default)]
struct OnTrack {
    /// A slice is open: a poll, a park, or the time in the ready queue.
    open: bool,
    /// It is a poll.
    polled: bool,
    /// The number of the arrow of the last wake.
    arrow: Option<u64>,
}

impl Timeline {
    #[inline]
    pub(super) fn of(record: &FlightRecord) -> Self {
        let order = order_of(record);
        let numbers: HashMap<TaskId, u64> =
            order.iter().zip(FIRST_TASK..).map(|(known, number)| (known.id, number)).collect();
        let track_of =
            |id: Option<TaskId>| id.and_then(|id| numbers.get(&id).copied()).unwrap_or(KERNEL);
        let tracks = order.iter().map(|known| Track {
            number: track_of(Some(known.id)),
            parent: track_of(known.parent),
            name: format!("{} {}", known.name, Id { core: record.core, task: known.id }),
        });
        let tracks = tracks.collect();
        let mut builder = Entries {
            record,
            numbers: &numbers,
            at: HashMap::new(),
            arrows: 0,
            entries: Vec::new(),
        };
        record.events.iter().for_each(|event| builder.add(event));
        builder.close();
        let core = record.core.map_or_else(String::new, |core| format!("core {core}, "));
        let kernel = format!("{core}kernel {}", record.kernel);
        Timeline { kernel, shift: 0, tracks, entries: builder.entries }
    }

    /// Timelines of several kernels that are to be in one trace: on one clock, and with numbers of
    /// their own.
    #[inline]
    pub(super) fn of_all(records: &[FlightRecord]) -> Vec<Self> {
        let first = records.iter().map(|record| record.origin).min();
        let moved = records.iter().zip(0..).map(|(record, place): (_, u64)| {
            let late = first.map(|first| record.origin.saturating_duration_since(first));
            let late = late.unwrap_or_default().as_nanos();
            Timeline::of(record).moved(place << 32, u64::try_from(late).unwrap_or(u64::MAX))
        });
        moved.collect()
    }

    #[inline]
    fn moved(mut self, shift: u64, late: u64) -> Self {
        self.shift = shift;
        for track in &mut self.tracks {
            track.number += shift;
            track.parent += shift;
        }
        for entry in &mut self.entries {
            entry.time = entry.time.saturating_add(late);
            entry.track += shift;
            if let Mark::Begin { woken: Some(arrow), .. }
            | Mark::Instant { wakes: Some(arrow), .. } = &mut entry.mark
            {
                *arrow += shift;
            }
        }
        self
    }
}

/// The tasks of a record, parents before those that they have spawned, else in the order in which
/// they come in the events.
#[inline]
fn order_of(record: &FlightRecord) -> Vec<Known> {
    let mut known: HashMap<TaskId, Known> =
        record.tasks.iter().map(|task| (task.id, task.clone())).collect();
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let spawned = record.events.iter().filter(|event| event.what() == What::Spawned);
    for event in spawned {
        if let Some(task) = known.get_mut(&event.task()) {
            task.parent = task.parent.or(event.other());
        }
    }
    let named = record.events.iter().map(Event::task).chain(record.tasks.iter().map(|it| it.id));
    for id in named {
        // Ancestors that have ended before the record begins have no track.
        let mut line = Vec::new();
        let mut next = Some(id);
        while let Some(task) = next.filter(|id| !seen.contains(id)).and_then(|id| known.get(&id)) {
            seen.insert(task.id);
            line.push(task.clone());
            next = task.parent;
        }
        order.extend(line.into_iter().rev());
    }
    order
}

struct Entries<'a> {
    record: &'a FlightRecord,
    numbers: &'a HashMap<TaskId, u64>,
    at: HashMap<u64, OnTrack>,
    arrows: u64,
    entries: Vec<Entry>,
}

impl Entries<'_> {
    #[inline]
    fn push(&mut self, time: u64, track: u64, mark: Mark) {
        self.entries.push(Entry { time, track, mark });
    }

    fn instant(&mut self, time: u64, track: u64, name: impl Into<Cow<'static, str>>) {
        self.push(time, track, Mark::Instant { name: name.into(), wakes: None });
    }

    /// Ends what is open on the track and begins a slice.
    #[inline]
    fn turn(
        &mut self,
        time: u64,
        track: u64,
        name: &'static str,
        site: Option<&'static Location<'static>>,
        woken: Option<u64>,
    ) {
        self.end(time, track);
        self.push(time, track, Mark::Begin { name: name.into(), site, woken });
        let at = self.at.entry(track).or_default();
        (at.open, at.polled) = (true, name == POLL);
    }

    #[inline]
    fn end(&mut self, time: u64, track: u64) {
        if std::mem::take(&mut self.at.entry(track).or_default().open) {
            self.push(time, track, Mark::End);
        }
    }

    #[inline]
    fn add(&mut self, event: &Event) {
        let time = event.time();
        if event.what() == What::Looked {
            return self.looked(event);
        }
        // Every task of an event is known: it lives, or its end is in the ring.
        let Some(&track) = self.numbers.get(&event.task()) else { return };
        match event.what() {
            What::Spawned => self.instant(time, track, "spawned"),
            What::Begins => {
                let arrow = self.at.entry(track).or_default().arrow.take();
                self.turn(time, track, POLL, None, arrow);
            }
            What::Parks => {
                let (kind, site) = self.record.places[event.arg() as usize];
                self.turn(time, track, kind, Some(site), None);
            }
            What::ParksElsewhere => self.turn(time, track, "FOREIGN", None, None),
            What::Yields => self.turn(time, track, "READY", None, None),
            What::Returns => self.end(time, track),
            What::Woken => self.woken(event, track),
            What::CancelAsked => {
                let reason = REASONS[event.arg() as usize % REASONS.len()];
                self.instant(time, track, format!("cancel asked: {reason}"));
            }
            What::CancelDelivered => self.instant(time, track, "cancel delivered"),
            What::ScopeOpened => {
                let kind = SCOPES[event.arg() as usize % SCOPES.len()];
                self.instant(time, track, format!("{kind} opened"));
            }
            What::ScopeClosed => self.instant(time, track, "scope closed"),
            What::Ended => {
                self.end(time, track);
                self.instant(time, track, format!("ended: {}", ENDS[event.arg() as usize]));
            }
            What::Looked => {}
        }
    }

    /// The kernel was idle, or busy with its sources.
    #[inline]
    fn looked(&mut self, event: &Event) {
        let (time, ready) = (event.time(), event.arg() >> 48);
        let took = event.arg() & ((1 << 48) - 1);
        if took > 0 {
            let name = "IDLE".into();
            self.push(time - took.min(time), KERNEL, Mark::Begin { name, site: None, woken: None });
            self.push(time, KERNEL, Mark::End);
        }
        self.push(time, READY, Mark::Counter(ready));
    }

    #[inline]
    fn woken(&mut self, event: &Event, track: u64) {
        let time = event.time();
        self.arrows += 1;
        let arrow = Some(self.arrows);
        let waker = event.other().and_then(|id| self.numbers.get(&id).copied()).unwrap_or(KERNEL);
        let woken = Id { core: self.record.core, task: event.task() };
        let name = format!("wakes {woken}").into();
        self.push(time, waker, Mark::Instant { name, wakes: arrow });
        let at = self.at.entry(track).or_default();
        at.arrow = arrow;
        // A task may be woken in a poll of its own, by a child that is polled inside it.
        if !(at.open && at.polled) {
            self.turn(time, track, "READY", None, None);
        }
    }

    /// Ends what is still open at the end of the record.
    #[inline]
    fn close(&mut self) {
        let mut open: Vec<u64> =
            self.at.iter().filter(|(_, on)| on.open).map(|(track, _)| *track).collect();
        open.sort_unstable();
        for track in open {
            self.end(self.record.now, track);
        }
    }
}
