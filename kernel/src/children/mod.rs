//! Children: futures that one task polls, each a task of its own in the table, so that they may
//! borrow (S1, S2).

pub(crate) mod bounds;
pub(crate) mod child;
pub(crate) mod completed;
pub(crate) mod gather;
mod hosting;
pub(crate) mod race;
pub(crate) mod scope;
pub(crate) mod select;
mod set;
