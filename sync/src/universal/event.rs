//! A flag that tasks, futures of other executors and threads wait for.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use kernel::TaskCancelled;

use super::sync::Mutex;
use super::wait::{Request, TimedOut, Wakes, block, change, future};
use super::waiters::Waiters;
use crate::event::EventStatistics;

/// A flag that is set or not, for tasks of any kernel, futures of any executor, and threads.
///
/// It is an [`Event`](crate::Event) that is `Send` and `Sync`. `set` wakes all waiters, the oldest
/// first. They return even if the event is cleared before they run. A task and a future await
/// [`wait`](UniversalEvent::wait); a plain thread calls
/// [`wait_blocking`](UniversalEvent::wait_blocking), with a time limit.
///
/// In a task of Curium a wait is cancelled like any other. Elsewhere it is never cancelled. Do not
/// set it in a signal handler, because it takes a lock.
///
/// ```
/// use std::thread;
/// use curium::kernel::{self, TaskCancelled};
/// use curium::sync::UniversalEvent;
///
/// static READY: UniversalEvent = UniversalEvent::new();
///
/// let thread = thread::spawn(|| READY.set());
/// kernel::run(async || READY.wait().await)?;
/// # thread.join().unwrap();
/// # Ok::<(), TaskCancelled>(())
/// ```
pub struct UniversalEvent {
    state: Mutex<State>,
}

struct State {
    set: bool,
    waiters: Waiters<(), ()>,
}

impl UniversalEvent {
    /// An event that is not set.
    pub const fn new() -> Self {
        UniversalEvent { state: Mutex::new(State { set: false, waiters: Waiters::new() }) }
    }

    /// Sets the event and wakes all waiters. It never blocks.
    pub fn set(&self) {
        change(&self.state, |state, wakes| {
            state.set = true;
            while !state.waiters.is_empty() {
                wakes.add(state.waiters.hand(|()| ()));
            }
        });
    }

    /// Clears the event. The waiters that an earlier `set` has woken still return.
    pub fn clear(&self) {
        self.state.lock().set = false;
    }

    /// Whether the event is set.
    pub fn is_set(&self) -> bool {
        self.state.lock().set
    }

    /// The state of the event at one moment.
    pub fn statistics(&self) -> EventStatistics {
        let state = self.state.lock();
        EventStatistics { is_set: state.set, waiting: state.waiters.len() }
    }

    /// Waits until the event is set. Returns at once if it is set already.
    ///
    /// # Errors
    ///
    /// [`TaskCancelled`]. Outside a task of Curium there is no error.
    ///
    /// # Cancellation
    ///
    /// The event stays unchanged.
    #[track_caller]
    pub fn wait(&self) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        self.wait_as("EVENT_WAIT", Location::caller())
    }

    /// [`wait`](UniversalEvent::wait) that shows as `kind` at `site`.
    pub(super) fn wait_as(
        &self,
        kind: &'static str,
        site: &'static Location<'static>,
    ) -> impl Future<Output = Result<(), TaskCancelled>> + '_ {
        future((kind, site), &self.state, Wait, |_, ()| ())
    }

    /// [`wait`](UniversalEvent::wait) in a plain thread: blocks it, at most for the time limit.
    /// `Duration::MAX` is no limit; zero does not wait.
    ///
    /// # Errors
    ///
    /// [`TimedOut`].
    ///
    /// # Panics
    ///
    /// In a thread that runs a kernel, which this would block.
    #[track_caller]
    pub fn wait_blocking(&self, limit: Duration) -> Result<(), TimedOut> {
        self.block_as("wait_blocking", limit)
    }

    /// [`wait_blocking`](UniversalEvent::wait_blocking) for the call of this name.
    #[track_caller]
    pub(super) fn block_as(&self, call: &str, limit: Duration) -> Result<(), TimedOut> {
        block(call, &self.state, Wait, limit, |_, set| set.ok_or(TimedOut))
    }
}

impl Default for UniversalEvent {
    fn default() -> Self {
        UniversalEvent::new()
    }
}

impl fmt::Debug for UniversalEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventStatistics { is_set, waiting } = self.statistics();
        f.debug_struct("UniversalEvent").field("set", &is_set).field("waiters", &waiting).finish()
    }
}

/// A wait for an event.
struct Wait;

impl Request for Wait {
    type State = State;
    type With = ();
    type Handed = ();
    type Output = ();

    fn waiters(state: &mut State) -> &mut Waiters<(), ()> {
        &mut state.waiters
    }

    fn attempt(&mut self, state: &mut State, _: &mut Wakes) -> Option<()> {
        state.set.then_some(())
    }

    fn with(&mut self, _: &mut State) {}

    fn finish(&mut self, (): (), _: &mut State, _: &mut Wakes) {}

    /// `set` has already woken every waiter, so there is nothing to pass on.
    fn pass_on(&mut self, (): (), _: &mut State, _: &mut Wakes) -> Option<()> {
        None
    }

    fn back(&mut self, (): ()) {}
}
