//! Random programs: made from a seed, run on the virtual clock, checked against a model.
//!
//! `program` is what a program is, `generate` makes one, `run` and `groups` carry it out, each leaf
//! inside a `leaf::Watched` that tells the model (`scope`, `model`, `gate`, `budget`) what it saw;
//! `harness` runs one seed and says what was wrong.

pub(crate) mod budget;
pub(crate) mod busy;
pub(crate) mod flood;
pub(crate) mod gate;
pub(crate) mod generate;
pub(crate) mod groups;
pub(crate) mod harness;
pub(crate) mod leaf;
pub(crate) mod model;
pub(crate) mod program;
pub(crate) mod run;
pub(crate) mod scope;
pub(crate) mod sized;
pub(crate) mod steps;
pub(crate) mod together;
pub(crate) mod world;
