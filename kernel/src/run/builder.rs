//! The settings of a kernel, chosen before it is made.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use crate::core::extension::Extension;
use crate::core::observer::Observer;
use crate::core::probe::Probe;
use crate::core::report::Report;
use crate::core::spans::TaskSpans;
use crate::core::state::Settings;
use crate::core::watcher::Watcher;
use crate::recorder::{FlightRecord, RecordFile};
use crate::run::kernel::{Kernel, refuse_nesting};
use crate::task::bounds::Main;

/// Settings of a kernel, made by [`Kernel::builder`].
#[must_use = "a builder makes a kernel with `build` or `run`"]
#[derive(Default)]
pub struct Builder {
    settings: Settings,
}

impl Builder {
    /// Makes the clock virtual: it stands still while any task can run, and then jumps to the next
    /// deadline.
    ///
    /// I/O and threads stay real. The clock does not jump while a task waits for a job on another
    /// thread. While tasks are parked on sockets, it jumps only after the reactor has reported no
    /// event for 10 ms.
    pub fn virtual_clock(mut self) -> Self {
        self.settings.virtual_clock = true;
        self
    }

    /// Runs ready tasks in an order that depends only on this number, and not in the order in which
    /// they became ready.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.seed = Some(seed);
        self
    }

    /// Sets how long a run on the virtual clock may take in real time. When it is over, the run
    /// panics, and the message shows the tree of the tasks. Two minutes by default in
    /// [`testing::run`] and its kind, no limit elsewhere. The shutdown has as long again.
    ///
    /// A task that blocks its thread is not interrupted: the run panics when the poll returns.
    ///
    /// [`testing::run`]: crate::testing::run
    pub fn test_limit(mut self, limit: Duration) -> Self {
        self.settings.test_limit = Some(limit);
        self
    }

    pub(crate) fn or_test_limit(mut self, limit: Duration) -> Self {
        self.settings.test_limit.get_or_insert(limit);
        self
    }

    /// Sets how long the shutdown waits before it aborts and reports the tasks that have not ended.
    /// Without this it waits for ever.
    pub fn shutdown_grace(mut self, grace: Duration) -> Self {
        self.settings.shutdown_grace = Some(grace);
        self
    }

    /// Makes it the kernel of a core, whose grace ends its shutdown too.
    #[cfg(feature = "cores")]
    pub(crate) fn of_core(mut self, core: usize, grace: Option<Duration>) -> Self {
        self.settings.core = Some(core);
        self.settings.shutdown_grace = self.settings.shutdown_grace.or(grace);
        self
    }

    /// Reports every poll of a task that takes longer than this, because such a poll blocks all
    /// other tasks of the kernel. Off by default, because it reads the clock twice for each poll.
    pub fn report_long_polls(mut self, limit: Duration) -> Self {
        self.settings.long_poll = Some(limit);
        self
    }

    /// Reports a hang: lists all tasks if no task has run for this long, no timer is armed, no task
    /// waits for a source or a job, and no [`Handle`](crate::Handle) exists. Then only a clone of a
    /// task's waker can end the wait.
    ///
    /// A hang may be a deadlock, but that is not certain; a certain deadlock is a panic. The kernel
    /// cannot distinguish a waker that another thread holds from one that the parked task itself
    /// holds, in a `FuturesUnordered`, a `join_all` of many or a `Shared`. So this is off by
    /// default. On a virtual clock, a hang of five seconds is a panic, even without this setting.
    pub fn report_hangs(mut self, after: Duration) -> Self {
        self.settings.hang = Some(after);
        self
    }

    /// Looks for tasks that can never go on, and reports each finding once
    /// ([`Report::Verdict`]): tasks that wait for each other in a circle, a task that no waker can
    /// reach, and the tasks for which the shutdown waits. A verdict is certain, and comes within a
    /// second. A kernel in which no task can run is reported as by
    /// [`report_hangs`](Self::report_hangs), after a second if no other time is set.
    ///
    /// ```
    /// use std::{cell::RefCell, rc::Rc};
    /// use curium::kernel::{Kernel, TaskCancelled, spawn, Task, yield_now};
    ///
    /// let told = Rc::new(RefCell::new(String::new()));
    /// let sink = told.clone();
    /// let builder = Kernel::builder().virtual_clock().watch();
    /// builder
    ///     .on_report(move |report| *sink.borrow_mut() += &report.to_string())
    ///     .run(async || {
    ///         let other: Rc<RefCell<Option<Task<(), TaskCancelled>>>> = Rc::default();
    ///         let theirs = other.clone();
    ///         let one = spawn(async move {
    ///             let other = theirs.take().expect("it was spawned");
    ///             other.await
    ///         });
    ///         let id = one.id();
    ///         *other.borrow_mut() = Some(spawn(async move { one.await }));
    ///         curium::kernel::sleep(std::time::Duration::from_secs(2)).await?;
    ///         curium::kernel::handle().request_cancel(id);
    ///         Ok::<_, TaskCancelled>(())
    ///     })?;
    /// assert!(told.borrow().starts_with("deadlock: "), "{}", told.borrow());
    /// # Ok::<(), TaskCancelled>(())
    /// ```
    ///
    /// It looks at the tasks twice a second as long as some of them run, a thousand of them at a
    /// time. Off by default.
    pub fn watch(mut self) -> Self {
        self.settings.watch = true;
        self.settings.hang.get_or_insert(Duration::from_secs(1));
        self
    }

    /// Whether to report a task that drops the error of its cancellation and then is parked for
    /// over a second, or again and again for over ten ([`Report::Swallowed`]). On by default. Turn
    /// it off for a program whose tasks live on after a cancellation on purpose.
    pub fn report_swallowed(mut self, report: bool) -> Self {
        self.settings.ignore_swallowed = !report;
        self
    }

    /// Sets how long an idle kernel polls for events before it sleeps. Zero by default: it sleeps
    /// at once. Between two polls it lets other threads run that want its processor.
    ///
    /// This is for a server that needs low latency and has a processor of its own. Waking a
    /// sleeping thread often takes longer than serving a request; on a virtual machine, several
    /// times as long (`curium-bench-tcp --only echo_latency` measures it). Set the time to a little
    /// more than the usual time between two requests. If the next request comes later, the kernel
    /// is asleep by then, and the processor time was wasted. If a timer wakes an idle kernel each
    /// millisecond, the kernel spends this processor time after each wake-up.
    ///
    /// A few microseconds help a server whose clients cannot send faster, because the one who sends
    /// pays for the wake-up (`bench/redis`). One microsecond helps if the clients share the
    /// processor: they run first, and their requests are there before the kernel sleeps
    /// (`ecosystem/bench/run`, `hello` on two cores).
    pub fn spin_before_sleep(mut self, spin: Duration) -> Self {
        self.settings.spin = spin;
        self
    }

    /// Sets a function that receives the reports, instead of `tracing` or standard error.
    pub fn on_report(mut self, sink: impl Fn(&Report<'_>) + 'static) -> Self {
        self.settings.sink = Some(Box::new(sink));
        self
    }

    /// Adds an extension, which [`extension`](crate::extension) finds in the running kernel.
    pub fn with(mut self, extension: impl Extension) -> Self {
        self.settings.extensions.add(extension);
        self
    }

    /// Adds an observer, which sees what the tasks do. Several see it in the order in which they
    /// were added.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.settings.observers.push(Box::new(observer));
        self
    }

    /// Has the kernel watched from another thread. For the monitor.
    #[doc(hidden)]
    pub fn watcher(mut self, watcher: impl Watcher) -> Self {
        self.settings.watcher = Some(Box::new(watcher));
        self
    }

    /// Makes a span of `tracing` for each task, if a subscriber wants it (target `curium`, level
    /// `TRACE`), and enters it around each poll.
    ///
    /// The span has the name and the fields that tokio-console reads: `runtime.spawn`, with `kind`,
    /// `task.name` and `task.id`. A parent is the span in which the task was spawned. The spans are
    /// made by an [`observer`](Self::observer), with what that costs.
    #[inline]
    pub fn trace_tasks(self) -> Self {
        self.observer(TaskSpans::default())
    }

    /// Records what the tasks do in a ring of that many bytes, of which the last events are kept:
    /// 24 bytes for each spawn, begin and end of a poll, wake, cancellation, scope and end. Off by
    /// default. With it, a poll takes some 230 instructions more and reads the clock once (`count
    /// curium_recorded yield` of the benchmarks).
    ///
    /// [`flight_record`](crate::flight_record) gives the record. The names of tasks whose end is in
    /// the ring are kept beside it.
    pub fn flight_recorder(mut self, bytes: usize) -> Self {
        self.settings.flight_recorder = Some(bytes);
        self
    }

    /// Writes the record of the [`flight_recorder`](Self::flight_recorder) to this file, in the
    /// form of Perfetto, after a deadlock, a verdict ([`watch`](Self::watch)), a panic of the main
    /// task, and a long poll ([`report_long_polls`](Self::report_long_polls); at most every ten
    /// seconds). A later record replaces an earlier one. Each is reported
    /// ([`Report::FlightRecord`]).
    ///
    /// The kernel's thread writes the file, so the tasks wait meanwhile.
    pub fn flight_record_to(mut self, path: impl Into<PathBuf>) -> Self {
        let write = FlightRecord::write_file;
        self.settings.flight_record_to = Some(RecordFile { path: path.into(), write });
        self
    }

    /// Lets the test kit see and do something between polls.
    pub(crate) fn probe(mut self, probe: Rc<dyn Probe>) -> Self {
        self.settings.probe = Some(probe);
        self
    }

    /// Takes ready tasks one by one, so that the probe can choose each of them.
    pub(crate) fn one_by_one(mut self) -> Self {
        self.settings.one_by_one = true;
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
        Kernel::or_panic(self.build()).run_to_the_end(main)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}
