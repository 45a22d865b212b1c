//! The test kit, and the kit turned on Curium itself (V1, V2, V4); see `docs/semantics.md`.

#![allow(clippy::module_inception, reason = "a file keeps the name by which the pages cite it")]

mod explore;
mod explored;
mod explored_groups;
mod explored_kernel;
mod explored_queue;
mod explored_sync;
mod sweep;
