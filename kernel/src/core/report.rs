//! Reports: messages from the kernel to the program that no `Result` can carry, such as failures of
//! tasks that were not joined, and tasks that do not end.
//!
//! A report goes to the sink of the builder if there is one. Otherwise it goes to `tracing`, or to
//! standard error if `tracing` has no subscriber for it. [`Report::Overran`] is not written to
//! standard error. The text of a report is made only if it is needed.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::time::Duration;

use crate::core::inspect::{TaskInfo, TaskList};
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::error::{CancelReason, Panic};
use crate::id::TaskId;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

/// Receives the reports of the kernel instead of `tracing` or standard error.
pub(crate) type Sink = Box<dyn Fn(&Report<'_>)>;

/// A message from the kernel to the program. `Display` gives its text.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report<'a> {
    /// A task failed or panicked, and its outcome was not taken.
    Failed(Failure<'a>),
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
    /// A cancelled task is parked in a future that is not Curium's, so the cancellation cannot be
    /// delivered.
    Foreign(&'a TaskInfo),
    /// A task has dropped the error of its cancellation, or of that of a timeout around it, and is
    /// parked again for over a second. It goes on as if it had not been cancelled.
    Swallowed {
        /// The task, and where it is parked now.
        task: &'a TaskInfo,
        /// Why it was cancelled.
        reason: CancelReason,
        /// The file and line where the cancellation was delivered, except in a yield.
        delivered_at: Option<&'static Location<'static>>,
    },
    /// One poll of a task blocked the kernel for a long time.
    LongPoll {
        /// The task, after that poll.
        task: &'a TaskInfo,
        /// How long the poll took.
        took: Duration,
    },
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
        })
    }
}

/// Shown for an error whose `Debug` implementation panicked.
pub(crate) const UNSHOWN: &str = "an error that could not be shown";

/// A failure that was not taken.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: &'a str,
    /// True if the task panicked, false if it returned an error.
    pub panicked: bool,
    /// The error or the message of the panic, as text.
    pub error: &'a str,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Failed(failure) => {
                let how = if failure.panicked { "panicked" } else { "failed" };
                let Failure { task, name, error, .. } = failure;
                write!(f, "task {task} {name} {how} and no task joined it: {error}")
            }
            Report::PanicOutsideTask { code, message } => write!(f, "{code} panicked: {message}"),
            Report::OutOfGrace(task) => write!(f, "aborted, its grace is over: {task}"),
            Report::Stuck(tasks) => {
                write!(f, "the shutdown waits for {} tasks:{}", tasks.len(), TaskList(tasks))
            }
            Report::Hang(tasks) => write!(
                f,
                "nothing runs, and only a waker that something still holds could change that; {} \
                 tasks are parked:{}",
                tasks.len(),
                TaskList(tasks)
            ),
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
            Report::LongPoll { task, took } => {
                write!(f, "one poll took {took:?} and blocked the kernel: {task}")
            }
            Report::Overran { by, task } => {
                write!(f, "the body of a timeout in task {task} ended well, but {by:?} late")
            }
        }
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
        } else if report.is_error() {
            if tracing::event_enabled!(target: "curium", tracing::Level::ERROR) {
                tracing::error!(target: "curium", "{report}");
            } else {
                eprintln!("curium: {report}");
            }
        } else if tracing::event_enabled!(target: "curium", tracing::Level::WARN) {
            tracing::warn!(target: "curium", "{report}");
        } else if !matches!(report, Report::Overran { .. }) {
            eprintln!("curium: {report}");
        }
    }

    pub(crate) fn report_out_of_grace(&self, cell: &TaskRef) {
        self.report(&Report::OutOfGrace(&self.info(cell)));
    }

    /// Reports an error of code in the running task that its caller cannot return, because another
    /// error comes first.
    #[cold]
    pub(crate) fn report_error(&self, error: &dyn fmt::Debug) {
        let mut text = None;
        self.guarded(ProgramCode::Debug, || text = Some(format!("{error:?}")));
        self.report_of_running(false, text.as_deref().unwrap_or(UNSHOWN));
    }

    /// The same for a panic.
    #[cold]
    pub(crate) fn report_panic(&self, panic: &Panic) {
        self.report_of_running(true, panic.message());
    }

    fn report_of_running(&self, panicked: bool, error: &str) {
        let Some(cell) = self.with_running(TaskRef::clone) else { return };
        let (task, name) = (cell.id(), &self.name_of(&cell));
        self.report(&Report::Failed(Failure { task, name, panicked, error }));
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn report_failure(&self, cell: &TaskRef) {
        let text = match cell.take_panic() {
            Some(panic) => {
                let text = panic.message().to_owned();
                cell.set_panic(panic);
                Some(text)
            }
            None => {
                // The body is out of its cell while `Debug` runs, because code of a program may
                // inspect the task (K9).
                let mut text = None;
                let mut body = cell.body.take();
                self.guarded(ProgramCode::Debug, || {
                    text = body.as_mut().and_then(|body| body.as_mut().error_text());
                });
                if let Some(body) = body {
                    cell.body.put(body);
                }
                text
            }
        };
        let name = self.name_of(cell);
        self.report(&Report::Failed(Failure {
            task: cell.id(),
            name: &name,
            panicked: cell.end() == Some(TaskEnd::Panicked),
            error: text.as_deref().unwrap_or(UNSHOWN),
        }));
    }

    /// The name of a task: the given one, or the type of its future without the suffixes of the
    /// compiler.
    pub(crate) fn name_of(&self, cell: &TaskRef) -> String {
        if cell.flags.any(Flags::NAMED) {
            if let Some(name) = self.names.borrow().get(&cell.index()) {
                return name.to_string();
            }
        }
        match cell.origin() {
            Some(origin) => (origin.type_name)().replace("::{{closure}}", ""),
            None => "main".to_owned(),
        }
    }
}
