//! The one door from user code into the kernel of this thread.
//!
//! A leaf, `spawn`, a waker that fires on the kernel's own thread: all of them come in here, and
//! nowhere else. The thread-local is constant and has no destructor, so reaching for it is one
//! load, and it is still there when other thread-locals are gone (a wake from a late destructor is
//! a no-op, not a panic).
//!
//! Invariant *no user code under a kernel borrow*: the closures given to [`with`] and [`try_with`]
//! run kernel code only. They may nest, but they never poll, wake a foreign waker, drop a future or
//! call back into a program.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::rc::Rc;

use crate::core::Core;

/// `ManuallyDrop` takes the destructor away; [`Entered`] empties the slot instead.
type Slot = RefCell<ManuallyDrop<Option<Rc<Core>>>>;

thread_local! {
    static DOOR: Slot = const { RefCell::new(ManuallyDrop::new(None)) };
}

/// Runs `f` with the kernel that is running on this thread, if there is one.
pub(crate) fn try_with<R>(f: impl FnOnce(&Rc<Core>) -> R) -> Option<R> {
    DOOR.with(|door| door.borrow().as_ref().map(f))
}

/// Runs `f` with the kernel that is running on this thread.
///
/// # Panics
///
/// When there is none: the message names `what` was called, and the location is the caller's.
#[track_caller]
pub(crate) fn with<R>(what: &str, f: impl FnOnce(&Rc<Core>) -> R) -> R {
    match try_with(f) {
        Some(value) => value,
        None => outside(what),
    }
}

#[cold]
#[track_caller]
pub(crate) fn outside(what: &str) -> ! {
    panic!(
        "{what} was called outside a kernel; call it in a task, that is inside \
         `kernel::run(async || ...)`"
    );
}

/// The same, where the caller's place is known only by value.
#[cold]
pub(crate) fn outside_at(what: &str, site: &Location<'_>) -> ! {
    panic!(
        "{what} at {site} was polled outside a kernel; await it in a task, that is inside \
         `kernel::run(async || ...)`"
    );
}

/// While this lives, its kernel is the current one of the thread.
pub(crate) struct Entered {
    outer: Option<Rc<Core>>,
}

impl Entered {
    /// Makes `core` current. Only `Kernel` and `Core::abort` do this, and `Kernel::run` refuses
    /// when another kernel is current; dropping a kernel inside another one is allowed, hence
    /// `outer`.
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        Entered { outer: swap(Some(core.clone())) }
    }

    /// Makes `core` current, unless it is.
    pub(crate) fn unless_current(core: &Rc<Core>) -> Option<Self> {
        let current = try_with(|current| Rc::ptr_eq(current, core)).unwrap_or(false);
        (!current).then(|| Entered::new(core))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // The kernel may drop with the last reference: outside the thread-local's borrow.
        let inner = swap(self.outer.take());
        drop(inner);
    }
}

fn swap(next: Option<Rc<Core>>) -> Option<Rc<Core>> {
    DOOR.with(|door| std::mem::replace(&mut **door.borrow_mut(), next))
}
