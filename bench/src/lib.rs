//! Curium beside its peers: the same workloads on each runtime, written once.
//!
//! Each file of `runtimes/` is a *shim*: the few functions and macros that a workload needs, as
//! that runtime's own page advises. The files of `workloads/` are compiled once per shim, as
//! modules of it, so that every runtime runs the same source with its own types, without trait
//! objects or wrapped futures in between. See the README beside this crate.

// Loading the same file in several modules writes a workload once.
#![allow(clippy::duplicate_mod)]
// `done!(())` is `()` for some runtimes and a `Result` for Curium.
#![allow(clippy::semicolon_if_nothing_returned, clippy::unused_unit)]

pub mod case;
pub mod cores;
mod floor;
pub mod load;
pub mod pairs;
pub mod picture;
pub mod runtimes;
pub mod table;
