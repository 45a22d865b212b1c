//! The state of a kernel, and the small operations on it.

pub(crate) mod cancel;
mod clear;
pub(crate) mod current;
mod enter;
pub(crate) mod inspect;
pub(crate) mod life;
pub(crate) mod outcome;
pub(crate) mod owner;
pub(crate) mod probe;
pub(crate) mod queue;
pub(crate) mod report;
pub(crate) mod state;
pub(crate) mod wake;
