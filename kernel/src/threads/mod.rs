//! Other threads: jobs on the threads of a pool, threads that are tasks, and calls of threads into
//! a kernel.
//!
//! ```text
//!   thread                              kernel
//!   here.wait(build) ── exchange ─────▶ the task builds and polls the future (work.rs)
//!        sleeps      ◀─── answer ──────     its output, or its panic
//!   here.check()     ── exchange ─────▶ delivers a cancellation that is pending
//!   the body ends    ── exchange ─────▶ the task ends with its result
//!
//!   handle.call(build) ── mailbox ────▶ call.rs    spawns a task for the future
//!        sleeps      ◀─── answer ──────     its output, or its panic
//!
//!   task of another kernel              kernel
//!   handle.call_async(build) mailbox ─▶ called.rs  spawns a task for the future
//!   a cancellation of it ─── mailbox ─▶ remote_scope.rs  reaches the future
//!        waits       ◀─── mailbox ─────     the answer is there: its output, or its panic
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `handover.rs` | a job, between its owner and its thread |
//! | `detached.rs` | the owner of a job, which can outlive each wait for it |
//! | `in_pool.rs` | the leaf: a task that waits for a job |
//! | `pool.rs` | the queue and the threads of a pool |
//! | `thread_task.rs`, `here.rs` | a thread that is a task |
//! | `call.rs` | a call of another thread |
//! | `call_async.rs`, `called.rs` | a call of a task of another kernel: its caller, and its task |
//! | `remote_scope.rs` | a scope that other threads cancel |
//! | `exchange.rs`, `answer.rs`, `work.rs` | what passes between a thread and a kernel |
//! | `sync.rs` | locks and threads, of std or of loom |
//!
//! Sources: trio's `from_thread.run`, in the scopes of the task that waits for the thread; curio's
//! `spawn_thread` and `AWAIT`.

mod answer;
pub(crate) mod call;
pub(crate) mod call_async;
pub(crate) mod called;
pub(crate) mod detached;
mod exchange;
mod handover;
pub(crate) mod here;
pub(crate) mod in_pool;
#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, loom))]
mod models_detached;
#[cfg(all(test, loom))]
mod models_exchange;
pub(crate) mod pool;
pub(crate) mod remote_scope;
mod sync;
pub(crate) mod thread_task;
mod work;
