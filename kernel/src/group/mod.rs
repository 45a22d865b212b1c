//! Groups: tasks that all end before the block that started them ends.

pub(crate) mod body;
pub(crate) mod bounds;
pub(crate) mod end;
pub(crate) mod ends;
pub(crate) mod grace;
pub(crate) mod handle;
mod hosting;
pub(crate) mod limit;
mod members;
pub(crate) mod policy;
pub(crate) mod start;
pub(crate) mod state;
pub(crate) mod supervise;
pub(crate) mod task_group;
mod threads;
pub(crate) mod view;
