//! The bound of `finally`, with a message for the compiler to show; see `task/bounds.rs`.

/// What the cleanup of [`finally`](fn@crate::finally) returns: `Result<(), E>`, with the error type
/// of the body, or `()`.
///
/// Sealed: no other type implements it.
#[diagnostic::on_unimplemented(
    message = "the cleanup of `finally` returns `Result<(), {E}>` or `()`, and this one gives \
               `{Self}`",
    label = "this cleanup gives `{Self}`",
    note = "its error is that of the body; `map_err` or `?` converts it"
)]
pub trait CleanupOutput<E>: sealed::Sealed {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), E>;
}

impl<E> CleanupOutput<E> for () {
    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

impl<E> CleanupOutput<E> for Result<(), E> {
    fn into_result(self) -> Result<(), E> {
        self
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for () {}
    impl<E> Sealed for Result<(), E> {}
}
