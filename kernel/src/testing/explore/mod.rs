//! Every order of the tasks of a small program: the exploration.

mod chooser;
mod scheduler;
mod table;

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;

use self::chooser::{Chooser, Priorities, Strategy};
use self::scheduler::Scheduler;
use crate::run::builder::Builder;
use crate::run::kernel::{Kernel, refuse_nesting};
use crate::testing::attempt::Attempt;

/// Tries every schedule of a small program: an *exploration*.
///
/// A schedule is the order in which ready tasks are polled. An exploration runs a program again and
/// again, each time with another schedule, until all were tried or one has failed. A program fails
/// if its main panics or returns an error, if a task or a destructor panics and no caller takes the
/// panic, if it ends in a deadlock, or if it leaves something behind. With
/// [`cancels`](Explore::cancels), the moments at which a task is cancelled are part of the
/// schedule.
///
/// The kernel is the one that ships. It runs on a virtual clock, with sockets and threads as they
/// are, so a program that uses them is not deterministic and is refused. Sockets of a simulated
/// network are deterministic: see [`with_builder`](Explore::with_builder).
///
/// # A gap in a lock
///
/// Each of these two tasks reads a value under a lock and writes it under the lock, and in between
/// the lock is free. In the usual order nothing goes wrong, because the second task comes late
/// enough.
///
/// ```should_panic
/// use std::rc::Rc;
/// use curium::kernel::{TaskCancelled, TaskGroup, testing, yield_now};
/// use curium::sync::Lock;
///
/// async fn add_one(value: Rc<Lock<u32>>) -> Result<(), TaskCancelled> {
///     let read = *value.acquire().await?;
///     yield_now().await?; // computes something; the lock is free meanwhile
///     *value.acquire().await? = read + 1;
///     Ok(())
/// }
///
/// testing::explore().run(async || {
///     let value = Rc::new(Lock::new(0));
///     let (first, second) = (value.clone(), value.clone());
///     TaskGroup::<TaskCancelled>::scope(async |g| {
///         g.spawn(add_one(first));
///         g.spawn(async move {
///             yield_now().await?;
///             yield_now().await?;
///             add_one(second).await
///         });
///         Ok(())
///     })
///     .await?;
///     assert_eq!(*value.acquire().await?, 2, "an addition is lost");
///     Ok::<_, TaskCancelled>(())
/// });
/// ```
///
/// The failure is a table with one column for each task and one row for each poll, and the schedule
/// as a string. [`replay`](Explore::replay) runs that schedule alone.
///
/// ```text
/// schedule 3 of the exploration failed: an addition is lost
///
///  poll  main                                            task 2  task 3
///     1  GROUP_WAIT lib.rs:15, wakes task 2 and task 3
///     2                                                  YIELD
///     3                                                          YIELD
///     4                                                          YIELD
///     5                                                          YIELD
///     6                                                  ends
///     7                                                          ends, wakes main
///     8  panics
///
/// run it alone with `.replay("0.0.1.1")`
/// ```
#[derive(Debug, Clone)]
#[must_use = "an exploration starts with `run`"]
pub struct Explore {
    delays: Option<usize>,
    cancels: usize,
    most: usize,
    pct: Option<(usize, usize)>,
    replay: Option<String>,
    settings: fn(Builder) -> Builder,
}

/// What an exploration has tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explored {
    /// The number of schedules that were run.
    pub schedules: usize,
    /// Whether these were all schedules of the program, with all moments for the cancels. Then the
    /// exploration is a proof for this program.
    pub complete: bool,
}

/// An exploration of all schedules, without cancels. See [`Explore`].
pub fn explore() -> Explore {
    let settings = |builder| builder;
    Explore { delays: None, cancels: 0, most: 1_000_000, pct: None, replay: None, settings }
}

impl Explore {
    /// Tries only schedules that differ from first come, first served by this number of delays: to
    /// poll the third of the ready tasks next are two. Most bugs need one or two delays, and the
    /// number of schedules stays small.
    pub fn delays(mut self, most: usize) -> Self {
        self.delays = Some(most);
        self
    }

    /// Cancels up to this number of tasks, at every moment between two polls. Main is not
    /// cancelled.
    pub fn cancels(mut self, most: usize) -> Self {
        self.cancels = most;
        self
    }

    /// Stops after this number of schedules, which is a million if it is not set.
    pub fn at_most(mut self, schedules: usize) -> Self {
        self.most = schedules;
        self
    }

    /// For programs that are too large to try all schedules: tries `runs` schedules with random
    /// priorities of the tasks, changed `depth - 1` times. A bug that needs `depth` steps in a
    /// certain order is found by each run after the first with a probability of at least
    /// 1/(n·k^(depth-1)), for `n` tasks and `k` polls. The first run measures `k` and changes
    /// nothing. The random numbers are the same in each exploration.
    pub fn pct(mut self, depth: usize, runs: usize) -> Self {
        self.pct = Some((depth, runs));
        self
    }

    /// Runs one schedule alone, from the message of a failure. The other settings must be those of
    /// the exploration that failed.
    pub fn replay(mut self, schedule: &str) -> Self {
        self.replay = Some(schedule.to_owned());
        self
    }

    /// Runs the program in kernels with these settings, for example with a simulated network. Their
    /// clock is virtual.
    pub fn with_builder(mut self, settings: fn(Builder) -> Builder) -> Self {
        self.settings = settings;
        self
    }

    /// Explores `main`, which makes fresh state in each run and checks it.
    ///
    /// # Panics
    ///
    /// If a schedule fails, with its table. If the program is not deterministic, or the schedule of
    /// [`replay`](Explore::replay) does not fit it. Inside a kernel.
    #[track_caller]
    pub fn run<T, E: Debug>(self, main: impl AsyncFn() -> Result<T, E>) -> Explored {
        refuse_nesting("testing::explore");
        let chooser = Rc::new(RefCell::new(Chooser::new(self.strategy())));
        let mut schedules = 0;
        loop {
            let scheduler = Rc::new(Scheduler::new(chooser.clone(), self.cancels));
            let builder = (self.settings)(Kernel::builder());
            let builder = builder.one_by_one().probe(scheduler.clone());
            let attempt = Attempt::run(builder, async || main().await.map(drop));
            schedules += 1;
            let failure = match attempt.failure() {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(format!("main returned the error {error:?}")),
                Err(failure) => Some(failure),
            };
            let mut chooser = chooser.borrow_mut();
            if let Some(refusal) = chooser.refusal(failure.is_none()) {
                panic!("{refusal}");
            }
            if let Some(failure) = failure {
                let (schedule, table) = (chooser.schedule(), scheduler.log.borrow().table());
                panic!(
                    "schedule {schedules} of the exploration failed: {failure}\n\n{table}\nrun it \
                     alone with `.replay(\"{schedule}\")`"
                );
            }
            if !chooser.next_schedule() {
                return Explored { schedules, complete: chooser.is_complete() };
            }
            if schedules >= self.most {
                return Explored { schedules, complete: false };
            }
        }
    }

    fn strategy(&self) -> Strategy {
        if let Some(schedule) = &self.replay {
            let number = |text: &str| match text.trim().parse() {
                Ok(number) => number,
                Err(_) => panic!("`{schedule}` is not a schedule: `{text}` is not a number"),
            };
            return Strategy::Replay(schedule.split('.').map(number).collect());
        }
        match self.pct {
            Some((depth, runs)) => Strategy::Priorities(Priorities::new(depth, runs, self.cancels)),
            None => Strategy::DepthFirst { delays: self.delays, pruned: false },
        }
    }
}
