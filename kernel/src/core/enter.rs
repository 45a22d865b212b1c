//! Which kernel is the current one of a thread, and the panics of calls where none is.
//!
//! It is apart from `current.rs` because a kernel becomes current once for a whole run, and the
//! panics show a fault of the program.

use std::panic::Location;
use std::rc::Rc;

use crate::core::current::{Address, CONTEXT, NO_WAKER, try_with};
use crate::core::polled::Notes;
use crate::core::state::Core;
use crate::parts::scopes::Ambient;
use crate::parts::timers::TimerKey;

/// While this value exists, its kernel is the current one of the thread.
pub(crate) struct Entered {
    outer: Option<Rc<Core>>,
    waker: Address,
    ambient: Ambient,
    unopened: (u32, u32, u32),
    timeout: (u64, Option<TimerKey>),
    notes: Notes,
}

impl Entered {
    /// Makes `core` current. Only `Kernel` and `Core::abort` do this. `Kernel::run` refuses to run
    /// when another kernel is current. But a kernel may be dropped, or a task of it aborted, while
    /// another kernel is current. Then this value keeps the other kernel, and the waker and the
    /// scopes of its current poll, until it is dropped.
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        let outer = swap(Some(core.clone()));
        CONTEXT.with(|context| {
            let (waker, ambient) = (context.waker.get(), context.ambient.get());
            let unopened = (
                context.unopened.replace(0),
                context.hiding.replace(0),
                context.unstacked.replace(0),
            );
            let timeout = (context.deadline.get(), context.timer.get());
            context.offer(NO_WAKER, Ambient::CLEAR);
            let notes = context.notes.replace(Notes::Unwanted);
            Entered { outer, waker, ambient, unopened, timeout, notes }
        })
    }

    /// Makes `core` current, unless it already is.
    pub(crate) fn unless_current(core: &Rc<Core>) -> Option<Self> {
        (!is_current(core)).then(|| Entered::new(core))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // `inner` may be the last reference to its kernel, so it is dropped below, outside the
        // borrow of the thread-local.
        let inner = swap(self.outer.take());
        CONTEXT.with(|context| {
            let (unopened, hiding, unstacked) = self.unopened;
            context.unopened.set(unopened);
            context.hiding.set(hiding);
            context.unstacked.set(unstacked);
            context.deadline.set(self.timeout.0);
            context.timer.set(self.timeout.1);
            context.notes.set(self.notes);
            context.offer(self.waker, self.ambient);
        });
        // The polled task of the outer kernel may have been cancelled in between.
        let outer = try_with(Rc::clone);
        if let Some(outer) = outer {
            outer.refresh();
        }
        drop(inner);
    }
}

/// Whether that kernel is the current one.
pub(crate) fn is_current(core: &Core) -> bool {
    try_with(|current| std::ptr::eq(&**current, core)) == Some(true)
}

fn swap(next: Option<Rc<Core>>) -> Option<Rc<Core>> {
    CONTEXT.with(|context| {
        if let Some(next) = &next {
            context.number.set(next.number);
        }
        std::mem::replace(&mut **context.kernel.borrow_mut(), next)
    })
}

/// Runs `f` with the kernel of this thread.
///
/// # Panics
///
/// Panics if no kernel is running. The message contains `what`, the name of the call, and the
/// location is that of the caller.
#[track_caller]
#[inline]
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

/// The same for a future that was made at `site`. The location of the panic is where it is awaited.
#[cold]
#[track_caller]
pub(crate) fn outside_at(what: &str, site: &Location<'_>) -> ! {
    panic!(
        "{what} at {site} was polled outside a kernel; await it in a task, that is inside \
         `kernel::run(async || ...)`"
    );
}
