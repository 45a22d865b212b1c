//! The kernel of Curium: tasks, cancellation as an error, timeouts, groups, timers, the reactor.
//!
//! One kernel runs on one thread. Tasks are ordinary futures that need not be `Send`, polled one at
//! a time. Every point where a task can park is a *leaf*, and every leaf returns a `Result` that
//! can carry [`TaskCancelled`]. So a cancelled task cleans up with ordinary code and `?`, and may
//! await during its cleanup.
//!
//! ```
//! use std::time::Duration;
//! use curium::kernel::{self, TaskCancelled, TaskGroup, sleep};
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
//! This is the path of a task that reads from a socket, from `spawn` to `join`, with the files in
//! the order in which their code runs. Nine files are enough to follow it.
//!
//! ```text
//!   spawn(future) ─▶ spawn.rs ─▶ core/life.rs  admit: a cell of the table, queued
//!                                    │
//!             ┌──────────────────────▼────────────────────┐
//!             │ run/tick.rs   pop a ready task, poll it   │◀──────────────┐
//!             └──────┬─────────────────────────────┬──────┘               │
//!                    │ future polls the leaf       │ Ready: finish        │ wake
//!                    ▼                             ▼                      │ (core/state.rs)
//!             core/current.rs  who polls?        core/life.rs  keep the   │
//!             io/point.rs    try to read;          output, inform group,  │
//!             wait/point.rs  would block: park     wake the joiners ──────┤
//!                    │                             │                      │
//!                    ▼                             ▼                      │
//!             parts/reactor/mod.rs  which task   wait/join.rs  take the   │
//!                    │       waits for which       output                 │
//!                    ▼       socket                                       │
//!             run/idle.rs    no task is ready: sleep in the poll; event ──┘
//! ```
//!
//! What is rare, or not needed to follow the read, is in a file beside it in the same folder:
//!
//! | on the path | beside it |
//! |---|---|
//! | `spawn.rs` | `task_handle.rs`: what else a handle can do |
//! | `core/life.rs` | `core/clear.rs`: other ends of a task, and what is cleared after each |
//! | `core/current.rs` | `core/enter.rs`, `core/budget.rs`, `core/marks.rs`, `core/unopened.rs` |
//! | `run/tick.rs` | `run/special.rs`: tasks that are cancelled or have a waker of their own |
//! | `run/idle.rs` | `run/wake_source.rs`: can anything wake a task? `run/guest.rs`: another loop |
//! | `wait/point.rs` | `wait/deliver.rs`: cancellation; `wait/record.rs`: what the monitor shows |
//! | `wait/join.rs` | `wait/joiners.rs`: the tasks that wait for a task |
//! | `io/point.rs` | `io/leaf.rs`: the direction of a source, taken and left |
//! | `parts/reactor/mod.rs` | `sources.rs`, `entry.rs`, `alarm.rs` in its folder |
//!
//! A cancellation takes the same path. `task.cancel()` (`wait/cancel.rs`) stores a cancel request
//! in the root scope of the task (`core/cancel.rs`) and wakes the task. When a parked leaf is
//! polled again, it tries its operation first. If the operation would still block, the leaf returns
//! the error (`wait/deliver.rs`). When a task or a scope ends in an error, `core/echo.rs` finds out
//! whether that error passes the cancellation on.
//!
//! | folder | holds |
//! |---|---|
//! | `parts/` | data structures: lists, timers, ready queue, scopes, mailbox, reactor |
//! | `task/` | the stored form of a task: state, body, cell, and the table of all tasks |
//! | `insight/` | what a snapshot of a kernel shows, and what follows from it |
//! | `recorder/` | the ring of the flight recorder, and the forms in which a record is written |
//! | `core/` | the state of a kernel, with the six invariants, and the small operations on it |
//! | `run/` | the run loop, the idle kernel, start and shutdown |
//! | `wait/` | the cancel point, the wait on a queue, and the kernel's own leaves |
//! | `scope/` | timeouts, cancel scopes, shields, `finally` |
//! | `io/` | registrations of sources, and the leaf on one |
//! | `group/` | task groups |
//! | `children/` | the scope whose children may borrow |
//! | `spawn.rs`, `task_handle.rs` | spawning; the handle of a task |
//! | `task_local.rs` | values that a task inherits |
//! | `handle.rs` | the kernel's handle, for other threads |
//! | `threads/` | jobs on other threads, threads that are tasks, calls of other threads |
//! | `testing/` | the test kit: the virtual clock, the sweep, the exploration |
//!
//! Two examples that must not compile: a task that moves to another thread, and a task that returns
//! neither a `Result` nor `()`.
//!
//! ```compile_fail,E0277
//! use curium::kernel;
//!
//! # kernel::run(async || {
//! let task = kernel::spawn(async { Ok::<_, kernel::TaskCancelled>(1) });
//! std::thread::spawn(move || task.id()); // a `Task` is not `Send`; use `handle()`
//! # });
//! ```
//!
//! ```compile_fail,E0277
//! use curium::kernel;
//!
//! # kernel::run(async || {
//! kernel::spawn(async { 1 }); // a task returns a `Result` or `()`
//! # });
//! ```
//!
//! # Testing
//!
//! [`testing::run`] runs a program on a virtual clock and checks that it leaves nothing behind.
//! [`testing::sweep`] runs a piece of code again for each of its suspensions and each kind of
//! cancellation. [`testing::explore`] runs a small program with every order of its tasks. All of
//! them use this kernel, without a `cfg` and with the usual imports. A sweep and an exploration
//! give it a probe, which the run loop calls around each poll (`core/probe.rs`). What the kernel
//! does not know, such as a simulated network, is an [`Extension`], with events of its own on the
//! kernel's clock (`core/extension.rs`).
//!
//! # Writing a leaf of your own
//!
//! | you wait for | build on |
//! |---|---|
//! | a turn in a queue, a permit, an item | [`wait_queue::Handoff`] and [`wait_queue::Wait`] |
//! | readiness of a source | [`io::Registration`] |
//! | a job on another thread | [`run_in_thread`] |
//! | anything else | [`CancelPoint`], around any poll function |
//! | the same, in a future that is `Send` | [`SendCancelPoint`] |
//! | a future that is not Curium's | [`cancellable`]; with leaves inside, [`cancellable_inside`] |
//!
//! # What it deliberately does not do
//!
//! It has no `unsafe`, no `Send` tasks and no work stealing: to use more cores, run a kernel on
//! each, with `kernels` (feature `cores`). It does not cancel a task by dropping its future: only
//! an abort does that, which a grace ends in, and the drop of a running group or of the kernel. It
//! has threads for blocking calls and long computations only ([`run_in_thread`],
//! [`spawn_thread`]). It knows no signals and no processes; those are in `curium::signal` and
//! `curium::process`.

pub use crate::children::child::Child;
pub use crate::children::completed::{AsCompleted, as_completed};
pub use crate::children::gather::{gather, gather_all};
pub use crate::children::race::{Raced, first_ok, race};
pub use crate::children::scope::{Scope, scope, scope_all, scope_with, scope_within};
#[doc(hidden)]
pub use crate::children::select::__select_start;
pub use crate::core::abandoned::{AbandonedThread, abandoned_threads};
pub use crate::core::extension::{Extension, extension};
pub use crate::core::failure::Failure;
pub use crate::core::inspect::{current_task, current_task_id, tasks};
pub use crate::core::metrics::{Metrics, metrics};
pub use crate::core::observer::{Observed, Observer};
pub use crate::core::recorded::flight_record;
// For sockets and processes. It stays hidden while its interface may change.
#[doc(hidden)]
pub use crate::core::report::warn;
pub use crate::core::report::{ProgramCode, Report};
#[doc(hidden)]
pub use crate::core::survey::{SnapshotParts, are_unpolled};
pub use crate::core::survey::{snapshot, wait_graph};
#[cfg(feature = "cores")]
pub use crate::cores::{Core, CoreError, CoreErrors, CoreSilent, CoreSnapshots, Cores, kernels};
pub use crate::error::{
    CancelReason, GroupError, KernelGone, Panic, Result, ScopeCancelled, TaskCancelled, TaskError,
    TaskTimeout, cancelled,
};
pub use crate::group::handle::{GroupEnded, GroupRef};
// For servers. It stays hidden while its interface may change.
#[doc(hidden)]
pub use crate::group::handle::{GroupKey, look_at_groups_around};
pub use crate::group::policy::{MemberEnd, WaitPolicy};
pub use crate::group::start::Ready;
pub use crate::group::supervise::RestartPolicy;
pub use crate::group::task_group::TaskGroup;
pub use crate::handle::{Handle, handle, is_running};
pub use crate::id::TaskId;
pub use crate::insight::info::{ParkedAt, TaskInfo, TaskState};
pub use crate::recorder::FlightRecord;
pub use crate::run::builder::Builder;
pub use crate::run::guest::Guest;
pub use crate::run::kernel::{Kernel, Leftovers, run};
pub use crate::scope::cancel_scope::CancelScope;
pub use crate::scope::finally::{BodyEnd, finally};
pub use crate::scope::foreign::{cancellable, cancellable_after, cancellable_inside};
pub use crate::scope::scope_handle::ScopeHandle;
pub use crate::scope::shield::{
    check_cancellation, disable_cancellation, shield, shield_for, unless_cancelled,
};
pub use crate::scope::timeout::{ignore_after, timeout_after, timeout_at};
pub use crate::spawn::{Task, spawn, spawn_named};
pub use crate::task::cell::TaskEnd;
pub use crate::task_local::TaskLocal;
pub use crate::threads::here::Here;
pub use crate::threads::thread_task::{spawn_thread, spawn_thread_named};
// For files and streams. They stay hidden while their interface may change.
#[doc(hidden)]
pub use crate::core::polled::{PolledWait, PolledWaits, note_wait};
#[doc(hidden)]
pub use crate::threads::detached::DetachedJob;
// For the monitor. They stay hidden while their interface may change.
#[doc(hidden)]
pub use crate::core::watcher::{Link, PollMark, Watcher};
pub use crate::threads::in_pool::run_in_thread;
pub use crate::threads::pool::ThreadPool;
pub use crate::wait::interval::{MissedTicks, interval};
pub use crate::wait::point::CancelPoint;
pub use crate::wait::send_point::SendCancelPoint;
pub use crate::wait::sleep::{now, sleep, sleep_until, yield_now};
pub use crate::wait::timer::Timer;

/// The types that the kernel's functions return, for a program that must name them: the futures,
/// and the [`Interval`](future::Interval), whose ticks are futures.
pub mod future {
    pub use crate::children::child::{ChildFuture, JoinChild};
    pub use crate::group::ends::Ends;
    pub use crate::scope::cancel_scope::RunScope;
    pub use crate::scope::finally::Finally;
    pub use crate::scope::foreign::{Cancellable, CancellableInside};
    pub use crate::scope::shield::Shield;
    pub use crate::scope::timeout::{IgnoreAfter, Timeout};
    pub use crate::task_local::TaskLocalFuture;
    pub use crate::threads::call_async::CallAsync;
    pub use crate::threads::in_pool::RunInThread;
    pub use crate::wait::cancel::Cancel;
    pub use crate::wait::interval::Interval;
    pub use crate::wait::join::{Join, TaskFuture, WaitEnd};
    pub use crate::wait::sleep::{Sleep, YieldNow};
}

/// FIFO wait queues with hand-over, on which every primitive of `sync` is built.
pub mod wait_queue {
    // For the locks and semaphores of `sync`. They stay hidden while their interface may change.
    #[doc(hidden)]
    pub use crate::core::holders::{Holder, Holders};
    pub use crate::core::queue::{WaitQueue, WaitSlot};
    // For the queues of `sync`. It stays hidden while its interface may change.
    #[doc(hidden)]
    pub use crate::core::readers::Reader;
    #[doc(hidden)]
    pub use crate::parts::held::Taker;
    pub use crate::wait::handoff::{Handoff, Wait};
}

/// The bounds of `run`, `kernels`, `spawn`, `scope`, `finally` and the timeouts, with the messages
/// that the compiler shows.
pub mod bounds {
    pub use crate::children::bounds::{ChildOutput, ChildrenBody};
    pub use crate::children::gather::GatherTuple;
    pub use crate::children::race::Racers;
    #[cfg(feature = "cores")]
    pub use crate::cores::bounds::{CoreMain, CoreOutput};
    #[doc(hidden)]
    pub use crate::error::Echo;
    pub use crate::error::HoldsCancellation;
    pub use crate::group::bounds::ScopeBody;
    pub use crate::scope::bounds::CleanupOutput;
    pub use crate::task::body::TaskOutput;
    pub use crate::task::bounds::{Main, SpawnOutput, TimeoutOutput};
}

mod children;
mod core;
#[cfg(feature = "cores")]
mod cores;
mod error;
mod group;
mod handle;
mod id;
pub mod insight;
pub mod io;
mod parts;
mod recorder;
mod run;
mod scope;
mod spawn;
mod task;
mod task_handle;
mod task_local;
pub mod testing;
mod threads;
mod wait;
