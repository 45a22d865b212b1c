//! The kernel as it runs: its turns, what it does between them, how it begins and ends.

pub(crate) mod builder;
pub(crate) mod idle;
pub(crate) mod kernel;
mod serve;
mod special;
pub(crate) mod tick;
mod trim;
mod watch;
