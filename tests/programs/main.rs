//! Programs that are generated from a seed, on the virtual clock.

use std::alloc::System;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[path = "../support/mod.rs"]
mod support;

mod model_broadcast;
mod model_queues;
mod model_watch;
mod plain;
mod random;
mod random_programs;
mod random_sizes;
mod random_waits;
#[cfg(unix)]
mod replicated_counter;
mod wanderers;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that are allocated now, by all threads.
fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}
