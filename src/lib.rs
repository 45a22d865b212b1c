//! Curium: a structured-concurrency async runtime in the style of Python's curio.
//!
//! This crate only re-exports the others: [`kernel`](mod@kernel) (tasks, cancellation, groups,
//! timeouts; also re-exported at the root of this crate), [`sync`] (synchronisation between tasks),
//! [`io`](mod@io) (streams) and [`net`] (TCP, UDP and Unix sockets, TLS). The feature `signal` adds
//! the module of that name. Start with the page of the kernel. [`testing`] is the test kit: a
//! virtual clock, and runs with every cancellation and every schedule. In the repository,
//! `docs/semantics.md` states the rules, and `docs/cores.md` is a guide to several cores.
//!
//! ```
//! use curium::prelude::*;
//!
//! async fn kid() -> Result<()> {
//!     finally(sleep(Duration::from_secs(1000)), async |_| {
//!         println!("Fine. Saving my work."); // the cleanup may await
//!     })
//!     .await
//! }
//!
//! fn main() -> Result<()> {
//!     curium::run(async || {
//!         let kid = spawn(kid());
//!         match timeout_after(Duration::from_millis(20), &kid).await {
//!             Ok(ended) => ended, // an error of the kid, or a cancellation of this task
//!             Err(TaskTimeout { .. }) => {
//!                 println!("I warned you!");
//!                 kid.cancel().await
//!             }
//!         }
//!     })
//! }
//! ```
//!
//! A call under a timeout returns two nested results. The outer one is that of the timeout, the
//! inner one that of the call. A program that wants one error for both returns [`Error`] and writes
//! `??`.
//!
//! ```
//! use curium::prelude::*;
//!
//! async fn first_bytes(address: &str) -> Result<usize, curium::Error> {
//!     let stream = TcpStream::connect(address).await?;
//!     let mut buf = [0; 1024];
//!     Ok(timeout_after(Duration::from_secs(5), stream.read(&mut buf)).await??)
//! }
//! ```
//!
//! # Where to find it
//!
//! | for | see | in tokio |
//! |---|---|---|
//! | the start of a program | [`run`]; `kernels` on several cores (feature `cores`) | `block_on` |
//! | a task | [`spawn`], [`Task`] | `spawn`, `JoinHandle` |
//! | tasks that end together | [`TaskGroup`]; [`scope()`], whose children borrow | `JoinSet` |
//! | several futures at once | [`gather`], [`race`], [`as_completed`], [`select!`] | `try_join!` |
//! | a time limit | [`timeout_after`], [`ignore_after`] | `timeout` |
//! | a stop from outside | [`Task::cancel`], [`CancelScope`] | `CancellationToken` |
//! | a cleanup that awaits | [`finally`], [`shield()`] | |
//! | a future of another library | [`cancellable`] | |
//! | code that blocks | [`run_in_thread`], [`spawn_thread`] | `spawn_blocking` |
//! | messages | [`sync::channel()`], [`sync::Queue`] | `mpsc` |
//! | messages between threads | [`sync::UniversalQueue`], [`Handle`] | `mpsc`, `Handle` |
//! | a value that tasks share | [`sync::Lock`] | `Mutex` |
//! | something that happens | [`sync::Event`], [`sync::Condition`] | `Notify` |
//! | sockets and servers | [`net`] | `net` |
//! | signals, processes, files | the modules `signal`, `process` and `fs` (features) | the same |
//! | tests | [`testing`] | `time::pause` |
//! | a program that hangs | [`tasks`], [`snapshot`]; the module `monitor` (feature) | |

pub use kernel::*;
// The kernel has a room of the same name, which this crate hides.
pub use ::io;
#[cfg(all(unix, feature = "monitor"))]
pub use ::monitor;
// Instead of the kernel's: it starts a monitor if `CURIUM_MONITOR` is set.
#[cfg(all(unix, feature = "monitor", feature = "cores"))]
pub use ::monitor::kernels;
#[cfg(all(unix, feature = "monitor"))]
pub use ::monitor::{run, run_with_monitor};
#[cfg(all(unix, feature = "fs"))]
pub use os::fs;
#[cfg(all(target_os = "linux", feature = "process"))]
pub use os::process;
#[cfg(all(unix, feature = "signal"))]
pub use os::signal;
pub use {kernel, net, sync};

pub use crate::error::Error;

mod error;

/// The names that most programs need.
///
/// The error of `Result` is [`TaskCancelled`] unless another type is named.
pub mod prelude {
    pub use std::time::Duration;

    pub use crate::run;
    #[cfg(all(unix, feature = "monitor"))]
    pub use ::monitor::MonitorExt;
    pub use kernel::{
        Result, Task, TaskCancelled, TaskError, TaskGroup, TaskTimeout, cancelled, finally,
        ignore_after, scope, shield, sleep, spawn, timeout_after, unless_cancelled, yield_now,
    };
    #[cfg(all(unix, feature = "cores"))]
    pub use net::CoreExt;
    #[cfg(all(unix, feature = "simulated-net"))]
    pub use net::SimulatedNetExt;
    pub use net::{TcpListener, TcpStream, tcp_server};
    pub use sync::{Condition, Event, Lock, Queue, Semaphore};
}

// Compiles and runs the programs of these pages as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(all(doctest, unix))]
#[doc = include_str!("../docs/cores.md")]
struct SeveralCores;
