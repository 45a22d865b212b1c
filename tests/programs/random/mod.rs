//! Random programs: generated from a seed, run on the virtual clock, checked against a model.
//!
//! `program` defines a program, `generate` makes one, `run` and `groups` run it. Each leaf is
//! inside a `leaf::Watched`, which reports what it saw to the model (`scope`, `echo`, `held`,
//! `model`, `gate`, `budget`). `harness` runs one seed and reports the faults.

pub(crate) mod budget;
pub(crate) mod busy;
pub(crate) mod caught;
pub(crate) mod echo;
pub(crate) mod flood;
pub(crate) mod gate;
pub(crate) mod generate;
pub(crate) mod groups;
pub(crate) mod harness;
pub(crate) mod held;
pub(crate) mod leaf;
pub(crate) mod model;
pub(crate) mod program;
pub(crate) mod run;
pub(crate) mod scope;
pub(crate) mod sized;
pub(crate) mod steps;
pub(crate) mod together;
pub(crate) mod world;
