//! Which kernel of this thread is the current one.
use std::rc::Rc;

use crate::core::current::{Address, CONTEXT, NO_WAKER, try_with};
use crate::core::state::Core;
use crate::parts::scopes::Ambient;

/// While this lives, its kernel is the current one of the thread.
pub(crate) struct Entered {
    outer: Option<Rc<Core>>,
    waker: Address,
    ambient: Ambient,
}

impl Entered {
    /// Makes `core` current. Only `Kernel` and `Core::abort` do this, and `Kernel::run` refuses
    /// when another kernel is current; dropping a kernel inside another one is allowed, hence
    /// `outer`, and the waker and the ambient of the poll that goes on there are hidden meanwhile.
    pub(crate) fn new(core: &Rc<Core>) -> Self {
        let outer = swap(Some(core.clone()));
        CONTEXT.with(|context| {
            let (waker, ambient) = (context.waker.get(), context.ambient.get());
            context.offer(NO_WAKER, Ambient::CLEAR);
            Entered { outer, waker, ambient }
        })
    }

    /// Makes `core` current, unless it is.
    pub(crate) fn unless_current(core: &Rc<Core>) -> Option<Self> {
        (!is_current(core)).then(|| Entered::new(core))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // The kernel may drop with the last reference: outside the thread-local's borrow.
        let inner = swap(self.outer.take());
        CONTEXT.with(|context| context.offer(self.waker, self.ambient));
        // What was hidden may have been cancelled meanwhile.
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
