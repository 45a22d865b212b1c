//! The kernel of Curium: tasks, cancellation as an error, timeouts, groups, timers, the reactor.
//!
//! One kernel runs on one thread. Tasks are ordinary futures, not `Send`, polled one at a time;
//! every place where a task can park is a *leaf*, and every leaf returns a `Result` that can carry
//! [`TaskCancelled`]. So a cancelled task cleans up with ordinary code and `?`, awaiting what it
//! needs.
//!
//! ```
//! use std::time::Duration;
//! use kernel::{TaskCancelled, TaskGroup, sleep};
//!
//! async fn worker(name: &'static str) -> Result<(), TaskCancelled> {
//!     if let Err(cancelled) = sleep(Duration::from_secs(1000)).await {
//!         sleep(Duration::from_millis(1)).await?; // cleanup may await
//!         println!("{name} has cleaned up");
//!         return Err(cancelled);
//!     }
//!     Ok(())
//! }
//!
//! kernel::run(async || {
//!     TaskGroup::<TaskCancelled>::scope(async |g| {
//!         let one = g.spawn(worker("one"));
//!         sleep(Duration::from_millis(1)).await?;
//!         one.cancel().await // returns when `one` has really ended
//!     })
//!     .await
//! })?;
//! # Ok::<(), TaskCancelled>(())
//! ```
//!
//! When the compiler asks for the error type of an `async` block (`cannot infer type of the type
//! parameter E`), end the block with `Ok::<_, TaskCancelled>(value)`, or name it in an `async fn`.
//!
//! # The data path
//!
//! Follow one read, from `spawn` to `join`; the files in the order in which it passes them.
//!
//! ```text
//!   spawn(future) ─▶ task.rs ─▶ lifecycle.rs  admit: a cell of the table, queued
//!                                   │
//!             ┌─────────────────────▼─────────────────────┐
//!             │ tick.rs    pop a ready task, poll it      │◀──────────────┐
//!             └──────┬─────────────────────────────┬──────┘               │
//!                    │ future polls the leaf       │ Ready: finish        │ wake
//!                    ▼                             ▼                      │ (core.rs)
//!             io.rs      try to read; would     lifecycle.rs  keep the    │
//!             leaf.rs    block: cancelled? else   output, tell the group, │
//!                        park, leave a record     wake the joiners ───────┤
//!             reactor.rs who waits for which        │                     │
//!                │       socket                     ▼                     │
//!                │                               join.rs  take the output │
//!                ▼                                                        │
//!             idle.rs    nobody ready: sleep in the poll; an event ───────┘
//! ```
//!
//! A cancellation goes the same way: `task.cancel()` (join.rs) stamps the task's scope (cancel.rs)
//! and wakes its leaves; polled again, the leaf tries its operation first, and if that would still
//! park, returns the error (leaf.rs).
//!
//! | file | holds |
//! |---|---|
//! | `kernel.rs`, `builder.rs` | [`Kernel`], [`run`], shutdown; what can be set |
//! | `tick.rs`, `idle.rs` | a turn of the kernel; what it does between polls, and when idle |
//! | `core.rs` | the state, and the six invariants that take the place of `SAFETY` comments |
//! | `cell.rs`, `place.rs`, `flags.rs`, `body.rs` | what is known of a task, its states, its body |
//! | `chunk.rs`, `table.rs`, `id.rs`, `lifecycle.rs` | where it stands, its name, its life |
//! | `cancel.rs`, `scope*.rs` | scopes and delivery; the tree of scopes and parked leaves |
//! | `leaf.rs`, `current.rs`, `target.rs` | the cancel point; the door; whom to wake |
//! | `ready.rs`, `remote.rs`, `loomed.rs` | the ready queue; what other threads may touch |
//! | `task.rs`, `join.rs`, `group*.rs` | the handle; waiting for a task; groups |
//! | `bounds.rs` | what `run`, `spawn`, `scope` and timeouts take; the compiler's messages |
//! | `timeout.rs`, `shield.rs`, `sleep.rs`, `job.rs` | timeouts; shields; time; other threads |
//! | `timer.rs`, `clock.rs`, `reactor.rs`, `io*.rs` | the heap of timers; the clock; readiness |
//! | `wait_queue.rs`, `handoff.rs` | FIFO waiters with hand-over, and the leaf made of them |
//! | `snapshot.rs`, `report.rs`, `testing.rs` | the tree of tasks; what nobody took; the test kit |
//! | `error.rs`, `links.rs` | what an await point can end in; lists through an arena |
//!
//! What must not compile: a task that moves to another thread, and a future that fails with
//! nothing.
//!
//! ```compile_fail,E0277
//! # kernel::run(async || {
//! let task = kernel::spawn(async { Ok::<_, kernel::TaskCancelled>(1) });
//! std::thread::spawn(move || task.id()); // a handle stays on its kernel's thread; use `handle()`
//! # });
//! ```
//!
//! ```compile_fail,E0277
//! # kernel::run(async || {
//! kernel::spawn(async { 1 }); // a task returns a `Result`
//! # });
//! ```
//!
//! # Writing a leaf of your own
//!
//! | you wait for | build on |
//! |---|---|
//! | a turn in a queue, a permit, an item | [`wait_queue::Handoff`] and [`wait_queue::Wait`] |
//! | readiness of a source | [`io::Registration`] |
//! | a job on another thread | [`on_thread`] |
//! | anything else | [`CancelPoint`], round any poll function |
//! | a future that is not Curium's | [`cancellable`] |
//!
//! # What it deliberately does not do
//!
//! No `unsafe`, no `Send` tasks, no work stealing: a second core means a second kernel on a second
//! thread. No signals yet, no thread pool, no processes.

pub use crate::body::TaskOutput;
pub use crate::builder::Builder;
pub use crate::cell::End;
pub use crate::error::{
    CancelReason, GroupError, JoinedExt, Panic, Result, TaskCancelled, TaskError, TaskTimeout,
    cancelled,
};
pub use crate::group::TaskGroup;
pub use crate::group_ref::{GroupEnded, GroupRef};
pub use crate::group_state::{MemberEnd, Wait};
pub use crate::id::TaskId;
pub use crate::job::on_thread;
pub use crate::join::{Cancel, Join, WaitEnd};
pub use crate::kernel::{Kernel, Leftovers, run};
pub use crate::leaf::CancelPoint;
pub use crate::remote::{Handle, KernelGone};
pub use crate::report::{Failure, ProgramCode, Report};
pub use crate::shield::{
    Cancellable, Shield, cancellable, check_cancellation, disable_cancellation,
    disable_cancellation_for,
};
pub use crate::sleep::{Interval, Sleep, YieldNow, interval, now, sleep, sleep_until, yield_now};
pub use crate::snapshot::{ParkedAt, TaskInfo, TaskState, current_task, tasks};
pub use crate::task::{Task, handle, spawn, spawn_named};
pub use crate::timeout::{IgnoreAfter, Timeout, ignore_after, timeout_after, timeout_at};

mod body;
pub mod bounds;
mod builder;
mod cancel;
mod cell;
mod chunk;
mod clock;
mod core;
mod current;
mod error;
mod flags;
mod group;
mod group_end;
mod group_ref;
mod group_state;
mod group_wait;
mod handoff;
mod id;
mod idle;
mod in_kernel;
pub mod io;
mod io_error;
mod job;
mod join;
mod kernel;
mod leaf;
mod lifecycle;
mod links;
mod loomed;
mod place;
mod reactor;
mod ready;
mod remote;
mod report;
mod scope;
mod scope_guard;
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
