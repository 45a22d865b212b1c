//! Objects that tasks of several kernels, futures of other executors and plain threads share.
//!
//! | file | holds |
//! |---|---|
//! | `wait.rs` | one wait, in a future or in a blocked thread |
//! | `waiters.rs` | the waiters of an object, in order of arrival |
//! | `queue.rs`, `event.rs`, `result.rs` | the objects |
//! | `sync.rs` | the lock, and how a thread sleeps |
//! | `models.rs` | the models that loom checks |
//!
//! Invariant *one lock*: one mutex of the object guards its items and the state of every waiter.
//! What a waiter waits for is handed to it under the lock, so it is decided there which waiter gets
//! what. Wakers are cloned, called and dropped outside the lock, and items are dropped outside it,
//! because each of these may run code of the program.

mod event;
#[cfg(all(test, loom))]
mod models;
mod queue;
mod result;
mod sync;
mod wait;
mod waiters;

pub use self::event::UniversalEvent;
pub use self::queue::UniversalQueue;
pub use self::result::UniversalResult;
pub use self::wait::TimedOut;
