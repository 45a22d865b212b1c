//! The reports of a kernel.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kernel::{Builder, Kernel, Report, testing};

/// Runs `main` on the virtual clock; gives its value, and what `pick` took of each report.
pub(crate) fn picked<R: 'static, T>(
    builder: Builder,
    pick: impl Fn(&Report<'_>) -> Option<R> + 'static,
    main: impl AsyncFnOnce() -> T,
) -> (T, Vec<R>) {
    let picked = Rc::new(RefCell::new(Vec::new()));
    let sink = picked.clone();
    let builder = builder.on_report(move |report| {
        let of_this = pick(report);
        sink.borrow_mut().extend(of_this);
    });
    let value = testing::run_with(builder, main);
    (value, picked.take())
}

/// The text of every report.
pub(crate) fn texts<T>(main: impl AsyncFnOnce() -> T) -> (T, Vec<String>) {
    picked(Kernel::builder(), |report| Some(report.to_string()), main)
}

/// The errors of the failures that were reported.
pub(crate) fn failures<T>(main: impl AsyncFnOnce() -> T) -> (T, Vec<String>) {
    let error = |report: &Report<'_>| match report {
        Report::Failed(failure) => Some(failure.error.to_string()),
        _ => None,
    };
    picked(Kernel::builder(), error, main)
}

/// By how much each late body overran its timeout; no other report may come.
pub(crate) fn overruns<T>(main: impl AsyncFnOnce() -> T) -> (T, Vec<Duration>) {
    let overrun = |report: &Report<'_>| match report {
        Report::Overran { by, .. } => Some(*by),
        other => panic!("not expected: {other}"),
    };
    picked(Kernel::builder(), overrun, main)
}
