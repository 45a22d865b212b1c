//! What the kernel has to say that no `Result` can carry: failures nobody took, tasks that do not
//! end.
//!
//! To the builder's sink if there is one; else to `tracing`, and to standard error if nobody
//! listens there. Reports are never about speed, so the text is made only when there is something
//! to say.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::core::inspect::{TaskInfo, TaskList};
use crate::core::state::Core;
use crate::core::state::TaskRef;
use crate::id::TaskId;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

/// Takes the kernel's reports instead of `tracing` or standard error.
pub(crate) type Sink = Box<dyn Fn(&Report<'_>)>;

/// Something that somebody should hear about. Shown with `Display`.
#[derive(Debug)]
#[non_exhaustive]
pub enum Report<'a> {
    /// A task failed or panicked, and nobody took its outcome.
    Failed(Failure<'a>),
    /// Code of a program that the kernel called outside a task panicked.
    PanicOutsideTask {
        /// What it was.
        code: ProgramCode,
        /// The message of the panic.
        message: &'a str,
    },
    /// A task was aborted because the grace it had been given was over.
    OutOfGrace(&'a TaskInfo),
    /// The shutdown waits for these tasks.
    Stuck(&'a [TaskInfo]),
    /// Nothing has run for the time that [`report_hangs`](crate::Builder::report_hangs) was given,
    /// and nothing but a waker could end that: these tasks wait.
    Hang(&'a [TaskInfo]),
    /// A cancelled task is parked in a future that is not Curium's, so nothing can reach it there.
    Foreign(&'a TaskInfo),
    /// One poll of a task kept the whole kernel waiting for so long.
    LongPoll {
        /// The task, after that poll.
        task: &'a TaskInfo,
        /// How long the poll took.
        took: Duration,
    },
    /// Destructors keep spawning tasks after the kernel closed.
    Late {
        /// How many were dropped unpolled; further ones are leaked, so that closing ends.
        limit: u32,
    },
    /// The body of a timeout ended well, but only after its time was up.
    Overran {
        /// By how much.
        by: Duration,
        /// The task that it ran in.
        task: TaskId,
    },
}

/// Code of a program that the kernel calls outside a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgramCode {
    /// The destructor of a future, of an outcome, or of what else the kernel drops.
    Destructor,
    /// A waker that is not Curium's.
    Waker,
    /// The closure that was given to [`Handle::spawn`](crate::Handle::spawn); its task was not
    /// started.
    Spawn,
    /// The `Debug` of an error that was to be reported.
    Debug,
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
        })
    }
}

/// In place of an error whose `Debug` panicked.
pub(crate) const UNSHOWN: &str = "an error that could not be shown";

/// A failure that nobody took.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure<'a> {
    /// Which task.
    pub task: TaskId,
    /// Its name.
    pub name: &'a str,
    /// Whether it panicked, or returned an error.
    pub panicked: bool,
    /// The error or the panic's message, as text.
    pub error: &'a str,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Report::Failed(failure) => {
                let how = if failure.panicked { "panicked" } else { "failed" };
                let Failure { task, name, error, .. } = failure;
                write!(f, "task {task} {name} {how} and nobody joined it: {error}")
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
            Report::LongPoll { task, took } => {
                write!(f, "one poll took {took:?} and kept everybody waiting: {task}")
            }
            Report::Late { limit } => write!(
                f,
                "destructors spawned {limit} tasks after the kernel closed; further ones are leaked"
            ),
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
    /// Says something to whoever listens. A sink that panics is not asked twice.
    pub(crate) fn report(&self, report: &Report<'_>) {
        if let Some(sink) = &self.settings.sink {
            let told = catch_unwind(AssertUnwindSafe(|| sink(report)));
            if told.is_err() {
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
                // Out of its cell meanwhile: a program's `Debug` may look at the task (K9).
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

    /// The name of a task: as given, or the type of its future without the compiler's suffixes.
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
