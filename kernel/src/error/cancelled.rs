//! The cancellation as a value.
//!
//! A scope keeps one copy of the cancellation that it has delivered. When the body of the scope
//! ends in an error, the number of copies shows whether the program still has one: then the error
//! passes the cancellation on, whatever its type (C16). Nothing runs when a copy is dropped, and a
//! copy may be dropped on any thread.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::id::TaskId;

/// The task was cancelled while it waited at this await point.
///
/// The call that returns this has not completed, and has lost nothing: if it had read, received or
/// acquired something, it would have returned that instead. Clean up, with awaits if needed, and
/// pass the error on with `?`.
///
/// # One cancellation, its copies
///
/// A cancellation is a value: all copies of it, and the errors that hold one, are the same
/// cancellation. A timeout, a group and a task look for it when their body ends in an error. If a
/// copy is left, the error passes the cancellation on. If none is left, the program has taken the
/// cancellation upon itself, and the error is a real failure. So do not keep a copy elsewhere, for
/// example in a log: keep its [`reason`](TaskCancelled::reason).
///
/// Two values are equal if their reasons are.
///
/// It converts into an [`io::Error`] of kind [`io::ErrorKind::Other`], which retry loops do not
/// swallow. [`cancelled`] finds it there again.
#[derive(Clone)]
pub struct TaskCancelled(Arc<CancelReason>);

impl TaskCancelled {
    pub(crate) fn new(reason: CancelReason) -> Self {
        TaskCancelled(Arc::new(reason))
    }

    /// Why the task was cancelled.
    pub fn reason(&self) -> CancelReason {
        *self.0
    }

    /// Whether this and `other` are copies of the same cancellation.
    pub fn is_same(&self, other: &TaskCancelled) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// A number that all copies share. It may be that of a later cancellation once no copy is left.
    #[doc(hidden)]
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    /// Whether there are copies beside this one.
    pub(crate) fn has_copies(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    pub(crate) fn copies(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl PartialEq for TaskCancelled {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for TaskCancelled {}

impl fmt::Debug for TaskCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskCancelled").field("reason", &self.reason()).finish()
    }
}

impl fmt::Display for TaskCancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the task was cancelled: {}", self.reason())
    }
}

impl Error for TaskCancelled {}

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
    /// The [`CancelScope`](crate::CancelScope) around the await point was cancelled.
    #[error("its cancel scope was cancelled")]
    Scope,
    /// The process received a signal.
    #[error("the process received signal {number}")]
    Signal {
        /// The number of the signal.
        number: i32,
    },
    /// The kernel is shutting down.
    #[error("the kernel is shutting down")]
    Shutdown,
    /// The main function of another kernel of [`kernels`](crate::kernels) failed.
    #[error("core {core} failed")]
    PeerFailed {
        /// The number of its core.
        core: usize,
    },
    /// The task was dropped by `abort`. Only `task.await` returns this.
    #[error("it was aborted")]
    Aborted,
    /// What waits across threads has lost the other side: the task of this thread
    /// ([`Here`](crate::Here)), the kernel that was called
    /// ([`Handle::call_async`](crate::Handle::call_async)), or the caller. It was aborted, or
    /// dropped with its group or its kernel.
    #[error("it was abandoned by the task or the kernel at the other end")]
    Abandoned,
}

/// The copy that a task keeps of the cancellation that it has delivered.
#[derive(Default)]
pub(crate) struct Kept(Cell<Option<TaskCancelled>>);

impl Kept {
    /// Makes a new cancellation and returns a copy. The memory of the last one is used again if the
    /// program has no copy of it, or else that of the one in `spare`.
    #[inline]
    pub(crate) fn renew(&self, reason: CancelReason, spare: &Kept) -> TaskCancelled {
        let kept = self.0.take().filter(|kept| !kept.has_copies()).or_else(|| spare.0.take());
        let made = match kept {
            // Most often the reason is the same. `get_mut` takes a locked instruction.
            Some(last) if last.reason() == reason => last,
            Some(mut last) => match Arc::get_mut(&mut last.0) {
                Some(kept) => {
                    *kept = reason;
                    last
                }
                None => TaskCancelled::new(reason),
            },
            None => TaskCancelled::new(reason),
        };
        let copy = made.clone();
        self.0.set(Some(made));
        copy
    }

    /// Gives a cancellation of which the program has no copy to `spare`, in exchange for what is
    /// there.
    #[inline]
    pub(crate) fn give_to(&self, spare: &Kept) {
        match self.0.take() {
            Some(kept) if kept.has_copies() => self.0.set(Some(kept)),
            Some(kept) => self.0.set(spare.0.replace(Some(kept))),
            None => {}
        }
    }

    /// Runs `look` with the kept copy, if there is one.
    #[inline]
    pub(crate) fn with<R>(&self, look: impl FnOnce(&TaskCancelled) -> R) -> Option<R> {
        let kept = self.0.take()?;
        let result = look(&kept);
        self.0.set(Some(kept));
        Some(result)
    }

    /// Another copy of the kept cancellation.
    pub(crate) fn copy(&self) -> Option<TaskCancelled> {
        self.with(TaskCancelled::clone)
    }

    /// Moves the kept copy out.
    pub(crate) fn take(&self) -> Option<TaskCancelled> {
        self.0.take()
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
pub fn cancelled<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a TaskCancelled> {
    let mut link = Some(error);
    while let Some(error) = link {
        if let Some(found) = error.downcast_ref::<TaskCancelled>() {
            return Some(found);
        }
        // `io::Error::source` skips the error that it wraps, so that error is checked first.
        link = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
