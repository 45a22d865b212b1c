//! The state of a kernel, and the small operations on it.

pub(crate) mod abandoned;
pub(crate) mod budget;
pub(crate) mod cancel;
mod clear;
pub(crate) mod current;
pub(crate) mod echo;
mod enter;
pub(crate) mod extension;
pub(crate) mod failure;
pub(crate) mod hosted;
pub(crate) mod inherit;
pub(crate) mod inspect;
pub(crate) mod jobs;
pub(crate) mod life;
mod marks;
mod nested;
pub(crate) mod outcome;
pub(crate) mod owner;
pub(crate) mod polled;
pub(crate) mod probe;
mod put_back;
pub(crate) mod queue;
pub(crate) mod report;
pub(crate) mod state;
pub(crate) mod unopened;
pub(crate) mod wake;
pub(crate) mod watched;
