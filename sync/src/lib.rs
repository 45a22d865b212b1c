//! Synchronisation between the tasks of one kernel, and with other kernels and threads.
//!
//! | type | for |
//! |---|---|
//! | [`Event`] | waiting until something has happened |
//! | [`Lock`] | a value that one task at a time uses, across await points |
//! | [`RwLock`], [`RLock`] | a value with several readers; one that its task locks again |
//! | [`Semaphore`], [`BoundedSemaphore`] | a number of permits |
//! | [`Barrier`] | tasks that wait for each other |
//! | [`OnceCell`] | a value that is made once |
//! | [`Condition`] | waiting until what a lock guards has changed |
//! | [`Queue`] | items from task to task, bounded or not |
//! | [`channel()`] | the same, with ends that close it |
//! | [`oneshot()`] | one value, from one task to another |
//! | [`watch()`] | the latest of many values |
//! | [`broadcast()`] | every item to every receiver |
//! | [`PriorityQueue`], [`LifoQueue`] | the same, the smallest or the last item first |
//!
//! Between tasks of several kernels, futures of other executors, and plain threads:
//!
//! | type | for |
//! |---|---|
//! | [`UniversalQueue`] | items from one to the other, bounded or not |
//! | [`UniversalEvent`] | waiting until something has happened |
//! | [`UniversalResult`] | waiting for a value or an error that is set once |
//!
//! What they have in common:
//!
//! - They belong to one thread: `!Send`, no atomics. Share them with `Rc`. The universal ones
//!   are `Send` and `Sync`; share them with `Arc`. They have calls that block a plain thread.
//! - Waiters are served in order of arrival. A release *hands over* to the oldest waiter, so no
//!   later task overtakes it.
//! - A waiter that was handed something and is then cancelled keeps it. If it is dropped, it passes
//!   it on. A waiter that was handed nothing leaves no trace.
//! - What cannot block is a plain function: `set`, `notify`, `try_put`, `close`.
//! - `put` drops its item if it is cancelled. `put_from` and `reserve` lose none.
//! - They work under any executor. Only a task of Curium is ever cancelled in them.
//!
//! Those of one thread are built on [`kernel::wait_queue`], which is public. The source is curio's
//! `sync.py` and `queue.py`. Unlike in curio, queues hand over, and the type of a condition's
//! result shows whether the lock is held.

mod barrier;
mod bounded_semaphore;
pub mod broadcast;
mod channel;
mod condition;
mod ends;
mod event;
mod lock;
mod once_cell;
pub mod oneshot;
mod queue;
mod r_lock;
mod rw_lock;
mod semaphore;
mod universal;
pub mod watch;

pub use crate::barrier::{Barrier, BarrierStatistics, BarrierWaitResult};
pub use crate::bounded_semaphore::{BoundedSemaphore, TooManyPermits};
pub use crate::broadcast::broadcast;
pub use crate::channel::{ChannelStatistics, Receiver, Sender, TryRecvError, channel};
pub use crate::condition::{Condition, ConditionStatistics};
pub use crate::event::{Event, EventStatistics};
pub use crate::lock::{Lock, LockGuard, LockStatistics};
pub use crate::once_cell::{OnceCell, OnceCellStatistics};
pub use crate::oneshot::oneshot;
pub use crate::queue::order;
pub use crate::queue::{
    Closed, LifoQueue, NothingToFinish, PriorityQueue, Queue, QueueStatistics, Slot, TryPutError,
};
pub use crate::r_lock::{RLock, RLockGuard, RLockStatistics};
pub use crate::rw_lock::{RwLock, RwLockReadGuard, RwLockStatistics, RwLockWriteGuard};
pub use crate::semaphore::{Permits, Semaphore, SemaphoreStatistics};
pub use crate::universal::{TimedOut, UniversalEvent, UniversalQueue, UniversalResult};
pub use crate::watch::watch;
