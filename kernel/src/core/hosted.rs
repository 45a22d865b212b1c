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
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::core::current;
use crate::core::inspect::ParkedAt;
use crate::core::nested::Nested;
use crate::core::state::{Core, TaskRef, Waiter};
use crate::id::TaskId;
use crate::parts::fifo::Wakeable;
use crate::task::body::{Body, Verdict};
use crate::task::cell::{OwnWaker, TaskEnd};
use crate::task::state::Flags;
use crate::task::waker::TaskWaker;

/// The slots of the ready tasks of a host, in the order in which they became ready, and what polls
/// the host.
pub(crate) struct HostQueue {
    ready: RefCell<VecDeque<u32>>,
    poller: RefCell<Waiter>,
    /// The host is being polled. At the end of the poll it looks at `ready` once more.
    polling: Cell<bool>,
    /// The task that has polled the host last.
    task: Cell<TaskId>,
    open: Cell<bool>,
    /// The tasks have spent the budget of the last poll before the host's own work was polled. So
    /// the next poll begins with the work.
    work_first: Cell<bool>,
}

impl Default for HostQueue {
    fn default() -> Self {
        HostQueue {
            ready: RefCell::default(),
            poller: RefCell::default(),
            polling: Cell::new(false),
            task: Cell::new(TaskId::NONE),
            open: Cell::new(false),
            work_first: Cell::new(false),
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

    pub(crate) fn len(&self) -> usize {
        self.ready.borrow().len()
    }

    /// Whether ready tasks wait for a poll of the host. What polls the host was woken for them.
    pub(crate) fn is_left(&self) -> bool {
        !self.polling.get() && self.len() > 0
    }

    /// Takes the task that has been ready for the longest time.
    pub(crate) fn pop(&self) -> Option<u32> {
        self.ready.borrow_mut().pop_front()
    }

    /// Adds a ready task, and wakes what polls the host.
    pub(crate) fn push(&self, slot: u32) {
        self.ready.borrow_mut().push_back(slot);
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
        if (again || self.len() > 0) && !current::again(cx.waker()) {
            cx.waker().wake_by_ref();
        }
    }
}

/// What the poll of the future of a hosted task returns when the task has ended: nothing after a
/// value, which the future has kept, or a body that holds the error.
pub(crate) type HostedEnd = Option<Pin<Box<dyn Body>>>;

/// How the poll of a hosted task ended.
pub(crate) enum HostedPoll {
    Pending,
    /// It has returned its output.
    Returned(HostedEnd),
    Panicked(Box<dyn Any + Send>),
    /// It was aborted during its poll.
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

    /// Polls a hosted task inside the poll of its host. `poll` polls its future.
    pub(crate) fn poll_hosted(
        &self,
        task: &TaskRef,
        queue: &HostQueue,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<HostedEnd>,
    ) -> HostedPoll {
        let inherited = self.enter_hosted(task);
        task.flags.start();
        let own = task.any_cold().and_then(|cold| cold.waker.take());
        let has_own = own.is_some();
        let waker = own.unwrap_or_else(|| self.spare_waker());
        if !has_own {
            waker.inner.assign(task.id());
        }
        let nested = Nested::begin(self, task, &waker.waker);
        let cx = &mut Context::from_waker(&waker.waker);
        let polled = catch_unwind(AssertUnwindSafe(|| poll(cx)));
        let marks = current::end_poll();
        drop(nested);
        if has_own || waker.is_out() {
            // With this flag the waker is dropped when the task has ended, so that a later task in
            // the cell does not take it for its own.
            task.keep_waker(waker);
        } else {
            self.spare_wakers.borrow_mut().push(waker);
        }
        task.flags.stop(marks.parked());
        drop(inherited);
        match polled {
            Ok(Poll::Ready(end)) => HostedPoll::Returned(end),
            Err(payload) => HostedPoll::Panicked(payload),
            Ok(Poll::Pending) if task.flags.any(Flags::ABORT) => HostedPoll::Aborted,
            Ok(Poll::Pending) => {
                if marks.again() && task.flags.queue() {
                    queue.push(task.membership().slot.get());
                }
                if task.flags.any(Flags::CANCEL_REQUESTED) {
                    self.watch_parked(task);
                }
                HostedPoll::Pending
            }
        }
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

    fn spare_waker(&self) -> OwnWaker {
        let spare = self.spare_wakers.borrow_mut().pop();
        spare.unwrap_or_else(|| OwnWaker::new(Arc::new(TaskWaker::new(self.remote().clone()))))
    }

    /// Ends a hosted task. Its future has been dropped.
    pub(crate) fn end_hosted(&self, task: &TaskRef, polled: HostedPoll) {
        // It was counted as ended when it began.
        self.ended.set(self.ended.get() - 1);
        self.drop_values(task);
        match polled {
            HostedPoll::Pending => unreachable!("only a task that has ended is ended"),
            HostedPoll::Returned(None) => self.returned(task, Verdict::Ok),
            HostedPoll::Returned(Some(error)) => {
                drop(task.body.take());
                task.body.put(error);
                task.flags.set(Flags::LARGE);
                self.returned(task, Verdict::Err);
            }
            HostedPoll::Panicked(payload) => self.panicked(task, payload),
            HostedPoll::Aborted => self.finish(task, TaskEnd::Aborted, false),
        }
    }
}
