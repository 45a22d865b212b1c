//! The handle of a child.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::children::set::Value;
use crate::core::inspect::TaskState;
use crate::core::outcome::take_outcome;
use crate::core::state::TaskRef;
use crate::error::{CancelReason, TaskCancelled, TaskError};
use crate::id::TaskId;
use crate::task::cell::TaskEnd;
use crate::wait::cancel::Cancel;
use crate::wait::join::{Join, WaitEnd, flatten};

/// The handle of a child of a [`scope`](crate::scope): to await it, cancel it and inspect it.
///
/// It does for a child what a [`Task`](crate::Task) does for a task. `child.await` waits for the
/// child to end and returns its `Result<T, E>`, or a cancellation of the caller as `E`. To await a
/// child and keep its handle, await a reference. Dropping the handle leaves the child running.
///
/// The handle may outlive the scope. Then the child has ended, and its outcome is still there.
pub struct Child<T, E> {
    task: TaskRef,
    value: Value<T>,
    error: PhantomData<fn() -> E>,
}

impl<T, E: 'static> Child<T, E> {
    pub(super) fn of(task: TaskRef, value: Value<T>) -> Self {
        Child { task, value, error: PhantomData }
    }

    /// Takes the result of a child that has ended, which its scope has not taken. The error of one
    /// that was cancelled alone is no failure of the scope (C6).
    pub(super) fn take(&self) -> Result<T, E>
    where
        E: From<TaskCancelled>,
    {
        flatten(Ok(with_value(take_outcome(&self.task), &self.value)), &self.task)
    }

    /// Waits for the child to end and takes its outcome, as two nested results; `child.await`
    /// flattens them. The first call takes the outcome; later calls return
    /// [`TaskError::Taken`](crate::TaskError::Taken).
    ///
    /// # Errors
    ///
    /// The outer error: *this* wait was cancelled. The inner error: how the child ended, if it did
    /// not succeed.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the child goes on and its outcome stays with it.
    #[track_caller]
    pub fn join(&self) -> JoinChild<T, E> {
        let join = Join::new(Location::caller(), &self.task);
        JoinChild { join, value: self.value.clone() }
    }

    /// Waits for the child to end and does not take its outcome.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned.
    #[track_caller]
    pub fn wait(&self) -> WaitEnd {
        WaitEnd::new(Location::caller(), &self.task)
    }

    /// Requests the child's cancellation, at the first poll, and waits until the child has ended,
    /// including its cleanup. If the child has ended, this does nothing. The scope and the other
    /// children go on. A child that cancels itself gets the error at once.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]: this wait was cancelled.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the child stays cancelled and goes on cleaning up.
    #[track_caller]
    pub fn cancel(&self) -> Cancel {
        Cancel::new(Location::caller(), &self.task)
    }

    /// Requests the child's cancellation and does not wait.
    pub fn request_cancel(&self) {
        let by = self.task.core().running_id();
        self.task.core().request(&self.task, CancelReason::Requested { by });
    }

    /// The child's id. No task of the kernel has the same.
    pub fn id(&self) -> TaskId {
        self.task.id()
    }

    /// The type of its future, or the name that was given to it.
    pub fn name(&self) -> String {
        self.task.core().name_of(&self.task)
    }

    /// What the child is doing.
    pub fn state(&self) -> TaskState {
        self.task.core().state(&self.task)
    }

    /// The file and line where the child is parked. If it is parked at several points, this is one
    /// of them.
    pub fn parked_at(&self) -> Option<&'static Location<'static>> {
        self.task.core().leaves(&self.task).first().map(|leaf| leaf.site)
    }

    /// Whether it has ended.
    pub fn is_done(&self) -> bool {
        self.task.is_ended()
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<TaskEnd> {
        self.task.end()
    }
}

impl<T, E: From<TaskCancelled> + 'static> IntoFuture for Child<T, E> {
    type Output = Result<T, E>;
    type IntoFuture = ChildFuture<T, E>;

    /// Waits for the child to end and returns its result. The first call takes it.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the child continues.
    ///
    /// # Panics
    ///
    /// When awaited: resumes the child's own panic, and panics if the outcome was already taken.
    #[track_caller]
    fn into_future(self) -> ChildFuture<T, E> {
        ChildFuture { join: self.join() }
    }
}

impl<T, E: From<TaskCancelled> + 'static> IntoFuture for &Child<T, E> {
    type Output = Result<T, E>;
    type IntoFuture = ChildFuture<T, E>;

    /// Like awaiting the child itself, but the handle is kept.
    ///
    /// # Cancellation
    ///
    /// Only the wait is abandoned: the child goes on, and its outcome stays with it.
    #[track_caller]
    fn into_future(self) -> ChildFuture<T, E> {
        ChildFuture { join: self.join() }
    }
}

impl<T, E> Drop for Child<T, E> {
    fn drop(&mut self) {
        self.task.core().drop_holder(&self.task);
    }
}

impl<T, E> fmt::Debug for Child<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.task.id())
            .field("name", &self.task.core().name_of(&self.task))
            .field("state", &self.task.core().state(&self.task))
            .finish()
    }
}

/// Waits until a child has ended and takes its outcome. Made by [`Child::join`].
///
/// # Cancellation
///
/// Only the wait is abandoned: the outcome stays with the child.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct JoinChild<T, E> {
    /// Takes every outcome but the value, which is not in the cell of the child.
    join: Join<(), E>,
    value: Value<T>,
}

impl<T, E: 'static> Future for JoinChild<T, E> {
    type Output = Result<Result<T, TaskError<E>>, TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match Pin::new(&mut self.join).poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(cancelled)) => return Poll::Ready(Err(cancelled)),
            Poll::Ready(Ok(outcome)) => outcome,
        };
        Poll::Ready(Ok(with_value(outcome, &self.value)))
    }
}

/// The outcome of a child: what is in its cell, and its value, which is not.
fn with_value<T, E>(
    outcome: Result<(), TaskError<E>>,
    value: &Value<T>,
) -> Result<T, TaskError<E>> {
    match (outcome, value.take()) {
        (_, Some(value)) => Ok(value),
        (Ok(()), None) => Err(TaskError::Taken),
        (Err(error), None) => Err(error),
    }
}

impl<T, E> fmt::Debug for JoinChild<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinChild").field("join", &self.join).finish_non_exhaustive()
    }
}

/// Waits until a child has ended and gives its result as the child's own. Made by `child.await`.
///
/// # Cancellation
///
/// Only the wait is abandoned: the child goes on, and its outcome stays with it.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct ChildFuture<T, E> {
    join: JoinChild<T, E>,
}

impl<T, E: From<TaskCancelled> + 'static> Future for ChildFuture<T, E> {
    type Output = Result<T, E>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.join).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(joined) => Poll::Ready(flatten(joined, self.join.join.task())),
        }
    }
}

impl<T, E> fmt::Debug for ChildFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildFuture").field("join", &self.join).finish()
    }
}
