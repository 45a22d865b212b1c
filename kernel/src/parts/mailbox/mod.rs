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

use self::sync::{AtomicU8, AtomicUsize, Mutex, MutexGuard, Waker};

#[cfg(all(test, loom))]
mod models;
pub(crate) mod sync;

const AWAKE: u8 = 0;
const ASLEEP: u8 = 1;
const POSTED: u8 = 2;

/// A kernel's mailbox.
pub(crate) struct Remote<M> {
    state: AtomicU8,
    inbox: Mutex<Inbox<M>>,
    handles: AtomicUsize,
}

struct Inbox<M> {
    post: Post<M>,
    /// None once the kernel is gone: posts are refused. Its eventfd goes with it; the descriptor of
    /// its poll stays while a source that was registered there lives on elsewhere.
    poll_waker: Option<PollWaker>,
}

/// What is posted: of the part that it says.
pub(crate) trait Mail {
    fn part(&self) -> Part;
}

/// Messages in order of arrival, in two parts.
pub(crate) struct Post<M> {
    events: VecDeque<M>,
    requests: VecDeque<M>,
}

impl<M> Default for Post<M> {
    fn default() -> Self {
        Post { events: VecDeque::new(), requests: VecDeque::new() }
    }
}

/// What a message comes from.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// Wakers, jobs and registrations.
    Events,
    /// Handles.
    Requests,
}

impl<M: Mail> Post<M> {
    fn push(&mut self, message: M) {
        self.part(message.part()).push_back(message);
    }

    pub(crate) fn part(&mut self, part: Part) -> &mut VecDeque<M> {
        match part {
            Part::Events => &mut self.events,
            Part::Requests => &mut self.requests,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.requests.is_empty()
    }

    /// All of it, the events first.
    pub(crate) fn into_messages(self) -> impl Iterator<Item = M> {
        self.events.into_iter().chain(self.requests)
    }

    /// Moves each part of `other` over whose own place is empty, without copying it.
    fn refill(&mut self, other: &mut Self) {
        if self.events.is_empty() {
            std::mem::swap(&mut self.events, &mut other.events);
        }
        if self.requests.is_empty() {
            std::mem::swap(&mut self.requests, &mut other.requests);
        }
    }
}

/// What a post needs of the reactor.
pub(crate) struct PollWaker {
    pub(crate) waker: Waker,
    pub(crate) registry: Arc<mio::Registry>,
}

impl<M: Mail> Remote<M> {
    pub(crate) fn new(poll_waker: PollWaker) -> Self {
        Remote {
            state: AtomicU8::new(AWAKE),
            inbox: Mutex::new(Inbox { post: Post::default(), poll_waker: Some(poll_waker) }),
            handles: AtomicUsize::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox<M>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message in and wakes the kernel if it sleeps; gives it back when the kernel is gone.
    ///
    /// The message that comes back is dropped by the caller, outside the lock.
    pub(crate) fn post(&self, message: M) -> Result<(), M> {
        let mut inbox = self.lock();
        if inbox.poll_waker.is_none() {
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
    fn announce_post(&self, inbox: &Inbox<M>) {
        let Some(poll_waker) = &inbox.poll_waker else { return };
        if self.state.swap(POSTED, Ordering::Release) == ASLEEP {
            // A full eventfd counter wakes as well: only an interruption could lose the wake.
            while poll_waker.waker.wake().is_err_and(|e| e.kind() == io::ErrorKind::Interrupted) {}
        }
    }

    /// Whether the kernel should look into the mailbox. One relaxed load for the hot path.
    pub(crate) fn has_post(&self) -> bool {
        self.state.load(Ordering::Relaxed) == POSTED
    }

    /// Takes what was posted, as far as `post` has room: each part of it that is empty is filled.
    /// What is left stays announced. Called by the kernel alone.
    pub(crate) fn take(&self, post: &mut Post<M>) {
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
    pub(crate) fn close(&self) -> Post<M> {
        let (post, poll_waker) = {
            let mut inbox = self.lock();
            (std::mem::take(&mut inbox.post), inbox.poll_waker.take())
        };
        drop(poll_waker);
        post
    }

    /// What a registration keeps, to take its source out of the poll from any thread; none when the
    /// kernel is gone.
    pub(crate) fn registry(&self) -> Option<Arc<mio::Registry>> {
        self.lock().poll_waker.as_ref().map(|poll_waker| poll_waker.registry.clone())
    }

    pub(crate) fn handles(&self) -> usize {
        self.handles.load(Ordering::Acquire)
    }

    pub(crate) fn add_handle(&self) {
        self.handles.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn drop_handle(&self) {
        // Who sees this handle gone sees what it posted.
        if self.handles.fetch_sub(1, Ordering::Release) == 1 {
            // The kernel may sleep for no other reason than this handle.
            self.nudge();
        }
    }
}
