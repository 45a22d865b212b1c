//! Other threads: jobs on the threads of a pool, threads that are tasks, and calls of threads into
//! a kernel.
//!
//! ```text
//!   thread                              kernel
//!   here.wait(build) ── exchange ─────▶ member.rs  builds and polls the future (work.rs)
//!        sleeps      ◀─── answer ──────     its output, or its panic
//!   here.check()     ── exchange ─────▶ delivers a cancellation that is pending
//!   the body ends    ── exchange ─────▶ the task ends with its result
//!
//!   handle.call(build) ── mailbox ────▶ call.rs    spawns a task for the future
//!        sleeps      ◀─── answer ──────     its output, or its panic
//! ```
//!
//! Sources: trio's `from_thread.run`, in the scopes of the task that waits for the thread; curio's
//! `spawn_thread` and `AWAIT`.

mod answer;
pub(crate) mod call;
pub(crate) mod detached;
mod exchange;
pub(crate) mod here;
pub(crate) mod member;
#[cfg(all(test, loom))]
mod models_exchange;
pub(crate) mod pool;
mod work;
