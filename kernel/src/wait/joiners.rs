//! The tasks that wait for the end of another task: how each enters its list and leaves it.
//!
//! It is apart from `join.rs` because a `join` of a task that has ended needs no list.

use std::task::{Context, Poll};

use crate::core::current;
use crate::core::queue::WaitSlot;
use crate::core::state::TaskRef;
use crate::task::state::Flags;
use crate::wait::point::Quick;

/// Where a task that waits for the end of another is registered.
pub(super) enum JoinSlot {
    Out,
    /// In the joiner field next to the awaited task's cell. Only for the first waiter, and only if
    /// its task, of the same kernel, polls the wait with its own waker.
    InChunk,
    Queued(WaitSlot),
}

/// The flags of an awaited task while its joiner field is in use.
#[inline]
fn awaited(joins: bool) -> u32 {
    if joins { Flags::AWAITED | Flags::JOINED } else { Flags::AWAITED }
}

impl JoinSlot {
    /// Enters the tasks that wait for the end of `task`, in `join`, `wait` or `cancel`, in order of
    /// arrival. `joins` is true for a `join`.
    pub(super) fn enter(&mut self, task: &TaskRef, joins: bool, cx: &Context<'_>) -> Poll<()> {
        let entered =
            current::with_own_task(cx.waker(), |waiter| self.enter_beside(task, joins, waiter));
        if let Some(Quick::Parked) = entered {
            return Poll::Pending;
        }
        if !matches!(self, JoinSlot::Queued(_)) {
            self.leave(task, joins);
            *self = JoinSlot::Queued(WaitSlot::default());
            count_joins(task, joins, 1);
        }
        if let JoinSlot::Queued(slot) = self {
            // A wake-up before the end of the task is spurious: queue again.
            while task.cold().joiners.poll_enter(slot, 1, None, cx).is_ready() {}
        }
        // Cloning the waker may run code of the program, which may have ended the task.
        if task.is_ended() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Registers a task that polls the wait with its own waker in the joiner field, if there is no
    /// other waiter.
    #[inline]
    pub(super) fn enter_beside(
        &mut self,
        task: &TaskRef,
        joins: bool,
        waiter: &TaskRef,
    ) -> Quick<()> {
        let stays = match self {
            JoinSlot::Queued(_) => false,
            JoinSlot::Out => {
                let first = waiter.is_neighbour(task) && !task.has_waiters();
                if first {
                    task.set_joiner(waiter.id());
                    task.flags.raise(awaited(joins));
                    *self = JoinSlot::InChunk;
                }
                first
            }
            JoinSlot::InChunk => waiter.is_neighbour(task) && task.joiner() == Some(waiter.id()),
        };
        if stays { Quick::Parked } else { Quick::Unsure }
    }

    #[inline]
    pub(super) fn leave(&mut self, task: &TaskRef, joins: bool) {
        match self {
            JoinSlot::Out => return,
            JoinSlot::InChunk => task.flags.lower(awaited(joins)),
            JoinSlot::Queued(slot) => leave_queue(task, slot, joins),
        }
        *self = JoinSlot::Out;
    }
}

#[inline(never)]
fn leave_queue(task: &TaskRef, slot: &mut WaitSlot, joins: bool) {
    count_joins(task, joins, -1);
    task.cold().joiners.leave(slot);
}

/// Updates the number of queued waiters that are in a `join`.
fn count_joins(task: &TaskRef, joins: bool, by: i32) {
    if joins {
        let joining = &task.cold().joining;
        joining.set(joining.get().wrapping_add_signed(by));
    }
}
