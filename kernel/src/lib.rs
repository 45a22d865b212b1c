//! The kernel of Curium.
pub use crate::body::TaskOutput;
pub use crate::cell::End;
pub use crate::error::{
    CancelReason, GroupError, JoinedExt, Panic, Result, TaskCancelled, TaskError, TaskTimeout,
    cancelled,
};
pub use crate::group::{GroupEnded, GroupRef, TaskGroup};
pub use crate::group_state::{MemberEnd, Wait};
pub use crate::id::TaskId;
pub use crate::job::on_thread;
pub use crate::join::{Cancel, Join, WaitEnd};
pub use crate::kernel::{Builder, Kernel, Leftovers, run};
pub use crate::leaf::CancelPoint;
pub use crate::remote::{Handle, KernelGone};
pub use crate::report::{Failure, Report};
pub use crate::shield::{
    Cancellable, Shield, cancellable, check_cancellation, disable_cancellation,
    disable_cancellation_for,
};
pub use crate::sleep::{Interval, Sleep, YieldNow, interval, now, sleep, sleep_until, yield_now};
pub use crate::snapshot::{ParkedAt, TaskInfo, TaskState, current_task, tasks};
pub use crate::task::{Task, handle, spawn, spawn_named};
pub use crate::timeout::{IgnoreAfter, Timeout, ignore_after, timeout_after, timeout_at};

mod body;
mod cancel;
mod cell;
mod clock;
mod core;
mod current;
mod error;
mod group;
mod group_end;
mod group_state;
mod group_wait;
mod id;
mod idle;
pub mod io;
mod job;
mod join;
mod kernel;
mod leaf;
mod lifecycle;
mod links;
mod reactor;
mod ready;
mod remote;
mod report;
mod scope;
mod shield;
mod sleep;
mod snapshot;
mod table;
mod target;
mod task;
pub mod testing;
mod tick;
mod timeout;
mod timer;
pub mod wait_queue;
