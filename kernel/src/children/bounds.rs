//! The bound of `scope`, with a message for the compiler to show; see `task/bounds.rs`.

use crate::children::scope::Scope;

/// What [`scope`](crate::scope) takes: `async |s| ..`, or `|s| async move ..`.
///
/// Every such closure implements this trait. A generic function that passes a closure on to `scope`
/// needs this trait as the bound, because `AsyncFnOnce` does not imply `FnOnce`.
#[diagnostic::on_unimplemented(
    message = "the body of a scope is an async closure that takes the scope, `async |s| {{ .. }}`, \
               and returns `Result<_, {E}>`",
    label = "not an async closure that takes the scope",
    note = "a closure that returns a future, `|s| async move {{ .. }}`, works too"
)]
// `FnOnce` is needed for the type of `s` in `|s| async move ..`; see `group/bounds.rs`.
pub trait ChildrenBody<'env, T, E>:
    AsyncFnOnce(Scope<'env, E>) -> Result<T, E>
    + FnOnce(Scope<'env, E>) -> <Self as ChildrenBody<'env, T, E>>::Fut
{
    #[doc(hidden)]
    type Fut;
}

#[diagnostic::do_not_recommend]
impl<'env, T, E, B, F> ChildrenBody<'env, T, E> for B
where
    B: AsyncFnOnce(Scope<'env, E>) -> Result<T, E> + FnOnce(Scope<'env, E>) -> F,
{
    type Fut = F;
}

/// What a child of a scope may return: `Result<T, E>`, or `()` if it cannot fail.
///
/// Sealed: no other type implements it.
#[diagnostic::on_unimplemented(
    message = "a child of a `Scope<{E}>` returns `Result<_, {E}>` or `()`, not `{Self}`",
    label = "this future gives `{Self}`",
    note = "end the async block with `Ok(value)`; the error of another type passes with `?` if \
            `{E}` has a `From` of it"
)]
pub trait ChildOutput<E>: sealed::Sealed<E> {
    /// What `join` returns when the child ended with a value.
    type Value;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value, E>;
}

mod sealed {
    pub trait Sealed<E> {}
    impl<T, E> Sealed<E> for Result<T, E> {}
    impl<E> Sealed<E> for () {}
}

impl<T, E> ChildOutput<E> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

impl<E> ChildOutput<E> for () {
    type Value = ();

    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}
