//! What is known of one kernel, and why that is not fresh.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::FlightRecord;

use crate::held::{Held, LONG};
use crate::shot::{Shot, short};
use crate::text::{clean, seconds};
use crate::world::Waiting;

/// Answers that are older than that are given, if the kernel gives no newer one.
const PATIENCE: Duration = Duration::from_secs(2);

/// One kernel as sessions see it. The server fills it in.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The number of its core, if it is one of several.
    pub(crate) core: Option<usize>,
    /// The last one that came.
    pub(crate) shot: Option<Arc<Shot>>,
    /// What the flight recorder had last, with the number of that look. It outlasts the shots that
    /// come after it: who waits for the records of all kernels may wait longer for another one.
    pub(crate) record: Option<(u64, Arc<FlightRecord>)>,
    pub(crate) held: Option<Held>,
    /// Since when a look is on its way.
    pub(crate) asked: Option<Instant>,
    /// The kernel has ended, and others go on.
    pub(crate) has_ended: bool,
}

impl Known {
    pub(crate) fn of(core: Option<usize>) -> Self {
        Known { core, ..Known::default() }
    }

    /// The kernel in a sentence.
    fn named(&self) -> String {
        match self.core {
            Some(core) => format!("kernel of core {core}"),
            None => "kernel".to_owned(),
        }
    }

    /// The record that was asked for then, or later.
    pub(crate) fn record_since(&self, waiting: Waiting) -> Option<Arc<FlightRecord>> {
        let (_, record) = self.record.as_ref().filter(|(number, _)| *number >= waiting.number)?;
        Some(record.clone())
    }

    /// Whether the next look is to bring a record.
    pub(crate) fn lacks_record(&self, wanted: Option<u64>) -> bool {
        wanted.is_some() && self.record.as_ref().map(|(number, _)| *number) < wanted
    }

    /// Why a session gets an old shot, in lines, or no line if it gets a fresh one. None: it is to
    /// wait for that.
    pub(crate) fn excuse(&self, waiting: Waiting, now: Instant, is_over: bool) -> Option<String> {
        if self.shot.as_ref().is_some_and(|shot| shot.number >= waiting.number) {
            return Some(String::new());
        }
        let named = self.named();
        let waited = now.saturating_duration_since(waiting.since);
        let asked = self.asked.map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        let excuse = if is_over && !self.has_ended {
            // That it is over is said once for all kernels.
            String::new()
        } else if self.has_ended {
            return Some(format!("The {named} has ended.\n"));
        } else if let Some(held) = self.held.as_ref().filter(|_| waited >= LONG) {
            self.held_by(held, &named)
        } else if waited >= PATIENCE || waited >= LONG && asked >= PATIENCE {
            let silent = seconds(waited.max(asked));
            format!("The {named} has not answered for {silent}.\n")
        } else {
            return None;
        };
        Some(excuse + &self.age(now, &named))
    }

    /// Which task holds the kernel.
    fn held_by(&self, held: &Held, named: &str) -> String {
        let id = short(self.core, held.task);
        let (name, time) = (clean(&held.name), seconds(held.seen_for));
        let first =
            format!("Task {id} {name} holds the {named}: one poll has taken {time} so far.\n");
        let known = self.shot.as_ref().map(|shot| shot.snapshot().task(held.task));
        let place = match known {
            Some(Some(task)) if !task.info.parked.is_empty() => {
                let leaves =
                    task.info.parked.iter().map(|leaf| format!("{} at {}", leaf.kind, leaf.site));
                let leaves: Vec<String> = leaves.collect();
                format!("It was last seen parked in {}.\n", leaves.join(", "))
            }
            Some(Some(_)) => "It was not parked when it was seen last.\n".to_owned(),
            Some(None) => "It was spawned since the kernel was seen last.\n".to_owned(),
            None => String::new(),
        };
        first + &place
    }

    fn age(&self, now: Instant, named: &str) -> String {
        let of_core = self.core.map_or_else(String::new, |core| format!(" of core {core}"));
        match &self.shot {
            Some(shot) => {
                let age = seconds(now.saturating_duration_since(shot.at));
                format!("What follows{of_core} was seen {age} ago.\n")
            }
            None => format!("The {named} was not seen before.\n"),
        }
    }
}
