//! The waker of a task, and what is posted to its kernel.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::id::TaskId;
use crate::parts::mailbox::sync::{AtomicBool, AtomicU64};
use crate::parts::mailbox::{self, Mail, Part};

/// The mailbox of a kernel.
pub(crate) type Remote = mailbox::Remote<Message>;

/// What was posted to a kernel.
pub(crate) type Post = mailbox::Post<Message>;

/// What another thread may ask of a kernel.
pub(crate) enum Message {
    /// Make this waker's task ready.
    Wake(Arc<TaskWaker>),
    /// Run this on the kernel's thread; it builds a future and spawns it.
    Spawn(Box<dyn FnOnce() + Send>),
    /// Request the cancellation of a task.
    Cancel(TaskId),
    /// A job on another thread has come back, and has woken who waits for it.
    JobDone(u64),
    /// A registration moved away or was dropped elsewhere: its place is free.
    Unregister(mio::Token),
}

impl Mail for Message {
    fn part(&self) -> Part {
        match self {
            Message::Spawn(_) | Message::Cancel(_) => Part::Requests,
            Message::Wake(_) | Message::JobDone(_) | Message::Unregister(_) => Part::Events,
        }
    }
}

/// The waker of one task: its name, and where to post it.
///
/// The kernel counts the references of std's `Arc` to learn whether a program holds the waker
/// (`OwnWaker::is_out`). That count cannot be low too early: a wake keeps its reference until its
/// message, which is one more, is in the mailbox, and the message keeps that until it is taken.
pub(crate) struct TaskWaker {
    remote: Arc<Remote>,
    task: AtomicU64,
    posted: AtomicBool,
}

impl TaskWaker {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        TaskWaker { remote, task: AtomicU64::new(u64::MAX), posted: AtomicBool::new(false) }
    }

    /// Names the task. Only while nobody but the kernel holds this waker.
    pub(crate) fn assign(&self, task: TaskId) {
        self.task.store(task.to_bits(), Ordering::Relaxed);
    }

    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    pub(crate) fn task(&self) -> TaskId {
        TaskId::from_bits(self.task.load(Ordering::Relaxed))
    }

    /// Posts the wake, unless that was done since the kernel last took it. Refused when the kernel
    /// is gone: then there is no task to wake.
    pub(crate) fn post(self: &Arc<Self>) {
        if !self.posted.swap(true, Ordering::Release) {
            drop(self.remote.post(Message::Wake(self.clone())));
        }
    }

    /// The task to wake, once taken from the mailbox: from here on it may be posted again.
    pub(crate) fn received(&self) -> TaskId {
        // A swap, not a store: it must read what those wrote who found it posted, so that the poll
        // that follows sees what they did before their wake.
        self.posted.swap(false, Ordering::Acquire);
        self.task()
    }
}
