//! The waker of a task, and the messages to a kernel.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Waker;

use crate::id::TaskId;
use crate::parts::mailbox::sync::{AtomicBool, AtomicU64};
use crate::parts::mailbox::{self, Mail, Part};
use crate::parts::timers::TimerKey;

/// The mailbox of a kernel.
pub(crate) type Remote = mailbox::Remote<Message>;

/// Messages taken from the mailbox of a kernel.
pub(crate) type Post = mailbox::Post<Message>;

/// A message from any thread to a kernel.
pub(crate) enum Message {
    /// Make the task of this waker ready.
    Wake(Arc<TaskWaker>),
    /// Run this on the thread of the kernel; it builds a future and spawns it.
    Spawn(Box<dyn FnOnce() + Send>),
    /// A call of another kernel: spawns its task.
    Call(SentCall),
    /// Request the cancellation of a task.
    Cancel(TaskId),
    /// Run this between two polls. It looks at the kernel, and is no reason for it to go on.
    Look(Box<dyn FnOnce() + Send>),
    /// A job on another thread has ended. Wakes the task that waits for it.
    JobDone(JobId, Option<Waker>),
    /// Another kernel has answered a call. Wakes the task that waits for it.
    Answered(JobId),
    /// The system gives this pool no thread, and a job of this kernel waits there.
    NoThread(&'static dyn ShortPool),
    /// The thread of this task has sent it a message (`threads/exchange.rs`).
    Thread(TaskId),
    /// A registration was given up where its kernel is not current, such as on another thread. The
    /// kernel frees the entry.
    Unregister(mio::Token),
    /// A parked leaf was dropped on another thread. The kernel removes its record from the arena of
    /// the scopes.
    Unpark(u32),
    /// A timer was dropped or moved where its kernel is not current. The kernel disarms it, and
    /// wakes what waits for it.
    Disarm(TimerKey),
}

/// Names a job in its kernel (`core/jobs.rs`), and no later one in its place.
#[derive(Clone, Copy)]
pub(crate) struct JobId {
    pub(crate) place: u32,
    pub(crate) serial: u32,
}

/// A call of another kernel (`threads/called.rs`).
pub(crate) trait Start: Send + Sync {
    /// Spawns its task in the kernel of this thread.
    fn start(self: Arc<Self>);

    /// There will be no task.
    fn fail(&self);
}

/// A call on its way. Dropped, it fails.
pub(crate) struct SentCall(Option<Arc<dyn Start>>);

impl SentCall {
    pub(crate) fn new(call: Arc<dyn Start>) -> Self {
        SentCall(Some(call))
    }

    pub(crate) fn start(mut self) {
        if let Some(call) = self.0.take() {
            call.start();
        }
    }
}

impl Drop for SentCall {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call.fail();
        }
    }
}

/// A pool of threads to which the system has refused a thread while jobs waited.
pub(crate) trait ShortPool: Sync {
    /// Tries to get a thread for the jobs that wait. Returns whether to try again later.
    fn try_again(&'static self) -> bool;
}

impl Mail for Message {
    fn part(&self) -> Part {
        match self {
            Message::Spawn(_) | Message::Call(_) | Message::Cancel(_) => Part::Requests,
            Message::Look(_) => Part::Looks,
            Message::Wake(_)
            | Message::JobDone(..)
            | Message::Answered(_)
            | Message::NoThread(_)
            | Message::Thread(_)
            | Message::Unregister(_)
            | Message::Unpark(_)
            | Message::Disarm(_) => Part::Events,
        }
    }
}

/// The waker of one task: the id of the task and the mailbox of its kernel.
///
/// The kernel reads the reference count of the `Arc` to find out whether a program holds the waker
/// (`OwnWaker::is_out`). Until a wake has been handled, the count includes a reference for it: the
/// waker that is being woken, then the message. The first is dropped only when the second exists.
pub(crate) struct TaskWaker {
    remote: Arc<Remote>,
    task: AtomicU64,
    posted: AtomicBool,
    /// The number of polls, if it is the spare waker of a kernel that is watched (`task/mark.rs`).
    /// Not of loom, whose models do not poll.
    polls: AtomicU32,
}

impl TaskWaker {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        TaskWaker {
            remote,
            task: AtomicU64::new(u64::MAX),
            posted: AtomicBool::new(false),
            polls: AtomicU32::new(0),
        }
    }

    /// Sets the task. Called only while no reference exists outside the kernel.
    pub(crate) fn assign(&self, task: TaskId) {
        self.task.store(task.to_bits(), Ordering::Relaxed);
    }

    /// Counts a poll. Only the kernel calls this, so it needs no atomic addition.
    #[inline]
    pub(crate) fn count_poll(&self) {
        self.set_polls(self.polls().wrapping_add(1));
    }

    pub(crate) fn polls(&self) -> u32 {
        self.polls.load(Ordering::Relaxed)
    }

    pub(crate) fn set_polls(&self, polls: u32) {
        self.polls.store(polls, Ordering::Relaxed);
    }

    pub(crate) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    pub(crate) fn task(&self) -> TaskId {
        TaskId::from_bits(self.task.load(Ordering::Relaxed))
    }

    /// Posts the wake, unless the kernel has not handled an earlier one yet. The mailbox of a
    /// closed kernel refuses it: then there is no task to wake.
    #[inline(never)]
    pub(crate) fn post(self: &Arc<Self>) {
        if !self.posted.swap(true, Ordering::Release) {
            drop(self.remote.post(Message::Wake(self.clone())));
        }
    }

    /// Called when the kernel handles the message. From here on the waker can be posted again.
    /// Returns the task to wake.
    pub(crate) fn received(&self) -> TaskId {
        // A swap, not a store: it must read the value written by the threads that found the flag
        // set, so that the poll that follows sees what they did before their wake.
        self.posted.swap(false, Ordering::Acquire);
        self.task()
    }
}
