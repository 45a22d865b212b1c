//! Signals, processes, files and standard streams, against the real ones of the machine.

#[path = "../support/conformance/mod.rs"]
mod conformance;
#[path = "../support/mod.rs"]
mod support;

mod fs_cancelled;
mod fs_dirs;
mod fs_dropped;
mod fs_errors;
mod fs_files;
mod fs_order;
mod fs_streams;
mod guests;
mod guests_beside;
mod monitor_cores;
mod monitor_ends;
mod monitor_kit;
mod monitor_port;
mod monitor_stuck;
mod monitor_verdicts;
mod oracle;
mod os_conformance;
mod process_errors;
mod process_faults;
mod process_kit;
mod process_output;
mod process_pipes;
mod process_stop;
mod process_threads;
mod process_zombies;
mod signals_default;
mod signals_stream;
mod signals_until;
mod stdio_input;
mod stdio_output;
mod stdio_shared;
mod stdio_swept;
mod typist;
#[path = "../support/zz_nothing_left.rs"]
mod zz_nothing_left;
