//! The rules hold under load: many connections, storms of events, and a process that is stopped.

#[path = "../support/mod.rs"]
mod support;

mod load_churn;
mod load_connections;
mod load_cores;
mod load_shutdown;
mod load_stopped;
mod load_storms;
mod load_universal;
