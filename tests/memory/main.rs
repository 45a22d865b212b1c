//! What tasks and connections cost in memory, as the allocator counts it.

use std::alloc::System;
use std::sync::{Mutex, MutexGuard};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[path = "../support/mod.rs"]
mod support;

mod memory_given_back;
mod million;
mod peers_idle;
mod peers_memory;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

static ALONE: Mutex<()> = Mutex::new(());

/// One test at a time, because the allocator counts for the whole process.
fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Bytes that are allocated now.
fn bytes_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

/// Blocks that are allocated now.
fn blocks_in_use() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations - stats.deallocations
}
