//! The test kit, and the kit turned on Curium itself (V1, V2, V4); see `docs/semantics.md`.

#![allow(clippy::module_inception, reason = "a file keeps the name by which the pages cite it")]

mod checks;
mod explore;
mod explored;
mod explored_groups;
mod explored_kernel;
mod explored_queue;
mod explored_sync;
mod sweep;
mod swept_condition;
mod swept_groups;
mod swept_kernel;
mod swept_members;
mod swept_queue;
mod swept_shields;
mod swept_sync;
mod swept_tasks;
mod swept_timeouts;
