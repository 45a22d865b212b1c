//! The counter of cancellations (`cancel.rs`). Its values also tell the kernel, because the counter
//! of each kernel begins in a range of its own. So a parked leaf finds its kernel again by the
//! value that it has stored, and keeps no reference to it.
//!
//! A range has 2^44 values, which last for half a year at a million a second, and there are 2^19
//! ranges. A counter that leaves its range, or a kernel that begins in the range of an earlier one,
//! does harm only if both kernels exist on one thread, and a parked leaf moves between them or is
//! dropped while the other one runs: it then counts as parked in the wrong one.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use crate::core::current;
use crate::core::state::Core;

/// The counter of a kernel.
pub(super) struct CancelSeq {
    first: u64,
    now: Cell<u64>,
}

thread_local! {
    /// The kernels of this thread, each with the first value of its counter.
    static KERNELS: RefCell<Vec<(u64, Weak<Core>)>> = const { RefCell::new(Vec::new()) };
}

impl CancelSeq {
    /// The counter of the kernel with that number. No value has the highest bit, and none is 0.
    pub(super) fn new(number: u32) -> Self {
        let first = (u64::from(number % (1 << 19)) << 44) + 1;
        CancelSeq { first, now: Cell::new(first) }
    }
}

impl Drop for CancelSeq {
    fn drop(&mut self) {
        let _ = KERNELS.try_with(|kernels| {
            let mut kernels = kernels.borrow_mut();
            kernels.retain(|(first, _)| *first != self.first);
            if kernels.is_empty() {
                *kernels = Vec::new();
            }
        });
    }
}

impl Core {
    /// Makes the kernel one of those that [`kernel_of`] finds.
    pub(super) fn enlist(self: &Rc<Self>) {
        let entry = (self.cancel_seq.first, Rc::downgrade(self));
        // While the thread ends there is no list, and then no leaf is shown for long.
        let _ = KERNELS.try_with(|kernels| kernels.borrow_mut().push(entry));
    }

    /// The counter of cancellations. A leaf stores its value when it parks (`core/cancel.rs`).
    #[inline]
    pub(crate) fn cancel_seq(&self) -> u64 {
        self.cancel_seq.now.get()
    }

    pub(crate) fn next_cancel_seq(&self) -> u64 {
        let next = self.cancel_seq.now.get() + 1;
        self.cancel_seq.now.set(next);
        next
    }

    /// Whether the counter of this kernel has had that value. False for 0.
    #[inline]
    pub(crate) fn has_counted(&self, seq: u64) -> bool {
        let CancelSeq { first, now } = &self.cancel_seq;
        now.get().wrapping_sub(seq) <= now.get() - first
    }
}

/// Runs `f` with the kernel whose counter has had that value, if it is one of this thread and still
/// exists. Like the functions of `current.rs`, for kernel code only.
#[inline]
pub(crate) fn kernel_of<R>(seq: u64, f: impl Fn(&Core) -> R) -> Option<R> {
    let here = current::try_with(|core| core.has_counted(seq).then(|| f(core))).flatten();
    if here.is_some() { here } else { away(seq).map(|core| f(&core)) }
}

/// The same kernel if it is not the current one: a guest between its turns, or one whose future has
/// moved into another.
#[cold]
#[inline(never)]
fn away(seq: u64) -> Option<Rc<Core>> {
    let found = KERNELS.try_with(|kernels| {
        let kernels = kernels.borrow();
        let mut all = kernels.iter().filter_map(|(_, core)| core.upgrade());
        all.find(|core| core.has_counted(seq))
    });
    found.ok().flatten()
}
