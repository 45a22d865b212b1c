//! What the threads of the cores share.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use crate::core::report;
use crate::core::watcher::Link;
use crate::cores::ask::{ANSWER, Peer, polled};
use crate::cores::local;
use crate::cores::seen::Blocks;
use crate::cores::settings::Cores;
use crate::error::{CancelReason, TaskCancelled};
use crate::handle::Handle;
use crate::run::kernel::Kernel;
use crate::task::waker::{Message, Remote};
use crate::threads::remote_scope::{RemoteScope, request_cancel};

/// How long cores may take to end before those that block their threads are reported, unless there
/// is a grace.
const PATIENCE: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Shared {
    pub(super) settings: Cores,
    seats: Box<[Seat]>,
    state: Mutex<State>,
    changed: Condvar,
    /// What other crates keep for all cores, by type.
    common: Mutex<Vec<Arc<dyn Any + Send + Sync>>>,
}

/// What the others know of a core.
#[derive(Default)]
struct Seat {
    /// The mailbox of its kernel. Empty if the core could not start.
    handle: OnceLock<Handle>,
    /// Where its kernel says which task it polls, if that is watched.
    link: OnceLock<Link>,
    /// The scope of its main function.
    main: Arc<RemoteScope>,
    /// Its main function was cancelled, by a failure or a stop. It is cancelled once.
    cancelled: AtomicBool,
}

struct State {
    /// The cores that may still start.
    starting: usize,
    /// The cores whose main function has not ended.
    mains: usize,
    first_failed: Option<usize>,
    stopping: bool,
    /// The tasks that wait until every main function has ended.
    waiting: Vec<Waker>,
    /// The threads that have not ended.
    threads: Vec<usize>,
}

impl State {
    fn is_ending(&self) -> bool {
        let begun = self.starting == 0;
        begun && (self.stopping || self.first_failed.is_some() || self.mains == 0)
    }
}

impl Shared {
    pub(super) fn new(settings: Cores) -> Self {
        let count = settings.len();
        Shared {
            settings,
            seats: (0..count).map(|_| Seat::default()).collect(),
            state: Mutex::new(State {
                starting: count,
                mains: count,
                first_failed: None,
                stopping: false,
                waiting: Vec::new(),
                threads: (0..count).collect(),
            }),
            changed: Condvar::new(),
            common: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count(&self) -> usize {
        self.seats.len()
    }

    pub(super) fn main_scope(&self, core: usize) -> &Arc<RemoteScope> {
        &self.seats[core].main
    }

    /// The handle of a core, unless it could not start.
    pub(super) fn handle(&self, core: usize) -> Option<&Handle> {
        self.seats[core].handle.get()
    }

    pub(super) fn remote(&self, core: usize) -> Option<&Arc<Remote>> {
        self.handle(core).map(Handle::remote)
    }

    /// What a thread that asks a core needs of it.
    pub(super) fn peer(&self, core: usize) -> Peer {
        Peer { remote: self.remote(core).cloned(), link: self.seats[core].link.get().cloned() }
    }

    /// A core has its kernel, or could not start. The last one lets all of them go on.
    pub(super) fn started(&self, core: usize, kernel: Option<&Kernel>) {
        if let Some(kernel) = kernel {
            let _ = self.seats[core].handle.set(kernel.handle());
            if let Some(link) = kernel.link() {
                let _ = self.seats[core].link.set(link);
            }
        }
        self.lock().starting -= 1;
        self.changed.notify_all();
    }

    /// Blocks this thread until every core has started, or could not.
    pub(super) fn wait_for_start(&self) {
        let mut state = self.lock();
        while state.starting > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A core has failed: the first one cancels the main functions of the others.
    pub(super) fn failed(&self, core: usize) {
        self.lock().first_failed.get_or_insert(core);
        self.changed.notify_all();
        (0..self.count()).for_each(|other| self.tell_of_failure(other));
    }

    /// Cancels the main function of a core, once, if another one has failed. A core that has no
    /// kernel yet asks for this when all have started.
    pub(super) fn tell_of_failure(&self, core: usize) {
        let Some(failed) = self.first_failed().filter(|failed| *failed != core) else { return };
        let Some(remote) = self.remote(core) else { return };
        if self.is_first_to_cancel(core) {
            let reason = CancelReason::PeerFailed { core: failed };
            request_cancel(self.main_scope(core), remote, TaskCancelled::new(reason));
            drop(remote.post(Message::Spawn(Box::new(local::begin_grace))));
        }
    }

    /// Whether the main function of a core was not cancelled before. What cancels it asks this.
    pub(super) fn is_first_to_cancel(&self, core: usize) -> bool {
        !self.seats[core].cancelled.swap(true, Ordering::AcqRel)
    }

    pub(super) fn first_failed(&self) -> Option<usize> {
        self.lock().first_failed
    }

    /// Asks all cores to stop.
    pub(super) fn stop(&self) {
        if std::mem::replace(&mut self.lock().stopping, true) {
            return;
        }
        self.changed.notify_all();
        for core in 0..self.count() {
            if let Some(remote) = self.remote(core) {
                drop(remote.post(Message::Spawn(Box::new(local::begin_stop))));
            }
        }
    }

    /// The main function of a core has ended.
    pub(super) fn main_ended(&self) {
        let mut state = self.lock();
        state.mains -= 1;
        let all = state.mains == 0;
        let waiting = if all { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        self.changed.notify_all();
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready when every main function has ended.
    pub(super) fn poll_ended(&self, waker: &Waker) -> Poll<()> {
        let waker = waker.clone();
        let mut state = self.lock();
        if state.mains == 0 {
            drop(state);
            return Poll::Ready(());
        }
        state.waiting.push(waker);
        Poll::Pending
    }

    pub(super) fn thread_ended(&self, core: usize) {
        self.lock().threads.retain(|thread| *thread != core);
        self.changed.notify_all();
    }

    /// Blocks this thread until all others have ended. Reports those that block while they should
    /// end.
    pub(super) fn wait_for_threads(&self) {
        let mut state = self.lock();
        while !state.threads.is_empty() {
            if !state.is_ending() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let patience =
                self.settings.drain.saturating_add(self.settings.grace.unwrap_or(PATIENCE));
            let waited = self.changed.wait_timeout(state, patience);
            let (after, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            if waited.timed_out() {
                let threads = after.threads.clone();
                drop(after);
                threads.into_iter().for_each(|core| self.report_if_blocked(core));
                state = self.lock();
            } else {
                state = after;
            }
        }
    }

    /// Asks the kernel of a core for an answer, and reports the core if none comes.
    fn report_if_blocked(&self, core: usize) {
        let Some(remote) = self.remote(core) else { return };
        let answered = Arc::new((Mutex::new(false), Condvar::new()));
        // Also dropped without a call, when the kernel ends.
        let answer = Answer(answered.clone());
        if remote.post(Message::Look(Box::new(move || drop(answer)))).is_err() {
            return;
        }
        let no_answer = answered.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = answered.1.wait_timeout_while(no_answer, ANSWER, |answered| !*answered);
        let (answered, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !*answered {
            report::show_warning(&format_args!(
                "core {core} blocks its thread, and the cores wait for it to end: {}, and cannot \
                 be cancelled",
                Blocks(core, &polled(self.seats[core].link.get()))
            ));
        }
    }

    /// What another crate keeps for all cores, made at the first call.
    pub(super) fn common<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut common = self.common.lock().unwrap_or_else(PoisonError::into_inner);
        let known = common.iter().find_map(|known| known.clone().downcast().ok());
        known.unwrap_or_else(|| {
            let made = Arc::new(T::default());
            common.push(made.clone());
            made
        })
    }
}

/// Answers the question whether a kernel looks at its messages, when it is dropped.
struct Answer(Arc<(Mutex<bool>, Condvar)>);

impl Drop for Answer {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_one();
    }
}
