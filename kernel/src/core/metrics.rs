//! Numbers of a kernel.

use std::time::Duration;

use crate::core::current;
use crate::core::state::Core;

/// Numbers of a kernel at a moment.
///
/// Those that are `None` are counted only by a kernel with a
/// [`flight_recorder`](crate::Builder::flight_recorder): counting them costs a few instructions for
/// each poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Tasks that were spawned, since the kernel was made, and the main tasks.
    pub spawned: u64,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Tasks that are ready, and not yet taken for the current batch of polls.
    pub ready: usize,
    /// Armed timers.
    pub timers: usize,
    /// Registered sources: sockets and descriptors.
    pub registrations: usize,
    /// Unfinished jobs on other threads for which a task waits.
    pub jobs: usize,
    /// Polls of tasks.
    pub polls: Option<u64>,
    /// How often a task was made ready, by another one or by the kernel.
    pub wakes: Option<u64>,
    /// How often the kernel has polled its sources.
    pub turns: Option<u64>,
    /// The longest poll. On a virtual clock it takes no time.
    pub longest_poll: Option<Duration>,
}

impl Core {
    pub(crate) fn metrics(&self) -> Metrics {
        let counts = self.recorder.as_ref().map(|recorder| &recorder.counts);
        Metrics {
            spawned: self.tasks.borrow().spawned(),
            tasks: self.live(),
            ready: self.ready.borrow().tasks().len(),
            timers: self.timers.borrow().len(),
            registrations: self.with_reactor(|reactor| reactor.registered()).unwrap_or(0),
            jobs: self.jobs.out(),
            polls: counts.map(|counts| counts.polls.get()),
            wakes: counts.map(|counts| counts.wakes.get()),
            turns: counts.map(|counts| counts.turns.get()),
            longest_poll: counts.map(|counts| Duration::from_nanos(counts.longest_poll.get())),
        }
    }
}

/// The numbers of the kernel that runs on this thread.
///
/// # Panics
///
/// Outside a kernel.
#[track_caller]
pub fn metrics() -> Metrics {
    current::with("kernel::metrics", |core| core.metrics())
}
