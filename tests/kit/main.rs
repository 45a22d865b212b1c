//! The test kit, and the kit turned on Curium itself (V1, V2, V4); see `docs/semantics.md`.

#![allow(clippy::module_inception, reason = "a file keeps the name by which the pages cite it")]

use std::panic::{AssertUnwindSafe, catch_unwind};

#[path = "../support/mod.rs"]
mod support;

mod checks;
mod explore;
mod explore_failures;
mod explored;
mod explored_broadcast;
mod explored_channel;
mod explored_children;
mod explored_combinators;
mod explored_groups;
mod explored_io;
mod explored_kernel;
mod explored_locks;
mod explored_members;
mod explored_orders;
mod explored_queue;
mod explored_reserve;
mod explored_sync;
mod explored_universal;
mod sweep;
mod sweep_failures;
mod sweep_moments;
mod swept_broadcast;
mod swept_calls;
mod swept_channel;
mod swept_children;
mod swept_combinators;
mod swept_condition;
mod swept_finally;
mod swept_framed;
mod swept_fs;
mod swept_groups;
mod swept_io;
mod swept_kernel;
mod swept_locks;
mod swept_members;
mod swept_net;
mod swept_orders;
mod swept_process;
mod swept_queue;
mod swept_reserve;
mod swept_scopes;
mod swept_servers;
mod swept_shields;
mod swept_signals;
#[cfg(unix)]
mod swept_simulated;
mod swept_starts;
mod swept_sync;
mod swept_tasks;
mod swept_thread_members;
mod swept_threads;
mod swept_timeouts;
mod swept_udp;
mod swept_universal;
#[cfg(target_os = "linux")]
mod swept_unix;
mod swept_values;
mod swept_writes;
mod test_limits;
#[path = "../support/zz_nothing_left.rs"]
mod zz_nothing_left;

/// The message of the panic of `f`.
fn panic_of<T>(f: impl FnOnce() -> T) -> String {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("a panic was expected"),
        Err(payload) => payload.downcast_ref::<String>().expect("a text").clone(),
    }
}

/// Fails unless each of `parts` is in `text`.
#[track_caller]
fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
