//! Waiting for a task to end: `task.await`, `join`, `wait`, `cancel`.
//!
//! All four use the same leaf. None of them owns the task: dropping the wait leaves the task
//! running (T6).

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::outcome::{Hold, take_outcome};
use crate::core::state::TaskRef;
use crate::error::{CancelReason, TaskCancelled, TaskError};
use crate::wait::joiners::JoinSlot;
use crate::wait::spot::Spot;

/// What a task is awaited for, as a type: a value would take room in every future that waits.
pub(super) trait Aim {
    /// What the monitor shows.
    const KIND: &'static str;
    /// Whether this is a `join`: the failure of a member of a group then goes to the joiner (G2).
    const JOINS: bool = false;
}

pub(super) struct ToWait;
pub(super) struct ToJoin;
pub(super) struct ToCancel;

impl Aim for ToWait {
    const KIND: &'static str = "WAIT";
}

impl Aim for ToJoin {
    const KIND: &'static str = "JOIN";
    const JOINS: bool = true;
}

impl Aim for ToCancel {
    const KIND: &'static str = "CANCEL";
}

/// The leaf that waits until a task has ended.
pub(super) struct End<A: Aim> {
    pub(super) task: Hold,
    slot: JoinSlot,
    spot: Spot,
    aim: PhantomData<A>,
}

impl<A: Aim> End<A> {
    pub(crate) fn new(site: &'static Location<'static>, cell: &TaskRef) -> Self {
        End { task: Hold::new(cell), slot: JoinSlot::OUT, spot: Spot::at(site), aim: PhantomData }
    }

    #[inline(always)]
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TaskCancelled>> {
        // The common case: the task has ended, and the budget is not spent.
        if self.task.cell().is_ended() && current::spend() {
            self.spot.unpark();
            return Poll::Ready(Ok(()));
        }
        self.poll_running(cx)
    }

    #[inline(never)]
    fn poll_running(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TaskCancelled>> {
        if !current::spend() {
            return self.poll_spent(cx);
        }
        let End { task, slot, spot, .. } = self;
        let cell = task.cell();
        let polled = spot.park_by(
            A::KIND,
            cx,
            slot,
            |slot, waiter| slot.enter_beside(cell, A::JOINS, waiter),
            |slot, cx| slot.enter(cell, A::JOINS, cx),
        );
        self.polled(polled)
    }

    /// The budget is spent: the task yields, and queues meanwhile.
    #[cold]
    fn poll_spent(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TaskCancelled>> {
        let End { task, slot, spot, .. } = self;
        let mut enter = |cx: &Context<'_>| match task.cell().is_ended() {
            true => Poll::Ready(()),
            false => slot.enter(task.cell(), A::JOINS, cx),
        };
        // Queue even when only yielding, so that a failure meanwhile goes to this joiner (G2).
        // Queueing twice is harmless.
        let _ = enter(cx);
        let polled = spot.poll(A::KIND, cx, |cx| enter(cx));
        self.polled(polled)
    }

    #[inline(always)]
    fn polled(
        &mut self,
        polled: Poll<Result<(), TaskCancelled>>,
    ) -> Poll<Result<(), TaskCancelled>> {
        if let Poll::Ready(Err(_)) = polled {
            self.slot.leave(self.task.cell(), A::JOINS);
        }
        polled
    }
}

impl<A: Aim> Drop for End<A> {
    fn drop(&mut self) {
        self.slot.leave(self.task.cell(), A::JOINS);
    }
}

/// Waits until a task has ended. Made by [`Task::wait`](crate::Task::wait).
///
/// # Cancellation
///
/// Only the wait is abandoned.
#[must_use = "futures do nothing unless you `.await` or poll them"]
// The compiler shows the next line when it refuses to send this, or what is made of it.
pub struct WaitEnd /* stays on its thread: send `kernel::handle()` and the task's `id()` */ {
    end: End<ToWait>,
}

impl WaitEnd {
    pub(crate) fn new(site: &'static Location<'static>, cell: &TaskRef) -> Self {
        WaitEnd { end: End::new(site, cell) }
    }
}

impl Future for WaitEnd {
    type Output = Result<(), TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.end.poll(cx)
    }
}

impl fmt::Debug for WaitEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitEnd").field("task", &self.end.task.cell().id()).finish()
    }
}

/// Waits until a task has ended and takes its outcome. Made by [`Task::join`](crate::Task::join).
///
/// # Cancellation
///
/// Only the wait is abandoned: the outcome stays with the task.
#[must_use = "futures do nothing unless you `.await` or poll them"]
// The compiler shows the next line when it refuses to send this, or what is made of it.
pub struct Join<T, E> /* stays on its thread: send `kernel::handle()` and the task's `id()` */ {
    end: End<ToJoin>,
    output: PhantomData<fn() -> (T, E)>,
}

impl<T, E> Join<T, E> {
    pub(crate) fn new(site: &'static Location<'static>, cell: &TaskRef) -> Self {
        Join { end: End::new(site, cell), output: PhantomData }
    }

    pub(crate) fn task(&self) -> &TaskRef {
        self.end.task.cell()
    }
}

impl<T: 'static, E: 'static> Future for Join<T, E> {
    type Output = Result<Result<T, TaskError<E>>, TaskCancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.end.poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(cancelled)) => Poll::Ready(Err(cancelled)),
            Poll::Ready(Ok(())) => {
                let task = &self.end.task;
                let outcome = take_outcome(task.cell());
                if matches!(outcome, Err(TaskError::Cancelled(_))) {
                    task.core().owned_joined(task.cell());
                }
                Poll::Ready(Ok(outcome))
            }
        }
    }
}

impl<T, E> fmt::Debug for Join<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Join").field("task", &self.end.task.cell().id()).finish()
    }
}

/// Waits until a task has ended and gives its result as the task's own. Made by `task.await`.
///
/// # Cancellation
///
/// Only the wait is abandoned: the task goes on, and its outcome stays with it.
#[must_use = "futures do nothing unless you `.await` or poll them"]
pub struct TaskFuture<T, E> {
    join: Join<T, E>,
}

impl<T, E> TaskFuture<T, E> {
    pub(crate) fn new(join: Join<T, E>) -> Self {
        TaskFuture { join }
    }
}

impl<T: 'static, E: From<TaskCancelled> + 'static> Future for TaskFuture<T, E> {
    type Output = Result<T, E>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match Pin::new(&mut self.join).poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(joined) => Poll::Ready(flatten(joined, self.join.task())),
        }
    }
}

/// What `task.await` makes of what `join` gives (C19).
#[inline]
#[track_caller]
pub(crate) fn flatten<T, E: From<TaskCancelled>>(
    joined: Result<Result<T, TaskError<E>>, TaskCancelled>,
    task: &TaskRef,
) -> Result<T, E> {
    match joined {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(TaskError::Failed(error) | TaskError::Cancelled(error))) => Err(error),
        Ok(Err(TaskError::Aborted)) => Err(TaskCancelled::new(CancelReason::Aborted).into()),
        Ok(Err(TaskError::Panicked(panic))) => panic.resume(),
        Ok(Err(TaskError::Taken)) => already_taken(task),
        Err(cancelled) => Err(cancelled.into()),
    }
}

#[cold]
#[track_caller]
fn already_taken(task: &TaskRef) -> ! {
    let (id, name) = (task.id(), task.core().name_of(task));
    panic!(
        "the outcome of task {id} {name} was already taken, by an earlier await or `join`, or by \
         its group"
    )
}

impl<T, E> fmt::Debug for TaskFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskFuture").field("task", &self.join.task().id()).finish()
    }
}
