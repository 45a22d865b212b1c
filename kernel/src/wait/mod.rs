//! Where a task waits: the cancel point that every leaf is made of, the wait queue, and the leaves
//! of the kernel.

pub(crate) mod cancel;
pub(crate) mod handoff;
pub(crate) mod in_kernel;
pub(crate) mod join;
pub(crate) mod point;
pub(crate) mod record;
pub(crate) mod sleep;
pub(crate) mod thread;
