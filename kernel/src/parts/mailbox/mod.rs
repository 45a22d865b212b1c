//! The only code that other threads enter: wakers, and the mailbox of a kernel.
//!
//! A waker holds the name of its task and the mailbox, never the task itself; so a `!Send` future
//! is polled and dropped on its kernel's thread alone, wherever its wakers travel, and a waker that
//! outlives its task or its kernel does nothing.
//!
//! # The protocol
//!
//! Invariant *announce sleep, look once more, then sleep*. `state` is one of three:
//!
//! | state | meaning | who leaves it |
//! |---|---|---|
//! | `AWAKE` | it runs, and looks before it sleeps | kernel: `announce_sleep`; anybody: `post` |
//! | `ASLEEP` | it sleeps, or is about to | anybody: `post` (and wakes it); kernel: `awake` |
//! | `POSTED` | there is post; whoever came first has woken the kernel | kernel: `take` |
//!
//! A poster puts its message in and swaps in `POSTED`, both under the lock; only the one that swaps
//! out `ASLEEP` pays the system call, hence one eventfd write per sleep. The kernel announces and
//! looks in one step: it exchanges `AWAKE` for `ASLEEP`, and where that fails there is post; what
//! comes later finds `ASLEEP` and wakes the poll. It is rung for under the lock, too: a kernel that
//! has closed its mailbox knows that nobody still holds its descriptors.
//!
//! A task's waker posts itself once until the kernel took it, and a job or a registration posts
//! once, so that part of the mailbox is bounded by what the kernel holds. Requests of handles have
//! no bound but memory: a poster never waits. The kernel serves a slice of each part at a time, so
//! neither delays the other part or the rest of the kernel. A nudge is post without a message: the
//! last handle is gone, for which the kernel may have been waiting.
//!
//! Nothing here may run in a signal handler: all of it takes a lock, and a message is allocated.
//!
//! The models in `models.rs` have loom try this file, interleaving by interleaving. Loom
//! takes `SeqCst` for less, and nothing here needs it.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::Wake;

use self::sync::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Mutex, MutexGuard, Waker};
use crate::core::current;
use crate::id::TaskId;

#[cfg(all(test, loom))]
mod models;
pub(crate) mod sync;

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const POSTED: u8 = 2;

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

/// A kernel's mailbox.
pub(crate) struct Remote {
    state: AtomicU8,
    inbox: Mutex<Inbox>,
    handles: AtomicUsize,
}

struct Inbox {
    post: Post,
    /// None once the kernel is gone: posts are refused. Its eventfd goes with it; the descriptor of
    /// its poll stays while a source that was registered there lives on elsewhere.
    bell: Option<Bell>,
}

/// Messages in order of arrival, in two parts.
#[derive(Default)]
pub(crate) struct Post {
    events: VecDeque<Message>,
    requests: VecDeque<Message>,
}

/// What a message comes from.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// Wakers, jobs and registrations.
    Events,
    /// Handles.
    Requests,
}

impl Post {
    fn push(&mut self, message: Message) {
        match message {
            Message::Spawn(_) | Message::Cancel(_) => self.requests.push_back(message),
            _ => self.events.push_back(message),
        }
    }

    pub(crate) fn part(&mut self, part: Part) -> &mut VecDeque<Message> {
        match part {
            Part::Events => &mut self.events,
            Part::Requests => &mut self.requests,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.requests.is_empty()
    }

    /// All of it, the events first.
    pub(crate) fn into_messages(self) -> impl Iterator<Item = Message> {
        self.events.into_iter().chain(self.requests)
    }

    /// Moves each part of `other` over whose own place is empty, without copying it.
    fn refill(&mut self, other: &mut Post) {
        if self.events.is_empty() {
            std::mem::swap(&mut self.events, &mut other.events);
        }
        if self.requests.is_empty() {
            std::mem::swap(&mut self.requests, &mut other.requests);
        }
    }
}

/// What a post needs of the reactor.
pub(crate) struct Bell {
    pub(crate) waker: Waker,
    pub(crate) registry: Arc<mio::Registry>,
}

impl Remote {
    pub(crate) fn new(bell: Bell) -> Self {
        Remote {
            state: AtomicU8::new(AWAKE),
            inbox: Mutex::new(Inbox { post: Post::default(), bell: Some(bell) }),
            handles: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in and wakes the kernel if it sleeps; gives it back when the kernel is gone.
    ///
    /// The message that comes back is dropped by the caller, outside the lock.
    pub(crate) fn post(&self, message: Message) -> Result<(), Message> {
        let mut inbox = self.lock();
        if inbox.bell.is_none() {
            return Err(message);
        }
        inbox.post.push(message);
        self.announce_post(&inbox);
        Ok(())
    }

    /// Makes the kernel look again at what it waits for.
    fn nudge(&self) {
        self.announce_post(&self.lock());
    }

    /// Says that the kernel should look, and wakes it if it sleeps.
    fn announce_post(&self, inbox: &Inbox) {
        let Some(bell) = &inbox.bell else { return };
        if self.state.swap(POSTED, Ordering::Release) == ASLEEP {
            // A full eventfd counter wakes as well: only an interruption could lose the wake.
            while bell.waker.wake().is_err_and(|e| e.kind() == io::ErrorKind::Interrupted) {}
        }
    }

    /// Whether the kernel should look into the mailbox. One relaxed load for the hot path.
    pub(crate) fn has_post(&self) -> bool {
        self.state.load(Ordering::Relaxed) == POSTED
    }

    /// Takes what was posted, as far as `post` has room: each part of it that is empty is filled.
    /// What is left stays announced. Called by the kernel alone.
    pub(crate) fn take(&self, post: &mut Post) {
        let mut inbox = self.lock();
        post.refill(&mut inbox.post);
        if inbox.post.is_empty() {
            self.state.swap(AWAKE, Ordering::Acquire);
        }
    }

    /// Says that the kernel is about to sleep. False: there is post, do not sleep.
    pub(crate) fn announce_sleep(&self) -> bool {
        // `ASLEEP` still, if the last sleep ended in a panic: then that announcement stands.
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::Relaxed, Ordering::Relaxed)
            != Err(POSTED)
    }

    /// Says that the kernel is up again; post that came meanwhile stays announced.
    pub(crate) fn awake(&self) {
        let up = self.state.compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed);
        debug_assert!(matches!(up, Ok(_) | Err(POSTED)), "two threads run one kernel");
    }

    /// Refuses all further post and gives back what nobody took.
    pub(crate) fn close(&self) -> Post {
        let (post, bell) = {
            let mut inbox = self.lock();
            (std::mem::take(&mut inbox.post), inbox.bell.take())
        };
        drop(bell);
        post
    }

    /// What a registration keeps, to take its source out of the poll from any thread; none when the
    /// kernel is gone.
    pub(crate) fn registry(&self) -> Option<Arc<mio::Registry>> {
        self.lock().bell.as_ref().map(|bell| bell.registry.clone())
    }

    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Acquire)
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

    /// The task to wake, once taken from the mailbox: from here on it may be posted again.
    pub(crate) fn received(&self) -> TaskId {
        // A swap, not a store: it must read what those wrote who found it posted, so that the poll
        // that follows sees what they did before their wake.
        self.posted.swap(false, Ordering::Acquire);
        TaskId::from_bits(self.task.load(Ordering::Relaxed))
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let local = current::try_with(|core| {
            let mine = Arc::ptr_eq(core.remote(), &self.remote);
            if mine {
                core.wake(TaskId::from_bits(self.task.load(Ordering::Relaxed)));
            }
            mine
        });
        if local != Some(true) && !self.posted.swap(true, Ordering::Release) {
            // Refused when the kernel is gone: then there is no task to wake.
            drop(self.remote.post(Message::Wake(self.clone())));
        }
    }
}

/// Speaks to a kernel from any thread: spawns tasks in it and asks for their cancellation.
///
/// Made by [`handle`](crate::handle). It does not keep the kernel running, but while it lives a
/// kernel with nothing to do waits for it instead of reporting a deadlock. When the last one goes,
/// the kernel looks again.
///
/// No method of it may be called in a signal handler, nor may it be dropped there, nor may a waker
/// of a task be used: each takes a lock and may allocate, and the thread that was interrupted may
/// hold that lock. A handler writes to a pipe or to an eventfd that a task or a thread reads.
pub struct Handle {
    remote: Arc<Remote>,
}

/// The kernel that this handle spoke to is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel is gone; nothing was started")]
pub struct KernelGone;

impl Handle {
    pub(crate) fn new(remote: Arc<Remote>) -> Self {
        remote.handles.fetch_add(1, Ordering::Relaxed);
        Handle { remote }
    }

    /// Spawns a task: `build` is sent to the kernel's thread and makes the future there, so the
    /// future itself need not be `Send`.
    ///
    /// Its failure is reported like that of any task that nobody joins. Ok means that the kernel
    /// has `build`; one that goes before it comes to it drops it, unused, on its own thread.
    ///
    /// Never waits: requests queue in memory, without a bound. The kernel serves some of them
    /// between two rounds of its tasks, so many of them delay one another and nothing else. A
    /// thread that makes them faster than they are served should wait for answers in between.
    ///
    /// # Errors
    ///
    /// [`KernelGone`]; `build` is dropped here, unused.
    pub fn spawn<B, F, R>(&self, build: B) -> Result<(), KernelGone>
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future<Output = R> + 'static,
        R: crate::bounds::SpawnOutput,
    {
        let spawn = move || drop(crate::spawn(build()));
        self.remote.post(Message::Spawn(Box::new(spawn))).map_err(|_| KernelGone)
    }

    /// Requests the cancellation of a task, and does not wait. On an ended task: nothing.
    ///
    /// # Errors
    ///
    /// [`KernelGone`].
    pub fn request_cancel(&self, task: TaskId) -> Result<(), KernelGone> {
        self.remote.post(Message::Cancel(task)).map_err(|_| KernelGone)
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Handle::new(self.remote.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Who sees this handle gone sees what it posted.
        if self.remote.handles.fetch_sub(1, Ordering::Release) == 1 {
            // The kernel may sleep for no other reason than this handle.
            self.remote.nudge();
        }
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}
