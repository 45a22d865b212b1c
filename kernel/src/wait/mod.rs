//! Waiting: the cancel point on which every leaf is built, the wait on a queue, and the kernel's
//! own leaves.

pub(crate) mod cancel;
pub(crate) mod deliver;
pub(crate) mod handoff;
pub(crate) mod in_kernel;
pub(crate) mod interval;
pub(crate) mod join;
mod joiners;
pub(crate) mod point;
pub(crate) mod record;
pub(crate) mod send_point;
pub(crate) mod sleep;
pub(crate) mod spot;
pub(crate) mod timer;
