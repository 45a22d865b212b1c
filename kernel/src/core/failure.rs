//! The report of a failure that no task took (K6).
//!
//! A server has many failures that nothing reads: each client that resets its connection is one. So
//! the texts of a failure are made only when they are shown.

use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use crate::core::report::{ProgramCode, Report};
use crate::core::state::{Core, TaskRef};
use crate::error::Panic;
use crate::id::TaskId;
use crate::insight::info::short_type;
use crate::insight::slice::TaskName;
use crate::task::cell::TaskEnd;
use crate::task::state::Flags;

/// Shown for an error whose `Debug` implementation panicked.
const UNSHOWN: &str = "an error that could not be shown";

/// A failure that was not taken.
///
/// Its texts are made when they are shown, so a sink that only counts failures does not pay for
/// them. `to_string` gives one as a `String`.
#[non_exhaustive]
pub struct Failure<'a> {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: &'a dyn fmt::Display,
    /// True if the task panicked, false if it returned an error.
    pub panicked: bool,
    /// The error as its `Debug` shows it, or the message of the panic.
    pub error: &'a dyn fmt::Display,
}

impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("task", &self.task)
            .field("name", &self.name.to_string())
            .field("panicked", &self.panicked)
            .field("error", &self.error.to_string())
            .finish()
    }
}

/// The name of a task.
struct Name<'a>(&'a Core, &'a TaskRef);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.name_of(self.1))
    }
}

/// The text of an error. The `Debug` of the error runs at most once, when the text is first shown.
struct ErrorText<'a> {
    make: &'a dyn Fn() -> Option<String>,
    text: OnceCell<Option<String>>,
    /// The panic of the `Debug`. It is reported after the failure, because a sink need not expect
    /// to be called while it shows another report.
    panic: Cell<Option<Box<dyn Any + Send>>>,
}

impl fmt::Display for ErrorText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.text.get_or_init(|| {
            let made = catch_unwind(AssertUnwindSafe(self.make));
            made.unwrap_or_else(|payload| {
                self.panic.set(Some(payload));
                None
            })
        });
        f.pad(text.as_deref().unwrap_or(UNSHOWN))
    }
}

impl Core {
    /// Reports the failure of an ended task.
    #[cold]
    #[inline(never)]
    pub(crate) fn report_failure(&self, cell: &TaskRef) {
        let panicked = cell.end() == Some(TaskEnd::Panicked);
        self.report_failed(cell, panicked, &|| text_of(cell));
    }

    /// Reports an error of code in the running task that its caller cannot return, because another
    /// error comes first.
    #[cold]
    pub(crate) fn report_error(&self, error: &dyn fmt::Debug) {
        self.report_of_running(false, &|| Some(format!("{error:?}")));
    }

    /// The same for a panic.
    #[cold]
    pub(crate) fn report_panic(&self, panic: &Panic) {
        self.report_of_running(true, &|| Some(panic.message().to_owned()));
    }

    /// Reports a failure of the running task, which tries again after `delay`.
    #[cold]
    pub(crate) fn report_restart(
        &self,
        panicked: bool,
        make: &dyn Fn() -> Option<String>,
        delay: Duration,
    ) {
        let Some(cell) = self.with_running(TaskRef::clone) else { return };
        self.report_as(&cell, panicked, make, Some(delay));
    }

    fn report_of_running(&self, panicked: bool, text: &dyn Fn() -> Option<String>) {
        let Some(cell) = self.with_running(TaskRef::clone) else { return };
        self.report_failed(&cell, panicked, text);
    }

    fn report_failed(&self, cell: &TaskRef, panicked: bool, make: &dyn Fn() -> Option<String>) {
        self.report_as(cell, panicked, make, None);
    }

    fn report_as(
        &self,
        cell: &TaskRef,
        panicked: bool,
        make: &dyn Fn() -> Option<String>,
        restarts_in: Option<Duration>,
    ) {
        let error = ErrorText { make, text: OnceCell::new(), panic: Cell::new(None) };
        let name = &Name(self, cell);
        let failure = Failure { task: cell.id(), name, panicked, error: &error };
        self.report(&match restarts_in {
            Some(delay) => Report::Restarted { failure, delay },
            None => Report::Failed(failure),
        });
        if let Some(payload) = error.panic.take() {
            self.report_payload(ProgramCode::Debug, payload);
        }
    }

    /// Names a task.
    pub(crate) fn set_name(&self, cell: &TaskRef, name: Cow<'static, str>) {
        cell.flags.set(Flags::NAMED);
        cell.set_known(false);
        let old = self.names.borrow_mut().insert(cell.index(), name);
        drop(old);
    }

    /// The name of a task: the given one, or the type of its future without the suffixes of the
    /// compiler.
    pub(crate) fn name_of(&self, cell: &TaskRef) -> String {
        self.with_name(cell, |name| match name {
            TaskName::Type(type_name) => short_type(type_name()),
            TaskName::Given(name) => name.to_owned(),
        })
    }

    pub(super) fn with_name<R>(&self, cell: &TaskRef, look: impl FnOnce(TaskName<'_>) -> R) -> R {
        if cell.flags.any(Flags::NAMED) {
            if let Some(name) = self.names.borrow().get(&cell.index()) {
                return look(TaskName::Given(name));
            }
        }
        look(
            cell.origin()
                .map_or(TaskName::Given("main"), |origin| TaskName::Type(origin.type_name)),
        )
    }
}

/// The error of an ended task, or the message of its panic.
fn text_of(cell: &TaskRef) -> Option<String> {
    if let Some(panic) = cell.take_panic() {
        let text = panic.message().to_owned();
        cell.set_panic(panic);
        return Some(text);
    }
    // The body is out of its cell while `Debug` runs, because code of a program may inspect the
    // task (K9).
    let mut body = cell.body.take()?;
    let text = catch_unwind(AssertUnwindSafe(|| body.as_mut().output()?.error_text()));
    cell.body.put(body);
    text.unwrap_or_else(|payload| resume_unwind(payload))
}
