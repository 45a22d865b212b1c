//! One kernel as the server sees it: the looks that are on their way, and what they bring.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Instant;

use kernel::insight::Snapshot;
use kernel::{FlightRecord, Link, SnapshotParts};
use mio::Waker;

use crate::held::Watch;
use crate::known::Known;
use crate::shot::Shot;

/// The number of tasks that one look takes. The kernel is away from its tasks for that long.
const PART: usize = 256;

/// What looks have seen.
pub(crate) enum Seen {
    All(Box<SnapshotParts>, Option<FlightRecord>),
    /// Whether no task of the verdicts was polled since they were seen.
    AtRest(bool),
}

/// What looks send: which kernel they have seen. None: it has ended, or a look has panicked.
pub(crate) type Brought = (usize, Option<Seen>);

/// Where looks send what they have seen.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) sender: Sender<Brought>,
    pub(crate) waker: Arc<Waker>,
}

/// Sends what looks have seen, when it is dropped.
struct Reply {
    kernel: usize,
    seen: Option<Seen>,
    way: Way,
}

impl Reply {
    fn fill(&mut self, seen: Seen) {
        self.seen = Some(seen);
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        // The thread of the monitor may have ended.
        let _ = self.way.sender.send((self.kernel, self.seen.take()));
        let _ = self.way.waker.wake();
    }
}

pub(crate) struct Watched {
    pub(crate) link: Link,
    /// Its number among the kernels.
    number: usize,
    watch: Watch,
    way: Way,
    /// The number of the shot for which a look is on its way.
    looking: Option<u64>,
    /// The number of the shot that sessions want next.
    wanted: Option<u64>,
    is_record_wanted: bool,
    /// What was seen last, until the kernel has confirmed its verdicts.
    doubtful: Option<Shot>,
}

impl Watched {
    pub(crate) fn new(link: Link, number: usize, way: Way) -> Self {
        Watched {
            link,
            number,
            watch: Watch::default(),
            way,
            looking: None,
            wanted: None,
            is_record_wanted: false,
            doubtful: None,
        }
    }

    /// Looks at the mark of the kernel.
    pub(crate) fn look_at_mark(&mut self, known: &mut Known, now: Instant) {
        known.held = self.watch.look(&self.link, now);
        if known.held.is_some() {
            // Nothing is confirmed for as long as that poll lasts.
            self.publish(known, false);
        }
    }

    /// Sessions want the shot of that number.
    pub(crate) fn want(&mut self, number: u64, with_record: bool) {
        self.wanted = Some(number);
        self.is_record_wanted |= with_record;
    }

    /// Begins a look, if one is wanted and none is on its way.
    pub(crate) fn look(&mut self, known: &mut Known, now: Instant) {
        if self.looking.is_some() {
            return;
        }
        let Some(number) = self.wanted.take() else { return };
        self.looking = Some(number);
        known.asked = Some(now);
        let recorded = std::mem::take(&mut self.is_record_wanted);
        take_part(&self.link, None, recorded, self.reply());
    }

    /// Takes what a look has brought.
    pub(crate) fn receive(&mut self, seen: Option<Seen>, known: &mut Known, now: Instant) {
        match seen {
            Some(Seen::All(parts, record)) => {
                let record = record.map(|record| (self.number_of_look(), Arc::new(record)));
                known.record = record.or(known.record.take());
                self.judge(parts.finish(), known, now);
            }
            Some(Seen::AtRest(at_rest)) => {
                self.publish(known, at_rest);
                self.end_look(known);
            }
            None => {
                self.publish(known, false);
                self.end_look(known);
                // Those who wait get an old answer when their patience ends.
                self.wanted = None;
            }
        }
    }

    /// The number of the shot that the look on its way is for.
    fn number_of_look(&self) -> u64 {
        self.looking.unwrap_or_default()
    }

    fn end_look(&mut self, known: &mut Known) {
        self.looking = None;
        known.asked = None;
    }

    /// Has the kernel confirm the verdicts, because the parts were not seen at one moment.
    pub(crate) fn judge(&mut self, snapshot: Snapshot, known: &mut Known, now: Instant) {
        let graph = snapshot.into_wait_graph();
        let verdicts = graph.verdicts();
        let is_certain = verdicts.is_empty();
        let evidence = if is_certain { Vec::new() } else { graph.evidence() };
        self.doubtful = Some(Shot::new(self.number_of_look(), now, graph, verdicts));
        if is_certain {
            self.publish(known, true);
            return self.end_look(known);
        }
        let mut reply = self.reply();
        // If the kernel has ended, the reply is dropped and says so.
        let _ = self.link.look(move || {
            reply.fill(Seen::AtRest(kernel::are_unpolled(&evidence)));
        });
    }

    /// Gives the sessions what was seen, without its verdicts if these may not hold.
    fn publish(&mut self, known: &mut Known, is_certain: bool) {
        let Some(mut shot) = self.doubtful.take() else { return };
        if !is_certain {
            shot.refute();
        }
        known.shot = Some(Arc::new(shot));
    }

    fn reply(&self) -> Reply {
        Reply { kernel: self.number, seen: None, way: self.way.clone() }
    }
}

/// Has the kernel take the next part of a snapshot, and then the others. `recorded`: and then the
/// record of the flight recorder.
fn take_part(link: &Link, parts: Option<SnapshotParts>, recorded: bool, mut reply: Reply) {
    let again = link.clone();
    // If the kernel has ended, the reply is dropped and says so.
    let _ = link.look(move || {
        let mut parts = parts.unwrap_or_else(SnapshotParts::begin);
        if parts.take(PART) {
            let record = recorded.then(kernel::flight_record).flatten();
            reply.fill(Seen::All(Box::new(parts), record));
        } else {
            take_part(&again, Some(parts), recorded, reply);
        }
    });
}
