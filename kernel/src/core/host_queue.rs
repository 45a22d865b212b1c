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
    /// The memory of the last batch.
    spare: Cell<Vec<u32>>,
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
            spare: Cell::default(),
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
        let poller = self.poller.take();
        drop(poller);
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ready.borrow().is_empty()
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
        let slots = self.ready.replace(self.spare.take());
        HostBatch { queue: self, slots, at: 0 }
    }

    /// Puts back what is left of a batch, before what has become ready meanwhile.
    #[cold]
    fn put_back(&self, mut slots: Vec<u32>, at: usize) {
        slots.drain(..at);
        slots.append(&mut self.ready.borrow_mut());
        self.spare.set(self.ready.replace(slots));
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
            self.queue.spare.set(slots);
        } else {
            self.queue.put_back(slots, self.at);
        }
    }
}
