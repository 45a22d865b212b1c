//! A zoo of known bugs: published cancellation and scheduling bugs of other libraries, each with a
//! test of Curium (V4); see `docs/zoo.md`.

mod hunt;
mod zoo_channels;
mod zoo_groups;
mod zoo_locks;
mod zoo_page;
mod zoo_timeouts;
mod zoo_wakes;
