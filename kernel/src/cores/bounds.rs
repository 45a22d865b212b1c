//! The bounds of `kernels`, with messages for the compiler to show; see `task/bounds.rs`.

use crate::cores::core::Core;

/// What [`kernels`](crate::kernels) takes: an async function or closure of the [`Core`] that runs
/// it. It may borrow from its surroundings.
///
/// Every such function implements this trait.
#[diagnostic::on_unimplemented(
    message = "`kernels` takes an async function or closure of the core, which each core calls, \
               not `{Self}`",
    label = "not an async function of a `Core`",
    note = "pass the function, `kernels(2, serve)`, or an async closure: \
            `kernels(2, async |core| {{ .. }})`"
)]
pub trait CoreMain<R>: AsyncFn(Core) -> R {}

#[diagnostic::do_not_recommend]
impl<R, F> CoreMain<R> for F where F: AsyncFn(Core) -> R {}

/// The output of the main function of a core: a `Result`.
///
/// Sealed: no other type implements it.
// As with `SpawnOutput`, the error is an associated type, so that a compiler that cannot infer it
// points at the `Ok(..)` of the function.
#[diagnostic::on_unimplemented(
    message = "the main function of a core returns a `Result`, and this one gives `{Self}`",
    label = "this function gives `{Self}`",
    note = "end it with `Ok::<_, TaskCancelled>(value)`, or with the error type that its `?` needs"
)]
pub trait CoreOutput: sealed::Sealed {
    /// What [`kernels`](crate::kernels) returns of this core.
    type Value;
    /// The error that the function may return.
    type Error;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value, Self::Error>;
}

impl<T, E> CoreOutput for Result<T, E> {
    type Value = T;
    type Error = E;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl<T, E> Sealed for Result<T, E> {}
}
