//! What can be done with the handle of a task other than `task.await` and `join`: wait for its end,
//! cancel it, abort it, inspect it, and await it without giving the handle away.
//!
//! It is apart from `spawn.rs`, which has the handle itself, so that `spawn.rs` holds only what
//! every task passes: its start, and the join.

use std::any::type_name;
use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::time::Duration;

use crate::core::inspect::TaskState;
use crate::core::outcome::Hold;
use crate::error::{CancelReason, TaskCancelled};
use crate::id::TaskId;
use crate::scope::timeout::timeout_after;
use crate::spawn::Task;
use crate::task::cell::TaskEnd;
use crate::wait::cancel::Cancel;
use crate::wait::join::{TaskFuture, WaitEnd};

impl<T: 'static, E: 'static> Task<T, E> {
    /// Waits for the task to end and does not take its outcome. Any number of tasks may wait.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned.
    #[track_caller]
    pub fn wait(&self) -> WaitEnd {
        WaitEnd::new(Location::caller(), &self.cell)
    }

    /// Requests the task's cancellation, at the first poll, and waits until the task has ended,
    /// including its cleanup. If the task has ended, this does nothing. A task that cancels itself
    /// gets the error at once.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]: this wait was cancelled. For the outcome of the task, use `join`.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the task stays cancelled and goes on cleaning up. For a task
    /// that may not end, see [`cancel_within`](Task::cancel_within).
    #[track_caller]
    pub fn cancel(&self) -> Cancel {
        Cancel::new(Location::caller(), &self.cell)
    }

    /// [`cancel`](Task::cancel), but a task that has not ended after `grace` is aborted, and
    /// reported with the location where it was parked.
    ///
    /// # `cancel` or `abort`
    ///
    /// A cancellation is a request: the task gets an error at its await point, cleans up with
    /// ordinary code that may await, and ends when it has finished. An abort drops its future where
    /// it is parked: only destructors run, and they cannot await. A grace is both, one after the
    /// other.
    ///
    /// | | `cancel` | `cancel_within(grace)` | `abort` |
    /// |---|---|---|---|
    /// | its cleanup, with `finally` and shields | runs | runs, for `grace` | is skipped |
    /// | destructors | run | run | run |
    /// | a task that ignores it | is awaited for ever | is aborted and reported | ends |
    /// | time | unbounded | `grace` | none |
    /// | outcome | what the task returns | that, or [`Aborted`] | [`Aborted`] |
    /// | the members of its groups | are awaited | are awaited, then dropped | are dropped |
    /// | its thread ([`spawn_thread`]) | is awaited | is awaited, then abandoned | is abandoned |
    ///
    /// [`Aborted`]: crate::TaskError::Aborted
    /// [`spawn_thread`]: crate::spawn_thread()
    ///
    /// What to choose:
    ///
    /// - **`cancel`** if you trust the task: code of your own, whose cleanup has its own limits
    ///   ([`finally`](fn@crate::finally) has one, a request to a peer has a timeout). Only this one
    ///   of the three loses nothing.
    /// - **A grace** where something must go on at a known time whatever the task does: a shutdown,
    ///   a restart, a handler of a peer that does not answer. Choose it longer than the longest
    ///   cleanup that you know of, so that an abort is a fault and its report is worth reading. A
    ///   grace that is used up every day is an `abort` with a delay. It takes the place of limits
    ///   in the cleanup only if it is acceptable that the rest of the cleanup is lost.
    /// - **`abort`** if there is nothing to clean up, because the task only computes, reads or
    ///   waits. Or if its cleanup is known to be stuck; then a transaction stays open, a peer gets
    ///   no farewell, a file stays half written.
    ///
    /// The same choice is made for many tasks at once, with the same words: a group is left by a
    /// cancellation of its members, by [`TaskGroup::scope_within`](crate::TaskGroup::scope_within)
    /// or [`set_grace`](crate::TaskGroup::set_grace) with a grace, and by dropping its future, as
    /// the loser of a `select!` is dropped, by an abort of all members. A kernel shuts down by a
    /// cancellation, or within the [`shutdown_grace`](crate::Builder::shutdown_grace) of its
    /// builder. Of several graces around a task, the first that is over counts. A member without a
    /// grace in a group without one can hold up the end of that group, and so the end of all groups
    /// and tasks around it, until a grace further out is over.
    ///
    /// A grace is not a timeout. [`timeout_after`](crate::timeout_after) around `cancel()` abandons
    /// the wait, and the task goes on cleaning up; around a group it cancels the members, and then
    /// awaits them without a limit.
    ///
    /// # Errors
    ///
    /// As [`cancel`](Task::cancel).
    ///
    /// # Cancellation
    ///
    /// The wait is abandoned, and with it the abort. The request stays in force.
    #[track_caller]
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub fn cancel_within(
        &self,
        grace: Duration,
    ) -> impl Future<Output = Result<(), TaskCancelled>> + use<T, E> {
        let cancel = self.cancel();
        let task = Hold::new(&self.cell);
        async move {
            match timeout_after(grace, cancel).await {
                Ok(ended) => ended,
                Err(_) => {
                    task.core().report_out_of_grace(task.cell());
                    task.core().abort(task.cell());
                    Ok(())
                }
            }
        }
    }

    /// Requests the task's cancellation and does not wait. The caller continues; the task does not
    /// run before this returns.
    pub fn request_cancel(&self) {
        let by = self.cell.core().running_id();
        self.cell.core().request(&self.cell, CancelReason::Requested { by });
    }

    /// Drops the task's future before this returns, without a chance to clean up. If a task aborts
    /// itself, its future is dropped when the current poll ends.
    /// [`cancel_within`](Task::cancel_within) compares this with a cancellation.
    pub fn abort(&self) {
        self.cell.core().abort(&self.cell);
    }

    /// The task's id in the kernel.
    pub fn id(&self) -> TaskId {
        self.cell.id()
    }

    /// The name that was given to the task, or else the type of its future.
    pub fn name(&self) -> String {
        self.cell.core().name_of(&self.cell)
    }

    /// The present state of the task.
    pub fn state(&self) -> TaskState {
        self.cell.core().state(&self.cell)
    }

    /// The file and line where the task is parked. If it is parked at several points, this is one
    /// of them.
    pub fn parked_at(&self) -> Option<&'static Location<'static>> {
        self.cell.core().leaves(&self.cell).first().map(|leaf| leaf.site)
    }

    /// Whether it has ended.
    pub fn is_done(&self) -> bool {
        self.cell.is_ended()
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<TaskEnd> {
        self.cell.end()
    }

    /// Names the task after code that the program gave, and not after the future round it.
    pub(crate) fn name_after<B>(&self) {
        self.cell.core().set_name(&self.cell, name_of_code::<B>());
    }
}

/// A name for a task after code of the program, and not after the future round it.
pub(crate) fn name_of_code<B>() -> Cow<'static, str> {
    type_name::<B>().replace("::{{closure}}", "").into()
}

impl<T: 'static, E: From<TaskCancelled> + 'static> IntoFuture for &Task<T, E> {
    type Output = Result<T, E>;
    type IntoFuture = TaskFuture<T, E>;

    /// Like awaiting the task itself, but the handle is kept.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the task goes on, and its outcome stays with it.
    #[track_caller]
    fn into_future(self) -> TaskFuture<T, E> {
        TaskFuture::new(self.join())
    }
}

impl<T, E> Drop for Task<T, E> {
    fn drop(&mut self) {
        self.cell.core().drop_holder(&self.cell);
    }
}

impl<T, E> fmt::Debug for Task<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("id", &self.cell.id())
            .field("name", &self.cell.core().name_of(&self.cell))
            .field("state", &self.cell.core().state(&self.cell))
            .finish()
    }
}
