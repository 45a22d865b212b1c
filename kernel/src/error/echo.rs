//! Whether an error passes a cancellation on: whether it is its *echo* (C16).

use std::any::Any;
use std::error::Error;
use std::io;
use std::mem::discriminant;

use super::{GroupError, TaskCancelled, TaskTimeout, cancelled};

/// An error that can hold a cancellation: it implements `From<TaskCancelled>`, or it is
/// [`TaskTimeout`]. Timeouts, groups and [`unless_cancelled`](crate::unless_cancelled) ask for it,
/// because they must see whether an error passes a cancellation on.
///
/// Every such type implements this trait.
#[diagnostic::on_unimplemented(
    message = "the error type `{Self}` cannot hold a cancellation",
    label = "this error has no `From<TaskCancelled>`",
    note = "use an error that implements `From<TaskCancelled>`: `TaskCancelled` itself, \
            `io::Error`, a boxed error, `anyhow::Error`, or an enum with `#[from] TaskCancelled`"
)]
pub trait HoldsCancellation: 'static {
    /// Whether this error is the echo of `kept`, of which the kernel has `own` copies. `is` tells
    /// which cancellations mean the same.
    #[doc(hidden)]
    fn echo(&self, kept: &TaskCancelled, own: usize, is: &mut IsSame<'_>) -> Echo;
}

#[diagnostic::do_not_recommend]
impl<E: From<TaskCancelled> + 'static> HoldsCancellation for E {
    fn echo(&self, kept: &TaskCancelled, own: usize, is: &mut IsSame<'_>) -> Echo {
        match holds(self, is) {
            Some(true) => Echo::Held,
            Some(false) => Echo::No,
            None if kept.copies() > own => Echo::Likely,
            None if is_bare(self, kept) => Echo::Bare,
            None => Echo::No,
        }
    }
}

impl HoldsCancellation for TaskTimeout {
    fn echo(&self, _: &TaskCancelled, _: usize, _: &mut IsSame<'_>) -> Echo {
        Echo::No
    }
}

/// An error of any type, for a scope that does not ask for one that can hold a cancellation.
pub(crate) struct Unbound<E>(pub(crate) E);

impl<E: 'static> HoldsCancellation for Unbound<E> {
    fn echo(&self, kept: &TaskCancelled, own: usize, is: &mut IsSame<'_>) -> Echo {
        match holds(&self.0, is) {
            Some(true) => Echo::Held,
            None if kept.copies() > own => Echo::Likely,
            Some(false) | None => Echo::No,
        }
    }
}

/// The errors of a group are the echo of a cancellation if it is the only one of them.
impl<E: HoldsCancellation> HoldsCancellation for GroupError<E> {
    fn echo(&self, kept: &TaskCancelled, own: usize, is: &mut IsSame<'_>) -> Echo {
        if self.others.is_empty() { self.first.echo(kept, own, is) } else { Echo::No }
    }
}

/// Tells whether a cancellation is meant.
pub(crate) type IsSame<'a> = dyn FnMut(&TaskCancelled) -> bool + 'a;

/// Whether an error is the echo of a cancellation.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Echo {
    /// It holds this very cancellation.
    Held,
    /// The kernel cannot inspect its type, and a copy of the cancellation is left.
    Likely,
    /// It is what the program's conversion makes of any cancellation without keeping it.
    Bare,
    /// It passes on the cancellation of an outer scope, and a copy of that is left.
    Outer,
    /// It passes on the cancellation of an outer scope without keeping it.
    OuterBare,
    /// It is a real error.
    No,
}

/// Whether the error is of the variant that the conversion makes of a cancellation, although the
/// variant does not keep it.
pub(crate) fn is_bare<E: From<TaskCancelled>>(error: &E, kept: &TaskCancelled) -> bool {
    let before = kept.copies();
    let probe = E::from(kept.clone());
    // A conversion that keeps the copy proves nothing about an error without one.
    kept.copies() == before && discriminant(&probe) == discriminant(error)
}

/// Whether the error holds a cancellation that `is` accepts. `None` if the kernel cannot inspect
/// its type.
pub(crate) fn holds(error: &dyn Any, is: &mut IsSame<'_>) -> Option<bool> {
    Some(cancelled(as_known(error)?).is_some_and(is))
}

/// The error as a trait object, if the kernel can inspect its type.
fn as_known(error: &dyn Any) -> Option<&(dyn Error + 'static)> {
    if let Some(error) = error.downcast_ref::<TaskCancelled>() {
        Some(error)
    } else if let Some(error) = error.downcast_ref::<TaskTimeout>() {
        Some(error)
    } else if let Some(error) = error.downcast_ref::<io::Error>() {
        Some(error)
    } else if let Some(error) = error.downcast_ref::<Box<dyn Error + Send + Sync>>() {
        Some(&**error)
    } else if let Some(error) = error.downcast_ref::<Box<dyn Error + Send>>() {
        Some(&**error)
    } else if let Some(error) = error.downcast_ref::<Box<dyn Error>>() {
        Some(&**error)
    } else {
        None
    }
}
