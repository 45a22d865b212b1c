//! How names, times and what a leaf waits for are written.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use crate::id::TaskId;
use crate::insight::graph::{Edge, WaitsFor};
use crate::insight::parts::UNPOLLED;
use crate::insight::snapshot::{Snapshot, TaskDetails};
use crate::parts::reactor::Direction;

/// The number of characters of a name that are shown.
const NAME: usize = 60;

/// The number of tasks of a list that are shown.
const LIST: usize = 5;

/// A number with its noun, of one or of several.
pub(crate) fn count(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// A name without control characters, and not longer than a line can bear.
pub(crate) fn escaped(name: &str) -> String {
    let mut shown = String::new();
    for (at, char) in name.chars().enumerate() {
        if at == NAME {
            shown.push('…');
            break;
        }
        match char {
            char if is_plain(char) => shown.push(char),
            char => shown.extend(char.escape_unicode()),
        }
    }
    shown
}

/// Whether a character neither controls a terminal nor changes the direction of the text.
fn is_plain(char: char) -> bool {
    let directs = matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !char.is_control() && !directs
}

/// The id of a task, with its core in front if its kernel is one of several: `#1:42`.
pub(crate) struct Id {
    pub(crate) core: Option<usize>,
    pub(crate) task: TaskId,
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Id { core: Some(core), task } = self else { return write!(f, "{}", self.task) };
        write!(f, "#{core}:{}", task.to_string().trim_start_matches('#'))
    }
}

/// The id and the name of a task.
pub(super) struct Named<'a>(pub(super) Option<usize>, pub(super) &'a TaskDetails);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(core, task) = *self;
        write!(f, "{} {}", Id { core, task: task.info.id }, escaped(&task.info.name))
    }
}

/// A duration in the largest unit that fits.
pub(super) struct Age(pub(super) Duration);

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        let text = match seconds {
            ..0.001 => format!("{:.0} µs", seconds * 1e6),
            ..1.0 => format!("{:.0} ms", seconds * 1e3),
            ..600.0 => format!("{seconds:.1} s"),
            ..36_000.0 => format!("{:.0} min", seconds / 60.0),
            _ => format!("{:.0} h", seconds / 3600.0),
        };
        f.pad(&text)
    }
}

/// How long a time has to come at `now`.
pub(super) fn until(time: Instant, now: Instant) -> Age {
    Age(time.saturating_duration_since(now))
}

/// Some tasks by id and name.
fn list(core: Option<usize>, ids: &[TaskId], tasks: &HashMap<TaskId, &TaskDetails>) -> String {
    let mut text = String::new();
    for (at, id) in ids.iter().take(LIST).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = match tasks.get(id) {
            Some(task) => write!(text, "{comma}{}", Named(core, task)),
            None => write!(text, "{comma}{}", Id { core, task: *id }),
        };
    }
    if ids.len() > LIST {
        let _ = write!(text, " and {} more", ids.len() - LIST);
    }
    text
}

impl Edge {
    /// What the edge of a task of this snapshot points to, as text.
    pub(super) fn target(&self, seen: &Snapshot, tasks: &HashMap<TaskId, &TaskDetails>) -> String {
        let (core, now) = (seen.core, seen.taken_at);
        let list = |ids: &[TaskId]| list(core, ids, tasks);
        let mut text = match &self.on {
            WaitsFor::Task(task) if self.kind == UNPOLLED => {
                format!("a poll by {}", list(&[*task]))
            }
            WaitsFor::Task(task) => list(&[*task]),
            WaitsFor::Group { members, .. } if members.is_empty() => "its group".to_owned(),
            WaitsFor::Group { members, .. } => format!("its members {}", list(members)),
            WaitsFor::Holders { tasks, .. } if tasks.is_empty() => "held by no task".to_owned(),
            WaitsFor::Holders { tasks, untaken: Some(site), .. } => {
                format!("handed to {} for its wait at {site}, not polled since", list(tasks))
            }
            WaitsFor::Holders { tasks, ended, .. } => {
                let held = format!("held by {}", list(tasks));
                match &ended[..] {
                    [] => held,
                    _ if tasks.len() == 1 => held + ", which has ended",
                    [_] => held + "; 1 of these has ended",
                    ended => held + &format!("; {} of these have ended", ended.len()),
                }
            }
            WaitsFor::Room { reader, has_ended: true, .. } => {
                let reader = Id { core, task: *reader };
                format!("room in a queue, whose last reader, {reader}, has ended")
            }
            WaitsFor::Room { reader, .. } => {
                format!("room in a queue, last read by {}", list(&[*reader]))
            }
            WaitsFor::Io(Direction::Read) if self.kind == "PROCESS_WAIT" => {
                "the end of a process".to_owned()
            }
            WaitsFor::Waker { clones: 0 } => "a waker of which no clone exists".to_owned(),
            WaitsFor::Waker { clones: 1 } => "a waker, 1 clone".to_owned(),
            WaitsFor::Waker { clones } => format!("a waker, {clones} clones"),
            WaitsFor::Time(time) => format!("in {}", until(*time, now)),
            WaitsFor::Io(Direction::Read) => "readable".to_owned(),
            WaitsFor::Io(Direction::Write) => "writable".to_owned(),
            WaitsFor::Thread => "a thread".to_owned(),
            WaitsFor::Unknown { object: 0 } => "unknown".to_owned(),
            WaitsFor::Unknown { object } => format!("object {object}"),
        };
        if let Some(deadline) = self.deadline {
            let _ = write!(text, "; timeout in {}", until(deadline, now));
        }
        text
    }
}
