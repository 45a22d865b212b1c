//! Running the kernel: the run loop, the work between polls, start and shutdown.

pub(crate) mod builder;
mod hope;
pub(crate) mod idle;
pub(crate) mod kernel;
mod serve;
mod special;
pub(crate) mod tick;
mod trim;
mod watch;
