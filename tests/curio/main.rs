//! The behaviour that Curium shares with curio, and the page that lists it.

#[allow(dead_code, reason = "the tests of the monitor use the rest")]
#[path = "../os/monitor_kit.rs"]
mod monitor_kit;
#[path = "../support/mod.rs"]
mod support;

mod parity;
mod parity_channel;
mod parity_file;
mod parity_groups;
mod parity_io;
mod parity_kernel;
mod parity_monitor;
mod parity_net;
mod parity_observers;
mod parity_queue;
mod parity_streams;
mod parity_sync;
mod parity_thread_members;
mod parity_timeouts;
mod parity_universal;
