//! Running the kernel: the run loop, the work between polls, start and shutdown.

pub(crate) mod builder;
pub(crate) mod guest;
pub(crate) mod idle;
pub(crate) mod kernel;
mod lookout;
mod marker;
mod serve;
mod special;
mod stages;
pub(crate) mod tick;
mod trim;
mod visit;
mod wake_source;
mod watch;
