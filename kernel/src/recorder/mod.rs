//! The flight recorder: a ring of small events, and the forms in which a record of it is written.
//!
//! Nothing here knows a kernel. What is recorded, and when, is in `core/recorded.rs`.

mod chrome;
mod perfetto;
pub(crate) mod ring;
mod timeline;

use std::fmt;
use std::io;

use crate::recorder::ring::{Event, Known, Place};
use crate::recorder::timeline::Timeline;

/// The last events of a kernel, as [`Builder::flight_recorder`](crate::Builder::flight_recorder)
/// has kept them.
///
/// It is a value of its own: the kernel goes on, and the record may go to another thread. Each task
/// is a track below that of the task that has spawned it. On it are the polls, and between them
/// what the task was parked on, by the kind and the line of the await, or that it was ready. A wake
/// is an arrow from the task that has made another one ready. Times are those of the kernel's
/// clock.
#[derive(Clone)]
pub struct FlightRecord {
    pub(crate) kernel: u32,
    /// The time at which the record was made.
    pub(crate) now: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) lost: u64,
    pub(crate) tasks: Vec<Known>,
    pub(crate) places: Vec<Place>,
}

impl FlightRecord {
    /// The number of events.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether there is no event.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// The number of older events, whose places in the ring were taken by later ones.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Writes the record in the form of Perfetto (TrackEvent), for `ui.perfetto.dev` and its tools.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_perfetto(&self, to: impl io::Write) -> io::Result<()> {
        perfetto::write(&Timeline::of(self), to)
    }

    /// Writes the record as JSON in the older form of Chrome, one event a line, which is easy to
    /// compare.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_chrome_json(&self, to: impl io::Write) -> io::Result<()> {
        chrome::write(&Timeline::of(self), to)
    }
}

impl fmt::Debug for FlightRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlightRecord")
            .field("events", &self.events.len())
            .field("lost", &self.lost)
            .finish_non_exhaustive()
    }
}
