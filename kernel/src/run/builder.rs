//! What can be set of a kernel before it is made.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::core::report::Report;
use crate::core::state::Settings;
use crate::run::kernel::{Kernel, refuse_nesting};
use crate::task::bounds::Main;

/// Settings of a kernel, made by [`Kernel::builder`].
#[must_use = "a builder makes a kernel with `build` or `run`"]
#[derive(Default)]
pub struct Builder {
    settings: Settings,
}

impl Builder {
    /// Time is virtual: it stands still while anything can run and then jumps to the next deadline.
    ///
    /// I/O and threads stay real. The clock does not jump while a job is out on another thread,
    /// nor, while tasks are parked on sockets, before the reactor was silent for 10 ms.
    pub fn virtual_clock(mut self) -> Self {
        self.settings.virtual_clock = true;
        self
    }

    /// Ready tasks run in an order that depends on this number alone, instead of first come, first
    /// served.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// How long the shutdown waits before it aborts, and reports, what has not ended. Without one
    /// it waits for ever.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.settings.shutdown_grace = Some(grace);
        self
    }

    /// Reports every poll of a task that takes longer than this: the task that blocks its thread.
    /// Off without it, as it reads the clock twice a poll.
    pub fn report_long_polls(mut self, limit: Duration) -> Self {
        self.settings.long_poll = Some(limit);
        self
    }

    /// Reports all tasks when nothing has run for this long, although no timer is armed, no task
    /// waits for a source or a job, and no [`Handle`](crate::Handle) is alive: then only a waker
    /// that something still holds can end the wait.
    ///
    /// Such a hang is no certain deadlock, which would be a panic. A program in which another
    /// thread holds a waker looks the same as one in which the parked tasks hold their own, in a
    /// `FuturesUnordered`, a `join_all` of many or a `Shared`. So this is off unless it is set; a
    /// virtual clock gives up after five seconds without it.
    pub fn report_hangs(mut self, after: Duration) -> Self {
        self.settings.hang = Some(after);
        self
    }

    /// For how long a kernel with nothing to do goes on looking for events before it sleeps. Zero
    /// without it: it sleeps at once.
    ///
    /// For a server that must answer soon and has a processor to itself. To be woken takes longer
    /// than many a request; on a virtual machine, several times as long
    /// (`curium-bench-tcp --only echo_latency` shows both kernels). Set it to a little more than
    /// the usual time between two requests. What comes later finds the kernel asleep as before, and
    /// the time was spent: an idle kernel that a timer wakes each millisecond spends it each time.
    pub fn spin_before_sleep(mut self, spin: Duration) -> Self {
        self.settings.spin = spin;
        self
    }

    /// Where reports go, instead of `tracing` or standard error.
    pub fn on_report(mut self, sink: impl Fn(&Report<'_>) + 'static) -> Self {
        self.settings.sink = Some(Box::new(sink));
        self
    }

    /// Makes the kernel.
    ///
    /// # Errors
    ///
    /// As [`Kernel::new`].
    pub fn build(self) -> io::Result<Kernel> {
        Kernel::with(self.settings)
    }

    /// Makes the kernel, runs `main` in it and shuts it down, as [`run`](crate::run) does.
    ///
    /// # Panics
    ///
    /// As [`run`](crate::run).
    #[track_caller]
    pub fn run<T>(self, main: impl Main<T>) -> T {
        refuse_nesting("Builder::run");
        match self.build() {
            Ok(kernel) => kernel.run_to_the_end(main),
            Err(error) => panic!("the kernel could not be made: {error}"),
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}
