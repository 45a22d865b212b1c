//! The bounds of `run`, with messages for the compiler to show.
//!
//! Each is a trait of its own, because a message can be put on a trait only. `do_not_recommend` on
//! a blanket implementation makes the compiler report the trait and its message instead of the
//! bound of the implementation.

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
