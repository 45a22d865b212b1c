//! The runtimes, each behind a shim: `Outcome`, `Shared`, `block_on`, `spawn`, `yield_now`,
//! `channel`, `new_lock`, `sleep`, `sleeper`, `idle`, and the macros `go!` (await), `done!` (the
//! value at the end of a body), `join!`, `detach!`, `send!`, `recv!`, `lock!`, `cancel!`, and in
//! some `group!` (a group of so many members, which ends when they have), `receive!` (the future of
//! a receive) and `within!` (a timeout that does not expire).
//!
//! They are macros where the runtimes differ in kind, because a wrapping `async fn` would itself be
//! measured. A workload always runs as a task: in several runtimes the future given to `block_on`
//! is a special case, and slower to wake.

#[macro_use]
mod plain;

mod bare;
mod curium;
mod monoio;
mod rc;
mod smol;
mod tokio_current;
mod tokio_local;

use crate::load::{Load, Sample, Workload};

/// Runs a workload, or says that the runtime has no such workload. The function is called when a
/// workload requests a look.
pub type Run = fn(Workload, Load, fn()) -> Option<Sample>;

/// Each runtime by its name; Curium first, the floors last.
pub const ALL: [(&str, Run); 7] = [
    ("curium", curium::run),
    ("tokio_local", tokio_local::run),
    ("tokio_current", tokio_current::run),
    ("smol", smol::run),
    ("monoio", monoio::run),
    ("floor_bare", bare::run),
    ("floor_rc", rc::run),
];

/// The name of Curium in a kernel with a watcher, which is no runtime of its own.
pub const WATCHED: &str = "curium_watched";

/// Curium with a flight recorder.
pub const RECORDED: &str = "curium_recorded";

/// The runtime of this name.
pub fn named(name: &str) -> Option<Run> {
    if name == WATCHED {
        return Some(curium::run_watched);
    }
    if name == RECORDED {
        return Some(curium::run_recorded);
    }
    ALL.iter().find(|(known, _)| *known == name).map(|(_, run)| *run)
}
