//! Hosted tasks: their futures belong to another future, the host, which polls them (`children/`).
//!
//! A hosted task has a cell in the table like any other, so it is listed, woken, cancelled and
//! joined in the same way. Only its body is not in the cell, and may borrow.
//!
//! ```text
//!   wake ─▶ ready queue ─▶ run loop: pass_to_host ─▶ HostQueue of the host, host made ready
//!                                                        │
//!            poll of the host: takes the slots, poll_hosted for each
//! ```

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::host_queue::HostQueue;
use crate::core::inspect::ParkedAt;
use crate::core::nested::Nested;
use crate::core::state::{Core, TaskRef};
use crate::task::body::{Body, Verdict};
use crate::task::cell::{OwnWaker, TaskEnd};
use crate::task::state::Flags;
use crate::task::waker::TaskWaker;

/// The tasks of a host that have not ended, by slot.
#[derive(Default)]
pub(crate) struct Hosted<'env> {
    /// None while it is being polled, and in a slot that is free.
    entries: Vec<Option<HostedEntry<'env>>>,
    free: Vec<u32>,
}

/// A task and its future.
pub(crate) struct HostedEntry<'env> {
    /// The host is a holder of it.
    pub(crate) task: TaskRef,
    pub(crate) body: Pin<Box<dyn HostedBody + 'env>>,
}

/// The future of a hosted task, whatever it returns.
pub(crate) trait HostedBody {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<HostedEnd>;
}

impl<'env> Hosted<'env> {
    /// Adds a task. Returns its slot.
    pub(crate) fn add(&mut self, entry: HostedEntry<'env>) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.entries[slot as usize] = Some(entry);
            return slot;
        }
        let slot = u32::try_from(self.entries.len()).expect("fewer than 2^32 children");
        self.entries.push(Some(entry));
        slot
    }

    /// Takes a task out for its poll.
    #[inline]
    pub(crate) fn take(&mut self, slot: u32) -> Option<HostedEntry<'env>> {
        self.entries.get_mut(slot as usize)?.take()
    }

    /// Puts a task back after its poll.
    #[inline]
    pub(crate) fn put(&mut self, slot: u32, entry: HostedEntry<'env>) {
        self.entries[slot as usize] = Some(entry);
    }

    /// Makes the slot of a task free that was taken out and has ended.
    #[inline]
    pub(crate) fn free(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// The task in a slot.
    pub(crate) fn task(&self, slot: u32) -> Option<&TaskRef> {
        Some(&self.entries.get(slot as usize)?.as_ref()?.task)
    }

    /// Takes out all tasks.
    pub(crate) fn take_all(&mut self) -> Vec<HostedEntry<'env>> {
        if self.free.len() == self.entries.len() {
            return Vec::new();
        }
        self.entries.iter_mut().filter_map(Option::take).collect()
    }

    /// The memory, for tasks that borrow something else.
    pub(super) fn emptied<'other>(mut self) -> Hosted<'other> {
        self.entries.clear();
        self.free.clear();
        // The library collects a vector into its own memory if the sizes are equal.
        Hosted { entries: self.entries.into_iter().map(|_| None).collect(), free: self.free }
    }

    /// The number of tasks for which there is memory.
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }
}

/// What the poll of the future of a hosted task returns when the task has ended: nothing after a
/// value, which the future has kept, or a body that holds the error.
pub(crate) type HostedEnd = Option<Pin<Box<dyn Body>>>;

/// How the poll of a hosted task ended.
pub(crate) enum HostedPoll {
    Pending,
    /// It has returned a value, which its future has kept.
    Value,
    Ended(HostedFailure),
}

/// How a hosted task ended that has not returned a value.
pub(crate) enum HostedFailure {
    Returned(Pin<Box<dyn Body>>),
    Panicked(Box<dyn Any + Send>),
    /// It was aborted, perhaps during its poll.
    Aborted,
}

impl Core {
    /// A hosted task was taken from the ready queue: makes its host poll it.
    pub(crate) fn pass_to_host(&self, task: &TaskRef) {
        task.flags.stop(Flags::QUEUED);
        self.owned_woken(task);
        if let Some(probe) = &self.settings.probe {
            probe.passed_to_host();
        }
    }

    /// Polls a hosted task inside the poll of its host. `poll` polls its future. If that has ended
    /// without a value, the context is the host's again.
    pub(crate) fn poll_hosted(
        &self,
        nested: &mut Nested<'_>,
        task: &TaskRef,
        queue: &HostQueue,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<HostedEnd>,
    ) -> HostedPoll {
        let seen = self.is_hosted_seen(task);
        let outer = if seen { self.begin_hosted_seen(nested, task) } else { None };
        task.flags.start();
        let own = task.any_cold().and_then(|cold| cold.waker.take());
        let polled = match own {
            None => {
                let cx = &mut Context::from_waker(nested.enter(task));
                let polled = catch_unwind(AssertUnwindSafe(|| poll(cx)));
                if let Some(waker) = nested.exit() {
                    task.keep_waker(waker);
                }
                polled
            }
            Some(own) => {
                nested.enter_by(task, &own);
                let cx = &mut Context::from_waker(&own.waker);
                let polled = catch_unwind(AssertUnwindSafe(|| poll(cx)));
                task.keep_waker(own);
                polled
            }
        };
        let marks = current::end_poll();
        task.flags.stop(marks.parked());
        if seen {
            self.end_hosted_seen(nested, task, outer);
        }
        let failure = match polled {
            Ok(Poll::Pending) if !task.flags.any(Flags::ABORT) => {
                if marks.again() && task.flags.queue() {
                    queue.push(task.membership().slot.get());
                }
                if task.flags.any(Flags::CANCEL_REQUESTED) {
                    nested.leave();
                    self.watch_parked(task);
                }
                return HostedPoll::Pending;
            }
            Ok(Poll::Ready(None)) => return HostedPoll::Value,
            Ok(Poll::Pending) => HostedFailure::Aborted,
            Ok(Poll::Ready(Some(error))) => HostedFailure::Returned(error),
            Err(payload) => HostedFailure::Panicked(payload),
        };
        nested.leave();
        HostedPoll::Ended(failure)
    }

    /// The leaves that the tasks hosted in `task` are parked in, also those of their own.
    pub(crate) fn leaves_of_hosted(&self, task: &TaskRef) -> Vec<ParkedAt> {
        let mut leaves = Vec::new();
        for cell in self.live_cells().iter().filter(|cell| cell.flags.any(Flags::HOSTED)) {
            let mut host = self.host_of(cell);
            while let Some(inner) = host.take_if(|host| host.flags.any(Flags::HOSTED)) {
                host = self.host_of(&inner);
            }
            if host.is_some_and(|host| host.is(task)) {
                leaves.extend(self.leaves(cell));
            }
        }
        leaves
    }

    pub(super) fn spare_waker(&self) -> OwnWaker {
        let spare = self.spare_wakers.borrow_mut().pop();
        spare.unwrap_or_else(|| OwnWaker::new(Arc::new(TaskWaker::new(self.remote().clone()))))
    }

    /// Ends a hosted task that has returned a value. Its future has been dropped. `inform` informs
    /// its owner.
    #[inline]
    pub(crate) fn end_hosted_well(&self, task: &TaskRef, inform: impl FnOnce()) {
        self.drop_values(task);
        // There is nothing to clear in its cell. It was counted as ended when it began.
        task.flags.set(Flags::TAKEN);
        task.flags.finish(TaskEnd::Ok);
        inform();
        if task.flags.any(Flags::AWAITED | Flags::COLD) {
            task.wake_waiters(self);
        }
    }

    /// Ends a hosted task that has not. Its future has been dropped.
    pub(crate) fn end_hosted(&self, task: &TaskRef, failure: HostedFailure) {
        self.ended.set(self.ended.get() - 1);
        self.drop_values(task);
        match failure {
            HostedFailure::Returned(error) => {
                drop(task.body.take());
                task.body.put(error);
                task.flags.set(Flags::LARGE);
                self.returned(task, Verdict::Err);
            }
            HostedFailure::Panicked(payload) => self.panicked(task, payload),
            HostedFailure::Aborted => self.finish(task, TaskEnd::Aborted, false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::{Chunk, Settings};

    struct Empty;

    impl HostedBody for Empty {
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<HostedEnd> {
            Poll::Ready(None)
        }
    }

    #[test]
    fn the_memory_of_a_list_is_used_again_for_tasks_that_borrow_something_else() {
        let chunk = Chunk::new(Core::new(Settings::default()).unwrap(), 0, 0);
        let entry = || HostedEntry { task: chunk.take(), body: Box::pin(Empty) };
        let mut list = Hosted::default();
        let slots: Vec<u32> = (0..10).map(|_| list.add(entry())).collect();
        assert_eq!(slots, (0..10).collect::<Vec<_>>());
        let capacity = list.capacity();
        let mut list = list.emptied();
        assert_eq!((list.capacity(), list.add(entry())), (capacity, 0));
        assert!(list.take(0).is_some() && list.take(0).is_none() && list.task(1).is_none());
        list.free(0);
        assert_eq!((list.add(entry()), list.take_all().len()), (0, 1));
    }
}
