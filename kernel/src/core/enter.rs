//! The current kernel of the thread.
use std::rc::Rc;

use crate::core::current::{Address, CONTEXT, NO_WAKER, try_with};
use crate::core::state::Core;
use crate::parts::scopes::Ambient;

/// While this value exists, its kernel is the current one of the thread.
pub(crate) struct Entered {
    outer: Option<Rc<Core>>,
    waker: Address,
    ambient: Ambient,
}

impl Entered {
    /// Makes `core` current. Only `Kernel` and `Core::abort` do this. `Kernel::run` refuses to run
    /// when another kernel is current. But a kernel may be dropped, or a task of it aborted, while
    /// another kernel is current. Then this value keeps the other kernel, and the waker and the
    /// ambient of its current poll, until it is dropped.
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        let outer = swap(Some(core.clone()));
        CONTEXT.with(|context| {
            let (waker, ambient) = (context.waker.get(), context.ambient.get());
            context.offer(NO_WAKER, Ambient::CLEAR);
            Entered { outer, waker, ambient }
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
        CONTEXT.with(|context| context.offer(self.waker, self.ambient));
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
    CONTEXT.with(|context| std::mem::replace(&mut **context.kernel.borrow_mut(), next))
}
