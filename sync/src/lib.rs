//! Synchronisation between the tasks of one kernel.
//!
//! | type | for |
//! |---|---|
//! | [`Event`] | waiting until something has happened |
//! | [`Lock`] | a value that one task at a time uses, across await points |
//! | [`Semaphore`] | a number of permits |
//! | [`Condition`] | waiting until what a lock guards has changed |
//! | [`Queue`] | items from task to task, bounded or not |
//!
//! What they have in common:
//!
//! - They belong to one thread: `!Send`, no atomics. Share them with `Rc`.
//! - Waiters are served in order of arrival, and a release *hands over* to the oldest: nobody
//!   barges in.
//! - A waiter that was handed something and is then cancelled keeps it; one that is dropped passes
//!   it on; one that was handed nothing leaves no trace.
//! - What cannot block is a plain function: `set`, `release`, `notify`, `try_put`, `close`.
//! - They work under any executor; only a task of Curium's is ever cancelled in them.
//!
//! All stand on [`kernel::wait_queue`], as yours can. Source: curio's `sync.py` and `queue.py`;
//! unlike there, queues hand over, and a condition never leaves its block without saying whether it
//! holds the lock.

mod condition;
mod event;
mod lock;
mod queue;
mod semaphore;

pub use crate::condition::Condition;
pub use crate::event::Event;
pub use crate::lock::{Lock, LockGuard};
pub use crate::queue::{Closed, NothingToFinish, Queue, TryPutError};
pub use crate::semaphore::{Permits, Semaphore};
