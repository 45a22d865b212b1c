//! Which programs can be looked into: those with a socket of this user, and the default port.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::Failure;
use crate::address::{Address, PORT};
use crate::document::Document;
use crate::talk;
use crate::text::{clean_json, clean_line};

/// How long a program that is listed may be silent.
const PATIENCE: Duration = Duration::from_secs(3);

pub(crate) const NONE: &str = "no program with a monitor is found; start one with \
    CURIUM_MONITOR=1 or CURIUM_MONITOR=unix, or name its address";

/// What a place to listen is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A program with that many tasks.
    Alive(usize),
    /// A socket that nothing listens at: its program was killed.
    Stale,
    /// Something listens, and does not answer as a monitor.
    Silent(String),
}

#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) address: Address,
    pub(crate) pid: Option<u32>,
    /// The name of the process.
    pub(crate) name: Option<String>,
    pub(crate) state: State,
}

impl Found {
    pub(crate) fn is_alive(&self) -> bool {
        matches!(self.state, State::Alive(_))
    }
}

/// The directory of the sockets of this user.
fn directory() -> Option<PathBuf> {
    let runtime = env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty())?;
    Some(Path::new(&runtime).join("curium"))
}

/// All that is found.
pub(crate) fn programs() -> Vec<Found> {
    let mut found = directory().map_or_else(Vec::new, |directory| in_directory(&directory));
    found.extend(at_port());
    found
}

/// What listens at the default port. Its process is known from its document alone.
fn at_port() -> Option<Found> {
    let address = Address::Port(format!("127.0.0.1:{PORT}"));
    address.open().ok()?;
    let state = state(&address);
    let document = match state {
        State::Alive(_) => talk::document(&address).ok(),
        _ => None,
    };
    let document = document.and_then(|text| Document::parse(&text).ok()).unwrap_or_default();
    Some(Found { address, pid: document.pid, name: document.program, state })
}

/// The sockets in a directory, in the order of their names. All are asked at the same time.
pub(crate) fn in_directory(directory: &Path) -> Vec<Found> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sock"));
    paths.sort();
    thread::scope(|scope| {
        let asked = paths.into_iter().map(|path| scope.spawn(|| found(path)));
        let asked: Vec<_> = asked.collect();
        asked.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

fn found(path: PathBuf) -> Found {
    let pid = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
    let address = Address::Path(path);
    let state = state(&address);
    let is_alive = matches!(state, State::Alive(_));
    // The number of a program that was killed may be that of another one now.
    let name = pid.filter(|_| is_alive).and_then(|pid: u32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        Some(clean_line(name.trim_end()))
    });
    Found { address, pid, name, state }
}

fn state(address: &Address) -> State {
    if let Err(error) = address.open() {
        return match error.kind() {
            ErrorKind::ConnectionRefused => State::Stale,
            _ => State::Silent(clean_line(&error.to_string())),
        };
    }
    match talk::tasks(address, PATIENCE) {
        Ok(tasks) => State::Alive(tasks),
        Err(Failure::Program(text) | Failure::Usage(text)) => {
            let own = format!("{address}: ");
            State::Silent(text.strip_prefix(&own).unwrap_or(&text).to_owned())
        }
    }
}

/// The address that an argument means.
pub(crate) fn address(target: Option<&str>) -> Result<Address, Failure> {
    let Some(target) = target else { return the_only_one() };
    if target.contains('/') {
        return Ok(Address::Path(target.into()));
    }
    if let Some(port) = target.strip_prefix(':') {
        return Ok(Address::Port(format!("127.0.0.1:{port}")));
    }
    if target.contains(':') {
        return Ok(Address::Port(target.to_owned()));
    }
    let pid: Option<u32> = target.parse().ok();
    if pid.is_none() {
        let target = clean_line(target);
        let text = format!("{target} is no process id, no path and no address with a port");
        return Err(Failure::Usage(text));
    }
    let path = directory().map(|directory| directory.join(format!("{target}.sock")));
    if let Some(path) = path.filter(|path| path.exists()) {
        return Ok(Address::Path(path));
    }
    match at_port() {
        Some(found) if found.pid == pid => Ok(found.address),
        _ => Err(Failure::Program(format!(
            "process {target} has no socket in $XDG_RUNTIME_DIR/curium, and does not listen at \
             port {PORT}; if it listens elsewhere, name the address"
        ))),
    }
}

fn the_only_one() -> Result<Address, Failure> {
    let mut found = programs();
    found.retain(Found::is_alive);
    match found.len() {
        0 => Err(Failure::Program(NONE.into())),
        1 => Ok(found.remove(0).address),
        _ => {
            let text = format!("there are several programs; name one\n{}", table(&found));
            Err(Failure::Program(text.trim_end().to_owned()))
        }
    }
}

pub(crate) fn table(found: &[Found]) -> String {
    let mut text = String::new();
    if !found.is_empty() {
        let _ = writeln!(text, "{:>8}  {:<16} {:>8}  ADDRESS", "PID", "PROGRAM", "TASKS");
    }
    for Found { address, pid, name, state } in found {
        let pid = pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        let name = name.as_deref().unwrap_or("?");
        let (tasks, note) = match state {
            State::Alive(tasks) => (tasks.to_string(), String::new()),
            State::Stale => ("stale".into(), " (killed; the file can be removed)".into()),
            State::Silent(why) => ("silent".into(), format!(" ({why})")),
        };
        let _ = writeln!(text, "{pid:>8}  {name:<16} {tasks:>8}  {address}{note}");
    }
    text
}

pub(crate) fn json(found: &[Found]) -> String {
    let programs = found.iter().map(|Found { address, pid, name, state }| {
        let (state, tasks, why) = match state {
            State::Alive(tasks) => ("alive", Some(*tasks), None),
            State::Stale => ("stale", None, None),
            State::Silent(why) => ("silent", None, Some(why)),
        };
        json!({
            "address": address.to_string(), "pid": pid, "name": name,
            "state": state, "tasks": tasks, "why": why,
        })
    });
    clean_json(&format!("{}\n", json!(programs.collect::<Vec<_>>())))
}
