//! A task's future and, after it ends, its output: one boxed value behind a type-erased trait.
//!
//! The box of an ended task may be used again for the next future of the same type. So a program
//! that repeatedly spawns futures of one type does not allocate for each.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use crate::error::TaskCancelled;

/// What a task may return: `Result<T, E>`, and for a member of a group also `()`.
///
/// Sealed: no other type implements it.
#[diagnostic::on_unimplemented(
    message = "a member of a `TaskGroup<{E}>` returns `Result<_, {E}>` or `()`, not `{Self}`",
    label = "this future gives `{Self}`",
    note = "end the async block with `Ok(value)`; the error of another type passes with `?` if \
            `{E}` has a `From` of it"
)]
pub trait TaskOutput<E>: sealed::Sealed<E> + 'static {
    /// What `join` returns when the task ended with a value.
    type Value: 'static;

    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value, E>;
}

mod sealed {
    pub trait Sealed<E> {}
    impl<T, E> Sealed<E> for Result<T, E> {}
    impl<E> Sealed<E> for () {}
}

impl<T: 'static, E: 'static> TaskOutput<E> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Result<T, E> {
        self
    }
}

impl<E: 'static> TaskOutput<E> for () {
    type Value = ();

    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

/// How the future of a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Ok,
    Err,
}

/// A task's future or output behind a type-erased interface.
pub(crate) trait Body {
    /// Polls the future. When it ends, stores the output and drops the future.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict>;
    /// Moves the output into `out`, which is an `&mut Option<Result<T, E>>`.
    fn take_output(self: Pin<&mut Self>, out: &mut dyn Any);
    /// Whether the error is the cancellation with this identity. `None` if it is not a
    /// `TaskCancelled` itself.
    fn is_cancellation(self: Pin<&mut Self>, identity: usize) -> Option<bool>;
    /// The output, if the future has ended and its output was not taken.
    fn output(self: Pin<&mut Self>) -> Option<&mut dyn Output>;
    /// Drops the future or the output.
    fn clear(self: Pin<&mut Self>);
    /// Moves the future out of `next`, an `&mut Option<F>`, into this body, if the body was made
    /// for futures of type `F`. Returns whether it was moved.
    fn refill(self: Pin<&mut Self>, next: &mut dyn Any) -> bool;
}

/// What a task has returned, behind a type-erased interface. It is apart from [`Body`], so that it
/// is compiled once for each type of output, and not for each future.
pub(crate) trait Output {
    /// Moves the error into `out`, which is an `&mut Option<E>`. A value stays where it is.
    fn take_error(&mut self, out: &mut dyn Any);
    fn error(&self) -> Option<&dyn Any>;
    /// The error as text, for a report.
    fn error_text(&self) -> Option<String>;
}

impl<T, E: fmt::Debug + 'static> Output for Option<Result<T, E>> {
    fn take_error(&mut self, out: &mut dyn Any) {
        if let (Some(out), Some(Err(_))) = (out.downcast_mut::<Option<E>>(), &self) {
            *out = self.take().and_then(Result::err);
        }
    }

    fn error(&self) -> Option<&dyn Any> {
        match self {
            Some(Err(error)) => Some(error),
            _ => None,
        }
    }

    fn error_text(&self) -> Option<String> {
        match self {
            Some(Err(error)) => Some(format!("{error:?}")),
            _ => None,
        }
    }
}

pin_project! {
    /// The states of a body. `poll`: `Running` → `Ended`; `take_*`, `clear`: → `Empty`;
    /// `refill`: → `Running`.
    #[project = SlotProjection]
    pub(crate) enum Slot<F, T, E> {
        Running { #[pin] future: F },
        Ended { output: Option<Result<T, E>> },
        Empty,
    }
}

impl<F, T, E> Body for Slot<F, T, E>
where
    F: Future + 'static,
    F::Output: TaskOutput<E, Value = T>,
    T: 'static,
    E: fmt::Debug + 'static,
{
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        let SlotProjection::Running { future } = self.as_mut().project() else {
            unreachable!("only a running body is polled");
        };
        let Poll::Ready(output) = future.poll(cx) else {
            return Poll::Pending;
        };
        let output = output.into_result();
        let verdict = if output.is_ok() { Verdict::Ok } else { Verdict::Err };
        self.set(Slot::Ended { output: Some(output) });
        Poll::Ready(verdict)
    }

    fn take_output(self: Pin<&mut Self>, out: &mut dyn Any) {
        if let SlotProjection::Ended { output } = self.project() {
            if let Some(out) = out.downcast_mut::<Option<Result<T, E>>>() {
                *out = output.take();
            }
        }
    }

    fn is_cancellation(self: Pin<&mut Self>, identity: usize) -> Option<bool> {
        let SlotProjection::Ended { output: Some(Err(error)) } = self.project() else {
            return None;
        };
        // The type is compared at compile time.
        let error: &dyn Any = error;
        Some(error.downcast_ref::<TaskCancelled>()?.identity() == identity)
    }

    fn output(self: Pin<&mut Self>) -> Option<&mut dyn Output> {
        match self.project() {
            SlotProjection::Ended { output } => Some(output),
            _ => None,
        }
    }

    fn clear(mut self: Pin<&mut Self>) {
        self.set(Slot::Empty);
    }

    fn refill(mut self: Pin<&mut Self>, next: &mut dyn Any) -> bool {
        let Some(next) = next.downcast_mut::<Option<F>>() else {
            return false;
        };
        match next.take() {
            Some(future) => {
                self.set(Slot::Running { future });
                true
            }
            None => false,
        }
    }
}
