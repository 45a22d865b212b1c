//! The document of a monitor, as far as it is shown. Every text in it is made harmless here.

use std::collections::HashMap;

use serde_json::Value;

use crate::Outcome;
use crate::text::{clean_line, count, time};

/// The version of the document that is understood.
const VERSION: u64 = 1;

/// The names of the tasks of a kernel, by id.
type Names = HashMap<String, String>;

/// The kernels of a program as one.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Document {
    /// The name of the program.
    pub(crate) program: Option<String>,
    pub(crate) pid: Option<u32>,
    /// The program does not let clients cancel tasks.
    pub(crate) refuses_cancel: bool,
    /// The age of what it says. None: the kernel was never seen.
    pub(crate) age_ms: Option<u64>,
    /// The tasks that hold kernels: of several cores, there may be several.
    pub(crate) held: Vec<Held>,
    pub(crate) turn: u64,
    pub(crate) ready: u64,
    pub(crate) shutting_down: bool,
    pub(crate) tasks: Vec<Task>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) verdicts: Vec<Verdict>,
}

/// A task that does not give the kernel's thread back.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) task: String,
    /// The number of the core, if there are several.
    pub(crate) core: Option<u64>,
    pub(crate) name: String,
    pub(crate) for_ms: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) parent: Option<String>,
    pub(crate) scope: Option<String>,
    pub(crate) daemon: bool,
    pub(crate) state: String,
    pub(crate) polls: u64,
    pub(crate) spawned_at: Option<String>,
    pub(crate) timeouts: Vec<Timeout>,
    pub(crate) shields: u64,
    pub(crate) parked: Vec<Leaf>,
    pub(crate) cancel: Option<Cancel>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) kind: String,
    pub(crate) site: Option<String>,
    pub(crate) since_ms: Option<u64>,
    /// What it waits for, in words.
    pub(crate) on: String,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timeout {
    pub(crate) site: Option<String>,
    pub(crate) in_ms: Option<u64>,
    pub(crate) cancelled: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cancel {
    pub(crate) reason: String,
    pub(crate) since_ms: Option<u64>,
    pub(crate) delivered: bool,
}

/// A group, or a borrowing scope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scope {
    pub(crate) id: String,
    pub(crate) owner: Option<String>,
    pub(crate) site: Option<String>,
    pub(crate) policy: String,
    pub(crate) hosts: bool,
    pub(crate) cancelled: Option<String>,
    pub(crate) members: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) text: String,
    pub(crate) tasks: Vec<String>,
}

fn text(of: &Value, field: &str) -> Option<String> {
    of.get(field)?.as_str().map(clean_line)
}

fn string(of: &Value, field: &str) -> String {
    text(of, field).unwrap_or_default()
}

fn number(of: &Value, field: &str) -> Option<u64> {
    of.get(field)?.as_u64()
}

fn is(of: &Value, field: &str) -> bool {
    of.get(field).and_then(Value::as_bool).unwrap_or(false)
}

fn list<'a>(of: &'a Value, field: &str) -> &'a [Value] {
    of.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn object<'a>(of: &'a Value, field: &str) -> Option<&'a Value> {
    of.get(field).filter(|value| value.is_object())
}

fn texts(of: &Value, field: &str) -> Vec<String> {
    list(of, field).iter().filter_map(Value::as_str).map(clean_line).collect()
}

impl Document {
    /// Reads a document. Fields that are missing are left out.
    pub(crate) fn parse(json: &str) -> Result<Self, String> {
        let value: Value = serde_json::from_str(json)
            .map_err(|error| format!("the program's document is no JSON: {error}"))?;
        match number(&value, "curium") {
            Some(VERSION) => {}
            Some(other) => {
                return Err(format!(
                    "the program writes version {other} of the document, and this `curium` knows \
                     version {VERSION}; use the one of its release"
                ));
            }
            None => return Err("the program's document is none of a monitor of Curium".into()),
        }
        // The document has one of them; each kernel has its own.
        let of_kernels = list(&value, "kernels").iter().filter_map(held);
        let mut held_by: Vec<Held> = of_kernels.collect();
        if held_by.is_empty() {
            held_by.extend(held(&value));
        }
        let age_ms = number(&value, "age_ms");
        let mut document = Document {
            program: text(&value, "program"),
            pid: number(&value, "pid").and_then(|pid| pid.try_into().ok()),
            refuses_cancel: value.get("may_cancel").and_then(Value::as_bool) == Some(false),
            age_ms,
            held: held_by,
            ..Document::default()
        };
        for kernel in list(&value, "kernels") {
            document.turn += number(kernel, "turn").unwrap_or(0);
            document.ready += number(kernel, "ready").unwrap_or(0);
            document.shutting_down |= is(kernel, "shutting_down");
            let tasks = list(kernel, "tasks");
            let names = tasks.iter().map(|task| (string(task, "id"), string(task, "name")));
            let names: Names = names.collect();
            document.tasks.extend(tasks.iter().map(|it| task(it, &names)));
            document.scopes.extend(list(kernel, "scopes").iter().map(scope));
            document.verdicts.extend(list(kernel, "verdicts").iter().map(|verdict| Verdict {
                text: string(verdict, "text"),
                tasks: texts(verdict, "tasks"),
            }));
        }
        Ok(document)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let is_fine = self.verdicts.is_empty() && self.held.is_empty();
        if is_fine { Outcome::Fine } else { Outcome::Verdict }
    }
}

impl Held {
    pub(crate) fn text(&self) -> String {
        let Held { task, core, name, for_ms } = self;
        let (core, time) = (core.map(|core| format!(" of core {core}")), time(*for_ms));
        let core = core.unwrap_or_default();
        format!("task #{task} {name} holds the kernel{core}: one poll has taken {time} so far")
    }

    /// Whether that is the kernel of the task with this id.
    pub(crate) fn is_of(&self, id: &str) -> bool {
        let core = |id: &str| id.split_once(':').map(|(core, _)| core.to_owned());
        core(&self.task) == core(id)
    }
}

fn held(of: &Value) -> Option<Held> {
    object(of, "held").map(|held| Held {
        task: string(held, "task"),
        core: number(held, "core"),
        name: string(held, "name"),
        for_ms: number(held, "for_ms").unwrap_or(0),
    })
}

impl Task {
    /// The age of its oldest wait.
    pub(crate) fn age_ms(&self) -> Option<u64> {
        self.parked.iter().filter_map(|leaf| leaf.since_ms).max()
    }
}

fn task(of: &Value, names: &Names) -> Task {
    let timeouts = list(of, "timeouts").iter().map(|timeout| Timeout {
        site: text(timeout, "site"),
        in_ms: number(timeout, "in_ms"),
        cancelled: is(timeout, "cancelled"),
    });
    let parked = list(of, "parked").iter().map(|leaf| Leaf {
        kind: string(leaf, "kind"),
        site: text(leaf, "site"),
        since_ms: number(leaf, "since_ms"),
        on: object(leaf, "waits_for").map(|on| target(on, names)).unwrap_or_default(),
    });
    Task {
        id: string(of, "id"),
        name: string(of, "name"),
        parent: text(of, "parent"),
        scope: text(of, "scope"),
        daemon: is(of, "daemon"),
        state: string(of, "state"),
        polls: number(of, "cycles").unwrap_or(0),
        spawned_at: text(of, "spawned_at"),
        timeouts: timeouts.collect(),
        shields: number(of, "shields").unwrap_or(0),
        parked: parked.collect(),
        cancel: object(of, "cancel").map(|cancel| Cancel {
            reason: string(cancel, "reason"),
            since_ms: number(cancel, "since_ms"),
            delivered: is(cancel, "delivered"),
        }),
    }
}

fn scope(of: &Value) -> Scope {
    Scope {
        id: string(of, "id"),
        owner: text(of, "owner"),
        site: text(of, "site"),
        policy: string(of, "policy"),
        hosts: is(of, "hosts"),
        cancelled: text(of, "cancelled"),
        members: list(of, "members").len(),
    }
}

/// What a leaf waits for, in words.
fn target(of: &Value, names: &Names) -> String {
    let called = |id: &String| match names.get(id) {
        Some(name) => format!("#{id} {name}"),
        None => format!("#{id}"),
    };
    if let Some(task) = text(of, "task") {
        return called(&task);
    }
    if of.get("holders").is_some() {
        let holders: Vec<String> = texts(of, "holders").iter().map(called).collect();
        return format!("held by {}", holders.join(", "));
    }
    if let Some(reader) = text(of, "reader") {
        let ended = if is(of, "reader_has_ended") { ", which has ended" } else { "" };
        return format!("room in a queue, last read by {}{ended}", called(&reader));
    }
    if of.get("members").is_some() {
        return format!("its {}", count(list(of, "members").len(), "member"));
    }
    if let Some(left) = number(of, "time_in_ms") {
        return format!("in {}", time(left));
    }
    if let Some(clones) = number(of, "waker_clones") {
        let clones = count(usize::try_from(clones).unwrap_or(usize::MAX), "waker");
        return format!("{clones} of it outside");
    }
    if let Some(direction) = text(of, "io") {
        return direction.to_lowercase();
    }
    if is(of, "thread") {
        return "a thread".into();
    }
    String::new()
}
