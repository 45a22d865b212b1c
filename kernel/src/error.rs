//! Every error of the kernel, and how to find a cancellation inside an error of another library.
//!
//! Some calls return two nested results. The outer one is about the call: its [`TaskCancelled`]
//! means that the caller was cancelled while it waited, its [`TaskTimeout`] that the time of this
//! call ran out. The inner one is the result of the task or the body. `task.await` returns one
//! result for both.
//!
//! Source of the cancellation reasons: trio's `CancelReason`.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::id::TaskId;

/// The usual result of code that can be cancelled.
///
/// In an `async` block whose error type the compiler cannot infer, write `Ok::<_,
/// TaskCancelled>(value)`. The default of an alias, as in `Result::Ok(value)`, does not fix the
/// type there.
pub type Result<T, E = TaskCancelled> = std::result::Result<T, E>;

/// The task was cancelled while it waited at this await point.
///
/// The call that returns this has not completed, and has lost nothing: if it had read, received or
/// acquired something, it would have returned that instead. Clean up, with awaits if needed, and
/// pass the error on with `?`.
///
/// It converts into an [`io::Error`] of kind [`io::ErrorKind::Other`], which retry loops do not
/// swallow. [`cancelled`] finds it there again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task was cancelled: {reason}")]
pub struct TaskCancelled {
    reason: CancelReason,
}

impl TaskCancelled {
    pub(crate) const fn new(reason: CancelReason) -> Self {
        TaskCancelled { reason }
    }

    /// Why the task was cancelled.
    pub const fn reason(&self) -> CancelReason {
        self.reason
    }
}

impl From<TaskCancelled> for io::Error {
    fn from(cancelled: TaskCancelled) -> Self {
        io::Error::other(cancelled)
    }
}

/// Why a task was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CancelReason {
    /// The cancellation was requested by a call. `by` is the task that made the call, or none if it
    /// was made outside any task.
    #[error("requested{}", by.map(|id| format!(" by task {id}")).unwrap_or_default())]
    Requested {
        /// The task that requested it.
        by: Option<TaskId>,
    },
    /// Another member of its group failed.
    #[error("a member of its group failed")]
    GroupFailed,
    /// Its group ended: the body failed, the owner of the group was cancelled, or enough members
    /// had ended.
    #[error("its group ended")]
    GroupEnded,
    /// An enclosing timeout ran out.
    #[error("an enclosing timeout ran out")]
    Timeout,
    /// The kernel is shutting down.
    #[error("the kernel is shutting down")]
    Shutdown,
    /// The task was dropped by `abort`. Only `task.await` returns this.
    #[error("it was aborted")]
    Aborted,
}

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

/// Finds a [`TaskCancelled`] anywhere in a chain of errors, also inside an [`io::Error`].
///
/// ```
/// use std::io;
/// use curium::kernel;
///
/// # kernel::run(async || {
/// let task = kernel::spawn(async {
///     let error = kernel::sleep(std::time::Duration::MAX).await.unwrap_err();
///     let wrapped: io::Error = error.into();
///     assert!(kernel::cancelled(&wrapped).is_some());
///     Ok::<(), io::Error>(())
/// });
/// task.cancel().await
/// # }).unwrap();
/// ```
pub fn cancelled(error: &(dyn Error + 'static)) -> Option<TaskCancelled> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(found) = error.downcast_ref::<TaskCancelled>() {
            return Some(*found);
        }
        // `io::Error::source` skips the error that it wraps, so that error is checked first.
        link = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// Whether an error contains a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CarriesCancel {
    /// It holds a [`TaskCancelled`].
    Yes,
    /// It was checked and contains none.
    No,
    /// The kernel cannot inspect errors of this type.
    Unknown,
}

/// Checks an error, if the kernel can inspect its type.
pub(crate) fn carries_cancel<E: 'static>(error: &E) -> CarriesCancel {
    // The most frequent types are distinguished at compile time, because this is part of the poll
    // of every body.
    let any: &dyn Any = error;
    if any.is::<TaskCancelled>() {
        return CarriesCancel::Yes;
    }
    if any.is::<TaskTimeout>() {
        return CarriesCancel::No;
    }
    match as_known(error) {
        None => CarriesCancel::Unknown,
        Some(error) if cancelled(error).is_some() => CarriesCancel::Yes,
        Some(_) => CarriesCancel::No,
    }
}

/// The error as a trait object, if the kernel can inspect its type.
pub(crate) fn as_known<E: 'static>(error: &E) -> Option<&(dyn Error + 'static)> {
    let any: &dyn Any = error;
    if let Some(error) = any.downcast_ref::<TaskCancelled>() {
        Some(error)
    } else if let Some(error) = any.downcast_ref::<TaskTimeout>() {
        Some(error)
    } else if let Some(error) = any.downcast_ref::<io::Error>() {
        Some(error)
    } else if let Some(error) = any.downcast_ref::<Box<dyn Error + Send + Sync>>() {
        Some(&**error)
    } else if let Some(error) = any.downcast_ref::<Box<dyn Error + Send>>() {
        Some(&**error)
    } else if let Some(error) = any.downcast_ref::<Box<dyn Error>>() {
        Some(&**error)
    } else {
        None
    }
}
