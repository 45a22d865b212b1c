//! What sessions see of the kernel, and what they want of it.

use std::env;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::TaskId;
use rustix::process::Signal;

use crate::held::{Held, LONG};
use crate::json;
use crate::shot::{Shot, short};
use crate::text::{clean, quoted, seconds};

/// What clients may do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rights {
    pub(crate) cancel: bool,
    pub(crate) signal: bool,
}

/// What a client has asked for and the server does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Cancel(TaskId),
    Signal(Signal),
}

/// Answers that are older than that are given, if the kernel gives no newer one.
const PATIENCE: Duration = Duration::from_secs(2);

/// The kernel as sessions see it. The server fills it in, and does what the sessions want.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) rights: Rights,
    /// The name of the file that runs.
    program: String,
    /// The token that a page must send with what it wants done.
    pub(crate) token: String,
    /// The last one that came.
    pub(crate) shot: Option<Arc<Shot>>,
    /// The number of the next one that is begun.
    pub(crate) next: u64,
    /// A session waits for that one.
    pub(crate) is_wanted: bool,
    /// A session waits for what the flight recorder has by then.
    pub(crate) is_record_wanted: bool,
    pub(crate) held: Option<Held>,
    /// The kernel has ended.
    pub(crate) is_over: bool,
    pub(crate) acts: Vec<Act>,
}

/// A session waits for a shot that was begun after its question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    number: u64,
    since: Instant,
}

/// What a session gets for its wait.
#[derive(Debug)]
pub(crate) struct Answer {
    /// None: the kernel has never answered.
    pub(crate) shot: Option<Arc<Shot>>,
    /// Why the shot is not fresh. Lines of text.
    pub(crate) excuse: String,
}

impl World {
    pub(crate) fn new(now: Instant, rights: Rights, token: String) -> Self {
        let program = env::args_os().next().unwrap_or_default();
        let program = Path::new(&program).file_name().unwrap_or_default();
        World {
            now,
            rights,
            program: program.to_string_lossy().into_owned(),
            token,
            shot: None,
            next: 1,
            is_wanted: false,
            is_record_wanted: false,
            held: None,
            is_over: false,
            acts: Vec::new(),
        }
    }

    /// Asks for a fresh shot.
    pub(crate) fn ask(&mut self) -> Waiting {
        self.is_wanted = true;
        Waiting { number: self.next, since: self.now }
    }

    /// The answer to a wait, once there is one: the shot, or an old one with the reason.
    pub(crate) fn answer(&self, waiting: Waiting) -> Option<Answer> {
        let shot = self.shot.clone();
        if shot.as_ref().is_some_and(|shot| shot.number >= waiting.number) {
            return Some(Answer { shot, excuse: String::new() });
        }
        let waited = self.now.saturating_duration_since(waiting.since);
        let excuse = if self.is_over {
            "The kernel has ended.\n".to_owned()
        } else if let Some(held) = self.held.as_ref().filter(|_| waited >= LONG) {
            self.held_by(held)
        } else if waited >= PATIENCE {
            format!("The kernel has not answered for {}.\n", seconds(waited))
        } else {
            return None;
        };
        Some(Answer { excuse: excuse + &self.age(shot.as_deref()), shot })
    }

    /// Which task holds the kernel.
    fn held_by(&self, held: &Held) -> String {
        let (id, name, time) = (short(held.task), clean(&held.name), seconds(held.seen_for));
        let first =
            format!("Task {id} {name} holds the kernel: one poll has taken {time} so far.\n");
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

    fn age(&self, shot: Option<&Shot>) -> String {
        match shot {
            Some(shot) => {
                let age = seconds(self.now.saturating_duration_since(shot.at));
                format!("What follows was seen {age} ago.\n")
            }
            None => "The kernel was not seen before.\n".to_owned(),
        }
    }

    /// The document with everything.
    pub(crate) fn document(&self, answer: &Answer) -> String {
        let age = answer.shot.as_ref().map(|shot| self.now.saturating_duration_since(shot.at));
        let held = self.held.as_ref().filter(|_| !answer.excuse.is_empty());
        let held = json::or_null(held, |held| {
            json::object([
                ("task", json::id(held.task)),
                ("name", quoted(&held.name)),
                ("for_ms", held.seen_for.as_millis().to_string()),
            ])
        });
        let kernel = answer.shot.as_ref().map(|shot| shot.json());
        json::object([
            ("curium", "1".into()),
            ("program", quoted(&self.program)),
            ("pid", process::id().to_string()),
            ("may_cancel", self.rights.cancel.to_string()),
            ("age_ms", json::or_null(age, |age| age.as_millis().to_string())),
            ("held", held),
            ("kernels", format!("[{}]", kernel.as_deref().unwrap_or_default())),
        ]) + "\n"
    }
}
