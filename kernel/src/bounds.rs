//! The bounds of `run` and `scope`, with messages for the compiler to show.
//!
//! Each is a trait of its own, because a message can be put on a trait only. `do_not_recommend` on
//! a blanket implementation makes the compiler report the trait and its message instead of the
//! bound of the implementation.

use crate::group_ref::GroupRef;

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

/// What [`TaskGroup::scope`](crate::TaskGroup::scope) takes: `async |g| ..`, or
/// `|g| async move ..`.
///
/// Every such closure implements this trait. A generic function that passes its parameter on to
/// `scope` has this trait as the bound, because `AsyncFnOnce` does not imply `FnOnce`.
#[diagnostic::on_unimplemented(
    message = "the body of a group is an async closure that takes the group, `async |g| {{ .. }}`, \
               and returns `Result<_, {E}>`",
    label = "not an async closure that takes the group",
    note = "a closure that returns a future, `|g| async move {{ .. }}`, works too"
)]
// `FnOnce` is there for the type of `g` in `|g| async move ..`: the compiler takes the parameters
// of a plain closure from the `Fn` traits only.
pub trait ScopeBody<T, E>:
    AsyncFnOnce(GroupRef<E>) -> Result<T, E> + FnOnce(GroupRef<E>) -> <Self as ScopeBody<T, E>>::Fut
{
    #[doc(hidden)]
    type Fut;
}

#[diagnostic::do_not_recommend]
impl<T, E, B, F> ScopeBody<T, E> for B
where
    B: AsyncFnOnce(GroupRef<E>) -> Result<T, E> + FnOnce(GroupRef<E>) -> F,
{
    type Fut = F;
}
