//! The budget of a poll: how many operations of a task may complete before it must yield (K2).
//!
//! The count is a cell of the thread's context, and each poll begins with a full one. It is apart
//! from `current.rs` because only leaves use it.

use std::task::{Context, Poll};

use crate::core::current::{self, CONTEXT};
use crate::core::state::Core;

/// After this number of refusals in one poll, the kernel assumes that an executor inside the task
/// polls its leaves in a loop. A combinator polls each of its leaves about once.
const REFUSALS: i32 = 1024;

/// Spends one operation of the budget of this poll. Returns false if none is left.
#[inline]
pub(crate) fn spend() -> bool {
    CONTEXT.with(|context| {
        let budget = context.budget.get();
        if budget > 0 {
            context.budget.set(budget - 1);
        }
        budget > 0
    })
}

/// Whether the budget of this poll is spent. In a survey of the test kit each leaf finds it spent,
/// and it is not.
#[inline]
pub(crate) fn is_spent() -> bool {
    CONTEXT.with(|context| context.budget.get() <= 0 && context.refund.get() != 0)
}

/// Gives one operation back: only operations that complete count.
#[inline]
pub(crate) fn unspend() {
    CONTEXT.with(|context| context.budget.set(context.budget.get() + context.refund.get()));
}

/// Refuses an operation because the budget of this poll is spent. The budget stays spent until the
/// poll of the task ends, also inside a combinator; otherwise the next leaf of the combinator would
/// continue with a full budget. But an executor that runs inside the task polls its leaves again
/// and again without returning to the kernel. After [`REFUSALS`] refusals the budget is renewed for
/// it.
#[cold]
pub(crate) fn refuse() {
    CONTEXT.with(|context| {
        let budget = context.budget.get() - 1;
        context.budget.set(if budget > -REFUSALS { budget } else { Core::BUDGET });
    });
}

/// Renews the budget outside the poll of a task.
#[cold]
pub(crate) fn renew_budget() {
    CONTEXT.with(|context| context.budget.set(Core::BUDGET));
}

/// For a poll function that is no leaf: whether the budget of this poll is spent. Then the task is
/// woken, and polled again.
pub(crate) fn must_yield(cx: &Context<'_>) -> bool {
    if !is_spent() {
        return false;
    }
    if current::try_with(|core| core.running_id()).flatten().is_none() {
        // No task is polled here, so there is no budget.
        renew_budget();
        return false;
    }
    refuse();
    if !current::again(cx.waker()) {
        cx.waker().wake_by_ref();
    }
    true
}

/// Calls a poll function that has no registration and may be ready at once, again and again. It
/// counts against the budget, as those of a registration do.
#[inline]
pub fn poll_counted<T>(
    cx: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    if must_yield(cx) {
        return Poll::Pending;
    }
    spend();
    let polled = poll(cx);
    if polled.is_pending() {
        unspend();
    }
    polled
}

/// While this lives, each attempt of a leaf finds the budget spent, so that the test kit sees it.
pub(crate) struct Survey;

impl Survey {
    pub(crate) fn begin() -> Self {
        CONTEXT.with(|context| {
            context.budget.set(0);
            context.refund.set(0);
        });
        Survey
    }
}

impl Drop for Survey {
    fn drop(&mut self) {
        CONTEXT.with(|context| context.refund.set(1));
    }
}

/// Lets the attempt that the test kit has seen go on.
#[cold]
pub(crate) fn allow_one() {
    CONTEXT.with(|context| context.budget.set(1));
}
