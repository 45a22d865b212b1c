//! The mailbox of a kernel: the only code of the kernel that other threads run, through wakers and
//! handles.
//!
//! A waker holds the id of its task and the mailbox, never the task. So a `!Send` future is polled
//! and dropped only on the thread of its kernel, even if its wakers are used on other threads. A
//! waker that outlives its task or its kernel does nothing.
//!
//! # The protocol
//!
//! Invariant *announce sleep, look once more, then sleep*. `state` has one of three values:
//!
//! | state | meaning | left by |
//! |---|---|---|
//! | `AWAKE` | runs, and checks before it sleeps | kernel: `announce_sleep`; any thread: `post` |
//! | `ASLEEP` | sleeps or is about to | any thread: `post`, which wakes it; kernel: `awake` |
//! | `POSTED` | messages were added; a sleeping kernel has been woken | kernel: `take` |
//!
//! A poster adds its message under the lock of the inbox, releases the lock, and then swaps in
//! `POSTED`. Only the poster that swaps out `ASLEEP` makes the system call, so there is at most one
//! eventfd write for each sleep. The kernel announces its sleep and checks for messages in one
//! step: it exchanges `AWAKE` for `ASLEEP`. If that fails, there are messages. If it succeeds, a
//! later poster finds `ASLEEP` and wakes the poll.
//!
//! The kernel takes messages and swaps in `AWAKE` under the lock. A poster whose message is not
//! taken adds it after that, so its `POSTED` comes later and stays. A poster whose message is taken
//! before it has swapped in `POSTED` makes the kernel look once more in vain.
//!
//! No poster holds the lock of the inbox when the kernel learns of its message. So a kernel that is
//! woken on another processor does not wait for the system call that woke it. The eventfd has a
//! lock of its own: posters share it while they write, and the kernel takes it alone to close the
//! eventfd. So no poster still uses the descriptor of a kernel that has closed its mailbox.
//!
//! The waker of a task posts at most one message until the kernel takes it, and a job or a
//! registration posts once. So the number of events is bounded by what the kernel holds. Requests
//! of handles are bounded only by memory, because a poster never waits. The kernel handles a
//! limited number of each part at a time, so that neither part delays the other or the rest of the
//! kernel. Dropping the last handle announces messages without adding one, because the kernel may
//! be sleeping until no handle exists.
//!
//! No function of this file may run in a signal handler: posting takes a lock and allocates.
//!
//! Loom checks this file with the models in `models.rs`. Loom treats `SeqCst` as weaker than it is,
//! but this file does not use `SeqCst`.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::parts::KEEP;

use self::sync::{AtomicU8, AtomicUsize, Mutex, MutexGuard, RwLock, Waker};

#[cfg(all(test, loom))]
pub(crate) mod models;
pub(crate) mod sync;

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const POSTED: u8 = 2;

/// A kernel's mailbox.
pub(crate) struct Remote<M> {
    state: AtomicU8,
    inbox: Mutex<Inbox<M>>,
    /// None once the kernel is closed. The eventfd is closed with it. The descriptor of the poll
    /// stays open while a source that was registered there exists.
    poll_waker: RwLock<Option<PollWaker>>,
    handles: AtomicUsize,
}

struct Inbox<M> {
    post: Post<M>,
    /// False once the kernel is closed: messages are refused.
    open: bool,
}

/// A message that can be posted.
pub(crate) trait Mail {
    /// The part of the mailbox that the message is added to.
    fn part(&self) -> Part;
}

/// Messages in order of arrival, in three parts.
pub(crate) struct Post<M> {
    events: VecDeque<M>,
    requests: VecDeque<M>,
    looks: VecDeque<M>,
}

impl<M> Default for Post<M> {
    fn default() -> Self {
        Post { events: VecDeque::new(), requests: VecDeque::new(), looks: VecDeque::new() }
    }
}

/// The origin of a message.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// Wakers, jobs and registrations.
    Events,
    /// Handles.
    Requests,
    /// What watches the kernel from another thread.
    Looks,
}

impl<M: Mail> Post<M> {
    fn push(&mut self, message: M) {
        self.part(message.part()).push_back(message);
    }

    pub(crate) fn part(&mut self, part: Part) -> &mut VecDeque<M> {
        match part {
            Part::Events => &mut self.events,
            Part::Requests => &mut self.requests,
            Part::Looks => &mut self.looks,
        }
    }

    /// Releases the memory that a burst took.
    pub(crate) fn shrink(&mut self) {
        for part in [&mut self.events, &mut self.requests, &mut self.looks] {
            if part.is_empty() && part.capacity() > KEEP {
                *part = VecDeque::new();
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.has_looks_at_most() && self.looks.is_empty()
    }

    /// Whether it contains nothing but looks.
    pub(crate) fn has_looks_at_most(&self) -> bool {
        self.events.is_empty() && self.requests.is_empty()
    }

    /// All messages, the events first.
    pub(crate) fn into_messages(self) -> impl Iterator<Item = M> {
        self.events.into_iter().chain(self.requests).chain(self.looks)
    }

    /// Swaps each part that is empty here with the same part of `other`. Copies no messages.
    fn refill(&mut self, other: &mut Self) {
        if self.events.is_empty() {
            std::mem::swap(&mut self.events, &mut other.events);
        }
        if self.requests.is_empty() {
            std::mem::swap(&mut self.requests, &mut other.requests);
        }
        if self.looks.is_empty() {
            std::mem::swap(&mut self.looks, &mut other.looks);
        }
    }
}

/// What a poster needs from the reactor.
pub(crate) struct PollWaker {
    pub(crate) waker: Waker,
    pub(crate) registry: Arc<mio::Registry>,
}

impl<M: Mail> Remote<M> {
    pub(crate) fn new(poll_waker: PollWaker) -> Self {
        Remote {
            state: AtomicU8::new(AWAKE),
            inbox: Mutex::new(Inbox { post: Post::default(), open: true }),
            poll_waker: RwLock::new(Some(poll_waker)),
            handles: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox<M>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message, and wakes the kernel if it sleeps. Returns the message if the kernel is
    /// closed.
    ///
    /// The caller drops a returned message outside the lock.
    pub(crate) fn post(&self, message: M) -> Result<(), M> {
        let mut inbox = self.lock();
        if !inbox.open {
            return Err(message);
        }
        inbox.post.push(message);
        drop(inbox);
        self.announce_post();
        Ok(())
    }

    /// Sets `POSTED`, and wakes the kernel if it sleeps. Without a message it makes the kernel
    /// check again whether it has a reason to wait.
    fn announce_post(&self) {
        if self.state.swap(POSTED, Ordering::Release) == ASLEEP {
            self.wake_poll();
        }
    }

    /// Makes the poll return at once, and its descriptor readable until then.
    #[inline(never)]
    pub(crate) fn wake_poll(&self) {
        let poll_waker = self.poll_waker.read().unwrap_or_else(PoisonError::into_inner);
        let Some(poll_waker) = &*poll_waker else { return };
        // An eventfd whose counter is full wakes as well, so only an interruption could lose the
        // wake.
        while poll_waker.waker.wake().is_err_and(|e| e.kind() == io::ErrorKind::Interrupted) {}
    }

    /// Whether the kernel should take messages. One relaxed load, because the run loop calls it
    /// often.
    pub(crate) fn has_post(&self) -> bool {
        self.state.load(Ordering::Relaxed) == POSTED
    }

    /// Moves messages into the parts of `post` that are empty. While messages stay in the mailbox,
    /// the state stays `POSTED`. Only the kernel calls this.
    pub(crate) fn take(&self, post: &mut Post<M>) {
        let mut inbox = self.lock();
        post.refill(&mut inbox.post);
        if inbox.post.is_empty() {
            self.state.swap(AWAKE, Ordering::Acquire);
        }
    }

    /// Announces that the kernel is about to sleep. Returns false if there are messages: then the
    /// kernel must not sleep.
    pub(crate) fn announce_sleep(&self) -> bool {
        // The state is still `ASLEEP` if the last sleep ended in a panic. Then the kernel may sleep
        // without a new announcement.
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::Relaxed, Ordering::Relaxed)
            != Err(POSTED)
    }

    /// Announces that the kernel is awake. If messages came during the sleep, the state stays
    /// `POSTED`.
    pub(crate) fn awake(&self) {
        let up = self.state.compare_exchange(ASLEEP, AWAKE, Ordering::Relaxed, Ordering::Relaxed);
        debug_assert!(matches!(up, Ok(_) | Err(POSTED)), "two threads run one kernel");
    }

    /// Refuses all further messages, and returns those that were not taken.
    pub(crate) fn close(&self) -> Post<M> {
        let post = {
            let mut inbox = self.lock();
            inbox.open = false;
            std::mem::take(&mut inbox.post)
        };
        // Waits for the poster that writes the eventfd.
        self.poll_waker.write().unwrap_or_else(PoisonError::into_inner).take();
        post
    }

    /// The registry that a registration keeps, so that its source can be removed from the poll on
    /// any thread. None once the kernel is closed.
    pub(crate) fn registry(&self) -> Option<Arc<mio::Registry>> {
        let poll_waker = self.poll_waker.read().unwrap_or_else(PoisonError::into_inner);
        poll_waker.as_ref().map(|poll_waker| poll_waker.registry.clone())
    }

    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Acquire)
    }

    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn drop_handle(&self) {
        // `Release`, so that a kernel that reads the smaller count also sees the messages that were
        // posted through this handle.
        if self.handles.fetch_sub(1, Ordering::Release) == 1 {
            // The kernel may be sleeping only because this handle existed.
            self.announce_post();
        }
    }
}
