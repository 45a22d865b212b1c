//! What the library does, rule by rule; see `docs/semantics.md`.

#![allow(clippy::module_inception, reason = "a file keeps the name by which the pages cite it")]

#[path = "../support/conformance/mod.rs"]
mod conformance;
#[path = "../support/mod.rs"]
mod support;

/// The kernel: its turns, its clock, its shutdown, and its reports.
mod kernel {
    mod budget_shared;
    mod cancelled_polls;
    mod clock;
    mod edges;
    mod extensions;
    mod fast_paths;
    mod handles;
    mod inherited_values;
    mod kernel_descriptors;
    mod kernel_drop;
    mod kernel_order;
    mod kernel_races;
    mod kernel_run;
    mod large_futures;
    mod leaf_corners;
    mod mailbox_floods;
    mod mishaps;
    mod monitor;
    mod observers;
    mod own_wakers;
    mod panic_places;
    mod places_let_again;
    mod poll_timers;
    mod reports;
    mod reports_blame;
    mod round_corners;
    mod task_await;
    mod wakers;
}

/// Snapshots and what follows from them.
mod insight {
    mod causes;
    mod flight_recorder;
    mod full_queues;
    mod futurelocks;
    mod holders;
    mod lock_circles;
    mod snapshots;
    mod task_spans;
    mod verdicts;
}

/// Cancellation: its delivery, shields, and the limits of a cleanup.
mod cancel {
    mod cancel;
    mod cancel_delivery;
    mod cancel_each_other;
    mod cancel_scopes;
    mod cancelled_values;
    mod cancelled_values_nested;
    mod finally;
    mod finally_shielded;
    mod foreign_futures;
    mod grace;
    mod leaf_kinds;
    mod program_code;
    mod shields;
    mod swallowed;
    mod two_doors;
    mod unless_cancelled;
}

/// Task groups.
mod groups {
    mod group_errors;
    mod groups;
    mod groups_all_errors;
    mod groups_dropped;
    mod groups_failing;
    mod groups_grace;
    mod groups_grace_corners;
    mod groups_limit;
    mod groups_long;
    mod groups_policies;
    mod groups_size;
    mod groups_spawning;
    mod groups_start;
    mod groups_supervised;
}

/// Borrowing scopes.
mod children {
    mod children;
    mod children_dropped;
    mod children_failing;
    mod children_inside;
    mod children_polled;
    mod combinators;
    mod selects;
}

/// Timeouts.
mod timeouts {
    mod one_error;
    mod timeouts;
    mod timeouts_deep;
    mod timeouts_errors;
    mod timeouts_groups;
    mod timeouts_inside;
    mod timeouts_moved;
    mod timeouts_nested;
    mod timeouts_unopened;
}

/// The primitives of `sync`.
mod sync {
    mod sync_barrier;
    mod sync_broadcast;
    mod sync_channel;
    mod sync_channel_direct;
    mod sync_channel_stream;
    mod sync_condition;
    mod sync_event;
    mod sync_lock;
    mod sync_once_cell;
    mod sync_oneshot;
    mod sync_queue;
    mod sync_queue_closed;
    mod sync_queue_leaving;
    mod sync_queue_orders;
    mod sync_queue_put_from;
    mod sync_queue_reserve;
    mod sync_r_lock;
    mod sync_rw_lock;
    mod sync_semaphore;
    mod sync_watch;
}

/// Streams in memory: the leaves over them, and buffers.
mod io {
    mod io_buffers;
    mod io_conformance;
    mod io_copy;
    mod io_copy_bidirectional;
    mod io_duplex;
    mod io_fds;
    mod io_framed;
    mod io_lines;
    mod io_streams;
}

/// The objects that tasks of several kernels, other executors and threads share.
mod universal {
    mod universal_event;
    mod universal_kernels;
    mod universal_pairings;
    mod universal_queue;
    mod universal_queue_closed;
    mod universal_queue_leaving;
}

/// Kernels on several cores, and calls between kernels.
mod cores {
    mod blocked;
    mod call_scopes;
    mod calls;
    mod kernels;
    mod seen;
    mod stops;
}

/// Jobs on other threads, threads that are tasks, and calls of other threads.
mod threads {
    mod handle_call;
    mod jobs;
    mod jobs_abandoned;
    mod jobs_pools;
    mod thread_members;
    mod thread_members_abandoned;
    mod thread_members_cancelled;
}
