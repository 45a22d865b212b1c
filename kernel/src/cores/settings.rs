//! How many kernels there are, where they run, and with which settings.

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::core::watcher::Watcher;
use crate::cores::place;
use crate::run::builder::Builder;
use crate::run::kernel::Kernel;

type AnyFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Makes the future at whose end the cores stop.
type StopWhen = Box<dyn FnOnce() -> AnyFuture + Send>;

/// The cores that [`kernels`](crate::kernels) runs a kernel on each of, and its settings.
///
/// A number is enough where no setting is needed: `kernels(2, main)`.
pub struct Cores {
    count: usize,
    /// The processors, one for each core.
    pinned: Option<Vec<usize>>,
    nice: Option<i32>,
    builder: Option<Box<dyn Fn(usize) -> Builder + Send + Sync>>,
    watch: Option<Box<dyn Fn(Builder) -> Builder + Send + Sync>>,
    pub(super) drain: Duration,
    pub(super) grace: Option<Duration>,
    stop_when: Mutex<Option<StopWhen>>,
}

impl Cores {
    /// That many. They run where the system puts their threads.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[track_caller]
    pub fn count(count: usize) -> Self {
        assert!(count > 0, "`kernels` needs at least one core");
        Cores {
            count,
            pinned: None,
            nice: None,
            builder: None,
            watch: None,
            drain: Duration::ZERO,
            grace: None,
            stop_when: Mutex::new(None),
        }
    }

    /// As many as this process may use at once
    /// ([`available_parallelism`](std::thread::available_parallelism)), and one if that is not
    /// known.
    pub fn all() -> Self {
        Cores::count(thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }

    /// One for each of these processors, pinned to it, in this order. The processors have the
    /// numbers of the system. A core whose processor this process may not use does not start.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[track_caller]
    pub fn pinned(processors: impl IntoIterator<Item = usize>) -> Self {
        let processors: Vec<usize> = processors.into_iter().collect();
        Cores { pinned: Some(processors.clone()), ..Cores::count(processors.len()) }
    }

    /// Sets the nice value of the threads, from -20 (most willing to run) to 19. A process without
    /// privileges can only raise it.
    pub fn nice(mut self, nice: i32) -> Self {
        self.nice = Some(nice);
        self
    }

    /// Has each kernel built with settings, which the function gives for the number of the core. It
    /// is called on the thread of the core.
    pub fn builder(mut self, builder: impl Fn(usize) -> Builder + Send + Sync + 'static) -> Self {
        self.builder = Some(Box::new(builder));
        self
    }

    /// How long the main functions have to end by themselves after a
    /// [stop](crate::Core::stop). When it is over, they are cancelled. No time by default.
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// How long a main function that was cancelled, by a stop or by the failure of another core,
    /// and then the shutdown of its kernel, may take. What is left after it is aborted and
    /// reported. Without this there is no limit.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// [Stops](crate::Core::stop) the cores when this future ends, which runs in the kernel of core
    /// 0. It may wait for a signal
    /// ([`first_signal`](https://docs.rs/curium/latest/curium/signal/fn.first_signal.html)), or as
    /// here for a time:
    ///
    /// ```
    /// use std::time::Duration;
    /// use curium::kernel::{CoreErrors, Cores, TaskCancelled, kernels, sleep};
    ///
    /// let cores = Cores::count(2).stop_when(|| async {
    ///     let _ = sleep(Duration::from_millis(1)).await;
    /// });
    /// kernels(cores, async |core| {
    ///     core.stopping().await // a server would drain now
    /// })?;
    /// # Ok::<(), CoreErrors<TaskCancelled>>(())
    /// ```
    pub fn stop_when<F>(mut self, build: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        self.stop_when = Mutex::new(Some(Box::new(|| Box::pin(build()))));
        self
    }

    /// Gives each kernel a watcher, which the function makes on the thread of the core. It is
    /// called once a core, unless that cannot start.
    #[doc(hidden)]
    pub fn watcher<W: Watcher>(mut self, make: impl Fn() -> W + Send + Sync + 'static) -> Self {
        self.watch = Some(Box::new(move |builder| builder.watcher(make())));
        self
    }

    /// Whether the kernels have a watcher.
    #[doc(hidden)]
    pub fn is_watched(&self) -> bool {
        self.watch.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn take_stop_when(&self) -> Option<StopWhen> {
        self.stop_when.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Puts this thread in its place, and makes its kernel.
    pub(super) fn start(&self, core: usize) -> io::Result<Kernel> {
        if let Some(processors) = &self.pinned {
            place::pin(processors[core])?;
        }
        if let Some(nice) = self.nice {
            place::set_nice(nice)?;
        }
        let builder = self.builder.as_ref().map_or_else(Kernel::builder, |builder| builder(core));
        let builder = match &self.watch {
            Some(watch) => watch(builder),
            None => builder,
        };
        builder.of_core(core, self.grace).build()
    }
}

/// [`Cores::count`].
impl From<usize> for Cores {
    #[track_caller]
    fn from(count: usize) -> Self {
        Cores::count(count)
    }
}

impl fmt::Debug for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Cores");
        debug.field("count", &self.count).field("pinned", &self.pinned).finish_non_exhaustive()
    }
}
