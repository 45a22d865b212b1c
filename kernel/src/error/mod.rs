//! Every error of the kernel, and how to find a cancellation inside an error of another library.
//!
//! Some calls return two nested results. The outer one is about the call: its [`TaskCancelled`]
//! means that the caller was cancelled while it waited, its [`TaskTimeout`] that the time of this
//! call ran out. The inner one is the result of the task or the body. `task.await` returns one
//! result for both.
//!
//! Source of the cancellation reasons: trio's `CancelReason`.

mod cancelled;
mod echo;

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub(crate) use self::cancelled::Kept;
pub use self::cancelled::{CancelReason, TaskCancelled, cancelled};
pub use self::echo::{Echo, HoldsCancellation};
pub(crate) use self::echo::{Unbound, holds, is_bare};

/// The usual result of code that can be cancelled.
///
/// In an `async` block whose error type the compiler cannot infer, write `Ok::<_,
/// TaskCancelled>(value)`. The default of an alias, as in `Result::Ok(value)`, does not fix the
/// type there.
pub type Result<T, E = TaskCancelled> = std::result::Result<T, E>;

/// The time given to `timeout_after` or `timeout_at` ran out.
///
/// Only the call whose time ran out returns this. Code inside it sees a [`TaskCancelled`] with
/// reason [`CancelReason::Timeout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out after {limit:?}")]
pub struct TaskTimeout {
    limit: Duration,
}

impl TaskTimeout {
    pub(crate) const fn new(limit: Duration) -> Self {
        TaskTimeout { limit }
    }

    /// The time limit of the call, counted from its first poll.
    pub const fn limit(&self) -> Duration {
        self.limit
    }
}

impl From<TaskTimeout> for io::Error {
    fn from(timeout: TaskTimeout) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, timeout)
    }
}

/// A [`CancelScope`](crate::CancelScope) was cancelled, and its body ended because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the scope was cancelled: {reason}")]
pub struct ScopeCancelled {
    reason: CancelReason,
}

impl ScopeCancelled {
    pub(crate) const fn new(reason: CancelReason) -> Self {
        ScopeCancelled { reason }
    }

    /// Why the scope was cancelled.
    pub const fn reason(&self) -> CancelReason {
        self.reason
    }
}

impl From<ScopeCancelled> for io::Error {
    fn from(cancelled: ScopeCancelled) -> Self {
        io::Error::other(cancelled)
    }
}

/// The kernel of a [`Handle`](crate::Handle) no longer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel is gone")]
pub struct KernelGone;

/// How a task ended, if it did not end with a value.
#[derive(Debug, thiserror::Error)]
pub enum TaskError<E> {
    /// It returned this error.
    #[error("the task failed")]
    Failed(#[source] E),
    /// A cancellation was delivered to it, and it then ended in this error.
    #[error("the task was cancelled")]
    Cancelled(#[source] E),
    /// It panicked.
    #[error("the task panicked: {0}")]
    Panicked(Panic),
    /// It was dropped by `abort`, and could not clean up.
    #[error("the task was aborted")]
    Aborted,
    /// The outcome was already taken by an earlier `join` or by the group of the task.
    #[error("the outcome of the task was already taken")]
    Taken,
}

/// The panic of a task.
///
/// `Send` and `Sync`, so that errors that hold it convert into any error type.
pub struct Panic {
    /// Boxed, because every outcome has room for a panic and few contain one.
    inner: Box<Inner>,
}

struct Inner {
    message: Box<str>,
    payload: Mutex<Box<dyn Any + Send>>,
}

impl Panic {
    pub(crate) fn new(payload: Box<dyn Any + Send>) -> Self {
        let message = match payload.downcast_ref::<&'static str>() {
            Some(text) => Box::from(*text),
            None => match payload.downcast_ref::<String>() {
                Some(text) => Box::from(text.as_str()),
                None => Box::from("a payload that is not a string"),
            },
        };
        Panic { inner: Box::new(Inner { message, payload: Mutex::new(payload) }) }
    }

    /// The message, if the payload is a string.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The payload of the panic.
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.inner.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Continues the panic with this payload.
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.into_payload())
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Panic").field(&self.inner.message).finish()
    }
}

impl fmt::Display for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

/// The errors of a group, in the order in which they occurred.
#[derive(Debug, thiserror::Error)]
#[error("{} of a group failed", Count(.others.len() + 1))]
pub struct GroupError<E> {
    /// The error that ended the group.
    #[source]
    pub first: E,
    /// The errors after it, of members that failed at the same time or during their cleanup.
    pub others: Vec<E>,
}

struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("one member"),
            n => write!(f, "{n} members"),
        }
    }
}
