//! Cancel at every suspension: the sweep.

mod injector;
mod run;
mod sweeper;

use std::fmt;
use std::fmt::Debug;
use std::future::Future;
use std::ops::Range;
use std::panic::Location;
use std::rc::Rc;

use self::run::{Shown, Subject};
use self::sweeper::Sweeper;
use crate::error::HoldsCancellation;
use crate::run::builder::Builder;
use crate::run::kernel::refuse_nesting;
use crate::task::cell::TaskEnd;

/// Tries every cancellation of a piece of code: a *sweep*.
///
/// A sweep runs a *subject* once and counts its suspensions: the polls that leave its task parked.
/// Then it runs the subject again for each suspension, each [`Moment`] and each [`Injection`].
/// Every run has a kernel of its own on a virtual clock. After each run the kit looks for deadlocks
/// and leftovers, and calls the check of the caller. All failures are listed in one panic at the
/// end.
///
/// Further runs, the *surveys*, only list the leaves of the subject for [`Swept::sites`]: one
/// without an injection, and one for each suspension with a cancel there. They do not call the
/// check. So a subject with `s` suspensions is run once, then surveyed `1 + s` times, and then run
/// with each injection, five with all moments `1 + 2 * s` times.
///
/// The kernel of a sweep is the one that ships. Nothing is replaced and no `cfg` is set.
///
/// # A lost item
///
/// This subject moves items from one queue to another. It looks right, because it passes every
/// error on. The sweep finds that an item is lost if the subject is cancelled while the second
/// queue is full.
///
/// ```should_panic
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use std::time::Duration;
/// use curium::sync::Queue;
/// use curium::kernel::{TaskCancelled, sleep, spawn, testing};
///
/// struct Queues {
///     from: Queue<u32>,
///     to: Rc<Queue<u32>>,
///     taken: Rc<Cell<usize>>,
/// }
///
/// async fn move_items(queues: Rc<Queues>) -> Result<(), TaskCancelled> {
///     for _ in 0..3 {
///         let item = queues.from.get().await?;
///         queues.to.put(item).await?; // `put` drops its item if it is cancelled
///     }
///     Ok(())
/// }
///
/// testing::sweep().run(
///     // The setup: fresh state for each run, and a task that takes an item now and then.
///     async || {
///         let (from, to) = (Queue::unbounded(), Rc::new(Queue::bounded(1)));
///         let taken = Rc::new(Cell::new(0));
///         (0..3).for_each(|item| from.try_put(item).unwrap());
///         let (source, counter) = (to.clone(), taken.clone());
///         spawn(async move {
///             for _ in 0..3 {
///                 sleep(Duration::from_millis(1)).await?;
///                 source.get().await?;
///                 counter.set(counter.get() + 1);
///             }
///             Ok::<_, TaskCancelled>(())
///         });
///         Queues { from, to, taken }
///     },
///     // The subject.
///     move_items,
///     // The check: what must hold, however the subject ended.
///     async |queues, _run| {
///         let left = queues.from.len() + queues.to.len() + queues.taken.get();
///         assert_eq!(left, 3, "items are lost");
///     },
/// );
/// ```
///
/// A failure names the injection, the moment, the suspension, its kind, file and line. A pending
/// cancellation spares what can be had at once (C1), so even a cancel before the first poll loses
/// an item here:
///
/// ```text
/// 20 of 29 runs of the sweep failed; the subject has 2 suspensions
///   1. cancel, before the first poll: assertion `left == right` failed: items are lost
///        left: 2
///       right: 3
///   ..
///   6. abort, parked at suspension 1 (QUEUE_PUT at src/lib.rs:17:19): as 1
/// ```
///
/// # What the subject may do
///
/// Anything that a task may do, as long as it does the same in each run up to the injection. A
/// subject that does not, for instance because it follows the order of a `HashMap`, is refused with
/// the first difference. While sockets or threads of the system take part, only the kinds and sites
/// of the leaves are compared, because the times differ.
#[derive(Debug, Clone)]
#[must_use = "a sweep starts with `run`"]
pub struct Sweep {
    moments: Vec<Moment>,
    injections: Vec<Injection>,
    pairs: bool,
    seeds: Option<Range<u64>>,
    settings: fn(Builder) -> Builder,
}

/// When a sweep injects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the subject was spawned and before its first poll.
    BeforeFirstPoll,
    /// Right after the poll that left the subject parked.
    Parked,
    /// When the subject was woken and is not polled yet. What it waited for has been handed to it.
    Woken,
}

/// What a sweep does to the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Injection {
    /// Requests its cancellation, as [`Task::request_cancel`](crate::Task::request_cancel).
    Cancel,
    /// Drops it, as [`Task::abort`](crate::Task::abort).
    Abort,
    /// Lets a timeout around it expire.
    Timeout,
    /// Cancels it because another member of its group has failed.
    GroupFailed,
    /// Shuts the kernel down. The tasks that the setup has spawned are cancelled as well.
    ShutDown,
}

impl Injection {
    /// All of them.
    pub const ALL: [Injection; 5] = [
        Injection::Cancel,
        Injection::Abort,
        Injection::Timeout,
        Injection::GroupFailed,
        Injection::ShutDown,
    ];
}

/// One injection of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Injected {
    /// The number of suspensions before it, so 1 for the first. 0: before the first poll.
    pub suspension: usize,
    /// When it came.
    pub moment: Moment,
    /// What was done.
    pub injection: Injection,
    /// The kind of the leaf that the subject was parked in. `YIELD` if it had woken itself,
    /// `FOREIGN` in a future that is not Curium's, and `START` before the first poll.
    pub kind: &'static str,
    /// The file and line that called that leaf.
    pub site: Option<&'static Location<'static>>,
}

impl fmt::Display for Injected {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.injection {
            Injection::Cancel => "cancel",
            Injection::Abort => "abort",
            Injection::Timeout => "timeout",
            Injection::GroupFailed => "failure of the group",
            Injection::ShutDown => "shutdown",
        })?;
        match self.moment {
            Moment::BeforeFirstPoll => return f.write_str(", before the first poll"),
            Moment::Parked => f.write_str(", parked at")?,
            Moment::Woken => f.write_str(", woken from")?,
        }
        write!(f, " suspension {} ({}", self.suspension, self.kind)?;
        match self.site {
            Some(site) => write!(f, " at {site})"),
            None => f.write_str(")"),
        }
    }
}

/// A run of the subject, as the check sees it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Run {
    /// What was injected: nothing in the first run, two injections with [`Sweep::pairs`].
    pub injected: Vec<Injected>,
    /// How the subject ended. `Cancelled`: its error holds a cancellation, or is the injected
    /// timeout, or its type cannot be inspected and the run has an injection. The check can tell a
    /// real failure of such a type by [`error`](Run::error). A panic of the subject is a failure of
    /// the run and does not reach the check.
    pub end: TaskEnd,
    /// The `Debug` text of the error of the subject.
    pub error: Option<String>,
    /// The seed of the order of ready tasks.
    pub seed: Option<u64>,
}

/// What a sweep has done.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Swept {
    /// The suspensions of the first run of the subject. With seeds, of all first runs.
    pub suspensions: usize,
    /// The runs, the first ones among them.
    pub runs: usize,
    /// The leaves of the subject by file and line, and how often it was suspended at each.
    pub sites: Vec<SweptSite>,
}

/// A leaf that the subject has polled.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SweptSite {
    /// Its kind, as in `SLEEP`.
    pub kind: &'static str,
    /// The file and line that called it.
    pub location: &'static Location<'static>,
    /// How often any run was suspended there.
    pub suspended: usize,
}

impl Swept {
    /// The leaves that no run was ever suspended at: they were always ready at once. The sweep has
    /// not tried a cancellation there.
    #[inline]
    pub fn never_suspended(&self) -> impl Iterator<Item = &SweptSite> {
        self.sites.iter().filter(|site| site.suspended == 0)
    }

    #[inline]
    fn count(&mut self, shown: &Shown) {
        self.runs += 1;
        for suspension in &shown.trace {
            for leaf in &suspension.leaves {
                self.site(*leaf).suspended += 1;
            }
        }
        for leaf in &shown.tried {
            self.site(*leaf);
        }
    }

    #[inline]
    fn site(&mut self, (kind, location): injector::Leaf) -> &mut SweptSite {
        let place = |site: &SweptSite| (site.location, site.kind).cmp(&(location, kind));
        let at = self.sites.binary_search_by(place).unwrap_or_else(|at| {
            self.sites.insert(at, SweptSite { kind, location, suspended: 0 });
            at
        });
        &mut self.sites[at]
    }
}

/// A sweep with all moments and all injections. See [`Sweep`].
#[inline]
pub fn sweep() -> Sweep {
    Sweep {
        moments: vec![Moment::BeforeFirstPoll, Moment::Parked, Moment::Woken],
        injections: Injection::ALL.to_vec(),
        pairs: false,
        seeds: None,
        settings: |builder| builder,
    }
}

impl Sweep {
    /// Injects at these moments only.
    #[inline]
    pub fn moments(mut self, moments: &[Moment]) -> Self {
        self.moments = moments.to_vec();
        self
    }

    /// Injects only these.
    #[inline]
    pub fn inject(mut self, injections: &[Injection]) -> Self {
        self.injections = injections.to_vec();
        self
    }

    /// Also injects a second time, at each suspension of the cleanup that follows the first
    /// injection: a cancel and an abort. An abort is followed by no cleanup. A second cancel
    /// changes nothing, except after a timeout: there it is the first of the task, and is delivered
    /// to the cleanup.
    #[inline]
    pub fn pairs(mut self) -> Self {
        self.pairs = true;
        self
    }

    /// Does all of it once for each seed. The seed determines the order in which ready tasks run.
    #[inline]
    pub fn seeds(mut self, seeds: Range<u64>) -> Self {
        self.seeds = Some(seeds);
        self
    }

    /// Runs the subject in kernels with these settings, for example with a simulated network. Their
    /// clock is virtual.
    #[inline]
    pub fn with_builder(mut self, settings: fn(Builder) -> Builder) -> Self {
        self.settings = settings;
        self
    }

    /// Sweeps `subject`.
    ///
    /// `setup` makes fresh state for each run and may spawn tasks. `check` sees that state, and how
    /// the run ended. It must panic, for example with `assert!`, if an invariant does not hold.
    ///
    /// # Panics
    ///
    /// If any run failed: the check or the subject panicked, another task or a destructor panicked
    /// and no caller took the panic, the run ended in a deadlock, did not end after a million
    /// polls, or left something behind. The message lists all failures. Also if the subject is not
    /// deterministic, and inside a kernel.
    #[track_caller]
    #[allow(clippy::needless_pass_by_value, reason = "a caller passes closures by value")]
    pub fn run<S, F, T, E>(
        self,
        setup: impl AsyncFn() -> S,
        subject: impl Fn(Rc<S>) -> F,
        check: impl AsyncFn(&S, &Run),
    ) -> Swept
    where
        S: 'static,
        F: Future<Output = Result<T, E>> + 'static,
        T: 'static,
        E: HoldsCancellation + Debug,
    {
        refuse_nesting("testing::sweep");
        let site = Location::caller();
        let settings = self.settings;
        let subject = Subject { setup: &setup, body: &subject, check: &check, site, settings };
        let mut sweeper = Sweeper { plan: &self, swept: Swept::default(), failures: Vec::new() };
        match self.seeds.clone() {
            None => sweeper.sweep(&|plan, survey| subject.run(None, plan, survey), None),
            Some(seeds) => seeds.for_each(|seed| {
                sweeper.sweep(&|plan, survey| subject.run(Some(seed), plan, survey), Some(seed));
            }),
        }
        sweeper.conclude()
    }
}
