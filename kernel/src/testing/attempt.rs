//! One run of a program in the test kit: its failure becomes a text.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::core::failure::Failure;
use crate::core::report::Report;
use crate::error::Panic;
use crate::run::builder::Builder;
use crate::run::kernel::{Kernel, Leftovers};
use crate::task::bounds::Main;

/// How a run ended.
pub(super) struct Attempt<T> {
    /// The value of main. Or a text: the panic of main, a deadlock, what was left behind, or that
    /// something else panicked.
    pub(super) ended: Result<T, String>,
    /// The reports of the kernel, in order.
    pub(super) reports: Vec<String>,
}

impl<T> Attempt<T> {
    /// Runs `main` on a virtual clock, shuts the kernel down and looks for leftovers.
    pub(super) fn run(builder: Builder, main: impl Main<T>) -> Self {
        let reports = Rc::new(RefCell::new(Vec::new()));
        let panicked = Rc::new(Cell::new(false));
        let (sink, noted) = (reports.clone(), panicked.clone());
        let builder = builder.virtual_clock().on_report(move |report| {
            noted.set(noted.get() || is_panic(report));
            sink.borrow_mut().push(report.to_string());
        });
        let kernel = Kernel::or_panic(builder.build());
        let core = kernel.core().clone();
        let ended = catch_unwind(AssertUnwindSafe(|| kernel.run_to_the_end(main)));
        let left = Leftovers::of(&core);
        drop(kernel);
        let ended = match ended {
            Err(payload) => Err(Panic::new(payload).message().to_owned()),
            Ok(_) if left != Leftovers::default() => {
                Err(format!("left behind after the shutdown: {left:?}"))
            }
            // The reports say which.
            Ok(_) if panicked.get() => Err("a panic outside main was not taken".to_owned()),
            Ok(value) => Ok(value),
        };
        let reports = reports.take();
        Attempt { ended, reports }
    }

    /// The failure with the reports of the kernel, if the run failed.
    pub(super) fn failure(self) -> Result<T, String> {
        let Attempt { ended, reports } = self;
        ended.map_err(|mut failure| {
            for report in reports {
                failure.push_str("\nthe kernel reported: ");
                failure.push_str(&report);
            }
            failure
        })
    }
}

/// A failed assertion in a task of the program, or in a destructor, is a failure of the run, too.
/// The sink would hide it.
#[inline]
fn is_panic(report: &Report<'_>) -> bool {
    matches!(
        report,
        Report::Failed(Failure { panicked: true, .. }) | Report::PanicOutsideTask { .. }
    )
}
