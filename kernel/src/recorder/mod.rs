//! The flight recorder: a ring of small events, and the forms in which a record of it is written.
//!
//! Nothing here knows a kernel. What is recorded, and when, is in `core/recorded.rs`.
//!
//! What makes a file of a record is `#[inline]`, so that only programs that write records compile
//! its code: a kernel calls it through the pointer in [`RecordFile`].

mod chrome;
mod perfetto;
pub(crate) mod ring;
mod timeline;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::recorder::ring::{Event, Known, Place, What};
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
    pub(crate) core: Option<usize>,
    /// The moment from which its times count.
    pub(crate) origin: Instant,
    /// The time at which the record was made.
    pub(crate) now: u64,
    pub(crate) events: Vec<Event>,
    pub(crate) lost: u64,
    pub(crate) tasks: Vec<Known>,
    pub(crate) places: Vec<Place>,
}

/// The file for the record of a kernel, and what writes it.
#[derive(Clone)]
pub(crate) struct RecordFile {
    pub(crate) path: PathBuf,
    pub(crate) write: fn(&FlightRecord, &Path) -> io::Result<()>,
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

    /// The part of the record from that long ago on. What a task was doing then begins then.
    #[inline]
    pub fn last(mut self, time: Duration) -> Self {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let since = self.now.saturating_sub(nanos);
        let first = self.events.partition_point(|event| event.time() < since);
        let (mut doing, mut ended) = (BTreeMap::new(), HashSet::new());
        for (place, event) in self.events.drain(..first).enumerate() {
            match event.what() {
                What::Begins | What::Parks | What::ParksElsewhere | What::Yields => {
                    doing.insert(event.task(), (place, event));
                }
                What::Returns => drop(doing.remove(&event.task())),
                What::Ended => {
                    doing.remove(&event.task());
                    ended.insert(event.task());
                }
                _ => {}
            }
        }
        self.tasks.retain(|task| !ended.contains(&task.id));
        let mut doing: Vec<_> = doing.into_values().collect();
        doing.sort_unstable_by_key(|(place, _)| *place);
        let doing = doing.iter().map(|(_, it)| Event::new(since, it.what(), it.task(), it.arg()));
        self.events.splice(..0, doing);
        self
    }

    /// Writes the record in the form of Perfetto (TrackEvent), for `ui.perfetto.dev` and its tools.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_perfetto(&self, to: impl io::Write) -> io::Result<()> {
        perfetto::write(&[Timeline::of(self)], to)
    }

    #[inline]
    pub(crate) fn write_file(&self, path: &Path) -> io::Result<()> {
        self.write_perfetto(BufWriter::new(File::create(path)?))
    }

    /// Writes the records of several kernels as one trace, as [`write_perfetto`] that of one.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    ///
    /// [`write_perfetto`]: Self::write_perfetto
    #[doc(hidden)]
    pub fn write_perfetto_of(records: &[Self], to: impl io::Write) -> io::Result<()> {
        perfetto::write(&Timeline::of_all(records), to)
    }

    /// Writes the record as JSON in the older form of Chrome, one event a line, which is easy to
    /// compare.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    pub fn write_chrome_json(&self, to: impl io::Write) -> io::Result<()> {
        chrome::write(&[Timeline::of(self)], to)
    }

    /// Writes the records of several kernels as one array, as [`write_chrome_json`] that of one.
    ///
    /// # Errors
    ///
    /// Those of `to`.
    ///
    /// [`write_chrome_json`]: Self::write_chrome_json
    #[doc(hidden)]
    pub fn write_chrome_json_of(records: &[Self], to: impl io::Write) -> io::Result<()> {
        chrome::write(&Timeline::of_all(records), to)
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
