//! The bounds of `run`, `spawn` and the timeouts, with messages for the compiler to show. The bound
//! of `scope` is in `group/bounds.rs`.
//!
//! Each bound is a trait of its own, because only a trait can have a message. `do_not_recommend` on
//! a blanket implementation makes the compiler report the trait and its message instead of the
//! bound of the implementation.

use std::fmt;

use crate::error::TaskCancelled;
use crate::task::body::TaskOutput;

/// What [`run`](crate::run) takes: an async function without parameters, an async closure, or a
/// closure that returns a future. It may borrow from its surroundings.
///
/// Every such function implements this trait.
#[diagnostic::on_unimplemented(
    message = "`run` takes an async function or closure, which it calls itself, not `{Self}`",
    label = "not an async function without parameters",
    note = "pass the function: `run(parent)` instead of `run(parent())`",
    note = "or an async closure: `run(async || {{ .. }})` instead of `run(async {{ .. }})`"
)]
pub trait Main<T>: AsyncFnOnce() -> T {}

#[diagnostic::do_not_recommend]
impl<T, F> Main<T> for F where F: AsyncFnOnce() -> T {}

/// The output of the future given to [`spawn`](crate::spawn): a `Result` whose error implements
/// `Debug`, or `()` if the task cannot fail.
///
/// Sealed: no other type implements it.
// The error is an associated type and not a parameter of `spawn`. So a compiler that cannot infer
// it points at the `Ok(..)` of the async block.
#[diagnostic::on_unimplemented(
    message = "a task returns a `Result` or `()`, and this future gives `{Self}`",
    label = "this future gives `{Self}`",
    note = "end the async block with `Ok::<_, TaskCancelled>(value)`, or with the error type that \
            its `?` needs",
    note = "a block that never ends, such as a `loop`, needs its type: `spawn::<_, Result<(), \
            TaskCancelled>>(..)`"
)]
pub trait SpawnOutput: TaskOutput<<Self as SpawnOutput>::Error> {
    /// The error that the task may return.
    type Error: fmt::Debug + 'static;
}

impl<T: 'static, E: fmt::Debug + 'static> SpawnOutput for Result<T, E> {
    type Error = E;
}

/// The error type is [`TaskCancelled`], because the caller of `task.await` may be cancelled.
impl SpawnOutput for () {
    type Error = TaskCancelled;
}

/// The output of the body of [`timeout_after`](crate::timeout_after): a `Result`.
///
/// Sealed: no other type implements it.
#[diagnostic::on_unimplemented(
    message = "the body of a timeout returns a `Result`, and this one gives `{Self}`",
    label = "this future gives `{Self}`",
    note = "end the async block with `Ok::<_, TaskCancelled>(value)`, or with the error type that \
            its `?` needs"
)]
pub trait TimeoutOutput: sealed::Sealed {
    /// The error that the body may return.
    type Error;
}

impl<T, E> TimeoutOutput for Result<T, E> {
    type Error = E;
}

mod sealed {
    pub trait Sealed {}
    impl<T, E> Sealed for Result<T, E> {}
}
