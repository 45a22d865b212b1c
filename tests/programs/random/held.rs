//! Which cancellation an error holds, and how many copies the program has of it.
//!
//! The model knows the number of each delivered cancellation, and keeps no copy of it, because a
//! copy that it kept would make every opaque error an echo. Each copy that the program holds is a
//! [`Carried`], and all of one cancellation share a count. So the model sees whether one is left.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernel::{CancelReason, TaskCancelled, TaskId};

use super::model::Fault;
use super::program::Shape;

/// Which cancellation that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) id: usize,
    pub(crate) reason: CancelReason,
}

impl Held {
    pub(crate) fn of(cancelled: &TaskCancelled) -> Self {
        Held { id: cancelled.identity(), reason: cancelled.reason() }
    }

    /// The cancellation of a child, requested by that task.
    pub(crate) fn is_of_child(self, by: Option<TaskId>) -> bool {
        by.is_some() && self.reason == CancelReason::Requested { by }
    }
}

/// What an error shows of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holds {
    /// The kernel can inspect its type.
    Seen(Option<Held>),
    Opaque,
    /// It is what its type makes of a cancellation without keeping it.
    Bare,
}

impl Holds {
    pub(crate) fn of(error: &Fault) -> Self {
        Holds::Seen(kernel::cancelled(&**error).map(Held::of))
    }

    /// What is to be seen of it in an error of that shape.
    pub(crate) fn shaped(error: &Fault, shape: Shape) -> Self {
        match shape {
            Shape::Known => Holds::of(error),
            Shape::Bare if error.is::<Emptied>() => Holds::Bare,
            Shape::Bare | Shape::Opaque => Holds::Opaque,
        }
    }
}

/// A copy of a cancellation, as the program passes it on.
#[derive(Debug)]
pub(crate) struct Carried {
    cancelled: TaskCancelled,
    pub(super) copies: Arc<AtomicUsize>,
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.copies.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Carried {
    pub(crate) fn held(&self) -> Held {
        Held::of(&self.cancelled)
    }
}

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cancelled)
    }
}

impl Error for Carried {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cancelled)
    }
}

/// A cancellation was passed on as an error that does not keep it.
#[derive(Debug)]
pub(crate) struct Emptied;

impl fmt::Display for Emptied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled, and no more is known")
    }
}

impl Error for Emptied {}

/// How many copies the program has of each cancellation. A later cancellation may have the number
/// of one of which no copy is left.
#[derive(Default)]
pub(crate) struct Copies(RefCell<HashMap<usize, Arc<AtomicUsize>>>);

impl Copies {
    /// The program has got a copy.
    pub(crate) fn carry(&self, cancelled: TaskCancelled) -> Carried {
        let mut all = self.0.borrow_mut();
        let copies = all.entry(cancelled.identity()).or_default().clone();
        copies.fetch_add(1, Ordering::Relaxed);
        Carried { cancelled, copies }
    }
}
