//! The kernel: making, running and shutting it down.
//!
//! One kernel runs on a thread at a time. The main future is on the stack of `run`, so that it may
//! borrow; all other tasks are in the table. The run loop is in `run/tick.rs`, the work between
//! batches in `run/idle.rs`. Source: curio's `Kernel.run`, whose rules C24 to C27 this keeps.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use crate::core::current::{self, Entered};
use crate::core::observer::Moment;
use crate::core::state::TaskRef;
use crate::core::state::{Core, Settings, Stage};
use crate::core::watcher::Link;
use crate::recorder::FlightRecord;
use crate::run::builder::Builder;
use crate::run::guest::Guest;
use crate::run::stages::{MainTask, Shutdown};
use crate::run::tick::{MainBody, RunLoop, Step, Turn};
use crate::run::visit::Visit;
use crate::run::watch;
use crate::task::body::Verdict;
use crate::task::bounds::Main;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

/// Runs `main` in a new kernel, shuts the kernel down, and returns the value of `main`.
///
/// `main` may borrow from the code around the call. When it has ended, every remaining task is
/// cancelled and awaited. Then `run` returns the value of `main`, which may be an error.
///
/// ```
/// use std::time::Duration;
/// use curium::kernel;
///
/// let mut greeting = String::from("Hello");
/// kernel::run(async || {
///     kernel::sleep(Duration::from_millis(1)).await?;
///     greeting.push_str(", world");
///     Ok::<(), kernel::TaskCancelled>(())
/// })?;
/// assert_eq!(greeting, "Hello, world");
/// # Ok::<(), kernel::TaskCancelled>(())
/// ```
///
/// # Panics
///
/// If the kernel cannot be made (the message contains the system's error; [`Kernel::new`] returns
/// it instead), inside another kernel, and if all tasks are parked and nothing can wake any of them
/// (a deadlock). A panic of `main` is resumed after the shutdown.
#[doc(alias = "block_on")]
#[track_caller]
pub fn run<T>(main: impl Main<T>) -> T {
    refuse_nesting("kernel::run");
    Kernel::or_panic(Kernel::new()).run_to_the_end(main)
}

#[track_caller]
pub(crate) fn refuse_nesting(what: &str) {
    if current::try_with(|_| ()).is_some() {
        panic!(
            "{what} was called inside a running kernel of this thread; await the future here, or \
             `spawn` it"
        );
    }
}

/// A kernel that can be run several times and shut down explicitly.
///
/// Dropping it aborts the remaining tasks, youngest first, without awaiting any cleanup. Then its
/// timers, registrations and descriptors are released.
#[doc(alias("Runtime", "LocalSet"))]
pub struct Kernel {
    core: Rc<Core>,
}

impl Kernel {
    pub(crate) fn with(settings: Settings) -> io::Result<Self> {
        let core = Core::new(settings)?;
        core.settings.extensions.begin(core.settings.seed, core.now());
        if let (Some(watcher), Some(link)) = (&core.settings.watcher, Link::to(&core)) {
            watcher.begin(link);
        }
        Ok(Kernel { core })
    }

    /// A kernel on the real clock.
    ///
    /// # Errors
    ///
    /// The system's error if it cannot provide a poll or a descriptor.
    pub fn new() -> io::Result<Self> {
        Kernel::builder().build()
    }

    /// A kernel with settings.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The way to it for who watches it, if something does.
    #[cfg(feature = "cores")]
    pub(crate) fn link(&self) -> Option<Link> {
        Link::to(&self.core)
    }

    /// Runs `main` until it ends. Tasks that have not ended then are not polled until the next run.
    ///
    /// # Panics
    ///
    /// Inside another kernel, and if all tasks are parked and nothing can wake any of them (a
    /// deadlock). A panic of `main` is resumed.
    #[track_caller]
    pub fn run<T>(&self, main: impl Main<T>) -> T {
        refuse_nesting("Kernel::run");
        self.run_on_stack(main, false)
    }

    /// Cancels every task at once, the youngest first, and runs until all have ended.
    ///
    /// If a grace period was set in the builder, tasks that are left after it are aborted and
    /// reported. Without one, the tasks that delay the shutdown are reported every five seconds,
    /// except on a virtual clock. An example is a task that has swallowed an earlier cancellation,
    /// because it is not cancelled again.
    #[track_caller]
    pub fn shutdown(self) {
        refuse_nesting("Kernel::shutdown");
        self.finish();
    }

    /// `run` and then `shutdown`, which also happens if `main` panics.
    #[track_caller]
    pub(crate) fn run_to_the_end<T>(&self, main: impl Main<T>) -> T {
        self.run_on_stack(main, true)
    }

    #[track_caller]
    pub(crate) fn or_panic(made: io::Result<Kernel>) -> Kernel {
        match made {
            Ok(kernel) => kernel,
            Err(error) => panic!("the kernel could not be made: {error}"),
        }
    }

    /// Has another loop turn this kernel: that of a graphical interface, of another runtime, of a
    /// `poll` on descriptors. `main` is run as by [`run`](crate::run), a [turn](Guest::turn) at a
    /// time.
    ///
    /// # Errors
    ///
    /// The system's error if it cannot provide a descriptor.
    ///
    /// # Panics
    ///
    /// If the clock is virtual: it jumps when the kernel would sleep, and a guest does not sleep.
    pub fn guest<'a, T: 'a>(self, main: impl Main<T> + 'a) -> io::Result<Guest<'a, T>> {
        Guest::new(self, main)
    }

    /// What the kernel still holds. All counts are zero after a clean shutdown.
    pub fn leftovers(&self) -> Leftovers {
        Leftovers::of(&self.core)
    }

    /// What the flight recorder has recorded, as [`flight_record`](crate::flight_record) gives it
    /// inside the kernel.
    pub fn flight_record(&self) -> Option<FlightRecord> {
        self.core.flight_record()
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// Keeps the future of `main` on this stack frame. The rest is in [`run_main`](Self::run_main),
    /// so that it is not compiled again for each `main`.
    #[track_caller]
    fn run_on_stack<T>(&self, main: impl Main<T>, shut_down: bool) -> T {
        let (mut main, mut value) = (Some(main), None);
        let mut future = pin!(None);
        self.run_main(shut_down, &mut |step| {
            match step {
                Step::Call => future.set(main.take().map(|main| main())),
                Step::Poll(cx) => {
                    let polled = future.as_mut().as_pin_mut().map(|future| future.poll(cx));
                    if let Some(Poll::Ready(ended)) = polled {
                        value = Some(ended);
                        return Poll::Ready(Verdict::Ok);
                    }
                }
                Step::Drop => future.set(None),
            }
            Poll::Pending
        });
        value.expect("main is left when it has ended")
    }

    /// Runs main as a task, and shuts the kernel down if that is wanted. Resumes a panic of main.
    #[track_caller]
    fn run_main(&self, shut_down: bool, main: &mut MainBody<'_>) {
        let entered = Entered::new(&self.core);
        let ended = self.drive(main);
        drop(entered);
        if shut_down {
            self.finish();
        }
        if let Err(payload) = ended {
            resume_unwind(payload);
        }
    }

    #[track_caller]
    fn drive(&self, main: &mut MainBody<'_>) -> Result<(), Box<dyn Any + Send>> {
        let task = MainTask::begin(&self.core, main);
        let turned = self.turn_until(None, main);
        match turned {
            Ok(Turn::Deadlocked) => watch::deadlock(&self.core),
            Ok(Turn::OutOfTime) => watch::out_of_time(&self.core),
            _ => {}
        }
        let ended = turned.map(drop);
        task.end(main, if ended.is_ok() { TaskEnd::Ok } else { TaskEnd::Panicked });
        ended
    }

    /// Runs the loop, with one `catch_unwind` around many polls. An error is the panic of `main`.
    ///
    /// The loop is a variable of this function, not a parameter: behind a reference each poll takes
    /// six instructions more.
    #[inline(never)]
    pub(super) fn turn_until(
        &self,
        visit: Option<&mut Visit>,
        main: &mut MainBody<'_>,
    ) -> Result<Turn, Box<dyn Any + Send>> {
        let mut run_loop = RunLoop::new(&self.core, visit);
        loop {
            match catch_unwind(AssertUnwindSafe(|| run_loop.run(main))) {
                Ok(turn) => return Ok(turn),
                Err(payload) => match current::stop_running() {
                    Some(cell) => self.panicked(&cell, payload)?,
                    // No task was running: a fault of the kernel, or a deadlock.
                    None => resume_unwind(payload),
                },
            }
        }
    }

    /// Ends a task whose poll has panicked. The panic of main is returned.
    fn panicked(
        &self,
        cell: &TaskRef,
        payload: Box<dyn Any + Send>,
    ) -> Result<(), Box<dyn Any + Send>> {
        self.core.record_return();
        self.core.observe_if_marked(cell, Moment::Suspended);
        let of_main = if cell.flags.any(Flags::MAIN) {
            self.core.write_flight_record("a panic of the main task");
            Err(payload)
        } else {
            self.core.panicked(cell, payload);
            Ok(())
        };
        self.core.record_wakes(cell.id());
        if let Some(probe) = &self.core.settings.probe {
            probe.after_panic(&self.core, cell);
        }
        of_main
    }

    #[track_caller]
    fn finish(&self) {
        let core = &self.core;
        let _entered = Entered::new(core);
        let shutdown = Shutdown::begin(core);
        let mut no_main = |_: Step<'_, '_>| unreachable!("main has ended");
        loop {
            match self.turn_until(None, &mut no_main) {
                Ok(Turn::GraceOver) => Shutdown::abort_rest(core),
                Ok(Turn::Deadlocked) => watch::deadlock(core),
                Ok(Turn::OutOfTime) => watch::out_of_time(core),
                _ => break,
            }
        }
        shutdown.end(core);
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        let core = &self.core;
        let entered = Entered::new(core);
        core.set_stage(Stage::Closed);
        loop {
            // Repeated until no task is left, because destructors run here.
            let left = core.live_cells();
            if left.is_empty() {
                break;
            }
            for cell in left.iter().rev() {
                core.abort(cell);
            }
        }
        // Frees the cells of ended tasks that are still queued.
        let queued = core.ready.borrow_mut().take();
        for index in queued {
            let cell = core.tasks.borrow().at(index);
            let cell = cell.expect("a queued task keeps its slot");
            cell.flags.clear(Flags::QUEUED);
            core.release(&cell);
        }
        // Drops the messages that were not served. The closures of other threads are not called.
        for post in [core.post.take(), core.remote().close()] {
            post.into_messages().for_each(|message| core.discard(message));
        }
        let timers = core.timers.borrow_mut().clear();
        core.discard(timers);
        core.clear_jobs();
        core.close_reactor();
        let cells = core.tasks.borrow_mut().clear();
        drop(cells);
        drop(entered);
        if let Some(watcher) = &core.settings.watcher {
            watcher.end();
        }
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = self.core.live();
        f.debug_struct("Kernel").field("tasks", &tasks).finish_non_exhaustive()
    }
}

/// The numbers of objects that a kernel still holds, for tests that check that nothing is left
/// behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Leftovers {
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Armed timers.
    pub timers: usize,
    /// Records of parked leaves in the arena of the kernel. The record in the slot of a task does
    /// not count.
    pub leaves: usize,
    /// Timeouts, group bodies and shields that are open.
    pub scopes: usize,
    /// Groups that are open.
    pub groups: usize,
    /// Registered sources.
    pub registrations: usize,
    /// Unfinished jobs on other threads for which a task waits.
    pub jobs: usize,
}

impl Leftovers {
    pub(crate) fn of(core: &Core) -> Self {
        let scopes = core.scopes.borrow();
        Leftovers {
            tasks: core.live(),
            timers: core.timers.borrow().len(),
            leaves: scopes.records.len(),
            scopes: scopes.scopes.len(),
            groups: core.owners.borrow().len(),
            registrations: core.with_reactor(|reactor| reactor.registered()).unwrap_or(0),
            jobs: core.jobs.out(),
        }
    }
}
