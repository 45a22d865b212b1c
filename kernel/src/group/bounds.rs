//! The bound of `scope`, with a message for the compiler to show; see `task/bounds.rs`.

use crate::group::handle::GroupRef;

/// What [`TaskGroup::scope`](crate::TaskGroup::scope) takes: `async |g| ..`, or
/// `|g| async move ..`.
///
/// Every such closure implements this trait. A generic function that passes a closure on to `scope`
/// needs this trait as the bound, because `AsyncFnOnce` does not imply `FnOnce`.
#[diagnostic::on_unimplemented(
    message = "the body of a group is an async closure that takes the group, `async |g| {{ .. }}`, \
               and returns `Result<_, {E}>`",
    label = "not an async closure that takes the group",
    note = "a closure that returns a future, `|g| async move {{ .. }}`, works too"
)]
// `FnOnce` is needed for the type of `g` in `|g| async move ..`: the compiler infers the parameters
// of a plain closure only from the `Fn` traits.
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
