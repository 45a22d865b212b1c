//! The ring of events, and what the events name: tasks that have ended, and places of leaves.
//!
//! An event is 24 bytes. When the ring is full, each event takes the place of the oldest one.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::panic::Location;

use crate::id::TaskId;
use crate::task::cell::TaskEnd;

/// What has happened. The second field of an [`Event`] is the task to which it has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// Spawned, by the task in `arg`.
    Spawned,
    /// A poll of it begins.
    Begins,
    /// The poll has ended, and it is parked in the place `arg`.
    Parks,
    /// The poll has ended, and it is parked in no leaf of Curium's.
    ParksElsewhere,
    /// The poll has ended, and it is ready again.
    Yields,
    /// The last poll of it has ended.
    Returns,
    /// It was made ready by the task in `arg`, or by the kernel.
    Woken,
    /// It, or a scope inside it, is to be cancelled. `arg` is the reason, one of [`REASONS`].
    CancelAsked,
    /// A cancellation was delivered to one of its leaves.
    CancelDelivered,
    /// A scope inside it was opened. `arg` is the kind, one of [`SCOPES`].
    ScopeOpened,
    /// A scope inside it was closed.
    ScopeClosed,
    /// It has ended. `arg` is the [`TaskEnd`], as in [`ENDS`].
    Ended,
    /// The kernel, not a task, has polled its sources. The upper 16 bits of `arg` are the number of
    /// tasks that are ready, the others for how many nanoseconds the kernel was idle.
    Looked,
}

pub(crate) const REASONS: [&str; 5] = ["request", "timeout", "group", "shutdown", "scope"];
pub(crate) const SCOPES: [&str; 3] = ["timeout", "body of a group", "shield"];
pub(crate) const ENDS: [&str; 5] = ["ok", "failed", "cancelled", "panicked", "aborted"];

/// An event. `time` is in nanoseconds since the kernel was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// The time, shifted by eight bits, and the number of the [`What`].
    time_and_what: u64,
    task: TaskId,
    /// A task, or a number.
    arg: u64,
}

const _: () = assert!(size_of::<Event>() == 24);

const KINDS: [What; 13] = [
    What::Spawned,
    What::Begins,
    What::Parks,
    What::ParksElsewhere,
    What::Yields,
    What::Returns,
    What::Woken,
    What::CancelAsked,
    What::CancelDelivered,
    What::ScopeOpened,
    What::ScopeClosed,
    What::Ended,
    What::Looked,
];

impl Event {
    #[inline]
    pub(crate) fn new(time: u64, what: What, task: TaskId, arg: u64) -> Self {
        Event { time_and_what: time << 8 | what as u64, task, arg }
    }

    pub(crate) fn time(&self) -> u64 {
        self.time_and_what >> 8
    }

    pub(crate) fn what(&self) -> What {
        KINDS[(self.time_and_what & 0xff) as usize]
    }

    pub(crate) fn task(&self) -> TaskId {
        self.task
    }

    pub(crate) fn arg(&self) -> u64 {
        self.arg
    }

    /// The argument as a task, if it is one.
    pub(crate) fn other(&self) -> Option<TaskId> {
        TaskId::from_bits(self.arg).as_option()
    }
}

/// What a record says about a task.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) id: TaskId,
    pub(crate) parent: Option<TaskId>,
    pub(crate) name: Cow<'static, str>,
}

/// Where leaves park: the kind, and the line of the call.
pub(crate) type Place = (&'static str, &'static Location<'static>);

/// The places that were seen, with their numbers. There are as many as lines of the program that
/// wait, so they are not bounded otherwise.
#[derive(Default)]
struct Places {
    all: Vec<Place>,
    numbers: HashMap<(usize, usize), u32>,
    /// The last place for each of some hash values.
    recent: [((usize, usize), u32); 16],
}

impl Places {
    #[inline]
    fn number(&mut self, (kind, site): Place) -> u32 {
        let key = (kind.as_ptr() as usize, std::ptr::from_ref(site) as usize);
        let slot = (key.1 >> 3) % self.recent.len();
        if self.recent[slot].0 != key {
            let next = self.all.len() as u32;
            let number = *self.numbers.entry(key).or_insert(next);
            if number == next {
                self.all.push((kind, site));
            }
            self.recent[slot] = (key, number);
        }
        self.recent[slot].1
    }
}

/// The events of a kernel, as many as fit.
pub(crate) struct Ring {
    events: Vec<Event>,
    /// The number of events that were ever recorded.
    total: u64,
    /// Where the next event goes.
    next: usize,
    places: Places,
    /// The tasks whose end is in the ring, with the number of that event.
    ended: VecDeque<(u64, Known)>,
}

impl Ring {
    /// A ring of at most `bytes` bytes of events, and at least one event.
    pub(crate) fn new(bytes: usize) -> Self {
        let events = (bytes / size_of::<Event>()).max(1);
        let blank = Event { time_and_what: 0, task: TaskId::NONE, arg: 0 };
        Ring {
            events: vec![blank; events],
            total: 0,
            next: 0,
            places: Places::default(),
            ended: VecDeque::new(),
        }
    }

    #[inline]
    pub(crate) fn push(&mut self, event: Event) {
        if let Some(place) = self.events.get_mut(self.next) {
            *place = event;
        }
        self.total += 1;
        self.next += 1;
        if self.next == self.events.len() {
            self.next = 0;
        }
    }

    #[inline]
    pub(crate) fn place(&mut self, place: Place) -> u64 {
        self.places.number(place).into()
    }

    /// Records the end of a task, of which nothing else will be known.
    pub(crate) fn push_end(&mut self, time: u64, end: TaskEnd, known: Known) {
        let oldest = self.oldest();
        while self.ended.front().is_some_and(|(at, _)| *at < oldest) {
            self.ended.pop_front();
        }
        let task = known.id;
        self.ended.push_back((self.total, known));
        self.push(Event::new(time, What::Ended, task, end as u64));
    }

    /// The events, oldest first, and the number of those that are lost.
    pub(crate) fn events(&self) -> (Vec<Event>, u64) {
        let kept = usize::try_from(self.total).unwrap_or(usize::MAX).min(self.events.len());
        let first = if kept < self.events.len() { 0 } else { self.next };
        let (late, early) = self.events[..kept].split_at(first);
        ([early, late].concat(), self.total - kept as u64)
    }

    /// The tasks whose end is in the ring.
    pub(crate) fn ended(&self) -> impl Iterator<Item = &Known> {
        let oldest = self.oldest();
        self.ended.iter().filter(move |(at, _)| *at >= oldest).map(|(_, known)| known)
    }

    /// The number of the oldest event in the ring.
    fn oldest(&self) -> u64 {
        self.total.saturating_sub(self.events.len() as u64)
    }

    pub(crate) fn places(&self) -> &[Place] {
        &self.places.all
    }
}
