//! Curium: a structured-concurrency async runtime in the style of Python's curio.
//!
//! This crate only gathers the others: [`kernel`](mod@kernel) (tasks, cancellation, groups,
//! timeouts; re-exported here whole), [`sync`] (what tasks share) and [`net`] (TCP). Start with the
//! kernel's page; what is promised, rule by rule, is in `docs/semantics.md` of the repository.
//!
//! ```
//! use curium::prelude::*;
//!
//! async fn kid() -> Result<()> {
//!     if let Err(cancelled) = sleep(Duration::from_secs(1000)).await {
//!         println!("Fine. Saving my work.");
//!         return Err(cancelled);
//!     }
//!     Ok(())
//! }
//!
//! fn main() -> Result<()> {
//!     curium::run(async || {
//!         let kid = spawn(kid());
//!         if timeout_after(Duration::from_millis(20), kid.join()).await.is_err() {
//!             println!("I warned you!");
//!             kid.cancel().await?;
//!         }
//!         Ok(())
//!     })
//! }
//! ```
//!
//! A call that may time out gives two results, one inside the other: that of the time, and that of
//! the call. A program that wants one error for both returns [`Error`], and writes `??`.
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

pub use kernel::*;
pub use {kernel, net, sync};

pub use crate::error::Error;

mod error;

/// What the first ten programs need.
///
/// `Result` is the everyday one: its error is [`TaskCancelled`] unless another is named.
pub mod prelude {
    pub use std::time::Duration;

    pub use kernel::{
        Result, Task, TaskCancelled, TaskError, TaskGroup, TaskTimeout, cancelled, ignore_after,
        run, shield, sleep, spawn, timeout_after, unless_cancelled, yield_now,
    };
    pub use net::{TcpListener, TcpStream, tcp_server};
    pub use sync::{Condition, Event, Lock, Queue, Semaphore};
}

// The program of the README is one of the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
