//! tokio beside Curium: crates that need tokio's runtime run unchanged inside Curium's tasks.
//!
//! [`run`] starts a thread with a runtime of tokio and makes it the context of the calling thread
//! for the whole run of the kernel. So `tokio::time`, `tokio::net`, `tokio::spawn` and
//! `spawn_blocking` work in every task of the kernel, cleanup at its shutdown included, and with
//! them crates such as reqwest and sqlx. The tasks of Curium stay on their own thread and need not
//! be `Send`; sockets and timers of tokio are driven by the side thread, which wakes them.
//!
//! ```
//! use curium::kernel::cancellable;
//! use curium::prelude::*;
//!
//! curium_tokio::run(async || {
//!     // A timer of tokio, in a task of Curium. Dropping it is all that a cancellation does.
//!     let sleep = spawn(async {
//!         cancellable(tokio::time::sleep(Duration::from_secs(1000))).await
//!     });
//!     sleep.cancel().await?;
//!
//!     // A task of tokio runs on the side thread.
//!     let sum = tokio::spawn(async { 1 + 1 });
//!     assert_eq!(cancellable(sum).await?.unwrap(), 2);
//!     Ok::<_, TaskCancelled>(())
//! })?;
//! # Ok::<(), TaskCancelled>(())
//! ```
//!
//! The other way round, [`guest`] runs a kernel inside a task of tokio, on its thread.
//!
//! # Cancellation
//!
//! A future of tokio does not know Curium's cancellation. A cancellation, or an expired timeout,
//! reaches it through [`cancellable`](curium::cancellable), which drops it; for both at once there
//! is [`cancellable_after`](curium::cancellable_after).
//!
//! # What is spawned on tokio
//!
//! A task of `tokio::spawn` belongs to no group: it runs on the side thread, is not cancelled with
//! the task that spawned it, and is dropped where it waits when the run ends, without a chance to
//! clean up. Dropping its `JoinHandle` detaches it. Most crates end what they have spawned when
//! their handle is dropped: a connection of reqwest, a pool of sqlx. Of your own code spawn only
//! what may be cut at any await; spawn the rest with Curium.
//!
//! # Limits
//!
//! - tokio keeps the real time, also beside a kernel with a virtual clock.
//! - `spawn_local`, `LocalSet` and `block_in_place` are not available, and a `Handle::block_on`
//!   in a task blocks the whole kernel.
//! - Threads of [`run_in_thread`](curium::run_in_thread) have no context of tokio. Give them a
//!   `tokio::runtime::Handle`.
//! - Each wake crosses from one thread to the other, which costs more than a wake in the kernel.
//!   Use Curium's own sockets and timers where you can choose.

#[cfg(target_os = "linux")]
mod guest;
mod thread;

use std::io;

use curium::kernel::bounds::Main;
use curium::kernel::{Builder, Kernel};

#[cfg(target_os = "linux")]
pub use crate::guest::{guest, guest_in};
pub use crate::thread::{STOP_LIMIT, StillRunning, TokioThread};

/// Runs `main` as [`curium::run`] does, with tokio's runtime on a side thread.
///
/// When the kernel has shut down, the runtime is stopped and its thread joined; see
/// [`TokioThread::stop`], which is called with [`STOP_LIMIT`]. That happens as well if `main`
/// panics; then the panic goes on.
///
/// # Panics
///
/// As [`curium::run`], and if the side thread or its runtime cannot be made.
#[track_caller]
pub fn run<T>(main: impl Main<T>) -> T {
    run_with(Kernel::builder(), main)
}

/// [`run`] with the settings of a kernel.
///
/// # Panics
///
/// As [`run`].
#[track_caller]
pub fn run_with<T>(kernel: Builder, main: impl Main<T>) -> T {
    let thread = match TokioThread::start() {
        Ok(thread) => thread,
        Err(error) => cannot_start(&error),
    };
    // Outside the run, so that cleanup at the kernel's shutdown has the context too. It ends before
    // the thread does.
    let _context = thread.enter();
    kernel.run(main)
}

#[track_caller]
fn cannot_start(error: &io::Error) -> ! {
    panic!("the side thread of tokio cannot be started: {error}")
}
