//! What sessions see of the kernels, and what they want of them.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::insight::{TaskDetails, WaitGraph};
use kernel::{FlightRecord, TaskId};
use rustix::process::Signal;

use crate::held::Held;
use crate::json;
use crate::known::Known;
use crate::shot::{Shot, short};
use crate::text::{clean, quoted};

/// About the length of what a document says of a kernel before its tasks.
const KERNEL: usize = 256;

/// What clients may do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rights {
    pub(crate) cancel: bool,
    pub(crate) signal: bool,
}

/// What a client has asked for and the server does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Cancels a task of a kernel.
    Cancel(usize, TaskId),
    Signal(Signal),
}

/// The kernels as sessions see them. The server fills it in, and does what the sessions want.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) rights: Rights,
    /// The name of the file that runs.
    program: String,
    /// The token that a page must send with what it wants done.
    pub(crate) token: String,
    /// The kernels by core; one alone is 0.
    pub(crate) kernels: BTreeMap<usize, Known>,
    /// The number of the next shots that are begun.
    pub(crate) next: u64,
    /// A session waits for those.
    pub(crate) is_wanted: bool,
    /// A session waits for what the flight recorders have: the number of the shots that it waits
    /// for, and the greatest one if there are several.
    pub(crate) record_wanted: Option<u64>,
    /// All kernels have ended.
    pub(crate) is_over: bool,
    pub(crate) acts: Vec<Act>,
}

/// A session waits for shots that were begun after its question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) number: u64,
    pub(crate) since: Instant,
}

/// What a session gets for its wait.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Why the shots are not fresh. Lines of text.
    pub(crate) excuse: String,
    pub(crate) kernels: Vec<Seen>,
}

/// A kernel in an answer.
#[derive(Debug)]
pub(crate) struct Seen {
    core: Option<usize>,
    /// None: it has never answered, or has ended.
    shot: Option<Arc<Shot>>,
    /// What its flight recorder had, if that is fresh.
    record: Option<Arc<FlightRecord>>,
    /// The task that keeps the shot from being fresh.
    held: Option<Held>,
    is_fresh: bool,
    has_ended: bool,
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
            kernels: BTreeMap::new(),
            next: 1,
            is_wanted: false,
            record_wanted: None,
            is_over: false,
            acts: Vec::new(),
        }
    }

    /// Asks for fresh shots.
    pub(crate) fn ask(&mut self) -> Waiting {
        self.is_wanted = true;
        Waiting { number: self.next, since: self.now }
    }

    /// The answer to a wait, once there is one: each kernel's shot, or an old one with the reason.
    pub(crate) fn answer(&self, waiting: Waiting) -> Option<Answer> {
        let mut answer = Answer { excuse: String::new(), kernels: Vec::new() };
        for known in self.kernels.values() {
            let excuse = known.excuse(waiting, self.now, self.is_over)?;
            let is_fresh = excuse.is_empty();
            answer.excuse += &excuse;
            answer.kernels.push(Seen {
                core: known.core,
                shot: known.shot.clone(),
                record: known.record_since(waiting),
                held: known.held.clone().filter(|_| !is_fresh),
                is_fresh,
                has_ended: known.has_ended,
            });
        }
        if self.is_over && !answer.excuse.is_empty() {
            answer.excuse.insert_str(0, "The kernel has ended.\n");
        }
        Some(answer)
    }

    /// The document with everything, in one piece because it may be long, after `before`.
    pub(crate) fn document(&self, answer: &Answer, before: &str) -> String {
        let age = |shot: &Arc<Shot>| self.now.saturating_duration_since(shot.at);
        let oldest = answer.shots().map(age).max();
        let first_held = answer.kernels.iter().find_map(|it| Some((it.core, it.held.as_ref()?)));
        let fields = json::fields([
            ("curium", "1".into()),
            ("program", quoted(&self.program)),
            ("pid", process::id().to_string()),
            ("may_cancel", self.rights.cancel.to_string()),
            ("age_ms", json::age(oldest)),
            ("held", json::held(first_held)),
        ]);
        let shown = answer.kernels.iter().map(|it| it.shot.as_ref().map(|shot| shot.json()));
        let shown: Vec<Arc<str>> =
            shown.map(|it| it.unwrap_or_else(|| json::unseen().into())).collect();
        let length: usize = shown.iter().map(|shown| shown.len() + KERNEL).sum();
        let mut text = String::with_capacity(before.len() + fields.len() + KERNEL + length);
        text.extend([before, "{", &fields, ",\"kernels\":["]);
        for (at, (it, shown)) in answer.kernels.iter().zip(&shown).enumerate() {
            let fields = json::fields([
                ("core", json::or_null(it.core, |core| core.to_string())),
                ("age_ms", json::age(it.shot.as_ref().map(age))),
                ("held", json::held(it.held.as_ref().map(|held| (it.core, held)))),
                ("ended", it.has_ended.to_string()),
            ]);
            text.extend([if at == 0 { "{" } else { ",{" }, &fields, ",", shown, "}"]);
        }
        text += "]}\n";
        text
    }
}

impl Answer {
    pub(crate) fn shots(&self) -> impl Iterator<Item = &Arc<Shot>> {
        self.kernels.iter().filter_map(|seen| seen.shot.as_ref())
    }

    /// Whether a kernel has answered.
    pub(crate) fn is_any_fresh(&self) -> bool {
        self.kernels.iter().any(|seen| seen.is_fresh || seen.record.is_some())
    }

    /// The end of what the flight recorders had of the kernels that have answered. An error has its
    /// status of HTTP.
    pub(crate) fn last_records(
        &self,
        time: Duration,
    ) -> Result<Vec<FlightRecord>, (&'static str, String)> {
        let records = self.kernels.iter().filter_map(|seen| seen.record.as_deref());
        let records: Vec<FlightRecord> = records.map(|it| it.clone().last(time)).collect();
        if !records.is_empty() {
            return Ok(records);
        }
        if !self.is_any_fresh() {
            return Err(("503 Service Unavailable", self.excuse.clone()));
        }
        // A kernel that has answered was asked for its record.
        let text = "This program has no flight recorder; see Builder::flight_recorder.\n";
        Err(("404 Not Found", text.into()))
    }

    /// The cores that have not answered, and are in no trace.
    pub(crate) fn left_out(&self) -> Vec<usize> {
        let silent = self.kernels.iter().filter(|seen| !seen.is_fresh && seen.record.is_none());
        silent.filter_map(|seen| seen.core).collect()
    }

    /// The task of that name for ids: `3`, `#3` or `3.1`, and `1:3` of several cores.
    pub(crate) fn find(&self, id: &str) -> Option<(&Shot, &TaskDetails)> {
        let id = id.replace('#', "");
        self.shots().find_map(|shot| {
            let core = shot.snapshot().core;
            let mut tasks = shot.snapshot().tasks.iter();
            Some((&**shot, tasks.find(|task| short(core, task.info.id) == id)?))
        })
    }

    /// Why there is no task of that name.
    pub(crate) fn no_task(&self, id: &str) -> String {
        let id = clean(id);
        match self.kernels.iter().any(|seen| seen.core.is_some()) && !id.contains(':') {
            true => {
                format!("No task {id}: a task of several cores has its core in front: 0:{id}\n")
            }
            false => format!("No task {id}\n"),
        }
    }

    /// The verdicts on all kernels, as lines of text.
    pub(crate) fn alarms(&self) -> String {
        self.shots().map(|shot| shot.alarms()).collect()
    }

    /// The views of all kernels, one after the other.
    pub(crate) fn each(&self, view: impl Fn(&Shot) -> String) -> String {
        self.shots().map(|shot| view(shot)).collect()
    }

    /// The trees of all kernels. The verdicts on several come before all trees, which may be long.
    pub(crate) fn tree(&self) -> String {
        match self.kernels.iter().any(|seen| seen.core.is_some()) {
            true => self.alarms() + &self.each(Shot::bare_tree),
            false => self.each(Shot::tree),
        }
    }

    /// The waits in the language of Graphviz, as one graph.
    pub(crate) fn dot(&self) -> String {
        WaitGraph::dot_of(self.shots().map(|shot| &shot.graph))
    }
}
