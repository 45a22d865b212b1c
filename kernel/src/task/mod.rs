//! The stored form of a task: its state, its body, its cell, and the table of all tasks.

pub(crate) mod body;
pub(crate) mod bounds;
pub(crate) mod cell;
pub(crate) mod chunk;
pub(crate) mod mark;
pub(crate) mod origin;
pub(crate) mod request;
pub(crate) mod state;
pub(crate) mod table;
pub(crate) mod take_cell;
pub(crate) mod waiter;
pub(crate) mod waker;
