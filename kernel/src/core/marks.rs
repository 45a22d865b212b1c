//! The marks of a poll: what its leaves have noted for the time when it ends.
//!
//! The marks are a cell of the thread's context. They are apart from `current.rs` because they say
//! nothing about the task that runs, only what the run loop must do when the poll returns.

use std::task::Waker;

use crate::core::current::{CONTEXT, is_own, with_polled_task};
use crate::parts::held::Taker;
use crate::task::state::Flags;

/// The task is to be queued again when this poll ends. The same bit as the flag of the task.
const AGAIN: u32 = Flags::QUEUED;
/// A leaf has put its record into the slot of the task in this poll. The same bit as the flag of
/// the task.
const RECORDED: u32 = Flags::PARKED;

/// That leaf is inside timeouts that are not open. The same bit as the flag of the task.
const LIMITED: u32 = Flags::LIMITED;

const _: () = assert!((AGAIN | RECORDED | LIMITED) <= u8::MAX as u32, "see `end_poll`");

/// The task that is being polled on this thread, of any kernel. Unknown between polls and outside a
/// kernel.
#[inline]
pub(crate) fn taker() -> Taker {
    CONTEXT.with(|context| Taker { task: context.name.get(), kernel: context.polled_in.get() })
}

/// Queues the task that is being polled again when its poll ends, if `waker` is its own.
#[inline]
pub(crate) fn again(waker: &Waker) -> bool {
    let own = is_own(waker);
    if own {
        go_again();
    }
    own
}

/// Queues the task that is being polled again when its poll ends.
#[inline]
pub(crate) fn go_again() {
    CONTEXT.with(|context| context.marks.set(context.marks.get() | AGAIN));
}

/// Whether a leaf has put its record into the slot of the task in this poll.
#[inline]
pub(crate) fn has_recorded() -> bool {
    CONTEXT.with(|context| context.marks.get() & RECORDED != 0)
}

/// Notes that a leaf has put its record into the slot of the task, or has removed it.
#[inline]
pub(crate) fn set_recorded(recorded: bool) {
    CONTEXT.with(|context| {
        let others = context.marks.get() & !(RECORDED | LIMITED);
        context.marks.set(if recorded { others | RECORDED } else { others });
    });
}

/// Whether the leaf whose record is in the slot of the task is inside timeouts that are not open.
pub(crate) fn is_limited() -> bool {
    CONTEXT.with(|context| context.marks.get() & LIMITED != 0)
}

/// Notes that the leaf whose record is in the slot of the polled task is inside a timeout that is
/// not open.
#[inline]
pub(crate) fn limit_record(deadline: u64) {
    let before = is_limited();
    with_polled_task(|task| {
        let earliest = if before { task.limit().min(deadline) } else { deadline };
        task.set_limit(earliest);
    });
    CONTEXT.with(|context| context.marks.set(context.marks.get() | LIMITED));
}

/// The marks that the leaves of a poll have set.
#[derive(Clone, Copy)]
pub(crate) struct Marks(u8);

impl Marks {
    /// Whether the task is to be queued again.
    #[inline]
    pub(crate) fn again(self) -> bool {
        self.flags() & AGAIN != 0
    }

    /// The same marks without the record, which has been moved to another place.
    pub(crate) fn without_record(self) -> Self {
        Marks(self.0 & !((RECORDED | LIMITED) as u8))
    }

    /// `Flags::PARKED` if a leaf has left its record, and `Flags::LIMITED` if that is in timeouts
    /// that are not open.
    #[inline]
    pub(crate) fn parked(self) -> u32 {
        self.flags() & (RECORDED | LIMITED)
    }

    /// The same, and `Flags::QUEUED` if the task is to be queued again.
    #[inline]
    pub(crate) fn flags(self) -> u32 {
        self.0.into()
    }
}

/// The marks that the leaves of the poll have set.
#[inline]
pub(crate) fn end_poll() -> Marks {
    // A load of one byte, because the compiler stores one byte when a mark is set: see store
    // forwarding in `task/state.rs`.
    CONTEXT.with(|context| Marks(context.marks.get() as u8))
}
