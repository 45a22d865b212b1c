//! The tasks that wait for the end of another task: how each enters its list and leaves it.
//!
//! It is apart from `join.rs` because a `join` of a task that has ended needs no list.

use std::task::{Context, Poll};

use crate::core::current;
use crate::core::queue::WaitSlot;
use crate::core::state::TaskRef;
use crate::parts::list::NONE;
use crate::task::state::Flags;
use crate::wait::spot::Quick;

/// Where a task that waits for the end of another is registered: nowhere, in the joiner field next
/// to the awaited task's cell, or in a queue.
///
/// The joiner field is only for the first waiter, and only if its task, of the same kernel, polls
/// the wait with its own waker.
pub(super) struct JoinSlot(WaitSlot);

/// The place that stands for the joiner field. No queue is so long.
const IN_CHUNK: u32 = NONE - 1;

/// The flags of an awaited task while its joiner field is in use.
#[inline]
fn awaited(joins: bool) -> u32 {
    if joins { Flags::AWAITED | Flags::JOINED } else { Flags::AWAITED }
}

impl JoinSlot {
    pub(super) const OUT: JoinSlot = JoinSlot(WaitSlot(NONE));

    #[inline]
    fn is_queued(&self) -> bool {
        !self.0.is_out() && self.0.0 != IN_CHUNK
    }

    /// Enters the tasks that wait for the end of `task`, in `join`, `wait` or `cancel`, in order of
    /// arrival. `joins` is true for a `join`.
    pub(super) fn enter(&mut self, task: &TaskRef, joins: bool, cx: &Context<'_>) -> Poll<()> {
        let entered =
            current::with_own_task(cx.waker(), |waiter| self.enter_beside(task, joins, waiter));
        if let Some(Quick::Parked) = entered {
            return Poll::Pending;
        }
        let queued = self.is_queued();
        if !queued {
            self.leave(task, joins);
        }
        // A wake-up before the end of the task is spurious: queue again.
        while task.cold().joiners.poll_enter(&mut self.0, 1, None, cx).is_ready() {}
        if !queued {
            count_joins(task, joins, 1);
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
        let stays = match self.0.0 {
            NONE => {
                let first = waiter.is_neighbour(task) && !task.has_waiters();
                if first {
                    task.set_joiner(waiter.id());
                    task.flags.raise(awaited(joins));
                    self.0.0 = IN_CHUNK;
                }
                first
            }
            IN_CHUNK => waiter.is_neighbour(task) && task.joiner() == Some(waiter.id()),
            _ => false,
        };
        if stays { Quick::Parked } else { Quick::Unsure }
    }

    #[inline]
    pub(super) fn leave(&mut self, task: &TaskRef, joins: bool) {
        match self.0.0 {
            NONE => {}
            IN_CHUNK => {
                task.flags.lower(awaited(joins));
                *self = JoinSlot::OUT;
            }
            _ => leave_queue(task, &mut self.0, joins),
        }
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
