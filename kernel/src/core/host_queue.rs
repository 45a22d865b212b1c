//! The ready tasks of a host, which wait for a poll of it.

use std::cell::{Cell, RefCell};
use std::task::Context;

use crate::core::current;
use crate::core::hosted::Hosted;
use crate::core::state::Waiter;
use crate::id::TaskId;
use crate::parts::fifo::Wakeable;

/// The slots of the ready tasks of a host, in the order in which they became ready, and what polls
/// the host.
pub(crate) struct HostQueue {
    ready: RefCell<Vec<u32>>,
    /// The last batch. From `at` on it has tasks that are ready, before all others.
    batch: Cell<Vec<u32>>,
    at: Cell<usize>,
    /// The number of these tasks.
    left: Cell<usize>,
    poller: RefCell<Waiter>,
    /// The host is being polled. At the end of the poll it looks at `ready` once more.
    polling: Cell<bool>,
    /// The task that has polled the host last.
    task: Cell<TaskId>,
    open: Cell<bool>,
    /// The tasks have spent the budget of the last poll before the host's own work was polled. So
    /// the next poll begins with the work.
    work_first: Cell<bool>,
    /// The memory of the list of the tasks, for the next host of the queue.
    memory: Cell<Hosted<'static>>,
}

/// The number of tasks for which the memory of their list is kept.
const KEEP: usize = 64;

impl Default for HostQueue {
    fn default() -> Self {
        HostQueue {
            ready: RefCell::default(),
            batch: Cell::default(),
            at: Cell::new(0),
            left: Cell::new(0),
            poller: RefCell::default(),
            polling: Cell::new(false),
            task: Cell::new(TaskId::NONE),
            open: Cell::new(false),
            work_first: Cell::new(false),
            memory: Cell::default(),
        }
    }
}

impl HostQueue {
    pub(crate) fn is_open(&self) -> bool {
        self.open.get()
    }

    /// The queue has a host from now on.
    pub(crate) fn open(&self) {
        self.open.set(true);
    }

    /// The host is gone, and its tasks with it.
    pub(crate) fn close(&self) {
        self.open.set(false);
        // Both are empty. Only the memory of a few is kept.
        let (ready, batch) = (self.ready.take(), self.batch.take());
        if ready.capacity().max(batch.capacity()) <= KEEP {
            self.ready.replace(ready);
            self.batch.set(batch);
        }
        let poller = self.poller.take();
        drop(poller);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.left.get() == 0 && self.ready.borrow().is_empty()
    }

    /// Whether ready tasks wait for a poll of the host. What polls the host was woken for them.
    pub(crate) fn is_left(&self) -> bool {
        !self.polling.get() && !self.is_empty()
    }

    /// An empty list of tasks, for the host.
    pub(crate) fn take_memory<'env>(&self) -> Hosted<'env> {
        self.memory.take()
    }

    /// Keeps the memory of the list of a host that has ended.
    pub(crate) fn keep_memory(&self, list: Hosted<'_>) {
        if list.capacity() <= KEEP {
            self.memory.set(list.emptied());
        }
    }

    /// Takes the tasks that are ready now. Those that become ready meanwhile come after them.
    #[inline]
    pub(crate) fn batch(&self) -> HostBatch<'_> {
        let mut slots = self.batch.take();
        if self.left.take() == 0 {
            return HostBatch { queue: self, slots: self.ready.replace(slots), at: 0 };
        }
        slots.append(&mut self.ready.borrow_mut());
        HostBatch { queue: self, slots, at: self.at.get() }
    }

    /// Keeps what is left of a batch.
    #[cold]
    fn put_back(&self, mut slots: Vec<u32>, mut at: usize) {
        // Moves the rest to the front only if that is the smaller part. So the moves of a batch are
        // not more than its tasks, however little of it each poll takes.
        if at > slots.len() / 2 {
            slots.drain(..at);
            at = 0;
        }
        self.left.set(slots.len() - at);
        self.at.set(at);
        self.batch.set(slots);
    }

    /// Adds a ready task, and wakes what polls the host.
    pub(crate) fn push(&self, slot: u32) {
        self.ready.borrow_mut().push(slot);
        if !self.polling.get() {
            let poller = self.poller.borrow_mut().take();
            poller.wake();
        }
    }

    /// Whether this poll begins with the host's own work. The next one does not, unless
    /// [`defer_work`](HostQueue::defer_work) says so.
    pub(crate) fn take_work_first(&self) -> bool {
        self.work_first.take()
    }

    /// The next poll begins with the host's own work.
    pub(crate) fn defer_work(&self) {
        self.work_first.set(true);
    }

    pub(crate) fn task(&self) -> TaskId {
        self.task.get()
    }

    /// `task` begins a poll of the host with `cx`. After it a ready task wakes the waker of `cx`.
    pub(crate) fn begin_poll(&self, task: TaskId, cx: &Context<'_>) {
        self.polling.set(true);
        self.task.set(task);
        if !self.poller.borrow().is(cx) {
            // Cloning and dropping a waker may run code of the program.
            let next = Waiter::of(cx);
            let last = self.poller.replace(next);
            drop(last);
        }
    }

    /// Ends a poll of the host. `again`: it is to be polled again in any case.
    pub(crate) fn end_poll(&self, cx: &Context<'_>, again: bool) {
        self.polling.set(false);
        if (again || !self.is_empty()) && !current::again(cx.waker()) {
            cx.waker().wake_by_ref();
        }
    }
}

/// Tasks that were ready at the same time, in the order in which they became ready. What is left is
/// put back.
pub(crate) struct HostBatch<'a> {
    queue: &'a HostQueue,
    slots: Vec<u32>,
    at: usize,
}

impl Iterator for HostBatch<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let slot = *self.slots.get(self.at)?;
        self.at += 1;
        Some(slot)
    }
}

impl Drop for HostBatch<'_> {
    #[inline]
    fn drop(&mut self) {
        let mut slots = std::mem::take(&mut self.slots);
        if self.at == slots.len() {
            slots.clear();
            self.queue.batch.set(slots);
        } else {
            self.queue.put_back(slots, self.at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn tasks_come_in_the_order_in_which_they_were_ready() {
        let (queue, mut expected, mut seed) = (HostQueue::default(), VecDeque::new(), 5_u64);
        let mut next = 0..;
        for _ in 0..5000 {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            for slot in next.by_ref().take((seed >> 40) as usize % 60) {
                queue.push(slot);
                expected.push_back(slot);
            }
            // Some become ready while others are polled, and a poll takes at most so many.
            let (taken, mut batch) = ((seed >> 50) as usize % 64, queue.batch());
            for slot in batch.by_ref().take(taken) {
                assert_eq!(Some(slot), expected.pop_front());
                if slot % 7 == 0 {
                    let again = next.next().expect("it has no end");
                    queue.push(again);
                    expected.push_back(again);
                }
            }
            drop(batch);
            assert_eq!(queue.is_empty(), expected.is_empty());
        }
        assert!(queue.batch().eq(expected));
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_left_of_many_tasks_stays_where_it_is() {
        let queue = HostQueue::default();
        (0..100_000).for_each(|slot| queue.push(slot));
        for first in (0..40_000).step_by(10) {
            assert!(queue.batch().take(10).eq(first..first + 10));
            assert_eq!(queue.at.get(), first as usize + 10);
        }
        assert!(queue.batch().eq(40_000..100_000));
        queue.close();
        assert_eq!(queue.batch.take().capacity() + queue.ready.take().capacity(), 0);
    }
}
