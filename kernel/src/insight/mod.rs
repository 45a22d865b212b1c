//! What a running program does, and why it does not go on: [`snapshot`](crate::snapshot) and
//! [`wait_graph`](crate::wait_graph).
//!
//! A [`Verdict`] is what is certain: which tasks wait for each other for ever, which no waker can
//! reach, which the shutdown waits for.
//!
//! A [`Snapshot`] is owned data. It can be sent to another thread, kept, and compared with a later
//! one. Its `Display` is the tree of the tasks; its [`wait_graph`](Snapshot::wait_graph) says which
//! task waits for what.
//!
//! ```
//! use curium::kernel::{self, TaskCancelled, sleep, spawn_named, yield_now};
//! use std::time::Duration;
//!
//! kernel::testing::run(async || {
//!     let pause = spawn_named("pause", sleep(Duration::from_secs(5)));
//!     yield_now().await?;
//!     let seen = kernel::snapshot();
//!     let task = seen.task(pause.id()).expect("it has not ended");
//!     assert_eq!(task.info.state.to_string(), "SLEEP");
//!     assert!(seen.to_string().contains("pause"), "{seen}");
//!     pause.await
//! })?;
//! # Ok::<(), TaskCancelled>(())
//! ```

mod graph;
pub(crate) mod info;
mod judge;
pub(crate) mod parts;
pub(crate) mod slice;
pub(crate) mod snapshot;
pub(crate) mod text;
mod tree;
mod verdict;

pub use graph::{Edge, WaitGraph, WaitsFor};
pub use info::{ParkedAt, TaskInfo, TaskState};
pub use snapshot::{
    CancelInfo, ScopeId, ScopeInfo, ShieldInfo, Snapshot, TaskDetails, ThreadInfo, TimeoutInfo,
};
pub use verdict::{Verdict, Waiting};
