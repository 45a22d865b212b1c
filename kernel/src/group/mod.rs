//! Groups: tasks that end with the block that started them.

pub(crate) mod body;
pub(crate) mod bounds;
pub(crate) mod end;
pub(crate) mod handle;
pub(crate) mod state;
pub(crate) mod task_group;
