//! Reports: messages from the kernel to the program that no `Result` can carry, such as failures of
//! tasks that were not joined, and tasks that do not end.
//!
//! A report goes to the sink of the builder if there is one. Otherwise it goes to `tracing`, or to
//! standard error if `tracing` has no subscriber for it. [`Report::Overran`] is not written to
//! standard error. The text of a report is made only when it is shown.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::core::abandoned::AbandonedThread;
use crate::core::current;
use crate::core::failure::Failure;
use crate::core::inspect::{TaskInfo, TaskList};
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::error::CancelReason;
use crate::id::TaskId;
use crate::insight::Verdict;
use crate::insight::text::count;

/// Receives the reports of the kernel instead of `tracing` or standard error.
pub(crate) type Sink = Box<dyn Fn(&Report<'_>)>;

/// A message from the kernel to the program. `Display` gives its text.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report<'a> {
    /// A task failed or panicked, and its outcome was not taken.
    Failed(Failure<'a>),
    /// A supervised member of a group has failed and is started again
    /// ([`supervise`](crate::GroupRef::supervise)).
    Restarted {
        /// The failure.
        failure: Failure<'a>,
        /// The time before the next attempt.
        delay: Duration,
    },
    /// Code of the program that the kernel called outside a task panicked.
    PanicOutsideTask {
        /// The kind of code.
        code: ProgramCode,
        /// The message of the panic.
        message: &'a str,
    },
    /// A task was aborted because its grace period was over.
    OutOfGrace(&'a TaskInfo),
    /// The shutdown waits for these tasks.
    Stuck(&'a [TaskInfo]),
    /// No task has run for the time given to [`report_hangs`](crate::Builder::report_hangs), and
    /// only a waker outside the kernel could make a task ready. These tasks are parked.
    Hang(&'a [TaskInfo]),
    /// A kernel that [watches](crate::Builder::watch) has found why tasks do not go on.
    Verdict(&'a Verdict),
    /// A cancelled task is parked in a future that is not Curium's, so the cancellation cannot be
    /// delivered.
    Foreign(&'a TaskInfo),
    /// A task has dropped the error of its cancellation, or of that of a timeout around it, and is
    /// parked again for over a second, or again and again for over ten. It goes on as if it had not
    /// been cancelled.
    Swallowed {
        /// The task, and where it is parked now.
        task: &'a TaskInfo,
        /// Why it was cancelled.
        reason: CancelReason,
        /// The file and line where the cancellation was delivered, except in a yield.
        delivered_at: Option<&'static Location<'static>>,
    },
    /// The kernel is shut down, and these threads still run. They were abandoned before: the
    /// shutdown does not wait for them.
    Abandoned(&'a [AbandonedThread]),
    /// One poll of a task blocked the kernel for a long time.
    LongPoll {
        /// The task, after that poll.
        task: &'a TaskInfo,
        /// How long the poll took.
        took: Duration,
    },
    /// The record of the [`flight_recorder`](crate::Builder::flight_recorder) was written to the
    /// file of the builder.
    FlightRecord {
        /// The file.
        path: &'a Path,
        /// The event that was the reason.
        why: &'static str,
        /// Why it could not be written, if so.
        error: Option<&'a io::Error>,
    },
    /// Something outside the kernel, such as a listener or a child process, is in trouble that no
    /// call returns as an error. The text says what and where.
    Warning(&'a str),
    /// The body of a timeout returned a value after the deadline.
    Overran {
        /// The time between the deadline and the end of the body.
        by: Duration,
        /// The task that the body ran in.
        task: TaskId,
    },
}

/// Code of a program that the kernel calls outside a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramCode {
    /// The destructor of a future, of an outcome, or of another value that the kernel drops.
    Destructor,
    /// A waker that is not Curium's.
    Waker,
    /// The closure given to [`Handle::spawn`](crate::Handle::spawn). Its task was not started.
    Spawn,
    /// The `Debug` implementation of an error that was to be reported.
    Debug,
    /// The `From<TaskCancelled>` or the `source` of an error, while the kernel finds out whether
    /// the error passes a cancellation on.
    Conversion,
    /// An [`Observer`](crate::Observer).
    Observer,
}

impl fmt::Display for ProgramCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProgramCode::Destructor => "a destructor that the kernel ran",
            ProgramCode::Waker => "a foreign waker that the kernel woke",
            ProgramCode::Spawn => {
                "the closure given to `Handle::spawn`, so there is no task of it,"
            }
            ProgramCode::Debug => "the `Debug` of an error that was to be reported",
            ProgramCode::Conversion => "the conversion or the `source` of an error",
            ProgramCode::Observer => "an observer of tasks",
        })
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Failed(failure) => {
                let how = if failure.panicked { "panicked" } else { "failed" };
                let Failure { task, name, error, .. } = failure;
                write!(f, "task {task} {name} {how} and no task joined it: {error}")
            }
            Report::Restarted { failure, delay } => {
                let how = if failure.panicked { "panicked" } else { "failed" };
                let Failure { task, name, error, .. } = failure;
                write!(f, "task {task} {name} {how} and is started again in {delay:?}: {error}")
            }
            Report::PanicOutsideTask { code, message } => write!(f, "{code} panicked: {message}"),
            Report::OutOfGrace(task) => write!(f, "aborted, its grace is over: {task}"),
            Report::Stuck(tasks) => {
                let count = count(tasks.len(), "task", "tasks");
                write!(f, "the shutdown waits for {count}:{}", TaskList(tasks))
            }
            Report::Hang(tasks) => write!(
                f,
                "nothing runs, and only a waker that something still holds could change that; {} \
                 parked:{}",
                count(tasks.len(), "task is", "tasks are"),
                TaskList(tasks)
            ),
            Report::Verdict(verdict) => verdict.fmt(f),
            Report::Foreign(task) => write!(
                f,
                "cancelled, but parked in a future that is not Curium's: {task}; wrap that future \
                 in `cancellable` if dropping it is safe"
            ),
            Report::Swallowed { task, reason, delivered_at } => {
                write!(f, "cancelled ({reason})")?;
                if let Some(site) = delivered_at {
                    write!(f, " at {site}")?;
                }
                write!(
                    f,
                    ", but the error was dropped and the task is parked again: {task}; pass the \
                     error on with `?`, or call `put_back`"
                )
            }
            Report::Abandoned(threads) => write!(
                f,
                "the shutdown leaves {} running:{}",
                count(threads.len(), "abandoned thread", "abandoned threads"),
                TaskList(threads)
            ),
            Report::LongPoll { task, took } => {
                write!(f, "one poll took {took:?} and blocked the kernel: {task}")
            }
            Report::FlightRecord { path, why, error } => show_flight_record(f, path, why, *error),
            Report::Warning(text) => f.write_str(text),
            Report::Overran { by, task } => {
                write!(f, "the body of a timeout in task {task} ended well, but {by:?} late")
            }
        }
    }
}

fn show_flight_record(
    f: &mut fmt::Formatter<'_>,
    path: &Path,
    why: &str,
    error: Option<&io::Error>,
) -> fmt::Result {
    let path = path.display();
    match error {
        None => write!(f, "the flight record was written to {path} after {why}"),
        Some(error) => write!(f, "no flight record was written to {path} after {why}: {error}"),
    }
}

impl Report<'_> {
    fn is_error(&self) -> bool {
        matches!(self, Report::Failed(_) | Report::PanicOutsideTask { .. } | Report::OutOfGrace(_))
    }
}

impl Core {
    /// Delivers a report. If the sink panics, the report goes to standard error.
    pub(crate) fn report(&self, report: &Report<'_>) {
        if let Some(sink) = &self.settings.sink {
            let sent = catch_unwind(AssertUnwindSafe(|| sink(report)));
            if sent.is_err() {
                eprintln!("curium: the report sink panicked at: {report}");
            }
        } else if let Some(core) = self.settings.core {
            show(report, &format_args!("core {core}: {report}"));
        } else {
            show(report, report);
        }
    }

    /// Whether a report of [`Report::Overran`] goes anywhere. Without that, timeouts need not read
    /// the clock when their bodies end.
    #[inline]
    pub(crate) fn shows_overruns(&self) -> bool {
        self.has_sink() || logs_overruns()
    }

    #[inline]
    pub(crate) fn has_sink(&self) -> bool {
        self.settings.sink.is_some()
    }

    pub(crate) fn report_out_of_grace(&self, cell: &TaskRef) {
        self.report(&Report::OutOfGrace(&self.info(cell)));
    }
}

/// Whether a report of [`Report::Overran`] goes anywhere if there is no sink. This may call code of
/// the program.
#[inline]
pub(crate) fn logs_overruns() -> bool {
    tracing::event_enabled!(target: "curium", tracing::Level::WARN)
}

/// Shows the text of a report where there is no sink.
fn show(report: &Report<'_>, text: &dyn fmt::Display) {
    if report.is_error() {
        if tracing::event_enabled!(target: "curium", tracing::Level::ERROR) {
            tracing::error!(target: "curium", "{text}");
        } else {
            eprintln!("curium: {text}");
        }
    } else if tracing::event_enabled!(target: "curium", tracing::Level::WARN) {
        tracing::warn!(target: "curium", "{text}");
    } else if !matches!(report, Report::Overran { .. }) {
        eprintln!("curium: {text}");
    }
}

/// Reports what a part of Curium outside the kernel cannot return as an error.
#[doc(hidden)]
pub fn warn(text: &str) {
    match current::try_with(Rc::clone) {
        Some(core) => core.report(&Report::Warning(text)),
        None => show_warning(&text),
    }
}

/// Shows a warning that no kernel can report.
pub(crate) fn show_warning(text: &dyn fmt::Display) {
    if tracing::event_enabled!(target: "curium", tracing::Level::WARN) {
        tracing::warn!(target: "curium", "{text}");
    } else {
        eprintln!("curium: {text}");
    }
}
