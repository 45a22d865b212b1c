//! Signals, processes, files and standard streams, against the real ones of the machine.

#[path = "../support/mod.rs"]
mod support;

mod signals_default;
mod signals_stream;
mod signals_until;
